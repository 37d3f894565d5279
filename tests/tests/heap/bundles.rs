//! Bundles: what is held is told by the source that a bundle was made of, where its source map says it.

use std::fs;

use observer_heap::{Kind, Row};
use tempfile::TempDir;

use super::*;

/// Of each the program holds so many.
const HELD: u64 = 1234;

/// A copy of the program's sources in a directory of its own.
fn sources() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("src")).unwrap();
    for name in ["server.js", "sessions.js"] {
        fs::copy(
            places::fixtures().join("bundled").join(name),
            directory.path().join("src").join(name),
        )
        .unwrap();
    }
    directory
}

/// Bundles the program into `dist/main.js`.
fn bundle(directory: &TempDir, options: &[&str]) {
    let esbuild = places::npm_package("esbuild", "esbuild").unwrap();
    let made = Command::new(places::node().unwrap())
        .arg(esbuild.join("bin/esbuild"))
        .args([
            "src/server.js",
            "--bundle",
            "--minify",
            "--platform=node",
            "--outfile=dist/main.js",
        ])
        .args(options)
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What a process holds so many of: closures and instances of the application's.
fn held(script: &Path) -> Vec<Row> {
    let mut app = App::start(Command::new(places::node().unwrap()).arg(script)).unwrap();
    app.ready().unwrap();
    let metadata = memory::metadata(app.pid()).unwrap();
    let live = LiveMemory::open(app.pid()).unwrap();
    let (reader, reading) = read_with(&live, &metadata);
    let is_held =
        |row: &Row| row.tally.count == HELD && matches!(row.kind, Kind::Closure | Kind::Object) && row.is_named();
    let mut rows: Vec<Row> = reading.rows.into_iter().filter(is_held).collect();
    reader.lines(&mut rows).unwrap();
    rows
}

/// Names and places, sorted.
fn told(rows: &[Row], below: &Path) -> Vec<(String, String)> {
    let place = |row: &Row| {
        let place = row.place().unwrap();
        place
            .strip_prefix(&format!("{}/", below.display()))
            .unwrap_or(&place)
            .to_owned()
    };
    let mut told: Vec<_> = rows.iter().map(|row| (row.what.clone(), place(row))).collect();
    told.sort();
    told
}

/// A class is told where its constructor stands.
fn in_source() -> Vec<(String, String)> {
    let told = |what: &str, line: u32| (what.to_owned(), format!("src/sessions.js:{line}"));
    vec![told("(anonymous)", 16), told("Session", 7), told("onUserMessage", 10)]
}

#[test]
fn a_bundle_is_told_by_its_sources() {
    need!(Root, Node, Npm("esbuild", "esbuild"));
    for options in ["--sourcemap", "--sourcemap=inline"] {
        let directory = sources();
        bundle(&directory, &[options]);
        let rows = held(&directory.path().join("dist/main.js"));
        assert_eq!(told(&rows, directory.path()), in_source(), "{options}");
    }
}

#[test]
fn a_bundle_that_was_bundled_again_is_told_by_its_sources() {
    need!(Root, Node, Npm("esbuild", "esbuild"), Npm("terser", "terser"));
    let directory = sources();
    bundle(&directory, &["--sourcemap"]);
    let terser = places::npm_package("terser", "terser").unwrap();
    let made = Command::new(places::node().unwrap())
        .arg(terser.join("bin/terser"))
        .args([
            "dist/main.js",
            "--compress",
            "--mangle",
            "toplevel",
            "-o",
            "dist/short.js",
            "--source-map",
        ])
        .arg("content='dist/main.js.map',url='short.js.map',includeSources")
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let rows = held(&directory.path().join("dist/short.js"));
    assert_eq!(told(&rows, directory.path()), in_source());
}

#[test]
fn without_a_map_that_is_its_own_a_bundle_is_told_as_it_is() {
    need!(Root, Node, Npm("esbuild", "esbuild"), Program("mkfifo"));
    let cases: [fn(&Path); 4] = [
        |dist| fs::remove_file(dist.join("main.js.map")).unwrap(),
        // Nobody ever writes into the pipe: whoever waited for that would wait for good.
        |dist| {
            fs::remove_file(dist.join("main.js.map")).unwrap();
            let made = Command::new("mkfifo").arg(dist.join("main.js.map")).status().unwrap();
            assert!(made.success());
        },
        |dist| fs::write(dist.join("main.js.map"), "{\"version\":3,\"mappings\":\"AAAA////\"").unwrap(),
        // A map without an end.
        |dist| {
            fs::remove_file(dist.join("main.js.map")).unwrap();
            std::os::unix::fs::symlink("/dev/zero", dist.join("main.js.map")).unwrap();
        },
    ];
    for (case, spoil) in cases.into_iter().enumerate() {
        let directory = sources();
        bundle(&directory, &["--sourcemap"]);
        spoil(&directory.path().join("dist"));
        let rows = held(&directory.path().join("dist/main.js"));
        let files: Vec<_> = told(&rows, directory.path())
            .into_iter()
            .map(|(_, place)| place)
            .collect();
        assert_eq!(files.len(), 3, "case {case}: {files:?}");
        assert!(
            files.iter().all(|place| place.starts_with("dist/main.js:1:")),
            "case {case}: {files:?}"
        );
    }
}

#[test]
fn what_holds_a_class_is_asked_by_its_name_in_the_source() {
    need!(Root, Bpf, Node, Npm("esbuild", "esbuild"));
    let directory = sources();
    bundle(&directory, &["--sourcemap"]);
    let main = directory.path().join("dist/main.js");
    let mut app = App::start(Command::new(places::node().unwrap()).arg(main)).unwrap();
    app.ready().unwrap();
    let output = Command::new(places::agent())
        .args(["heap", &app.pid().to_string(), "--retainers", "Session"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Session") && said.contains("src/sessions.js:7"), "{said}");
}

#[test]
fn a_script_that_was_replaced_has_no_map() {
    need!(Root, Node, Npm("esbuild", "esbuild"));
    let directory = sources();
    bundle(&directory, &["--sourcemap"]);
    let main = directory.path().join("dist/main.js");
    let mut app = App::start(Command::new(places::node().unwrap()).arg(&main)).unwrap();
    app.ready().unwrap();
    // A deploy that writes over what runs.
    let newer = format!("/* 2.0 */{}", fs::read_to_string(&main).unwrap());
    fs::write(&main, newer).unwrap();
    let metadata = memory::metadata(app.pid()).unwrap();
    let live = LiveMemory::open(app.pid()).unwrap();
    let (reader, reading) = read_with(&live, &metadata);
    let mut rows: Vec<Row> = reading.rows.into_iter().filter(Row::is_named).collect();
    reader.lines(&mut rows).unwrap();
    assert!(rows.iter().any(|row| row.tally.count == HELD));
    assert!(rows.iter().all(|row| row.what != "Session"));
}
