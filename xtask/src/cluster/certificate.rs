//! The cluster's identities: reads nothing, produces a certificate authority, a certificate per part, and KUBECONFIGs.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::place::{API_ADDRESS, API_PORT, MACHINE_ADDRESS, NODE, NODE_ADDRESS, Place};

/// Who somebody is to the API server, and where it serves.
struct Identity {
    /// Name of its files.
    file: &'static str,
    /// The user.
    user: String,
    /// The user's group.
    group: Option<&'static str>,
    /// Names and addresses under which it serves.
    serves: &'static [&'static str],
}

fn identities() -> Vec<Identity> {
    let new = |file, user: &str, group, serves| Identity {
        file,
        user: user.to_owned(),
        group,
        serves,
    };
    let api: &[&str] = &[
        API_ADDRESS,
        NODE_ADDRESS,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
    ];
    vec![
        new("etcd", "etcd", None, &["127.0.0.1", "localhost"]),
        new("apiserver", "kube-apiserver", Some("system:masters"), api),
        new(
            "kubelet",
            &format!("system:node:{NODE}"),
            Some("system:nodes"),
            &[NODE_ADDRESS, MACHINE_ADDRESS, NODE],
        ),
        new("controller-manager", "system:kube-controller-manager", None, &[]),
        new("scheduler", "system:kube-scheduler", None, &[]),
        new("admin", "admin", Some("system:masters"), &[]),
    ]
}

/// Makes them all, and a KUBECONFIG for each but etcd.
pub(super) fn make(place: &Place) -> Result<()> {
    let authority_key = KeyPair::generate().context("cannot make a key")?;
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, "observer test cluster");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let certificate = authority
        .self_signed(&authority_key)
        .context("cannot sign the authority")?;
    write(place, "pki/ca.crt", &certificate.pem())?;
    let service_account = KeyPair::generate().context("cannot make a key")?;
    write(place, "pki/service-account.key", &service_account.serialize_pem())?;
    write(place, "pki/service-account.pub", &service_account.public_key_pem())?;
    let issuer = Issuer::new(authority, authority_key);
    for identity in identities() {
        let key = KeyPair::generate().context("cannot make a key")?;
        let names = identity.serves.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut leaf = CertificateParams::new(names).context("cannot name a certificate")?;
        leaf.distinguished_name.push(DnType::CommonName, identity.user.as_str());
        if let Some(group) = identity.group {
            leaf.distinguished_name.push(DnType::OrganizationName, group);
        }
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let signed = leaf.signed_by(&key, &issuer).context("cannot sign a certificate")?;
        write(place, &format!("pki/{}.crt", identity.file), &signed.pem())?;
        write(place, &format!("pki/{}.key", identity.file), &key.serialize_pem())?;
        if identity.file != "etcd" {
            write(
                place,
                &format!("{}.kubeconfig", identity.file),
                &kubeconfig(place, identity.file),
            )?;
        }
    }
    Ok(())
}

fn kubeconfig(place: &Place, name: &str) -> String {
    let (certificate, key) = place.pair(name);
    let authority = place.text("pki/ca.crt");
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: observer
  cluster: {{server: 'https://{API_ADDRESS}:{API_PORT}', certificate-authority: {authority}}}
users:
- name: {name}
  user: {{client-certificate: {certificate}, client-key: {key}}}
contexts:
- name: observer
  context: {{cluster: observer, user: {name}}}
current-context: observer
"
    )
}

/// Keys are nobody else's business.
fn write(place: &Place, below: &str, text: &str) -> Result<()> {
    let path = place.at(below);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot protect {}", path.display()))
}
