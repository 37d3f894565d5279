//! Answers about the agent: to questions on a unix socket, and Prometheus text and health over HTTP.
//!
//! On the socket a client writes one line, a [`Question`] as JSON (`"status"`, `{"history":{"workload":"shop"}}`; an
//! empty one is `"status"`), and reads one JSON document until the end: the answer, or `{"error": "..."}`.

use std::{convert::Infallible, fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    export::{kubernetes_events, metrics, prometheus},
    question::{HistoryView, Question},
    snapshot::Snapshot,
    store::History,
    terminal::say,
};

/// Longest wait for the loop's answer, and for a client's request: who asks about a stalled agent must hear of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest question, bytes.
const LONGEST_QUESTION: u64 = 64 << 10;
/// Records in an answer where the question names no limit.
const LIMIT: usize = 1_000;

/// Asks the loop for a snapshot, with all that explains what is called by a name.
pub(super) type SnapshotRequests = mpsc::Sender<(Option<String>, oneshot::Sender<Snapshot>)>;

/// Serves the unix socket; an agent that cannot goes on without, and has that to say.
pub(super) async fn unix(path: &Path, ask: SnapshotRequests, history: Option<History>) -> Option<String> {
    // A socket left by an agent that was killed is in the way of its successor; a live one is not touched.
    if UnixStream::connect(path).await.is_ok() {
        return Some(format!(
            "another agent runs here and answers at {}; this one observes too, without `observer status`: \
             name a socket of its own with --status-socket",
            path.display()
        ));
    }
    let _ = fs::remove_file(path);
    let listener = match UnixListener::bind(path) {
        Ok(listener) => listener,
        Err(error) => {
            return Some(format!(
                "no status at {}: {error}; name another with --status-socket",
                path.display()
            ));
        }
    };
    // Names and levels of every service of the host: root's to read.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (ask, history) = (ask.clone(), history.clone());
            // Who hangs up early has seen enough.
            tokio::spawn(async move { timeout(PATIENCE * 3, converse(stream, &ask, history.as_ref())).await });
        }
    });
    None
}

async fn converse(stream: UnixStream, ask: &SnapshotRequests, history: Option<&History>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    timeout(
        PATIENCE,
        BufReader::new(read.take(LONGEST_QUESTION)).read_line(&mut line),
    )
    .await??;
    let answer = match line.trim() {
        "" => Ok(Question::Status),
        line => serde_json::from_str(line),
    };
    let answer = match answer {
        Ok(question) => reply(question, ask, history).await,
        Err(error) => Some(serde_json::json!({ "error": format!("not a question: {error}") }).to_string()),
    };
    // A loop that does not answer is told by the connection's end.
    write.write_all(answer.unwrap_or_default().as_bytes()).await
}

async fn reply(question: Question, ask: &SnapshotRequests, history: Option<&History>) -> Option<String> {
    let explained = match &question {
        Question::Explain { name } => Some(name.clone()),
        _ => None,
    };
    let snapshot = snapshot(ask, explained).await?;
    match question {
        Question::Status | Question::Explain { .. } => serde_json::to_string(&snapshot).ok(),
        Question::History { workload, limit } => {
            let mut workloads = snapshot.workloads;
            if let Some(workload) = &workload {
                workloads.retain(|view| view.is_called(workload));
            }
            let records = match history {
                Some(history) => history.read(workload, limit.unwrap_or(LIMIT)).await,
                None => Vec::new(),
            };
            serde_json::to_string(&HistoryView {
                workloads,
                records,
                kept: history.is_some(),
            })
            .ok()
        }
    }
}

/// Serves `/metrics`, `/healthz` and `/readyz`; an agent that cannot goes on without.
pub(super) async fn http(address: std::net::SocketAddr, ask: SnapshotRequests) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            say(format_args!(
                "no metrics at {address}: {error}; name another address with --listen"
            ));
            return;
        }
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ask = ask.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, ask.clone()));
                let connection = http1::Builder::new()
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // A scraper that breaks off has nothing to be told.
                let _ = timeout(PATIENCE * 2, connection).await;
            });
        }
    });
}

async fn answer(request: Request<Incoming>, ask: SnapshotRequests) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = |status, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let plain = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response
    };
    if !matches!(request.uri().path(), "/metrics" | "/healthz" | "/readyz") {
        return Ok(text(StatusCode::NOT_FOUND, "/metrics, /healthz or /readyz\n".into()));
    }
    let Some(snapshot) = snapshot(&ask, None).await else {
        return Ok(text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the agent does not answer\n".into(),
        ));
    };
    Ok(match request.uri().path() {
        "/metrics" => text(StatusCode::OK, prometheus::text(&metrics::groups(&snapshot))),
        "/healthz" if !snapshot.agent.stalled.is_empty() => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("stalled: {}\n", snapshot.agent.stalled.join(", ")),
        ),
        "/readyz" => text(StatusCode::OK, readiness(&snapshot)),
        _ => text(StatusCode::OK, "ok\n".into()),
    })
}

/// It answers, so it observes: the loop starts when everything is in place. What it was not given
/// and what it may not write is said, and does not make it less ready.
fn readiness(snapshot: &Snapshot) -> String {
    let limits = snapshot.agent.limits.iter();
    let mut text = limits.fold("ok\n".to_owned(), |page, limit| page + "limited: " + limit + "\n");
    let mut exporters = snapshot.agent.export.iter();
    if let Some(why) = exporters
        .find(|exporter| exporter.signal == kubernetes_events::SIGNAL)
        .and_then(|exporter| exporter.failing.as_ref())
    {
        text.push_str(&format!("Kubernetes Events cannot be written at the moment: {why}\n"));
    }
    text
}

async fn snapshot(ask: &SnapshotRequests, explained: Option<String>) -> Option<Snapshot> {
    let (sender, receiver) = oneshot::channel();
    timeout(PATIENCE, async {
        ask.send((explained, sender)).await.ok()?;
        receiver.await.ok()
    })
    .await
    .ok()?
}
