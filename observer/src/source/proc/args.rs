//! Reads argv and `NODE_OPTIONS`, produces the main script and the heap flags.
//!
//! Rules: Node's option parser (nodejs.org/api/cli.html) takes a value after `=` or, for its own options that need
//! one, from the next argument; V8's options are passed on as they are, `_` and `-` being the same to both.

use observer_core::process::HeapFlags;

/// Node's own options whose value may be the next argument: what follows them is not the script.
const TAKES_VALUE: [&str; 39] = [
    "-C",
    "-e",
    "-pe",
    "-r",
    "--allow-fs-read",
    "--allow-fs-write",
    "--conditions",
    "--cpu-prof-dir",
    "--cpu-prof-interval",
    "--cpu-prof-name",
    "--diagnostic-dir",
    "--disable-proto",
    "--disable-warning",
    "--dns-result-order",
    "--env-file",
    "--env-file-if-exists",
    "--eval",
    "--experimental-default-type",
    "--experimental-loader",
    "--heap-prof-dir",
    "--heapsnapshot-near-heap-limit",
    "--heapsnapshot-signal",
    "--icu-data-dir",
    "--import",
    "--input-type",
    "--inspect-port",
    "--loader",
    "--max-http-header-size",
    "--max-old-space-size-percentage",
    "--network-family-autoselection-attempt-timeout",
    "--openssl-config",
    "--redirect-warnings",
    "--report-dir",
    "--report-filename",
    "--require",
    "--secure-heap",
    "--title",
    "--unhandled-rejections",
    "--watch-path",
];

/// Options after which there is no script: the program is on the command line, or none is run.
const NO_SCRIPT: [&str; 8] = ["-e", "--eval", "-p", "--print", "-pe", "-v", "--version", "--run"];

/// What a command line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    /// The main script as it was given: possibly relative to the working directory, possibly without its extension.
    pub(crate) script: Option<String>,
    /// Heap flags before the script.
    pub(crate) flags: HeapFlags,
}

/// Parses `/proc/PID/cmdline`: arguments ended by NUL. A process that set `process.title` has overwritten all of them
/// with the title and NULs; nothing is then found, and nothing wrong is.
pub(crate) fn cmdline(text: &[u8]) -> Arguments {
    let text: Vec<_> = text.split(|&b| b == 0).skip(1).map(String::from_utf8_lossy).collect();
    let mut found = Arguments::default();
    let mut no_script = false;
    let mut args = text
        .iter()
        .map(AsRef::as_ref)
        .filter(|arg: &&str| !arg.is_empty())
        .peekable();
    while let Some(arg) = args.next() {
        if arg == "--" {
            found.script = args.next().filter(|_| !no_script).map(str::to_owned);
            break;
        }
        if !arg.starts_with('-') || arg == "-" {
            // `node inspect script.js` starts the debugger's client; its child is the program.
            found.script = (!no_script && arg != "-").then(|| arg.to_owned());
            break;
        }
        no_script |= NO_SCRIPT.contains(&arg);
        let (name, value) = split(arg);
        let value = value.or_else(|| args.next_if(|next| needs_next(&name, next)));
        if let Some(value) = value {
            apply(&mut found.flags, &name, value);
        }
    }
    found
}

/// Whether the argument after option `name` is its value. V8's own sizes refuse a separate value in Node 20 to 24
/// (such a process ends at once); a number after one is still never the script.
fn needs_next(name: &str, next: &str) -> bool {
    let heap_size = matches!(
        name,
        "--max-old-space-size" | "--max-semi-space-size" | "--max-heap-size"
    );
    if heap_size {
        return next.bytes().all(|b| b.is_ascii_digit());
    }
    TAKES_VALUE.contains(&name)
}

/// `--name=value` as (name with dashes, value).
fn split(arg: &str) -> (String, Option<&str>) {
    let (name, value) = arg
        .split_once('=')
        .map_or((arg, None), |(name, value)| (name, Some(value)));
    let dashes = name.len() - name.trim_start_matches('-').len();
    (
        format!("{}{}", &name[..dashes], name[dashes..].replace('_', "-")),
        value,
    )
}

fn apply(flags: &mut HeapFlags, name: &str, value: &str) {
    // The last one wins, in Node as in V8. What does not parse is no flag: Node itself refuses to start with it.
    let mib = || value.parse::<u64>().ok();
    match name {
        "--max-old-space-size" => flags.max_old_space_mib = mib().or(flags.max_old_space_mib),
        "--max-semi-space-size" => flags.max_semi_space_mib = mib().or(flags.max_semi_space_mib),
        "--max-heap-size" => flags.max_heap_mib = mib().or(flags.max_heap_mib),
        "--max-old-space-size-percentage" => {
            let percent = value
                .trim_end_matches('%')
                .parse::<f64>()
                .ok()
                .filter(|p| *p > 0.0 && *p <= 100.0);
            flags.max_old_space_percent = percent.or(flags.max_old_space_percent);
        }
        _ => {}
    }
}

/// Heap flags of `NODE_OPTIONS`: split at spaces; double quotes hold spaces, a backslash inside them the next
/// character (Node's `ParseNodeOptionsEnvVar`).
pub(crate) fn node_options(value: &str) -> HeapFlags {
    let mut words: Vec<String> = Vec::new();
    let (mut quoted, mut fresh) = (false, true);
    let mut chars = value.chars();
    while let Some(mut c) = chars.next() {
        match c {
            '\\' if quoted => match chars.next() {
                Some(next) => c = next,
                None => break,
            },
            ' ' if !quoted => {
                fresh = true;
                continue;
            }
            '"' => {
                quoted = !quoted;
                continue;
            }
            _ => {}
        }
        if fresh {
            words.push(String::new());
            fresh = false;
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let mut flags = HeapFlags::default();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let (name, value) = split(word);
        if let Some(value) = value.or_else(|| words.next_if(|next| needs_next(&name, next))) {
            apply(&mut flags, &name, value);
        }
    }
    flags
}

/// Flags in force: the command line's, else the environment's, one by one.
pub(crate) fn merge(argv: HeapFlags, environment: HeapFlags) -> HeapFlags {
    HeapFlags {
        max_old_space_mib: argv.max_old_space_mib.or(environment.max_old_space_mib),
        max_old_space_percent: argv.max_old_space_percent.or(environment.max_old_space_percent),
        max_semi_space_mib: argv.max_semi_space_mib.or(environment.max_semi_space_mib),
        max_heap_mib: argv.max_heap_mib.or(environment.max_heap_mib),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(args: &[&str]) -> Arguments {
        let mut text = args.join("\0").into_bytes();
        text.push(0);
        cmdline(&text)
    }

    #[test]
    fn the_script_is_the_first_argument_that_belongs_to_no_option() {
        for (args, script) in [
            (&["node", "app.js"][..], Some("app.js")),
            (
                &["/usr/bin/node", "--require", "./x.js", "/srv/app/index.js", "--port=1"],
                Some("/srv/app/index.js"),
            ),
            (
                &["node", "-r", "dotenv/config", "--import=tsx", "src/main.ts"],
                Some("src/main.ts"),
            ),
            (&["node", "--enable-source-maps", "server.js"], Some("server.js")),
            (&["node", "--max-old-space-size=400", "server.js"], Some("server.js")),
            (&["node", "--max-old-space-size", "400", "server.js"], Some("server.js")),
            (&["node", "--expose-gc", "--", "-odd.js"], Some("-odd.js")),
            (&["node", "-e", "setTimeout(()=>{}, 1e9)", "arg"], None),
            (&["node", "-p", "1"], None),
            (&["node", "-"], None),
            (&["node"], None),
            (&["next-server (v14.2)", "", "", "", ""], None),
            (&[""], None),
        ] {
            assert_eq!(parse(args).script.as_deref(), script, "{args:?}");
        }
    }

    #[test]
    fn heap_flags_in_every_spelling() {
        let old = |args: &[&str]| parse(args).flags.max_old_space_mib;
        assert_eq!(old(&["node", "--max-old-space-size=512", "a.js"]), Some(512));
        assert_eq!(old(&["node", "--max_old_space_size=512", "a.js"]), Some(512));
        assert_eq!(old(&["node", "--max-old-space-size", "512", "a.js"]), Some(512));
        assert_eq!(
            old(&["node", "--max-old-space-size=1", "--max_old_space_size=2", "a.js"]),
            Some(2)
        );
        assert_eq!(
            old(&["node", "a.js", "--max-old-space-size=512"]),
            None,
            "an argument of the script"
        );
        assert_eq!(old(&["node", "--max-old-space-size=x", "a.js"]), None);
        let flags = parse(&[
            "node",
            "--max-semi-space-size=32",
            "--max-old-space-size-percentage",
            "75",
            "x",
        ])
        .flags;
        assert_eq!(
            (flags.max_semi_space_mib, flags.max_old_space_percent),
            (Some(32), Some(75.0))
        );
        assert_eq!(
            parse(&["node", "--max-heap-size=300", "x"]).flags.max_heap_mib,
            Some(300)
        );
    }

    #[test]
    fn the_environment_gives_what_the_command_line_leaves_open() {
        let environment = node_options(r#"--require "/a b/\"c\".js" --max-old-space-size=100 --max-semi-space-size=8"#);
        assert_eq!(
            (environment.max_old_space_mib, environment.max_semi_space_mib),
            (Some(100), Some(8))
        );
        let argv = parse(&["node", "--max-old-space-size=200", "a.js"]).flags;
        let flags = merge(argv, environment);
        assert_eq!(
            (flags.max_old_space_mib, flags.max_semi_space_mib),
            (Some(200), Some(8))
        );
    }

    proptest! {
        #[test]
        fn no_command_line_panics(text: Vec<u8>, options: String) {
            let _ = (cmdline(&text), node_options(&options));
        }
    }
}
