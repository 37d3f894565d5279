//! Who imports whom in a crate: reads its files, produces for each the files whose names it uses.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

use super::graph::Edges;

/// Re-exports followed one after another at most.
const DEEPEST: usize = 8;

/// A path below the crate's root: of a module, or of a name in one.
type Below = Vec<String>;

/// What a file says.
#[derive(Default)]
struct File {
    path: String,
    /// What it uses.
    uses: Vec<Below>,
    /// Names that are found through it, and where they lead.
    passed: Vec<(String, Below)>,
    /// Modules of which all names are found through it.
    globs: Vec<Below>,
    /// Names it defines.
    defined: BTreeSet<String>,
}

/// The files of a crate by their modules.
pub(super) struct Crate(BTreeMap<Below, File>);

impl Crate {
    /// Reads them. What does not parse is the compiler's to complain about.
    pub(super) fn read(root: &str, sources: &BTreeMap<&str, &str>) -> Self {
        let parsed: Vec<(Below, &str, syn::File)> = sources
            .iter()
            .filter_map(|(path, text)| Some((module(root, path)?, *path, syn::parse_file(text).ok()?)))
            .collect();
        let tests: Vec<Below> = parsed
            .iter()
            .flat_map(|(module, _, file)| tests(module, file))
            .collect();
        let mut files = BTreeMap::new();
        for (module, path, file) in &parsed {
            if tests.iter().any(|test| module.starts_with(test)) || is_test(path) {
                continue;
            }
            let children = file.items.iter().filter_map(|item| match item {
                Item::Mod(item) => Some(item.ident.to_string()),
                _ => None,
            });
            let mut reader = Reader {
                at: module.clone(),
                children: children.collect(),
                file: File {
                    path: (*path).to_owned(),
                    ..File::default()
                },
            };
            reader.visit_file(file);
            files.insert(module.clone(), reader.file);
        }
        Self(files)
    }

    /// Who imports whom.
    pub(super) fn edges(&self) -> Edges {
        let imported = |file: &File| {
            let defining = file.uses.iter().filter_map(|path| self.defining(path, DEEPEST));
            defining
                .filter(|to| to.path != file.path)
                .map(|to| to.path.clone())
                .collect()
        };
        self.0
            .values()
            .map(|file| (file.path.clone(), imported(file)))
            .collect()
    }

    /// The file that defines what a path names.
    fn defining(&self, path: &[String], left: usize) -> Option<&File> {
        let depth = (0..=path.len())
            .rev()
            .find(|depth| self.0.contains_key(&path[..*depth]))?;
        let file = self.0.get(&path[..depth])?;
        let Some(name) = path.get(depth) else { return Some(file) };
        if left == 0 || file.defined.contains(name) {
            return Some(file);
        }
        if let Some((_, target)) = file.passed.iter().find(|(passed, _)| passed == name) {
            let target: Below = target.iter().chain(&path[depth + 1..]).cloned().collect();
            return self.defining(&target, left - 1).or(Some(file));
        }
        let globs = file.globs.iter().filter_map(|glob| {
            let target: Below = glob.iter().chain([name]).cloned().collect();
            self.defining(&target, left - 1)
        });
        let found = globs.into_iter().find(|found| found.defined.contains(name));
        found.or(Some(file))
    }
}

/// `root/a/b.rs` and `root/a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` are the crate itself.
fn module(root: &str, path: &str) -> Option<Below> {
    let rest = path.strip_prefix(root)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut parts: Below = rest.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    Some(parts)
}

/// Test files that are declared by `#[path]`, or stand in a folder of tests.
fn is_test(path: &str) -> bool {
    path.ends_with("_tests.rs") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Modules that a file declares for tests.
fn tests(module: &Below, file: &syn::File) -> Vec<Below> {
    let declared = file.items.iter().filter_map(|item| match item {
        Item::Mod(item) if item.content.is_none() && for_tests(&item.attrs) => Some(item.ident.to_string()),
        _ => None,
    });
    declared
        .map(|name| module.iter().cloned().chain([name]).collect())
        .collect()
}

fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = |what: syn::Path| what.is_ident("test");
        attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(is_test)
    })
}

struct Reader {
    /// The module that is being read: the file's, or one within it.
    at: Below,
    /// Modules that the file declares.
    children: BTreeSet<String>,
    file: File,
}

impl Reader {
    /// A path as it stands there, from the crate's root; `None` where it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Below> {
        let mut rest = path;
        let mut from = match path.first()?.as_str() {
            "crate" => {
                rest = &path[1..];
                Vec::new()
            }
            "self" => {
                rest = &path[1..];
                self.at.clone()
            }
            "super" => self.at.clone(),
            child if self.children.contains(child) => self.at.clone(),
            _ => return None,
        };
        while rest.first().is_some_and(|part| part == "super") {
            from.pop();
            rest = &rest[1..];
        }
        from.extend(rest.iter().cloned());
        Some(from)
    }

    fn tree(&mut self, tree: &UseTree, before: &[String], public: bool) {
        let longer = |name: &syn::Ident| -> Below { before.iter().cloned().chain([name.to_string()]).collect() };
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &longer(&path.ident), public),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, before, public)),
            UseTree::Name(name) if name.ident == "self" => self.name(before, None, public),
            UseTree::Name(name) => self.name(&longer(&name.ident), None, public),
            UseTree::Rename(rename) => self.name(&longer(&rename.ident), Some(rename.rename.to_string()), public),
            UseTree::Glob(_) => {
                let Some(path) = self.absolute(before) else { return };
                if public {
                    self.file.globs.push(path);
                } else {
                    self.file.uses.push(path);
                }
            }
        }
    }

    fn name(&mut self, whole: &[String], rename: Option<String>, public: bool) {
        let Some(path) = self.absolute(whole) else { return };
        // A private `use` is found as well, by children that say `super::`.
        if let Some(name) = rename.or_else(|| whole.last().cloned()) {
            self.file.passed.push((name, path.clone()));
        }
        if !public {
            self.file.uses.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Union(item) => (&item.attrs, Some(&item.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Impl(item) => (&item.attrs, None),
            Item::Mod(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if !for_tests(attributes) {
            self.file.defined.extend(name.map(ToString::to_string));
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let Some((_, items)) = &item.content else { return };
        // A module within a file is part of it.
        self.file.defined.insert(item.ident.to_string());
        self.at.push(item.ident.to_string());
        items.iter().for_each(|item| self.visit_item(item));
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Below = path.segments.iter().map(|part| part.ident.to_string()).collect();
        // A single name is a local one, or came by `use`.
        if parts.len() > 1 {
            self.file.uses.extend(self.absolute(&parts));
        }
        visit::visit_path(self, path);
    }
}
