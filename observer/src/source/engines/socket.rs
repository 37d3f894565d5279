//! The socket of Docker or podman, where the operator names one: asks for a container by its id, produces what the engine
//! says of it.
//!
//! For containers that no file tells of: a user's own engine, data in an unusual place. Whoever may use such a socket is as
//! good as root, so that nothing but `GET /containers/ID/json` is ever sent, and only where the setting is given.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use observer_core::container_facts::ContainerFacts;

use super::{docker, state_file::EngineError};

/// An engine that hangs holds up the look at other processes for so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// Largest answer read, bytes: one container has some 10 kB.
const LARGEST: u64 = 1 << 20;

/// Asks for a container; `None` where the engine does not know it.
pub(super) fn describe(socket: &Path, id: &str) -> Result<Option<ContainerFacts>, EngineError> {
    let answer = ask(socket, id).map_err(|source| EngineError::Socket {
        path: socket.to_path_buf(),
        source,
    })?;
    let Some(body) = answer else { return Ok(None) };
    match serde_json::from_slice::<docker::Config>(&body) {
        Ok(config) => Ok(Some(docker::facts(config))),
        Err(source) => Err(EngineError::Malformed {
            path: socket.to_path_buf(),
            source,
        }),
    }
}

/// The body of the answer; `None` for 404. HTTP/1.0: the answer ends with the connection, and comes in one piece.
fn ask(socket: &Path, id: &str) -> io::Result<Option<Vec<u8>>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /containers/{id}/json HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = end
        .map(|end| (&answer[..end], &answer[end + 4..]))
        .ok_or_else(|| wrong("its answer is not HTTP".to_owned()))?;
    let head = String::from_utf8_lossy(head);
    match head.split(' ').nth(1) {
        Some("200") => Ok(Some(body.to_vec())),
        Some("404") => Ok(None),
        _ => Err(wrong(format!(
            "it answered `{}`",
            head.lines().next().unwrap_or_default()
        ))),
    }
}
