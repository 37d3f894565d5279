//! The three places a setting may come from: reads flags, environment and file, produces one text per setting with
//! its source. Flags win over the environment, the environment over the file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    key::{self, PREFIX},
    problem::{Problem, Source},
};

/// Variables that start like ours and are read elsewhere.
const NOT_SETTINGS: [&str; 1] = ["OBSERVER_CONFIG"];

/// The text of every setting that was given, from the place that wins.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    values: BTreeMap<&'static str, (String, Source)>,
    environment: BTreeMap<String, String>,
}

impl Layers {
    /// Merges the three. The second value lists what is odd but no error.
    pub fn merge(
        flags: &BTreeMap<&'static str, String>,
        environment: BTreeMap<String, String>,
        file: Option<(&Path, &str)>,
        problems: &mut Vec<Problem>,
    ) -> (Self, Vec<String>) {
        let mut values = BTreeMap::new();
        if let Some((path, text)) = file {
            read_file(path, text, &mut values, problems);
        }
        let mut notices = Vec::new();
        for (name, value) in &environment {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let wanted = rest.to_lowercase().replace('_', "-");
            if let Some(key) = key::find(&wanted) {
                // An empty variable is an unset one, as OpenTelemetry's specification has it for its own.
                if !value.is_empty() {
                    values.insert(key.name, (value.clone(), Source::Variable(name.clone())));
                }
            } else if !NOT_SETTINGS.contains(&name.as_str())
                && let Some(near) = key::nearest(&wanted)
            {
                // No error: Kubernetes puts OBSERVER_SERVICE_HOST and the like into pods beside a service `observer`.
                notices.push(format!(
                    "environment variable {name}: there is no such setting and it is ignored; did you mean `{near}`?"
                ));
            }
        }
        for (name, value) in flags {
            values.insert(name, (value.clone(), Source::Flag(name)));
        }
        (Self { values, environment }, notices)
    }

    /// The text of a setting and where it came from.
    pub fn get(&self, name: &str) -> Option<&(String, Source)> {
        self.values.get(name)
    }

    /// The first of these environment variables that is set and not empty.
    pub fn variable(&self, names: &[String]) -> Option<(String, Source)> {
        names.iter().find_map(|name| {
            let value = self.environment.get(name).filter(|value| !value.is_empty())?;
            Some((value.clone(), Source::Variable(name.clone())))
        })
    }
}

fn read_file(
    path: &Path,
    text: &str,
    values: &mut BTreeMap<&'static str, (String, Source)>,
    problems: &mut Vec<Problem>,
) {
    let line_at = |offset: usize| text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
    let (table, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let line = error.span().map_or(1, |span| line_at(span.start));
        problems.push(Problem::File {
            path: path.display().to_string(),
            reason: format!("line {line}: {}", error.message()),
        });
        return;
    }
    for (name, value) in table.get_ref() {
        let source = Source::File {
            path: PathBuf::from(path),
            line: line_at(name.span().start),
            key: name.get_ref().to_string(),
        };
        let Some(known) = key::find(name.get_ref()) else {
            problems.push(Problem::UnknownKey {
                source_of: source,
                nearest: key::nearest(name.get_ref()),
            });
            continue;
        };
        match scalar(value.get_ref()) {
            Some(text) => {
                values.insert(known.name, (text, source));
            }
            None => problems.push(Problem::Value {
                source_of: source,
                wrong: format!("a {} is not a value of this setting", value.get_ref().type_str()),
                remedy: format!("write {} in quotes", known.value),
            }),
        }
    }
}

/// The text of a string, a number or a boolean.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}
