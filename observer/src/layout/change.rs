//! One change of layout: reads a JSON value of the layout before, changes it in place.

use serde_json::{Map, Value};

/// A change of one field. Paths are names joined by dots; `*` is every element of an array or value of
/// an object, a number one element of an array. What is not there is left alone: fields with defaults may be absent.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A field that was not there before, with what it means where it is absent.
    Added {
        /// Where it is.
        path: &'static str,
        /// Its value, as JSON.
        value: &'static str,
    },
    /// A field that has another place or name. Both paths are the same up to their last `*` or number.
    Moved {
        /// Where it was.
        from: &'static str,
        /// Where it is.
        to: &'static str,
    },
    /// A field that is not read any more.
    Removed {
        /// Where it was.
        path: &'static str,
    },
}

impl Change {
    /// Makes the change wherever its path leads.
    pub fn apply(&self, value: &mut Value) {
        match self {
            Self::Added { path, value: added } => {
                let (shared, rest) = split(path);
                each(value, &shared, &mut |place| {
                    // A table that is not JSON shows in the test that reads every kept recording.
                    if let Ok(added) = serde_json::from_str(added)
                        && at(place, &rest).is_none()
                    {
                        put(place, &rest, added);
                    }
                });
            }
            Self::Moved { from, to } => {
                let (shared, old) = split(from);
                let (_, new) = split(to);
                each(value, &shared, &mut |place| {
                    if let Some(moved) = take(place, &old) {
                        put(place, &new, moved);
                    }
                });
            }
            Self::Removed { path } => {
                let (shared, rest) = split(path);
                each(value, &shared, &mut |place| drop(take(place, &rest)));
            }
        }
    }
}

/// A path up to its last `*` or index, and after it.
fn split(path: &'static str) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut shared: Vec<&str> = path.split('.').collect();
    let element = |name: &&str| *name == "*" || name.parse::<usize>().is_ok();
    let rest = shared.split_off(shared.iter().rposition(element).map_or(0, |last| last + 1));
    (shared, rest)
}

fn each(value: &mut Value, path: &[&str], visit: &mut dyn FnMut(&mut Value)) {
    let Some((name, rest)) = path.split_first() else {
        return visit(value);
    };
    match (value, *name) {
        (Value::Array(elements), "*") => elements.iter_mut().for_each(|element| each(element, rest, visit)),
        (Value::Object(fields), "*") => fields.values_mut().for_each(|field| each(field, rest, visit)),
        (Value::Array(elements), name) => {
            if let Some(element) = name.parse().ok().and_then(|index: usize| elements.get_mut(index)) {
                each(element, rest, visit);
            }
        }
        (Value::Object(fields), name) => {
            if let Some(field) = fields.get_mut(name) {
                each(field, rest, visit);
            }
        }
        _ => {}
    }
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn take(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    let parent = above.iter().try_fold(value, |value, name| value.get_mut(name))?;
    parent.as_object_mut()?.remove(*last)
}

/// Puts a value where the path leads, making objects on the way.
fn put(value: &mut Value, path: &[&str], new: Value) {
    let Some((last, above)) = path.split_last() else { return };
    let mut parent = value;
    for name in above {
        let Some(fields) = parent.as_object_mut() else { return };
        parent = fields.entry(*name).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Some(fields) = parent.as_object_mut() {
        fields.insert((*last).to_owned(), new);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(change: Change, mut value: Value) -> Value {
        change.apply(&mut value);
        value
    }

    #[test]
    fn a_field_moves_also_within_every_element() {
        let change = Change::Moved {
            from: "slots.*.run.peak",
            to: "slots.*.run.memory.peak",
        };
        assert_eq!(
            changed(
                change,
                json!({"slots": [{"run": {"peak": 1}}, {"run": {}}, 5, {"run": {"peak": 2}}]})
            ),
            json!({"slots": [{"run": {"memory": {"peak": 1}}}, {"run": {}}, 5, {"run": {"memory": {"peak": 2}}}]}),
        );
        assert_eq!(
            changed(change, json!({"slots": {"a": {"run": {"peak": 1}}}})),
            json!({"slots": {"a": {"run": {"memory": {"peak": 1}}}}})
        );
    }

    #[test]
    fn elements_of_pairs_go_by_their_index() {
        let change = Change::Removed { path: "map.*.1.old" };
        assert_eq!(
            changed(change, json!({"map": [["key", {"old": 1, "new": 2}]]})),
            json!({"map": [["key", {"new": 2}]]}),
        );
    }

    #[test]
    fn an_added_field_is_put_only_where_it_is_absent() {
        let change = Change::Added {
            path: "a.b",
            value: "[1, null]",
        };
        assert_eq!(changed(change, json!({"a": {}})), json!({"a": {"b": [1, null]}}));
        assert_eq!(changed(change, json!({})), json!({"a": {"b": [1, null]}}));
        assert_eq!(changed(change, json!({"a": {"b": 0}})), json!({"a": {"b": 0}}));
    }

    #[test]
    fn what_has_another_shape_is_left_alone() {
        for value in [json!(null), json!(3), json!("tick"), json!([]), json!({"a": 3})] {
            let moved = Change::Moved { from: "a.b", to: "a.c" };
            assert_eq!(changed(moved, value.clone()), value);
            assert_eq!(changed(Change::Removed { path: "a.b.c" }, value.clone()), value);
        }
    }
}
