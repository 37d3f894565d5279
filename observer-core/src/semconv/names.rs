//! How names are written down: reads names with what they mean, produces constants and a list of them all.

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $value;)+

        /// All of them with what they mean, in the order of this file: for the reference page.
        pub const ALL: &[(&str, &str)] = &[$(($value, concat!($($doc),+))),+];
    };
}
