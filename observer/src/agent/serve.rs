//! Answers about the agent: a snapshot for each connection to a unix socket, and Prometheus text and health over HTTP.

use std::{convert::Infallible, fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, UnixListener},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::Snapshot;
use crate::{
    command::say,
    export::{metrics, prometheus},
};

/// Longest wait for the loop's answer, and for a client's request: who asks about a stalled agent must hear of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the loop for a snapshot.
pub(super) type Ask = mpsc::Sender<oneshot::Sender<Snapshot>>;

/// Serves the unix socket; an agent that cannot goes on without.
pub(super) async fn unix(path: &Path, ask: Ask) {
    // A socket left by an agent that was killed is in the way of its successor; a live one is not touched.
    if tokio::net::UnixStream::connect(path).await.is_err() {
        let _ = fs::remove_file(path);
    }
    let listener = match UnixListener::bind(path) {
        Ok(listener) => listener,
        Err(error) => {
            say(format_args!(
                "no status at {}: {error}; name another with --status-socket",
                path.display()
            ));
            return;
        }
    };
    // Names and levels of every service of the host: root's to read.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let ask = ask.clone();
            tokio::spawn(async move {
                if let Some(snapshot) = snapshot(&ask).await
                    && let Ok(json) = serde_json::to_vec(&snapshot)
                {
                    // Who hangs up early has seen enough.
                    let _ = timeout(PATIENCE, stream.write_all(&json)).await;
                }
            });
        }
    });
}

/// Serves `/metrics`, `/healthz` and `/readyz`; an agent that cannot goes on without.
pub(super) async fn http(address: std::net::SocketAddr, ask: Ask) {
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

async fn answer(request: Request<Incoming>, ask: Ask) -> Result<Response<Full<Bytes>>, Infallible> {
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
    let Some(snapshot) = snapshot(&ask).await else {
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
        // It answers, so it observes: the loop starts when everything is in place.
        _ => text(StatusCode::OK, "ok\n".into()),
    })
}

async fn snapshot(ask: &Ask) -> Option<Snapshot> {
    let (sender, receiver) = oneshot::channel();
    timeout(PATIENCE, async {
        ask.send(sender).await.ok()?;
        receiver.await.ok()
    })
    .await
    .ok()?
}
