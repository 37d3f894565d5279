//! A proxy in front of a real server: reads requests, lets them pass or answers in the server's place.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Its path.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Parameters of the query and of the form, decoded.
    pub form: BTreeMap<String, String>,
    /// How many came before it.
    pub number: u64,
}

impl Question {
    /// A parameter that is a number.
    pub fn number_of(&self, name: &str) -> i64 {
        self.form.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Points of each series that it asks for; 0 where it is no range query.
    pub fn points(&self) -> i64 {
        match self.number_of("step") {
            0 => 0,
            step => (self.number_of("end") - self.number_of("start")) / step + 1,
        }
    }
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server answers.
    Pass,
    /// This, in its place: status, more headers, body.
    Answer(u16, String, String),
    /// Nothing, and the connection is held.
    Silence,
    /// Nothing, and the connection is closed.
    Hangup,
}

/// A proxy on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens: `host:port`.
    pub address: String,
    asked: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// In front of the server at `upstream`; `rule` decides.
    pub fn before(upstream: &str, rule: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self {
            address: listener.local_addr()?.to_string(),
            asked: Arc::default(),
            stopped: Arc::default(),
        };
        let (asked, stopped) = (Arc::clone(&proxy.asked), Arc::clone(&proxy.stopped));
        let upstream = upstream.to_owned();
        let rule = Arc::new(rule);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (upstream, rule, asked) = (upstream.clone(), Arc::clone(&rule), Arc::clone(&asked));
                // A client that goes away ends its own connection only.
                thread::spawn(move || serve(stream, &upstream, &*rule, &asked));
            }
        });
        Ok(proxy)
    }

    /// Requests so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    upstream: &str,
    rule: &(dyn Fn(&Question) -> Reply + Send + Sync),
    asked: &AtomicU64,
) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().context("no target")?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut question = Question {
        path: path.to_owned(),
        ..Question::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        question
            .headers
            .insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = question.headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse()?];
    reader.read_exact(&mut body)?;
    let form = String::from_utf8_lossy(&body).into_owned();
    for pair in query.split('&').chain(form.split('&')) {
        if let Some((name, value)) = pair.split_once('=') {
            question.form.insert(decoded(name), decoded(value));
        }
    }
    question.number = asked.fetch_add(1, Ordering::SeqCst);
    match rule(&question) {
        Reply::Pass => {
            let mut server = TcpStream::connect(upstream)?;
            // 1.0: a body without chunks, to the end.
            write!(server, "{method} {target} HTTP/1.0\r\nHost: {upstream}\r\n")?;
            for name in ["content-type", "content-length", "authorization"] {
                if let Some(value) = question.headers.get(name) {
                    write!(server, "{name}: {value}\r\n")?;
                }
            }
            server.write_all(b"\r\n")?;
            server.write_all(&body)?;
            std::io::copy(&mut server, &mut stream)?;
        }
        Reply::Answer(status, headers, body) => {
            write!(
                stream,
                "HTTP/1.1 {status} Told\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
                body.len()
            )?;
        }
        Reply::Silence => {
            // Until the client gives up.
            let mut nothing = [0];
            let _ = reader.read(&mut nothing)?;
        }
        Reply::Hangup => {}
    }
    Ok(())
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits: Vec<u8> = if byte == b'%' {
            rest.by_ref().take(2).collect()
        } else {
            Vec::new()
        };
        let code = std::str::from_utf8(&digits)
            .ok()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(match byte {
            b'+' => b' ',
            other => code.unwrap_or(other),
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
