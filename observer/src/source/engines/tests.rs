//! Files as Docker 24, podman 4.3, CRI-O 1.30 and containerd 1.6 write them, cut to what is around what is read.

use std::{fs, io::Read};

use super::*;

const ID: &str = "3d5a1f0c9e7b4a62815c0f9d8e7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a";

fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Engines) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path.replace("{id}", ID));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("{id}", ID)).unwrap();
    }
    let engines = Engines::new(dir.path());
    (dir, engines)
}

fn container(runtime: Option<ContainerRuntime>) -> ContainerRef {
    ContainerRef {
        runtime,
        id: ID.to_owned(),
    }
}

fn outside(runtime: ContainerRuntime) -> Owner {
    Owner::Container(container(Some(runtime)))
}

const DOCKER: &str = r#"{"StreamConfig":{},"State":{"Running":true,"OOMKilled":false,"Pid":4711},"ID":"{id}",
"Created":"2026-05-01T10:00:00Z","Config":{"Hostname":"3d5a1f0c9e7b","Env":["DB_PASSWORD=secret"],"Image":"shop/api:1.4",
"Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"api","traefik.auth":"secret"}},
"Image":"sha256:aaaa","Name":"/shop-api-1","RestartCount":3}"#;

#[test]
fn docker_wherever_its_data_lies() {
    let config = |data: &str| format!("{data}/containers/{{id}}/config.v2.json");
    for (data, daemon) in [
        ("var/lib/docker", None),
        ("var/lib/docker/100000.100000", None),
        (
            "data/docker",
            Some(r#"{"data-root": "/data/docker", "live-restore": true}"#),
        ),
    ] {
        let path = config(data);
        let hostconfig = path.replace("config.v2.json", "hostconfig.json");
        let mut files = vec![
            (path.as_str(), DOCKER),
            (hostconfig.as_str(), r#"{"Memory":536870912,"Runtime":"runc"}"#),
        ];
        files.extend(daemon.map(|text| ("etc/docker/daemon.json", text)));
        let (_dir, engines) = host(&files);
        let facts = engines
            .describe(&outside(ContainerRuntime::Docker), 0)
            .unwrap()
            .unwrap();
        assert_eq!((facts.id.as_str(), facts.name.as_str()), (ID, "shop-api-1"), "{data}");
        assert_eq!(facts.image.as_deref(), Some("shop/api:1.4"));
        assert_eq!(facts.image_digest.as_deref(), Some("sha256:aaaa"));
        assert_eq!(
            (facts.restart_count, facts.memory_limit, facts.memory_request),
            (Some(3), Some(512 << 20), None)
        );
        assert_eq!(facts.labels["com.docker.compose.service"], "api");
        assert!(!serde_json::to_string(&facts).unwrap().contains("secret"));
    }
}

const OCI: &str = r#"{"ociVersion":"1.0.2","process":{"env":["DB_PASSWORD=secret"],"args":["node"]},"annotations":{
"io.kubernetes.cri.container-name":"api","io.kubernetes.cri.container-type":"container",
"io.kubernetes.cri.image-name":"docker.io/shop/api:1.4","io.kubernetes.cri.sandbox-id":"ffff",
"io.kubernetes.cri.sandbox-name":"api-7d9c","io.kubernetes.cri.sandbox-namespace":"shop"},
"linux":{"resources":{"memory":{"limit":134217728},"cpu":{"shares":2}}}}"#;

#[test]
fn containerd_names_the_pod_without_the_api() {
    let (_dir, engines) = host(&[(
        "run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json",
        OCI,
    )]);
    for runtime in [Some(ContainerRuntime::Containerd), None] {
        let owner = Owner::Pod {
            uid: "0f2e".into(),
            container: Some(container(runtime)),
        };
        let facts = engines.describe(&owner, 0).unwrap().unwrap();
        assert_eq!((facts.name.as_str(), facts.memory_limit), ("api", Some(128 << 20)));
        let pod = facts.pod.as_ref().unwrap();
        assert_eq!(
            (pod.uid.as_str(), pod.name.as_str(), pod.namespace.as_str()),
            ("0f2e", "api-7d9c", "shop")
        );
        assert!(!serde_json::to_string(&facts).unwrap().contains("secret"));
    }
}

const STORAGE: &str = r#"[{"id":"eeee","names":["other"],"image":"bbbb","layer":"x"},
{"id":"{id}","names":["web"],"image":"cccc","layer":"y",
"metadata":"{\"image-name\":\"docker.io/shop/web:2\",\"image-id\":\"cccc\",\"name\":\"web\",\"created-at\":1}"}]"#;

#[test]
fn podman_and_cri_o() {
    let dir = "var/lib/containers/storage/overlay-containers";
    let list = format!("{dir}/volatile-containers.json");
    let (_dir, engines) = host(&[(&list, STORAGE)]);
    let facts = engines
        .describe(&outside(ContainerRuntime::Podman), 0)
        .unwrap()
        .unwrap();
    assert_eq!(
        (facts.name.as_str(), facts.image.as_deref()),
        ("web", Some("docker.io/shop/web:2"))
    );
    assert_eq!(
        (facts.image_digest.as_deref(), facts.runtime),
        (Some("sha256:cccc"), Some(ContainerRuntime::Podman))
    );

    // Another storage driver, another place.
    let conf = "[storage]\ndriver = \"vfs\"\ngraphroot = \"/data/containers\"\n";
    for (list, conf) in [
        ("var/lib/containers/storage/vfs-containers/containers.json", ""),
        ("data/containers/vfs-containers/containers.json", conf),
        ("data/containers/overlay-containers/containers.json", conf),
    ] {
        let (_dir, engines) = host(&[(list, STORAGE), ("etc/containers/storage.conf", conf)]);
        let facts = engines
            .describe(&outside(ContainerRuntime::Podman), 0)
            .unwrap()
            .unwrap();
        assert_eq!(facts.name, "web", "{list}");
    }

    let list = format!("{dir}/containers.json");
    let spec = format!("{dir}/{{id}}/userdata/config.json");
    let crio = r#"{"annotations":{"io.kubernetes.pod.name":"api-0","io.kubernetes.pod.namespace":"shop",
        "io.kubernetes.pod.uid":"0f2e","io.kubernetes.container.name":"api",
        "io.kubernetes.cri-o.ImageName":"docker.io/shop/api:1.4"},"linux":{"resources":{"memory":{"limit":-1}}}}"#;
    let (_dir, engines) = host(&[(&list, STORAGE), (&spec, crio)]);
    let facts = engines.describe(&outside(ContainerRuntime::CriO), 0).unwrap().unwrap();
    assert_eq!((facts.name.as_str(), facts.memory_limit), ("api", None));
    let pod = facts.pod.unwrap();
    assert_eq!(
        (pod.uid.as_str(), pod.name.as_str(), pod.namespace.as_str()),
        ("0f2e", "api-0", "shop")
    );
}

#[test]
fn what_nobody_knows_is_none_and_what_is_damaged_is_said() {
    let (_dir, engines) = host(&[]);
    assert_eq!(engines.describe(&outside(ContainerRuntime::Docker), 0).unwrap(), None);
    assert_eq!(engines.describe(&Owner::Container(container(None)), 0).unwrap(), None);
    assert_eq!(
        engines
            .describe(
                &Owner::Unit {
                    name: "a.service".into(),
                    user: None
                },
                0
            )
            .unwrap(),
        None
    );
    let traversal = ContainerRef {
        runtime: None,
        id: "../../etc".into(),
    };
    assert_eq!(engines.describe(&Owner::Container(traversal), 0).unwrap(), None);

    let (_dir, engines) = host(&[("var/lib/docker/containers/{id}/config.v2.json", r#"{"Name": 3}"#)]);
    let error = engines
        .describe(&outside(ContainerRuntime::Docker), 0)
        .unwrap_err()
        .to_string();
    assert!(error.contains("config.v2.json"), "{error}");
}

/// Answers requests on a unix socket, one after another; tells what was asked.
fn engine_socket(path: &Path, answers: Vec<&'static str>) -> std::thread::JoinHandle<Vec<String>> {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let ask = |answer: &str| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
            String::from_utf8(asked).unwrap().lines().next().unwrap().to_owned()
        };
        answers.into_iter().map(ask).collect()
    })
}

/// The answer of podman 4.3's compatible API, cut to what is around what is read.
const INSPECTED: &str = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"Id\":\"3d5a\",\"State\":{\"Status\":\"running\"},\
    \"Image\":\"cccc\",\"Name\":\"/shop-web\",\"RestartCount\":2,\"HostConfig\":{\"Memory\":134217728,\"MemoryReservation\":0},\
    \"Config\":{\"Env\":[\"DB_PASSWORD=secret\"],\"Image\":\"docker.io/shop/web:2\",\
    \"Labels\":{\"io.podman.compose.service\":\"web\",\"traefik.auth\":\"secret\"}}}";

#[test]
fn a_socket_is_asked_only_where_it_is_named_and_no_file_tells() {
    let (dir, engines) = host(&[]);
    let path = dir.path().join("engine.sock");
    let podman = outside(ContainerRuntime::Podman);
    let serving = engine_socket(
        &path,
        vec![
            INSPECTED,
            "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no such container\"}",
            "HTTP/1.0 500 Internal Server Error\r\n\r\n{}",
            "HTTP/1.0 200 OK\r\n\r\n[",
        ],
    );
    assert_eq!(engines.describe(&podman, 0).unwrap(), None, "none is named");
    let engines = engines.with_socket(Some(path.clone()));
    let facts = engines.describe(&podman, 0).unwrap().unwrap();
    assert_eq!((facts.id.as_str(), facts.name.as_str()), (ID, "shop-web"));
    assert_eq!(
        (facts.image.as_deref(), facts.image_digest.as_deref(), facts.runtime),
        (
            Some("docker.io/shop/web:2"),
            Some("sha256:cccc"),
            Some(ContainerRuntime::Podman)
        )
    );
    assert_eq!(
        (facts.restart_count, facts.memory_limit, facts.memory_request),
        (Some(2), Some(128 << 20), None)
    );
    assert_eq!(facts.labels["io.podman.compose.service"], "web");
    assert!(!serde_json::to_string(&facts).unwrap().contains("secret"));
    assert_eq!(
        engines.describe(&podman, 0).unwrap(),
        None,
        "it knows no such container"
    );
    for wrong in ["500", "no known version of the container engine writes"] {
        let error = engines.describe(&podman, 0).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
    let asked = serving.join().unwrap();
    assert!(
        asked
            .iter()
            .all(|line| *line == format!("GET /containers/{ID}/json HTTP/1.0")),
        "{asked:?}"
    );
    let error = engines.describe(&podman, 0).unwrap_err().to_string();
    assert!(error.contains("--engine-socket"), "nobody listens any more: {error}");

    // A file tells: nobody is asked, or the refused connection would be an error.
    let file = "var/lib/containers/storage/vfs-containers/containers.json";
    let (_dir, engines) = host(&[(file, STORAGE)]);
    let facts = engines.with_socket(Some(path)).describe(&podman, 0).unwrap().unwrap();
    assert_eq!(facts.name, "web");
}
