//! An OCI image layout in a tar: takes blobs and the manifests to be listed, produces the archive (OCI image specification 1.1).
//!
//! The same blobs give the same bytes: no times, no owners, sorted entries.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// Media type of an index.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Files by path, with their permission bits.
pub(super) type Files = BTreeMap<String, (u32, Vec<u8>)>;

/// A layout that is being filled.
#[derive(Debug, Default)]
pub(super) struct Layout {
    files: Files,
    listed: Vec<Value>,
}

impl Layout {
    /// Keeps a blob; its descriptor.
    pub(super) fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let described = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.files
            .insert(format!("blobs/{}", digest.replace(':', "/")), (0o644, bytes));
        described
    }

    /// Keeps a manifest of this content; its descriptor.
    pub(super) fn manifest(&mut self, mut content: Value) -> Value {
        content["schemaVersion"] = 2.into();
        content["mediaType"] = MANIFEST.into();
        self.blob(MANIFEST, to_bytes(&content))
    }

    /// Keeps an index of these manifests; its descriptor.
    pub(super) fn index(&mut self, manifests: &[Value], annotations: &BTreeMap<&'static str, String>) -> Value {
        let content =
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": annotations});
        self.blob(INDEX, to_bytes(&content))
    }

    /// Bytes that whoever wants the image of this manifest fetches: its configuration and its layers.
    pub(super) fn fetched(&self, manifest: &Value) -> u64 {
        let path = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            format!("blobs/{}", digest.replace(':', "/"))
        };
        let content = self.files.get(&path(manifest)).map(|(_, bytes)| bytes.as_slice());
        let content: Value = serde_json::from_slice(content.unwrap_or_default()).unwrap_or_default();
        let layers = content["layers"].as_array().into_iter().flatten();
        let parts = layers.chain([&content["config"]]);
        parts.filter_map(|part| part["size"].as_u64()).sum()
    }

    /// What whoever reads the layout finds first: under a full name, `registry/path:tag`, or, of an artifact, under none.
    pub(super) fn list(&mut self, mut described: Value, name: Option<&str>) {
        if let Some(name) = name {
            described["annotations"] = json!({
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": name.rsplit(':').next().unwrap_or_default(),
            });
        }
        self.listed.push(described);
    }

    /// The archive's bytes.
    pub(super) fn archive(mut self) -> Result<Vec<u8>> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.listed});
        let version = json!({"imageLayoutVersion": "1.0.0"});
        for (path, content) in [("index.json", index), ("oci-layout", version)] {
            self.files.insert(path.into(), (0o644, to_bytes(&content)));
        }
        pack(&self.files).context("cannot pack the image")
    }

    /// Writes the archive, through a temporary name; its size in bytes.
    pub(super) fn write(self, output: &Path) -> Result<u64> {
        let bytes = self.archive()?;
        let failed = || format!("cannot write {}", output.display());
        if let Some(above) = output.parent() {
            fs::create_dir_all(above).with_context(failed)?;
        }
        let unfinished = output.with_extension("unfinished");
        fs::write(&unfinished, &bytes).with_context(failed)?;
        fs::rename(&unfinished, output).with_context(failed)?;
        Ok(bytes.len() as u64)
    }
}

/// A tar of these files and of the directories above them.
pub(super) fn pack(files: &Files) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut made: Vec<String> = Vec::new();
    for (path, (mode, content)) in files {
        let ends = path.match_indices('/').map(|(end, _)| end);
        for directory in ends.map(|end| path[..=end].to_owned()) {
            if !made.contains(&directory) {
                append(&mut archive, EntryType::Directory, &directory, 0o755, &[])?;
                made.push(directory);
            }
        }
        append(&mut archive, EntryType::Regular, path, *mode, content)?;
    }
    archive.into_inner()
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    kind: EntryType,
    path: &str,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
}

pub(super) fn to_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// `sha256:` and the digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// The files of an archive: for tests.
#[cfg(test)]
pub(super) fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, content)
        })
        .collect()
}

/// The blob that a descriptor names: its digest and its size hold.
#[cfg(test)]
pub(super) fn named(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
    let name = descriptor["digest"].as_str().unwrap();
    let content = &files[&format!("blobs/{}", name.replace(':', "/"))];
    assert_eq!(digest(content), name);
    assert_eq!(descriptor["size"], content.len());
    content.clone()
}
