//! The object that build.rs embedded, and the gate that keeps a stale one out.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use observer_common::{ABI_VERSION, name};

/// Why the embedded object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ObjectError {
    /// build.rs found no toolchain.
    #[error(
        "this agent was built without kernel programs (see the build's warning; `cargo xtask setup` installs what is missing)"
    )]
    Missing,
    /// It cannot be parsed or carries no version.
    #[error("the embedded kernel object is damaged: {0}")]
    Damaged(String),
    /// Built from another tree.
    #[error("the embedded kernel object has ABI {found}, this agent has {ABI_VERSION}: rebuild both from one tree")]
    Abi {
        /// Its version.
        found: u32,
    },
}

/// The bytes build.rs produced; none where it found no toolchain.
#[cfg(kernel_programs)]
fn embedded() -> &'static [u8] {
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf"))
}

#[cfg(not(kernel_programs))]
const fn embedded() -> &'static [u8] {
    &[]
}

/// The embedded object, if it belongs to this agent.
pub(super) fn checked() -> Result<&'static [u8], ObjectError> {
    let bytes = embedded();
    if bytes.is_empty() {
        return Err(ObjectError::Missing);
    }
    match abi(bytes)? {
        ABI_VERSION => Ok(bytes),
        found => Err(ObjectError::Abi { found }),
    }
}

fn abi(bytes: &[u8]) -> Result<u32, ObjectError> {
    let damaged = |what: &str| ObjectError::Damaged(what.into());
    let file = object::File::parse(bytes).map_err(|error| ObjectError::Damaged(error.to_string()))?;
    let symbol = file
        .symbols()
        .find(|symbol| symbol.name() == Ok(name::ABI))
        .ok_or_else(|| damaged("it carries no ABI version"))?;
    symbol
        .section_index()
        .and_then(|index| file.section_by_index(index).ok())
        .and_then(|section| section.data_range(symbol.address(), 4).ok().flatten())
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or_else(|| damaged("its ABI version lies outside its sections"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_object_is_of_this_tree_or_absent() {
        match checked() {
            Ok(bytes) => assert_eq!(abi(bytes), Ok(ABI_VERSION)),
            Err(error) => assert_eq!(error, ObjectError::Missing),
        }
    }

    #[test]
    fn damage_is_an_error() {
        assert!(matches!(abi(b"not an object"), Err(ObjectError::Damaged(_))));
    }
}
