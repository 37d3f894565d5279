//! `observer report`: of a recording, of a history, of the running agent and of its store; opened in a real browser.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail as the test does"
)]

use std::{env, fmt::Write as _, fs, path::Path, time::Duration};

use observer_tests::{
    agent::{self, Agent},
    browser::Browser,
    bundle::Spec,
    container::{Container, Restart},
    need, places,
    stage::Scratch,
};

/// Names that would act on a browser, or on its reader.
const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "\u{202e}gnp.exe\u{202c}",
    "\x1b[31m\0bell\x07",
    "</style></svg><b>bold",
];

fn report(arguments: &[&str]) -> String {
    let output = agent::command(&["report"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A leak that came with a version, of each name.
fn history(names: &[String]) -> String {
    let mut text = "series,t,anon,limit,run,end,version,heap_limit\n".to_owned();
    for (nth, name) in names.iter().enumerate() {
        let quoted = name.replace('"', "\"\"");
        for i in 0..1_080u64 {
            let (run, step) = (i / 360, i % 360);
            let climbs = run > 0;
            let level = (64 << 20)
                + if climbs {
                    step * (448 << 20) / 360
                } else {
                    step % 7 * 100_000
                };
            let end = match (step, climbs) {
                (359, true) => "kernel_oom",
                (359, false) => "rollout",
                _ => "",
            };
            let version = if climbs { &*quoted } else { "1.41" };
            let t = 1_777_626_725 + i * 60;
            writeln!(
                text,
                "\"{quoted}{nth}\",{t},{level},536870912,{run},{end},\"{version}\",419430400"
            )
            .unwrap();
        }
    }
    text
}

/// What is wrong with how the page is laid out, element by element.
const MISPLACED: &str = r"(() => {
    const wrong = [];
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) wrong.push('the page scrolls sideways');
    for (const box of document.querySelectorAll('h1,h2,h3,p,li,dl,figure,figcaption span')) {
        const at = box.getBoundingClientRect();
        if (at.right > width + 1 || at.left < -1) wrong.push(box.tagName + ' ' + box.textContent.slice(0, 60));
    }
    for (const svg of document.querySelectorAll('svg')) {
        const frame = svg.getBoundingClientRect();
        if (frame.width === 0) continue;
        for (const label of svg.querySelectorAll('text')) {
            const at = label.getBoundingClientRect();
            const out = at.left < frame.left - 1 || at.right > frame.right + 1 || at.top < frame.top - 1 || at.bottom > frame.bottom + 1;
            if (out) wrong.push('label ' + label.textContent);
            if (at.height < 9) wrong.push('label too small to read: ' + label.textContent + ' ' + at.height);
        }
    }
    for (const active of document.querySelectorAll('script,iframe,object,img,form,b:not([class])')) wrong.push('markup from a name: ' + active.tagName);
    for (const link of document.querySelectorAll('[href],[src]')) {
        const to = link.getAttribute('href') ?? link.getAttribute('src');
        if (!to.startsWith('#') && to !== 'data:,') wrong.push('asks for ' + to);
    }
    return wrong;
})()";

#[test]
fn a_report_reads_well_in_a_browser_light_and_dark_wide_and_narrow() {
    need!(Chromium);
    let scratch = Scratch::new("report").unwrap();
    let mut names: Vec<String> = HOSTILE.map(str::to_owned).to_vec();
    names.push("long".repeat(2_500));
    let rows = scratch.file("history.csv");
    fs::write(&rows, history(&names)).unwrap();
    let mut files = Vec::new();
    let mut make = |name: &str, arguments: &[&str]| {
        let file = scratch.file(name);
        report(&[arguments, &["--html", file.to_str().unwrap()]].concat());
        files.push(file);
    };
    make(
        "hostile.html",
        &["--all", "--from", rows.to_str().unwrap(), "--format", "csv"],
    );
    for recording in ["listener", "lru"] {
        let from = places::workspace().join(format!("tests/recordings/{recording}.jsonl.gz"));
        make(
            &format!("{recording}.html"),
            &[recording, "--from", from.to_str().unwrap()],
        );
    }
    let mut browser = Browser::start().unwrap();
    for file in &files {
        for width in [400, 1_400] {
            for dark in [false, true] {
                let shown = format!("{} at {width}, {}", file.display(), if dark { "dark" } else { "light" });
                let console = browser.open(file, width, dark).unwrap();
                assert!(console.is_empty(), "{shown}: {console:?}");
                let wrong = browser.evaluate(MISPLACED).unwrap();
                assert_eq!(wrong, serde_json::json!([]), "{shown}");
                let level =
                    "getComputedStyle([...document.querySelectorAll('svg [stroke=\"#1976D2\"]')].at(-1)).stroke";
                let expected = if dark {
                    "rgb(100, 181, 246)"
                } else {
                    "rgb(25, 118, 210)"
                };
                assert_eq!(browser.evaluate(level).unwrap(), expected, "{shown}");
                let shows = "[...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0).length === document.querySelectorAll('figure').length";
                assert_eq!(
                    browser.evaluate(shows).unwrap(),
                    true,
                    "{shown}: one chart for each width"
                );
                keep(&mut browser, file, width, dark);
            }
        }
    }
}

/// Keeps the picture where `OBSERVER_PICTURES` says, for people to look at.
fn keep(browser: &mut Browser, file: &Path, width: u32, dark: bool) {
    let Some(directory) = env::var_os("OBSERVER_PICTURES") else {
        return;
    };
    let name = file.file_stem().unwrap().to_str().unwrap();
    let name = format!("{name}-{width}-{}.png.base64", if dark { "dark" } else { "light" });
    fs::write(Path::new(&directory).join(name), browser.screenshot().unwrap()).unwrap();
}

#[test]
fn markdown_of_a_recording_and_of_a_history() {
    let from = places::workspace().join("tests/recordings/listener.jsonl.gz");
    let page = report(&["listener", "--from", from.to_str().unwrap(), "--md"]);
    for part in [
        "**a leak is confirmed: run after run climbs alike**",
        "- Died at its ceiling: 2x",
        "- Level of ceiling: 63 MiB of 154 MiB",
        "- To the ceiling, now: 1 min ",
        "### What the verdict stands on",
        "| yes | runs that climbed alike | 2 | 2 |",
        "Before likely was said:",
        "listener was killed for memory by the kernel at its limit of 160 MiB",
        "| V8's heap | 98 % |",
    ] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}");
    }
    let scratch = Scratch::new("markdown").unwrap();
    let rows = scratch.file("history.csv");
    fs::write(&rows, history(&["shop/cart-".to_owned()])).unwrap();
    let page = report(&["--all", "--from", rows.to_str().unwrap(), "--format", "csv", "--md"]);
    for part in [
        "## shop/cart-0",
        "version shop/cart- after 1.41",
        "- A: version shop/cart-",
    ] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}");
    }
    let unknown = agent::command(&["report", "lisener", "--md", "--from"])
        .arg(&from)
        .output()
        .unwrap();
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(!unknown.status.success() && said.contains("listener"), "{said}");
}

/// Two runs that climbed alike and died, and a third that is well on its way; one that is killed without a leak; one of which
/// nothing is said.
fn fleet() -> String {
    let mut text = "series,t,anon,limit,run,end\n".to_owned();
    for i in 0..1_000u64 {
        let t = 1_777_626_725 + i * 60;
        let level = (64 << 20) + i % 360 * (448 << 20) / 360;
        let end = if i % 360 == 359 { "kernel_oom" } else { "" };
        writeln!(text, "leaky,{t},{level},536870912,{},{end}", i / 360).unwrap();
        let (level, end) = if i % 200 == 199 {
            (530 << 20, "kernel_oom")
        } else {
            (440 << 20, "")
        };
        writeln!(text, "tight,{t},{level},536870912,{},{end}", i / 200).unwrap();
        writeln!(text, "flat,{t},67108864,536870912,0,").unwrap();
    }
    text
}

#[test]
fn the_table_of_all_counts_from_the_present_level_and_only_those_with_findings() {
    let scratch = Scratch::new("table").unwrap();
    let rows = scratch.file("history.csv");
    fs::write(&rows, fleet()).unwrap();
    let from = ["--from", rows.to_str().unwrap(), "--format", "csv", "--md"];
    let page = report(&[&["--all"], &from[..]].concat());
    assert!(page.contains("# Memory of 3 containers, 2 with findings"), "{page}");
    let row = |name: &str| {
        let row = page.lines().find(|line| line.starts_with(&format!("| {name} ")));
        let cells: Vec<String> = row.unwrap().split('|').map(|cell| cell.trim().to_owned()).collect();
        cells
    };
    // 280 of 360 minutes are over: 80 are left, less what the ceiling that was learned lies below the limit.
    let leaky = row("leaky");
    assert_eq!(leaky[2], "confirmed", "{page}");
    assert!(leaky[6].starts_with("1 h "), "{page}");
    assert!(
        page.contains(&format!("- Level of ceiling: {} of {}", leaky[3], leaky[4])),
        "{page}"
    );
    assert!(
        page.contains("## tight\n\n**no leak is told of it, but it died at its ceiling 5 times**"),
        "{page}"
    );
    assert_eq!(row("flat")[6], "-");
    let flat = report(&[&["flat"], &from[..]].concat());
    assert!(flat.contains("**nothing is said of it**"), "{flat}");
}

#[test]
fn what_cannot_be_written_and_what_to_write_is_told_at_once() {
    let failed = |arguments: &[&str]| {
        let output = agent::command(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    // Nothing is asked before: nothing listens there.
    for command in [
        &["report", "--all", "--from", "http://127.0.0.1:1"][..],
        &["audit", "http://127.0.0.1:1"],
    ] {
        let said = failed(&[command, &["--html", "/nosuchdir/a.html"]].concat());
        assert!(said.contains("cannot write /nosuchdir/a.html"), "{said}");
    }
    let said = failed(&["report", "foo"]);
    assert!(said.contains("--html <FILE>") && said.contains("--md"), "{said}");
}

#[test]
fn the_running_agent_and_its_store_are_reported() {
    need!(Root, Bpf, Runc, Node);
    let scratch = Scratch::new("reported").unwrap();
    let (socket, store) = (scratch.file("status.sock"), scratch.file("store"));
    let (socket, store) = (socket.to_str().unwrap(), store.to_str().unwrap());
    let mut agent = Agent::start(&["--time-scale", "0.001", "--status-socket", socket, "--store", store]).unwrap();
    let fixture = ["--what", "buffer", "--mb", "8", "--wait", "no"];
    let spec = Spec::fixture("reported", Some(160 << 20), "leak.js", &fixture).with("OTEL_SERVICE_NAME", "reported");
    let container = Container::start(spec, Restart::After(Duration::from_millis(300))).unwrap();
    agent
        .wait_finding("a report of a leak", |finding| {
            let event = finding["event"].as_str()?;
            let told = event.ends_with("leak_likely") || event.ends_with("leak_confirmed");
            (told && finding["resource"]["service.name"] == "reported").then_some(())
        })
        .unwrap();
    let live = report(&["reported", "--status-socket", socket, "--md"]);
    let all = report(&["--all", "--status-socket", socket, "--md"]);
    drop(container);
    agent.stop().unwrap();
    let kept = report(&["reported", "--store", store, "--md"]);
    for page in [&live, &all, &kept] {
        for part in [
            "## reported",
            "**a leak is ",
            "### Memory over time",
            "### What happened",
            "it has grown by",
        ] {
            assert!(page.contains(part), "{part:?} is missing in\n{page}");
        }
        // Drawn from what the agent remembers.
        assert!(page.contains(" MiB ┤") && page.contains('⣀'), "{page}");
    }
}
