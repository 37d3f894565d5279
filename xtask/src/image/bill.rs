//! The bill of materials of the agent's program: reads Cargo's own account of the build (`cargo metadata`, Cargo.lock), produces it
//! as CycloneDX 1.6 and as SPDX 2.3.
//!
//! It lists the crates that are compiled in: normal dependencies of the agent and of its kernel programs for one machine, by
//! the lock file's checksums. Not listed: Rust's standard library, musl, macros, and what build scripts and tests depend on.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use observer_tests::places;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{architecture::Architecture, shell};

/// What is built into the program: the agent, and the kernel programs it embeds.
const ROOTS: [&str; 2] = ["observer", "observer-ebpf"];

/// A crate that is compiled in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Component {
    name: String,
    version: String,
    /// SPDX expression.
    licence: Option<String>,
    repository: Option<String>,
    /// SHA-256 of its archive, of a registry's.
    checksum: Option<String>,
    /// Package URLs of what it depends on.
    needs: BTreeSet<String>,
}

impl Component {
    fn url(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

/// The crates of a program, by package URL.
#[derive(Clone, Debug)]
pub(super) struct Bill {
    architecture: Architecture,
    components: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    targets: Vec<Target>,
}

impl Package {
    fn is_macro(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// `null` is a normal dependency.
#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Bill {
    /// What is compiled into the agent for this machine.
    pub(super) fn of(architecture: Architecture) -> Result<Self> {
        let target = architecture.target();
        let account = shell::quiet(shell::cargo([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            &target,
        ]))?;
        let metadata: Metadata = serde_json::from_str(&account).context("cargo's metadata is not as known")?;
        let path = places::workspace().join("Cargo.lock");
        let lock = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lock: Lock = toml::from_str(&lock).context("Cargo.lock is not as known")?;
        let checksums: BTreeMap<(&str, &str), &String> = lock
            .package
            .iter()
            .filter_map(|locked| {
                Some((
                    (locked.name.as_str(), locked.version.as_str()),
                    locked.checksum.as_ref()?,
                ))
            })
            .collect();
        let packages: BTreeMap<&str, &Package> = metadata.packages.iter().map(|it| (it.id.as_str(), it)).collect();
        let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|it| (it.id.as_str(), it)).collect();
        let url = |package: &Package| format!("pkg:cargo/{}@{}", package.name, package.version);

        let roots = metadata.packages.iter().filter(|it| ROOTS.contains(&it.name.as_str()));
        let mut left: Vec<&str> = roots.map(|it| it.id.as_str()).collect();
        let mut components = BTreeMap::new();
        while let Some(id) = left.pop() {
            let (Some(package), Some(node)) = (packages.get(id), nodes.get(id)) else {
                continue;
            };
            if components.contains_key(&url(package)) {
                continue;
            }
            let normal = node
                .deps
                .iter()
                .filter(|it| it.dep_kinds.iter().any(|it| it.kind.is_none()));
            // A macro runs while its user is compiled, on the building machine.
            let needed: Vec<&str> = normal
                .map(|it| it.pkg.as_str())
                .filter(|id| packages.get(id).is_some_and(|package| !package.is_macro()))
                .collect();
            let needs = needed
                .iter()
                .filter_map(|id| packages.get(id))
                .map(|it| url(it))
                .collect();
            left.extend(needed);
            let checksum = checksums.get(&(package.name.as_str(), package.version.as_str()));
            let component = Component {
                name: package.name.clone(),
                version: package.version.clone(),
                // Cargo's older form of a choice.
                licence: package.license.as_ref().map(|licence| licence.replace('/', " OR ")),
                repository: package.repository.clone(),
                checksum: checksum.map(|it| (*it).clone()),
                needs,
            };
            components.insert(component.url(), component);
        }
        Ok(Self {
            architecture,
            components,
        })
    }

    /// As CycloneDX 1.6 (ECMA-424) has it, in JSON.
    pub(super) fn cyclonedx(&self) -> Value {
        let component = |kind: &str, it: &Component| {
            let mut described = json!({
                "type": kind, "bom-ref": it.url(), "name": it.name, "version": it.version, "purl": it.url(),
            });
            if let Some(licence) = &it.licence {
                described["licenses"] = json!([{"expression": licence}]);
            }
            if let Some(checksum) = &it.checksum {
                described["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
            }
            if let Some(repository) = &it.repository {
                described["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
            }
            described
        };
        let program = self.components.values().filter(|it| it.name == ROOTS[0]);
        let rest = self.components.values().filter(|it| it.name != ROOTS[0]);
        let dependencies = self.components.iter().map(|(url, it)| {
            // The program embeds the kernel programs.
            let embedded = self
                .components
                .keys()
                .filter(|other| it.name == ROOTS[0] && is(other, ROOTS[1]));
            let needs: BTreeSet<&String> = it.needs.iter().chain(embedded).collect();
            json!({"ref": url, "dependsOn": needs})
        });
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "timestamp": created(),
                "component": program.map(|it| component("application", it)).next(),
                "properties": [{"name": "observer:target", "value": self.architecture.target()}],
            },
            "components": rest.map(|it| component("library", it)).collect::<Vec<_>>(),
            "dependencies": dependencies.collect::<Vec<_>>(),
        })
    }

    /// As SPDX 2.3 (ISO/IEC 5962) has it, in JSON.
    pub(super) fn spdx(&self) -> Value {
        let packages = self.components.iter().map(|(url, it)| {
            let mut described = json!({
                "SPDXID": id(url),
                "name": it.name,
                "versionInfo": it.version,
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": false,
                "licenseConcluded": "NOASSERTION",
                "licenseDeclared": it.licence.as_deref().unwrap_or("NOASSERTION"),
                "copyrightText": "NOASSERTION",
                "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}],
            });
            if let Some(checksum) = &it.checksum {
                described["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": checksum}]);
            }
            described
        });
        let mut relationships = Vec::new();
        for (url, it) in &self.components {
            if it.name == ROOTS[0] {
                relationships.push(relation("SPDXRef-DOCUMENT", "DESCRIBES", &id(url)));
                let embedded = self.components.keys().filter(|other| is(other, ROOTS[1]));
                relationships.extend(embedded.map(|other| relation(&id(url), "CONTAINS", &id(other))));
            }
            relationships.extend(
                it.needs
                    .iter()
                    .map(|needed| relation(&id(url), "DEPENDS_ON", &id(needed))),
            );
        }
        let target = self.architecture.target();
        let version = env!("CARGO_PKG_VERSION");
        let packages: Vec<Value> = packages.collect();
        // One for each list: the same list is the same document.
        let listed = super::layout::digest(json!(packages).to_string().as_bytes());
        json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": format!("observer-{version}-{target}"),
            "documentNamespace": format!("urn:observer:sbom:{version}:{target}:{listed}"),
            "creationInfo": {"created": created(), "creators": [format!("Tool: observer-xtask-{version}")]},
            "packages": packages,
            "relationships": relationships,
        })
    }
}

/// Whether a package URL is of this crate.
fn is(url: &str, name: &str) -> bool {
    url.strip_prefix("pkg:cargo/").and_then(|rest| rest.split('@').next()) == Some(name)
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Letters, digits, dots and hyphens only.
fn id(url: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name = url.trim_start_matches("pkg:cargo/");
    format!("SPDXRef-Package-{}", name.chars().map(plain).collect::<String>())
}

/// What `SOURCE_DATE_EPOCH` says, or 1970: never the time of this build.
fn created() -> String {
    let epoch = env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(epoch.unwrap_or(0))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both documents list what Cargo's own tree lists, each with a licence; what they refer to is there.
    #[test]
    fn the_bill_is_what_is_compiled_in() {
        let architecture = Architecture::Aarch64;
        let bill = Bill::of(architecture).unwrap();
        let mut tree = BTreeSet::new();
        for root in ROOTS {
            let target = architecture.target();
            let arguments = [
                "tree",
                "--locked",
                "--prefix=none",
                "--edges=normal,no-proc-macro",
                "--no-dedupe",
                "--package",
                root,
            ];
            let mut command = shell::cargo(arguments);
            command.args(["--target", &target, "--format={p}"]);
            let listed = shell::quiet(command).unwrap();
            tree.extend(listed.lines().filter_map(|line| {
                let (name, version) = line.split_once(" v")?;
                Some(format!("pkg:cargo/{name}@{}", version.split(' ').next()?))
            }));
        }
        assert!(tree.len() > 50, "{tree:?}");
        // The metadata has the features of the whole workspace, a tree those of one package.
        let listed: BTreeSet<String> = bill.components.keys().cloned().collect();
        assert_eq!(tree.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
        let unlicensed: Vec<&Component> = bill.components.values().filter(|it| it.licence.is_none()).collect();
        assert!(unlicensed.is_empty(), "{unlicensed:?}");
        let local = |it: &&Component| it.checksum.is_none();
        let local: BTreeSet<&str> = bill
            .components
            .values()
            .filter(local)
            .map(|it| it.name.as_str())
            .collect();
        assert!(local.iter().all(|name| name.starts_with("observer")), "{local:?}");

        let spdx = bill.spdx();
        let ids: BTreeSet<&str> = spdx["packages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["SPDXID"].as_str())
            .collect();
        assert_eq!(ids.len(), listed.len(), "an id twice");
        for relation in spdx["relationships"].as_array().unwrap() {
            assert!(
                ids.contains(relation["relatedSpdxElement"].as_str().unwrap()),
                "{relation}"
            );
        }
        let cyclonedx = bill.cyclonedx();
        assert_eq!(cyclonedx["metadata"]["component"]["name"], "observer");
        assert_eq!(cyclonedx["components"].as_array().unwrap().len() + 1, listed.len());
        for dependency in cyclonedx["dependencies"].as_array().unwrap() {
            for needed in dependency["dependsOn"].as_array().unwrap() {
                assert!(listed.contains(needed.as_str().unwrap()), "{needed}");
            }
        }
        assert_eq!(Bill::of(architecture).unwrap().spdx(), spdx);
    }
}
