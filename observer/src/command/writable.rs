//! A file that is to be written at the end: reads its path, says at the start whether it can be.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::Context as _;

/// Fails where the file cannot be written; leaves what is there as it is.
pub(super) fn writable(file: Option<&Path>) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let was_there = file.exists();
    File::options()
        .append(true)
        .create(true)
        .open(file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    if !was_there {
        // It is made again with its content.
        let _ = fs::remove_file(file);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_and_what_can_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(writable(Some(&directory.path().join("none/a.html"))).is_err());
        assert!(writable(Some(directory.path())).is_err());
        let file = directory.path().join("a.html");
        writable(Some(&file)).unwrap();
        assert!(!file.exists());
        fs::write(&file, "before").unwrap();
        writable(Some(&file)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        writable(None).unwrap();
    }
}
