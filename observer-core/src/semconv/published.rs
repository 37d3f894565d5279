//! The published conventions, as far as a check of names needs them: reads `published.tsv`, produces what stands there of a name.

/// The release of the semantic conventions that names follow.
pub const VERSION: &str = "1.44.0";

/// What the conventions say of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Type of an attribute's value (`string`, `int`, `string[]`, `enum`, ...); of a metric instrument and unit (`gauge s`).
    pub kind: &'static str,
    /// `stable`, `release_candidate`, `development`, ...
    pub stability: &'static str,
    /// Why it must not be used any more, of what is deprecated.
    pub deprecated: Option<&'static str>,
}

/// What the conventions say of an attribute.
pub fn attribute(name: &str) -> Option<Published> {
    find("attribute", name)
}

/// What the conventions say of a metric.
pub fn metric(name: &str) -> Option<Published> {
    find("metric", name)
}

fn find(what: &str, name: &str) -> Option<Published> {
    include_str!("published.tsv").lines().find_map(|line| {
        let mut fields = line.split('\t');
        if (fields.next(), fields.next()) != (Some(what), Some(name)) {
            return None;
        }
        Some(Published {
            kind: fields.next()?,
            stability: fields.next()?,
            deprecated: fields.next(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Published, attribute, metric};
    use crate::{semconv, telemetry};

    /// Beginnings of names that are ours. The collector's systemd receiver uses the one of systemd.
    const OURS: [&str; 2] = ["observer.", "systemd."];

    /// What is wrong with a name and what is said of it.
    fn fault(name: &str, meaning: &str, published: Option<Published>) -> Option<String> {
        let ours = OURS.iter().any(|beginning| name.starts_with(beginning));
        match published {
            None if ours => (!meaning.to_lowercase().contains("convention"))
                .then(|| format!("{name}: its text does not say that there is no convention")),
            None => Some(format!("{name} is in no convention")),
            Some(Published {
                deprecated: Some(why), ..
            }) => Some(format!("{name} is deprecated: {why}")),
            Some(Published { stability, .. }) => {
                let stated = format!("({})", stability.replace('_', " "));
                (!meaning.contains(&stated)).then(|| format!("{name} is {stated}, and its text says: {meaning}"))
            }
        }
    }

    /// Every name that is not ours is in the conventions, not deprecated, with the stability that its text states.
    #[test]
    fn names_are_as_published() {
        let attributes = semconv::ALL.iter().chain(semconv::metric::attribute::ALL);
        let attributes = attributes.filter_map(|(name, meaning)| fault(name, meaning, attribute(name)));
        let metrics = semconv::metric::ALL.iter();
        let metrics = metrics.filter_map(|(name, meaning)| fault(name, meaning, metric(name)));
        assert_eq!(attributes.chain(metrics).collect::<Vec<_>>(), Vec::<String>::new());
    }

    /// The check refuses what it is there for.
    #[test]
    fn what_is_not_published_is_refused() {
        for (name, published) in [
            ("k8s.container.memory.limit", metric("k8s.container.memory.limit")),
            ("container.memory.level", metric("container.memory.level")),
            ("process.cgroup", attribute("process.cgroup")),
            ("container.id", attribute("container.id")),
        ] {
            assert!(
                fault(name, "(development)", published).is_some(),
                "{name}: {published:?}"
            );
        }
        assert_eq!(fault("container.id", "(stable)", attribute("container.id")), None);
    }

    /// A Resource holds texts; those that the conventions want as lists are known.
    #[test]
    fn lists_of_a_resource_are_lists() {
        for (name, _) in semconv::ALL {
            let is_list = attribute(name).is_some_and(|published| published.kind == "string[]");
            assert_eq!(telemetry::is_list(name), is_list, "{name}");
        }
    }
}
