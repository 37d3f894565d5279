//! An OCI image archive: reads files, produces a tar with the image layout of the OCI image specification 1.1.
//!
//! The same files give the same bytes: no time stamps, no owners, sorted entries, one uncompressed layer (whose digest
//! is then both the blob's and the diff id).

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

/// A file of the image.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// On this host.
    source: PathBuf,
    /// In the image, absolute.
    path: String,
    /// Permission bits.
    mode: u32,
}

impl Entry {
    /// An executable file (libraries are, too).
    pub(crate) fn program(source: &Path, path: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            path: path.into(),
            mode: 0o755,
        }
    }

    /// A file to read.
    pub(crate) fn file(source: &Path, path: impl Into<String>) -> Self {
        Self {
            mode: 0o644,
            ..Self::program(source, path)
        }
    }
}

/// What goes into an image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Full name, `registry/path:tag`.
    pub(crate) name: String,
    /// Its files.
    pub(crate) entries: Vec<Entry>,
    /// What a container of it runs.
    pub(crate) entrypoint: Vec<String>,
    /// Default arguments of that.
    pub(crate) command: Vec<String>,
    /// What it is, by the names of the image specification: labels of its configuration and annotations of its manifest.
    pub(crate) labels: BTreeMap<&'static str, String>,
}

impl Image {
    /// Writes the archive, through a temporary name; its size in bytes.
    pub(crate) fn write(&self, output: &Path) -> Result<u64> {
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

    /// The archive's bytes.
    fn archive(&self) -> Result<Vec<u8>> {
        let layer = self.layer()?;
        let architecture = match env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = to_bytes(&json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Cmd": self.command, "Env": ["PATH=/usr/bin:/bin:/"], "Labels": self.labels},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }));
        let manifest = to_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
            "annotations": self.labels,
        }));
        let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        let tag = self.name.rsplit(':').next().unwrap_or_default();
        described["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = to_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described],
        }));
        let mut files: BTreeMap<String, (u32, Vec<u8>)> = BTreeMap::new();
        for blob in [config, manifest, layer] {
            let name = digest(&blob).replace(':', "/");
            files.insert(format!("blobs/{name}"), (0o644, blob));
        }
        files.insert("index.json".into(), (0o644, index));
        files.insert(
            "oci-layout".into(),
            (0o644, to_bytes(&json!({"imageLayoutVersion": "1.0.0"}))),
        );
        pack(&files).context("cannot pack the image")
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut files = BTreeMap::new();
        for Entry { source, path, mode } in &self.entries {
            let content =
                fs::read(source).with_context(|| format!("cannot read {} for the image", source.display()))?;
            files.insert(path.trim_start_matches('/').to_owned(), (*mode, content));
        }
        pack(&files).context("cannot pack the layer")
    }
}

/// A tar of these files and of the directories above them.
fn pack(files: &BTreeMap<String, (u32, Vec<u8>)>) -> io::Result<Vec<u8>> {
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

fn to_bytes(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .fold("sha256:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, env, io::Read as _};

    use super::{Entry, Image, digest};

    fn image() -> Image {
        let own = env::current_exe().unwrap();
        Image {
            name: "docker.io/local/test:1".into(),
            entries: vec![Entry::program(&own, "/usr/bin/b"), Entry::program(&own, "/usr/bin/a")],
            entrypoint: vec!["/usr/bin/a".into()],
            command: Vec::new(),
            labels: BTreeMap::from([("org.opencontainers.image.title", "test".to_owned())]),
        }
    }

    #[test]
    fn same_files_same_bytes() {
        assert!(image().archive().unwrap() == image().archive().unwrap());
    }

    /// Every digest that the archive states is that of the blob it names, down to the layer.
    #[test]
    fn digests_hold() {
        let bytes = image().archive().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
        let blob = |descriptor: &serde_json::Value| {
            let name = descriptor["digest"].as_str().unwrap();
            let content = &files[&format!("blobs/{}", name.replace(':', "/"))];
            assert_eq!(digest(content), name);
            assert_eq!(descriptor["size"], content.len());
            content.clone()
        };
        let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        let title = "org.opencontainers.image.title";
        assert_eq!(
            (&config["config"]["Labels"][title], &manifest["annotations"][title]),
            (&"test".into(), &"test".into())
        );
        let mut layer = tar::Archive::new(layer.as_slice());
        let paths: Vec<String> = layer
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(paths, ["usr/", "usr/bin/", "usr/bin/a", "usr/bin/b"]);
    }
}
