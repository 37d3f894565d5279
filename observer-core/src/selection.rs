//! Which pods are observed: reads the operator's rules and what is known of a pod, produces yes or no.

use serde::{Deserialize, Serialize};

use crate::container_facts::PodFacts;

/// The annotation by which a pod is left out (`"false"`), or let in (`"true"`) where pods must ask for it.
pub const ANNOTATION: &str = "observer.dev/observe";

/// The operator's rules. They hold for pods: what runs outside of them is observed whatever they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSelection {
    /// Only pods of these namespaces are observed; empty: of all. A `*` at the end stands for any ending.
    pub include_namespaces: Vec<String>,
    /// Pods of these namespaces are not, whatever else says so.
    pub exclude_namespaces: Vec<String>,
    /// Only pods whose [`ANNOTATION`] is `"true"` are observed.
    pub annotated_only: bool,
}

impl PodSelection {
    /// Whether a pod is observed; `None` is one of which nothing is known yet. Its author may leave it out, and may let it
    /// in only where the operator's namespaces do.
    pub(crate) fn observes(&self, pod: Option<&PodFacts>) -> bool {
        let Some(pod) = pod else {
            return *self == Self::default();
        };
        let among = |names: &[String]| names.iter().any(|name| is_called(&pod.namespace, name));
        let said = pod.annotations.get(ANNOTATION).map(String::as_str);
        said != Some("false")
            && (self.include_namespaces.is_empty() || among(&self.include_namespaces))
            && !among(&self.exclude_namespaces)
            && (!self.annotated_only || said == Some("true"))
    }
}

fn is_called(namespace: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => namespace.starts_with(beginning),
        None => namespace == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, said: Option<&str>) -> PodFacts {
        PodFacts {
            namespace: namespace.into(),
            annotations: said
                .map(|said| (ANNOTATION.to_owned(), said.to_owned()))
                .into_iter()
                .collect(),
            ..PodFacts::default()
        }
    }

    fn rules(include: &[&str], exclude: &[&str], annotated_only: bool) -> PodSelection {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        PodSelection {
            include_namespaces: owned(include),
            exclude_namespaces: owned(exclude),
            annotated_only,
        }
    }

    #[test]
    fn namespaces_let_in_and_leave_out_and_annotations_choose_among_the_rest() {
        for (rules, namespace, said, observed) in [
            (rules(&[], &[], false), "shop", None, true),
            (rules(&[], &[], false), "shop", Some("false"), false),
            (rules(&[], &[], false), "shop", Some("no"), true),
            (rules(&["shop"], &[], false), "shop", None, true),
            (rules(&["shop"], &[], false), "shop", Some("false"), false),
            (rules(&["shop"], &[], false), "shopping", None, false),
            (rules(&["shop"], &[], false), "bank", Some("true"), false),
            (rules(&["team-*"], &[], false), "team-a", None, true),
            (rules(&["team-*"], &["team-b"], false), "team-b", Some("true"), false),
            (rules(&[], &["kube-*"], false), "kube-system", None, false),
            (rules(&[], &["*"], false), "shop", None, false),
            (rules(&[], &[], true), "shop", None, false),
            (rules(&[], &[], true), "shop", Some("true"), true),
            (rules(&[], &["shop"], true), "shop", Some("true"), false),
        ] {
            let told = format!("{rules:?} {namespace} {said:?}");
            assert_eq!(rules.observes(Some(&pod(namespace, said))), observed, "{told}");
        }
    }

    #[test]
    fn a_pod_of_which_nothing_is_known_waits_where_there_are_rules() {
        assert!(rules(&[], &[], false).observes(None));
        for rules in [
            rules(&["shop"], &[], false),
            rules(&[], &["kube-*"], false),
            rules(&[], &[], true),
        ] {
            assert!(!rules.observes(None), "{rules:?}");
        }
    }
}
