//! What `--help` of each command shows below its arguments: examples that can be copied, which a test parses.

pub(super) const RUN: &str = "\
Examples:
  sudo observer run --otlp-endpoint http://collector:4318
  sudo observer run --store /var/lib/observer --record incident.jsonl.gz

Every setting may stand in the configuration file under the flag's name (sample-interval = \"1s\") and in the
environment (OBSERVER_SAMPLE_INTERVAL). Flags win over the environment, the environment over the file.
OTEL_EXPORTER_OTLP_* variables are read as OpenTelemetry specifies, generic and per signal.";

pub(super) const DOCTOR: &str = "\
Examples:
  sudo observer doctor
  sudo observer doctor --json";

pub(super) const HEAP: &str = "\
Examples:
  sudo observer heap 4711
  sudo observer heap 4711 --diff 60s
  sudo observer heap 4711 --retainers Session
  sudo observer heap 4711 --snapshot shop.heapsnapshot";

pub(super) const MEMORY: &str = "\
Examples:
  sudo observer memory 4711
  sudo observer memory 4f2a9c01e7 --diff 60s
  sudo observer memory 4711 --classes --diff 60s";

pub(super) const PS: &str = "\
Examples:
  sudo observer ps
  kubectl exec --namespace observer POD -- /observer ps";

pub(super) const ASK: &str = "\
Examples:
  sudo observer ask '\"status\"'
  sudo observer ask '{\"explain\":{\"name\":\"checkout\"}}'";

pub(super) const KUBECTL: &str = "\
Examples:
  kubectl observer ps
  kubectl observer --namespace shop top
  kubectl observer explain shop/checkout
  kubectl observer report --all --html cluster.html

It needs the right to list the agents' pods and to execute in them (pods list, pods/exec create). Who does not answer is
named on standard error; where nobody does, it ends with exit code 1.";

pub(super) const HISTORY: &str = "\
Examples:
  sudo observer history shop/checkout
  sudo observer history checkout --store /var/lib/observer";

pub(super) const STATUS: &str = "\
Examples:
  sudo observer status
  sudo observer status --json";

pub(super) const EXPLAIN: &str = "\
Examples:
  sudo observer explain shop/checkout
  observer explain checkout --from recording.jsonl.gz
  observer explain shop/cart --from history.csv --format csv";

pub(super) const REPORT: &str = "\
Examples:
  sudo observer report shop/checkout --html checkout.html
  observer report --all --from recording.jsonl.gz --html host.html
  observer report shop/checkout --from http://localhost:9090 --since 3d --html checkout.html
  sudo observer report checkout --store /var/lib/observer --md";

pub(super) const TOP: &str = "\
Examples:
  sudo observer top
  observer top --from recording.jsonl.gz --speed 600";

pub(super) const AUDIT: &str = "\
Examples:
  kubectl --namespace monitoring port-forward svc/prometheus 9090 &
  observer audit http://localhost:9090 --namespace shop --since 7d
  observer audit https://mimir.example.com/prometheus --header 'X-Scope-OrgID: team-a' --html audit.html";

pub(super) const REPLAY: &str = "\
Examples:
  observer replay recording.jsonl.gz
  observer replay recording.jsonl.gz --chart checkout
  observer replay history.csv --format csv";

pub(super) const WATCH: &str = "\
Examples:
  observer watch --rounds 20 -- node --test leak.test.js
  observer watch --for 2m --format github -- npm start
  observer watch --rounds 10 --every 10s --pid 4711

Exit codes: 0 no leak, 1 the command failed, 3 it leaks, 4 could not be judged.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  observer completions bash | sudo tee /usr/share/bash-completion/completions/observer
  observer completions zsh > ~/.zfunc/_observer
  observer completions fish > ~/.config/fish/completions/observer.fish";

pub(super) const MAN: &str = "\
Examples:
  sudo observer man /usr/local/share/man/man1
  observer man .";

#[cfg(test)]
mod tests {
    use crate::command::{definition, kubectl_definition};

    /// Words of a shell's line, up to a pipe, a redirection or an ampersand; text in single quotes is one.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        let end = words.iter().position(|word| ["|", ">", "&"].contains(&word.as_str()));
        words.truncate(end.unwrap_or(words.len()));
        words
    }

    #[test]
    fn the_plugins_examples_are_understood() {
        let help = kubectl_definition().get_after_help().map(ToString::to_string).unwrap();
        let examples = help.lines().filter_map(|line| line.strip_prefix("  kubectl "));
        let parsed = examples.map(|example| kubectl_definition().try_get_matches_from(words(example)));
        let parsed: Result<Vec<_>, _> = parsed.collect();
        assert!(parsed.unwrap().len() > 3);
    }

    #[test]
    fn each_command_has_examples_and_they_are_understood() {
        for command in definition().get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<Vec<String>> = help
                .lines()
                .filter_map(|line| line.strip_prefix("  "))
                .map(words)
                .map(|words| words.into_iter().skip_while(|word| word == "sudo").collect())
                .filter(|words: &Vec<String>| words.first().is_some_and(|word| word == "observer"))
                .collect();
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples {
                assert_eq!(example[1], name);
                let parsed = definition().try_get_matches_from(&example);
                assert!(parsed.is_ok(), "{example:?}: {}", parsed.unwrap_err());
            }
        }
    }
}
