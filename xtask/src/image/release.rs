//! The image of a release: reads the programs of all machines, produces one OCI archive: an index of an image for each, and
//! for each image its bills of materials as referrers (OCI image specification 1.1, `subject`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    agent,
    bill::Bill,
    layout::{Layout, to_bytes},
};
use crate::architecture::Architecture;

/// Most bytes that one machine has to fetch.
const MOST: u64 = 25_000_000;
/// What artifacts have instead of a configuration (OCI image specification, "Guidance for an Empty Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Builds all of it and writes the archive; the digest that the image has in any registry.
pub(super) fn write(output: &Path) -> Result<String> {
    let mut programs = Vec::new();
    for architecture in Architecture::ALL {
        programs.push((architecture, agent::build(architecture)?));
    }
    let (layout, digest) = layout(&programs)?;
    let size = layout.write(output)?;
    println!(
        "image: {}: {} ({size} bytes), index {digest}",
        agent::AGENT,
        output.display()
    );
    Ok(digest)
}

/// The layout, and the digest of its index.
fn layout(programs: &[(Architecture, PathBuf)]) -> Result<(Layout, String)> {
    let mut layout = Layout::default();
    let mut images: Vec<Value> = Vec::new();
    let mut bills = Vec::new();
    for (architecture, program) in programs {
        let mut image = agent::image(*architecture, program);
        image.compressed = true;
        let described = image.add_to(&mut layout)?;
        let bill = Bill::of(*architecture)?;
        for (media_type, content) in [
            ("application/vnd.cyclonedx+json", bill.cyclonedx()),
            ("application/spdx+json", bill.spdx()),
        ] {
            bills.push(refer(&mut layout, &described, media_type, &content));
        }
        images.push(described);
    }
    let sizes: BTreeMap<&str, u64> = images
        .iter()
        .map(|image| {
            let architecture = image["platform"]["architecture"].as_str().unwrap_or_default();
            (architecture, layout.fetched(image))
        })
        .collect();
    for (architecture, size) in sizes {
        println!("image: {architecture}: {size} bytes to fetch");
        ensure!(
            size <= MOST,
            "the image for {architecture} has {size} bytes, more than {MOST}"
        );
    }
    let index = layout.index(&images, &agent::labels());
    let digest = index["digest"].as_str().unwrap_or_default().to_owned();
    layout.list(index, Some(agent::AGENT));
    for bill in bills {
        layout.list(bill, None);
    }
    Ok((layout, digest))
}

/// Keeps a document about an image; the descriptor of the manifest that refers to the image.
fn refer(layout: &mut Layout, image: &Value, media_type: &str, content: &Value) -> Value {
    let config = layout.blob(EMPTY, b"{}".to_vec());
    let document = layout.blob(media_type, to_bytes(content));
    let subject = json!({"mediaType": image["mediaType"], "digest": image["digest"], "size": image["size"]});
    let mut described = layout.manifest(json!({
        "artifactType": media_type, "config": config, "layers": [document], "subject": subject,
    }));
    described["artifactType"] = media_type.into();
    described
}

#[cfg(test)]
mod tests {
    use observer_tests::places;

    use super::{
        super::layout::{named, unpacked},
        *,
    };

    /// One index has an image for each machine, and each image two bills that refer to it; the same input is the same digest.
    #[test]
    fn a_release_has_all_machines_and_their_bills() {
        // Any file will do.
        let program = places::workspace().join("Cargo.lock");
        let programs = Architecture::ALL.map(|architecture| (architecture, program.clone()));
        let (made, digest) = layout(&programs[..1]).unwrap();
        assert_eq!(layout(&programs[..1]).unwrap().1, digest);
        drop(made);

        let files = unpacked(&layout(&programs).unwrap().0.archive().unwrap());
        let listed: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let listed = listed["manifests"].as_array().unwrap();
        let index: Value = serde_json::from_slice(&named(&files, &listed[0])).unwrap();
        let images = index["manifests"].as_array().unwrap();
        let machines = images
            .iter()
            .map(|image| image["platform"]["architecture"].as_str().unwrap());
        assert_eq!(machines.collect::<Vec<_>>(), ["amd64", "arm64"]);
        for image in images {
            let of_image = listed[1..].iter().filter_map(|listed| {
                let manifest: Value = serde_json::from_slice(&named(&files, listed)).unwrap();
                assert_eq!(manifest["artifactType"], listed["artifactType"]);
                named(&files, &manifest["config"]);
                let document: Value = serde_json::from_slice(&named(&files, &manifest["layers"][0])).unwrap();
                let format = document.get("bomFormat").or(document.get("spdxVersion")).cloned();
                (manifest["subject"]["digest"] == image["digest"]).then_some(format.unwrap())
            });
            assert_eq!(of_image.collect::<Vec<_>>(), ["CycloneDX", "SPDX-2.3"]);
        }
    }
}
