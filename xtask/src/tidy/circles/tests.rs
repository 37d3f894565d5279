//! Circles found, and what is none.

use super::{super::source::Source, check};

fn breaches(files: &[(&str, &str)]) -> Vec<String> {
    let source = |(path, text): &(&str, &str)| Source {
        path: format!("observer-common/src/{path}"),
        text: (*text).to_owned(),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    check(&sources).into_iter().map(|breach| breach.rule).collect()
}

#[test]
fn two_files_that_know_each_other() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use super::a::A; pub struct B;"),
    ];
    assert_eq!(breaches(&files).len(), 1);
    assert!(breaches(&[files[0], files[1], ("b.rs", "pub struct B;")]).is_empty());
}

#[test]
fn a_path_in_the_code_is_an_import() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A; fn f() { let _ = crate::b::make(); }"),
        ("b.rs", "pub fn make() -> crate::a::A { crate::a::A }"),
    ];
    assert_eq!(breaches(&files).len(), 1);
}

#[test]
fn declarations_and_re_exports_are_no_imports() {
    let files = [
        ("lib.rs", "mod a;"),
        (
            "a/mod.rs",
            "mod child; mod other; pub use child::Child; pub struct Above;",
        ),
        ("a/child.rs", "use super::Above; pub struct Child(Above);"),
        ("a/other.rs", "use super::Child; pub struct Other(Child);"),
    ];
    assert!(breaches(&files).is_empty());
    // The name leads to the file that defines it: child and other know each other.
    let child = ("a/child.rs", "use super::other::Other; pub struct Child;");
    assert_eq!(breaches(&[files[0], files[1], child, files[3]]).len(), 1);
}

#[test]
fn a_parent_that_uses_its_child_which_uses_it() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod child; use child::Child; pub struct Above(Child);"),
        ("a/child.rs", "use super::Above; pub struct Child;"),
    ];
    assert_eq!(breaches(&files).len(), 1);
}

#[test]
fn folders_may_know_each_other_though_no_two_files_do() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "pub mod one; pub mod two;"),
        ("a/one.rs", "use crate::b::three::Three; pub struct One(Three);"),
        ("a/two.rs", "pub struct Two;"),
        ("b/mod.rs", "pub mod three; pub mod four;"),
        ("b/three.rs", "pub struct Three;"),
        ("b/four.rs", "use crate::a::two::Two; pub struct Four(Two);"),
    ];
    let found = breaches(&files);
    assert!(
        matches!(&found[..], [one] if one.contains("between folders")),
        "{found:?}"
    );
}

#[test]
fn tests_may_know_everything() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }"),
        ("b.rs", "use crate::a::A; pub struct B(A); #[cfg(test)] mod trial;"),
        ("b/trial.rs", "use crate::b::B; use crate::a::A;"),
    ];
    assert!(breaches(&files).is_empty());
}

#[test]
fn the_project_has_none() {
    let breaches = check(&super::super::sources().unwrap());
    assert!(breaches.is_empty(), "{breaches:#?}");
}
