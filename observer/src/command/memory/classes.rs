//! `observer memory PID --classes`: native objects by class, now or before and after, and who holds them.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use observer_heap::native::{Class, Size};
use serde_json::{Value, json};

use super::meaning::size;
use crate::{
    source::usage::{Native, NativeClass},
    terminal::clean,
};

/// Classes whose holders are looked up.
pub(super) const HELD: usize = 6;
/// Holders told of each.
const PATHS: usize = 2;

/// What there was before, by name and by size.
#[derive(Default)]
pub(super) struct Before {
    classes: BTreeMap<String, Class>,
    sizes: BTreeMap<u64, Size>,
}

impl Before {
    pub(super) fn of(native: Native) -> Self {
        let named = |class: NativeClass| (class.class.name.clone(), class.class);
        let mut classes = BTreeMap::<String, Class>::new();
        for (name, class) in native.classes.into_iter().map(named) {
            let all = classes.entry(name).or_default();
            all.count += class.count;
            all.bytes += class.bytes;
            all.held += class.held;
        }
        Self {
            classes,
            sizes: native.sizes.into_iter().map(|size| (size.up_to, size)).collect(),
        }
    }

    /// By how many bytes a class grew, with what it holds.
    fn grown(&self, class: &Class) -> i64 {
        let before = self.classes.get(&class.name);
        all(class).cast_signed() - before.map_or(0, all).cast_signed()
    }

    /// The classes that grew most.
    pub(super) fn most_grown(&self, classes: &[Class]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..classes.len()).filter(|&at| self.grown(&classes[at]) > 0).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(self.grown(&classes[at])));
        order.truncate(HELD);
        order
    }

    /// Sorts by growth.
    pub(super) fn order(&self, native: &mut Native) {
        native
            .classes
            .sort_by_key(|class| std::cmp::Reverse(self.grown(&class.class)));
    }
}

const fn all(class: &Class) -> u64 {
    class.bytes + class.held
}

/// The JavaScript class whose property wraps the native object, and how that is held: of `Gzip._handle` in the end it is `Gzip`.
fn wrapper(steps: &[String]) -> (Option<&str>, &[String]) {
    if let Some((last, before)) = steps.split_last()
        && let Some((class, property)) = last.split_once('.')
        && !property.contains(['.', ' '])
        && class.starts_with(char::is_uppercase)
    {
        (Some(class), before)
    } else {
        (None, steps)
    }
}

/// `Gzip (node::ZlibStream)`.
fn title(class: &NativeClass) -> String {
    let held = class
        .held
        .paths
        .first()
        .map_or((None, &[][..]), |path| wrapper(&path.steps));
    match held.0 {
        Some(name) => format!("{name} ({})", class.class.name),
        None => class.class.name.clone(),
    }
}

pub(super) fn print(
    out: &mut impl Write,
    native: &Native,
    before: Option<(&Before, Duration)>,
    top: usize,
) -> io::Result<()> {
    if let Some((_, apart)) = before {
        writeln!(
            out,
            "native objects by class, {:.0} s apart, what grew most first",
            apart.as_secs_f64()
        )?;
    } else {
        writeln!(out, "native objects by class")?;
    }
    writeln!(out, "{:>18} {:>12} {:>12}  CLASS", "COUNT", "BYTES", "HOLDING")?;
    for class in native.classes.iter().take(top) {
        let counted = &class.class;
        let count = match before {
            Some((before, _)) => {
                let count = before.classes.get(&counted.name).map_or(0, |class| class.count);
                format!("{count} -> {}", counted.count)
            }
            None => counted.count.to_string(),
        };
        let each = all(counted) / counted.count.max(1);
        writeln!(
            out,
            "{count:>18} {:>12} {:>12}  {}, {} each",
            size(counted.bytes),
            size(counted.held),
            clean::name(&title(class)),
            size(each)
        )?;
        for path in class.held.paths.iter().take(PATHS) {
            let steps = wrapper(&path.steps).1;
            let held = if steps.is_empty() {
                "nothing in the heap: a handle, the stack, or garbage".to_owned()
            } else {
                clean::sentence(&steps.join(" -> ")).into_owned()
            };
            writeln!(out, "{:>46}held by ({:.0} %): {held}", "", path.share * 100.0)?;
        }
    }
    let left = native.classes.len().saturating_sub(top);
    if left > 0 {
        writeln!(
            out,
            "{:>46}{left} further classes; --top {} shows all",
            "",
            native.classes.len()
        )?;
    }
    writeln!(out, "\nblocks without a class that no object alone holds, by size")?;
    for block in &native.sizes {
        let count = match before {
            Some((before, _)) => {
                let count = before.sizes.get(&block.up_to).map_or(0, |size| size.count);
                format!("{count} -> {}", block.count)
            }
            None => block.count.to_string(),
        };
        writeln!(
            out,
            "{count:>18} {:>12} {:>12}  up to {}",
            size(block.bytes),
            "",
            size(block.up_to)
        )?;
    }
    if let Some(reason) = &native.unwrapped {
        writeln!(
            out,
            "\nwhich JavaScript objects hold them is not told: {}",
            clean::sentence(reason)
        )?;
    }
    Ok(())
}

pub(super) fn json(pid: u32, native: &Native, before: Option<(&Before, Duration)>) -> Value {
    let classes: Vec<Value> = native
        .classes
        .iter()
        .map(|class| {
            let counted = &class.class;
            let old = before.and_then(|(before, _)| before.classes.get(&counted.name));
            let path = |path: &observer_heap::Path| {
                let (class, steps) = wrapper(&path.steps);
                json!({ "class": class, "path": steps, "share": path.share })
            };
            let held: Vec<Value> = class.held.paths.iter().take(10).map(path).collect();
            json!({
                "name": counted.name,
                "count": counted.count,
                "bytes": counted.bytes,
                "held_bytes": counted.held,
                "count_before": old.map_or(0, |old| old.count),
                "bytes_before": old.map_or(0, |old| old.bytes),
                "held_bytes_before": old.map_or(0, |old| old.held),
                "wrapped": class.wrapped,
                "wrapped_by": held,
            })
        })
        .collect();
    let sizes: Vec<Value> = native
        .sizes
        .iter()
        .map(|block| {
            let old = before.and_then(|(before, _)| before.sizes.get(&block.up_to));
            json!({
                "up_to": block.up_to,
                "count": block.count,
                "bytes": block.bytes,
                "count_before": old.map_or(0, |old| old.count),
                "bytes_before": old.map_or(0, |old| old.bytes),
            })
        })
        .collect();
    json!({
        "pid": pid,
        "apart_seconds": before.map(|(_, apart)| apart.as_secs_f64()),
        "classes": classes,
        "sizes": sizes,
        "not_wrapped_because": native.unwrapped,
    })
}

#[cfg(test)]
mod tests {
    use super::wrapper;

    #[test]
    fn the_class_that_wraps_is_the_holder_of_the_handle() {
        let steps = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let path = steps(&["streams in /app/w.js", "Array[]", "Gzip._handle"]);
        assert_eq!(wrapper(&path), (Some("Gzip"), &path[..2]));
        let path = steps(&["streams in /app/w.js", "Array[]"]);
        assert_eq!(wrapper(&path), (None, &path[..]));
        let path = steps(&["cache in /app/w.js"]);
        assert_eq!(wrapper(&path), (None, &path[..]), "a file's name is no property");
    }
}
