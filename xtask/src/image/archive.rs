//! An image: reads files, produces the blobs of an OCI layout (OCI image specification 1.1).
//!
//! The same files give the same bytes: no time stamps, no owners, sorted entries, one layer.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::layout::{Files, Layout, digest, pack, to_bytes};
use crate::architecture::Architecture;

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
    /// The machine its programs are for.
    pub(crate) architecture: Architecture,
    /// Its files.
    pub(crate) entries: Vec<Entry>,
    /// What a container of it runs.
    pub(crate) entrypoint: Vec<String>,
    /// Default arguments of that.
    pub(crate) command: Vec<String>,
    /// What it is, by the names of the image specification: labels of its configuration and annotations of its manifest.
    pub(crate) labels: BTreeMap<&'static str, String>,
    /// Its layer is compressed: for a registry. An image that only moves on one host is quicker without.
    pub(crate) compressed: bool,
}

impl Image {
    /// Writes an archive of this image alone; its size in bytes.
    pub(crate) fn write(&self, output: &Path) -> Result<u64> {
        let mut layout = Layout::default();
        let described = self.add_to(&mut layout)?;
        layout.list(described, Some(&self.name));
        layout.write(output)
    }

    /// Keeps the image's blobs; the descriptor of its manifest, with its platform.
    pub(super) fn add_to(&self, layout: &mut Layout) -> Result<Value> {
        let layer = self.layer()?;
        let config = to_bytes(&json!({
            "architecture": self.architecture.oci(),
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Cmd": self.command, "Env": ["PATH=/usr/bin:/bin:/"], "Labels": self.labels},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }));
        let layer = if self.compressed {
            let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
            packed.write_all(&layer).context("cannot compress the layer")?;
            let packed = packed.finish().context("cannot compress the layer")?;
            layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", packed)
        } else {
            layout.blob("application/vnd.oci.image.layer.v1.tar", layer)
        };
        let config = layout.blob("application/vnd.oci.image.config.v1+json", config);
        let content = json!({"config": config, "layers": [layer], "annotations": self.labels});
        let mut described = layout.manifest(content);
        described["platform"] = json!({"architecture": self.architecture.oci(), "os": "linux"});
        Ok(described)
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut files = Files::new();
        for Entry { source, path, mode } in &self.entries {
            let content =
                fs::read(source).with_context(|| format!("cannot read {} for the image", source.display()))?;
            files.insert(path.trim_start_matches('/').to_owned(), (*mode, content));
        }
        pack(&files).context("cannot pack the layer")
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use super::{
        super::layout::{named, unpacked},
        *,
    };

    fn image(compressed: bool) -> Image {
        let own = observer_tests::places::workspace().join("Cargo.lock");
        Image {
            name: "docker.io/local/test:1".into(),
            architecture: Architecture::Aarch64,
            entries: vec![Entry::program(&own, "/usr/bin/b"), Entry::program(&own, "/usr/bin/a")],
            entrypoint: vec!["/usr/bin/a".into()],
            command: Vec::new(),
            labels: BTreeMap::from([("org.opencontainers.image.title", "test".to_owned())]),
            compressed,
        }
    }

    fn archive(image: &Image) -> Vec<u8> {
        let mut layout = Layout::default();
        let described = image.add_to(&mut layout).unwrap();
        layout.list(described, Some(&image.name));
        layout.archive().unwrap()
    }

    #[test]
    fn same_files_same_bytes() {
        assert!(archive(&image(true)) == archive(&image(true)));
    }

    /// Every digest that the archive states is that of the blob it names, down to the layer.
    #[test]
    fn digests_hold() {
        for compressed in [false, true] {
            let files = unpacked(&archive(&image(compressed)));
            let blob = |descriptor: &Value| named(&files, descriptor);
            let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
            assert_eq!(index["manifests"][0]["platform"]["architecture"], "arm64");
            let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
            let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
            let mut layer = blob(&manifest["layers"][0]);
            if compressed {
                let packed = std::mem::take(&mut layer);
                flate2::read::GzDecoder::new(packed.as_slice())
                    .read_to_end(&mut layer)
                    .unwrap();
                assert!(packed.len() < layer.len());
            }
            assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
            let title = "org.opencontainers.image.title";
            assert_eq!(
                (&config["config"]["Labels"][title], &manifest["annotations"][title]),
                (&"test".into(), &"test".into())
            );
            let paths: Vec<String> = unpacked(&layer).into_keys().collect();
            assert_eq!(paths, ["usr/", "usr/bin/", "usr/bin/a", "usr/bin/b"]);
        }
    }
}
