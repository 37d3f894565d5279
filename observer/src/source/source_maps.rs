//! Reads scripts and their source maps as a process's own files give them, produces what generated code was generated from.
//!
//! A script names its map in its last line (`//# sourceMappingURL=`, ECMA-426): a file beside it, or the map itself as a `data:`
//! URL. Files are opened in the process's root, never outside of it, and only regular ones. A script that is no longer as
//! long as what V8 runs was replaced since: its map is not believed. Nothing is asked of the network.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use memchr::memmem;
use observer_heap::{Generated, Original};
use percent_encoding::percent_decode_str;
use sourcemap::{DecodedMap, Token, decode_data_url, decode_slice};

use super::rooted::Rooted;

/// Bytes of a script, and of its map, unless told otherwise: what is decoded takes several times as many.
const MOST_BYTES: u64 = 4 << 20;
/// Scripts whose map is kept; when there are more, all are read anew.
const MOST_SCRIPTS: usize = 4;
/// Characters after the beginning of a function within which its name stands (`async function* name(`), and before it
/// (`name = async (`).
const HEADER: usize = 32;
const MARKER: &[u8] = b"//# sourceMappingURL=";

/// The source maps of one process.
pub(super) struct SourceMaps {
    pid: u32,
    most: u64,
    root: OnceCell<Option<Rooted>>,
    scripts: RefCell<BTreeMap<String, Option<Rc<Script>>>>,
}

/// A script and its map.
struct Script {
    /// UTF-16 units of each line.
    lines: Vec<Vec<u16>>,
    length: u64,
    map: DecodedMap,
    /// What sources in the map are relative to.
    directory: PathBuf,
}

impl SourceMaps {
    pub(super) const fn of(pid: u32) -> Self {
        Self {
            pid,
            most: MOST_BYTES,
            root: OnceCell::new(),
            scripts: RefCell::new(BTreeMap::new()),
        }
    }

    pub(super) const fn with_most(&mut self, most: u64) {
        self.most = most;
    }

    /// Where this was generated from.
    pub(super) fn original(&self, generated: &Generated<'_>) -> Option<Original> {
        let file = generated.file.strip_prefix("file://").unwrap_or(generated.file);
        if !file.starts_with('/') {
            return None;
        }
        let script = self.script(file)?;
        (script.length == generated.length).then_some(())?;
        let (line, column) = (generated.line.checked_sub(1)?, generated.column.checked_sub(1)?);
        let token = script.token(line, column)?;
        let file = resolved(&script.directory, token.get_source()?);
        Some(Original {
            file,
            line: token.get_src_line() + 1,
            name: script.name(line, column, generated.name).or_else(|| declared(&token)),
        })
    }

    fn script(&self, file: &str) -> Option<Rc<Script>> {
        if let Some(known) = self.scripts.borrow().get(file) {
            return known.clone();
        }
        let root = self.root.get_or_init(|| Rooted::of_pid(self.pid).ok()).as_ref()?;
        let script = read(root, Path::new(file), self.most).map(Rc::new);
        let mut scripts = self.scripts.borrow_mut();
        if scripts.len() >= MOST_SCRIPTS {
            scripts.clear();
        }
        scripts.insert(file.to_owned(), script.clone());
        script
    }
}

fn read(root: &Rooted, file: &Path, most: u64) -> Option<Script> {
    let bytes = root.read(file, most).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    // Node leaves the byte order mark out.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let url = url(text)?;
    let (map, directory) = if url.starts_with("data:") {
        (decode_data_url(url).ok()?, file.parent()?.to_owned())
    } else {
        let path = located(file, url)?;
        let map = decode_slice(&root.read(&path, most).ok()?).ok()?;
        (map, path.parent()?.to_owned())
    };
    Some(Script {
        length: text.encode_utf16().count() as u64,
        lines: text.split('\n').map(|line| line.encode_utf16().collect()).collect(),
        map,
        directory,
    })
}

/// The URL in the last line that has one.
fn url(text: &str) -> Option<&str> {
    let at = memmem::rfind(text.as_bytes(), MARKER)?;
    let rest = text.get(at + MARKER.len()..)?;
    let (url, behind) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    let last = behind
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with("//"));
    (last && !url.is_empty()).then_some(url)
}

/// Where the map of a script is; nothing for what is no file.
fn located(script: &Path, url: &str) -> Option<PathBuf> {
    let path = match url.split_once("://") {
        Some(("file", path)) => path,
        Some(_) => return None,
        None => url,
    };
    let path = percent_decode_str(path.split(['?', '#']).next()?).decode_utf8().ok()?;
    Some(normal(&script.parent()?.join(path.as_ref())))
}

/// A source as a person would open it: `../src/server.ts` from where the map is, `webpack://shop/./src/server.ts` as it is.
fn resolved(directory: &Path, source: &str) -> String {
    if source.contains("://") {
        return source.strip_prefix("file://").unwrap_or(source).to_owned();
    }
    normal(&directory.join(source)).to_string_lossy().into_owned()
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

impl Script {
    /// The mapping at a position, or the last one before it in its line.
    fn token(&self, line: u32, column: u32) -> Option<Token<'_>> {
        self.map
            .lookup_token(line, column)
            .filter(|token| token.get_dst_line() == line && token.has_source())
    }

    /// What the function or class that begins here was called: the name that the map gives the identifier it is now called by.
    fn name(&self, line: u32, column: u32, now: &str) -> Option<String> {
        let units = self.lines.get(line as usize)?;
        let now: Vec<u16> = now.encode_utf16().collect();
        let begins = column as usize;
        let from = begins.saturating_sub(HEADER + now.len());
        let to = (begins + HEADER + now.len()).min(units.len());
        let candidates = (from..=to.checked_sub(now.len())?).filter(|&at| is_identifier(units, at, &now));
        // The nearest one that the map has a name for.
        let mut named: Vec<(usize, &str)> = candidates
            .filter_map(|at| {
                let token = self.token(line, at as u32)?;
                (token.get_dst_col() as usize == at).then_some((at.abs_diff(begins), token.get_name()?))
            })
            .collect();
        named.sort_unstable();
        named.first().map(|(_, name)| (*name).to_owned())
    }
}

/// The name with which a function or class begins in its source, where the map has its text: what makes code short leaves names
/// out that nothing refers to.
fn declared(token: &Token<'_>) -> Option<String> {
    let line = token.get_source_view()?.get_line(token.get_src_line())?;
    named(
        &String::from_utf16(
            &line
                .encode_utf16()
                .skip(token.get_src_col() as usize)
                .collect::<Vec<_>>(),
        )
        .ok()?,
    )
}

/// `onUserMessage` of `async function* onUserMessage(`.
fn named(text: &str) -> Option<String> {
    let text = text.strip_prefix("async ").unwrap_or(text).trim_start();
    let rest = text.strip_prefix("function").or_else(|| text.strip_prefix("class"))?;
    let rest = rest.strip_prefix('*').unwrap_or(rest);
    let name = rest.strip_prefix(' ')?.trim_start();
    let end = name.find(|c: char| !is_part(c)).unwrap_or(name.len());
    (end > 0).then(|| name[..end].to_owned())
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether exactly this identifier stands here.
fn is_identifier(units: &[u16], at: usize, name: &[u16]) -> bool {
    let part = |unit: Option<&u16>| unit.and_then(|&unit| char::from_u32(unit.into())).is_some_and(is_part);
    !name.is_empty()
        && units.get(at..at + name.len()) == Some(name)
        && !part(at.checked_sub(1).and_then(|before| units.get(before)))
        && !part(units.get(at + name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_names_the_map() {
        assert_eq!(url("a();\n//# sourceMappingURL=a.js.map\n"), Some("a.js.map"));
        assert_eq!(url("//# sourceMappingURL=old.map\nb();\n"), None, "code follows");
        assert_eq!(url("a()"), None);
        assert_eq!(url("//# sourceMappingURL="), None);
    }

    #[test]
    fn maps_are_files() {
        let located = |url| located(Path::new("/app/dist/a.js"), url).map(|path| path.display().to_string());
        assert_eq!(located("a.js.map").as_deref(), Some("/app/dist/a.js.map"));
        assert_eq!(located("../maps/a%20b.map?v=1").as_deref(), Some("/app/maps/a b.map"));
        assert_eq!(located("/maps/a.map").as_deref(), Some("/maps/a.map"));
        assert_eq!(located("https://example.com/a.map"), None);
    }

    #[test]
    fn sources_are_told_as_files() {
        let resolved = |source| resolved(Path::new("/app/dist"), source);
        assert_eq!(resolved("../src/server.ts"), "/app/src/server.ts");
        assert_eq!(resolved("webpack://shop/./src/a.js"), "webpack://shop/./src/a.js");
        assert_eq!(resolved("file:///app/src/a.js"), "/app/src/a.js");
    }

    #[test]
    fn functions_and_classes_tell_their_names() {
        let named = |text| named(text);
        assert_eq!(named("function onUserMessage() {").as_deref(), Some("onUserMessage"));
        assert_eq!(named("async function* pages(from) {").as_deref(), Some("pages"));
        assert_eq!(named("class Session extends Base {").as_deref(), Some("Session"));
        assert_eq!(named("function () {"), None);
        assert_eq!(named("functional(1)"), None);
        assert_eq!(named("(id) => id"), None);
    }

    #[test]
    fn identifiers_are_whole() {
        let units: Vec<u16> = "let ab=a;class a{}".encode_utf16().collect();
        let name: Vec<u16> = "a".encode_utf16().collect();
        let found: Vec<usize> = (0..units.len())
            .filter(|&at| is_identifier(&units, at, &name))
            .collect();
        assert_eq!(found, [7, 15]);
    }
}
