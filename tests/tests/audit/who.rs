//! Who asks: TLS, passwords, tokens and headers on a real Prometheus, and that nothing of them is repeated.

use std::fs;

use observer_tests::{
    backend::{Backend, debian_prometheus},
    histories::{cluster, text},
    need,
    proxy::{Proxy, Reply},
    stage::Scratch,
    tls,
};

use super::{audit, errors, now, prometheus};

/// `secret`, as bcrypt has it.
const PASSWORD: &str = "$2b$04$ZkWhgiNYNFoOZCcmt3zJYuhsctWhUQxXbqP6UofmvQyQ8o6d0EeKS";

#[test]
fn who_asks_is_told_to_the_server_and_nobody_else() {
    need!(DebianPrometheus, Program("openssl"));
    let end = now();
    let scratch = Scratch::new("certificates").unwrap();
    tls::certificates(scratch.path()).unwrap();
    let web = scratch.file("web.yml");
    fs::write(
        &web,
        format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  alice: {PASSWORD}\n"
        ),
    )
    .unwrap();
    let backend = Backend::with_history(&debian_prometheus().unwrap(), &text(&cluster(), end, 1), Some(&web)).unwrap();
    let file = |name: &str| scratch.file(name).to_str().unwrap().to_owned();
    fs::write(file("password"), "secret\n").unwrap();
    fs::write(file("wrong"), "hunter2\n").unwrap();
    let url = format!("https://{}", backend.query);
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let tls = ["--ca", &ca, "--client-certificate", &certificate, "--client-key", &key];
    let (password, wrong) = (file("password"), file("wrong"));
    let right = [
        &tls[..],
        &["--user", "alice", "--password-file", &password, "--fail-on", "never"],
    ]
    .concat();
    let output = audit(&url, end, &right);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));

    let refused = [&tls[..], &["--user", "alice", "--password-file", &wrong]].concat();
    let token = [&tls[..], &["--bearer-token", "hunter2"]].concat();
    let in_url = format!("https://alice:hunter2@{}", backend.query);
    let unknown = format!("https://alice:hunter2@no.such.host.invalid:{}", 9_090);
    let plain = format!("http://alice:hunter2@{}", backend.query);
    let nobody = "http://alice:hunter2@127.0.0.1:1";
    for (name, url, arguments, said) in [
        ("a wrong password", url.as_str(), &refused[..], "401"),
        ("a wrong token", &url, &token[..], "401"),
        ("a wrong password in the address", &in_url, &tls[..], "401"),
        ("no certificate", &url, &["--ca", &ca][..], "TLS with 127.0.0.1 failed"),
        ("an unknown authority", &url, &[][..], "TLS with 127.0.0.1 failed"),
        ("no TLS", &plain, &[][..], "HTTPS"),
        ("no such host", &unknown, &[][..], "there is no host"),
        ("nobody there", nobody, &[][..], "nothing listens at 127.0.0.1:1"),
        ("no address", "ftp://alice:hunter2@x", &[][..], "http://"),
    ] {
        let output = audit(url, end, arguments);
        let text = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {text}");
        assert_eq!(text.lines().count(), 1, "{name}: {text}");
        assert!(text.contains(said), "{name}: {text}");
        assert!(!text.contains("hunter2"), "{name}: {text}");
    }
}

/// What the server sees of who asks.
#[test]
fn headers_and_tokens_arrive() {
    need!(DebianPrometheus);
    let (backend, end) = prometheus();
    let scratch = Scratch::new("token").unwrap();
    fs::write(scratch.file("token"), "hunter2\n").unwrap();
    let proxy = Proxy::before(&backend.query, |question| {
        let header = |name: &str| question.headers.get(name).map(String::as_str);
        match (
            header("authorization"),
            header("x-scope-orgid"),
            question.path.starts_with("/prometheus/api/v1/"),
        ) {
            (Some("Bearer hunter2"), Some("team-a"), false) => Reply::Pass,
            _ => Reply::Answer(404, String::new(), "404 page not found".to_owned()),
        }
    })
    .unwrap();
    let token = scratch.file("token");
    let arguments = [
        "--bearer-token-file",
        token.to_str().unwrap(),
        "--header",
        "X-Scope-OrgID: team-a",
    ];
    let output = audit(&proxy.address, end, &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
    let output = audit(&format!("{}/prometheus", proxy.address), end, &arguments);
    assert!(
        errors(&output).contains("no Prometheus API below"),
        "{}",
        errors(&output)
    );
}
