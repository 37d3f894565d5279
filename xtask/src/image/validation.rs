//! The bills of materials as others read them: the agent's own, judged by CycloneDX's published schema and by SPDX's validator.

use std::{fs, process::Command};

use observer_tests::{need, places, stage::Scratch};
use serde_json::{Value, json};

use super::bill::Bill;
use crate::architecture::Architecture;

/// What the validator of this kind says against a document.
fn wrong(kind: &str, bill: &Value) -> Option<String> {
    let scratch = Scratch::new("bill").unwrap();
    let file = scratch.file(&format!("bill.{kind}.json"));
    fs::write(&file, bill.to_string()).unwrap();
    let output = Command::new(places::python())
        .arg(places::workspace().join("xtask/src/image/validate.py"))
        .arg(kind)
        .arg(&file)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn published_validators_accept_both_bills() {
    need!(Full, BillValidators);
    let bill = Bill::of(Architecture::host()).unwrap();
    let (cyclonedx, spdx) = (bill.cyclonedx(), bill.spdx());
    assert_eq!(wrong("cyclonedx", &cyclonedx), None);
    assert_eq!(wrong("spdx", &spdx), None);

    // They do look.
    let mut broken = cyclonedx;
    broken["components"][0]["licenses"] = json!([{"expression": 7}]);
    assert!(wrong("cyclonedx", &broken).is_some());
    let mut broken = spdx;
    broken["relationships"][0]["relatedSpdxElement"] = json!("SPDXRef-nobody");
    assert!(wrong("spdx", &broken).is_some());
}
