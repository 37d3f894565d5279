//! Expositions over HTTP: reads the texts of all nodes, produces where each of them is scraped.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result};

/// One page for each node.
pub(crate) struct Pages {
    address: String,
    texts: Arc<Mutex<Vec<String>>>,
    nodes: usize,
}

impl Pages {
    /// Serves them until this process ends.
    pub(crate) fn serve(texts: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        let address = listener.local_addr()?.to_string();
        let nodes = texts.len();
        let texts = Arc::new(Mutex::new(texts));
        let pages = Arc::clone(&texts);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut request = [0; 4_096];
                let read = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]);
                let number = request
                    .split(' ')
                    .nth(1)
                    .and_then(|path| path.strip_prefix("/node-")?.parse::<usize>().ok());
                let pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
                let body = number.and_then(|number| pages.get(number)).map_or("", String::as_str);
                // A scraper that breaks off asks again.
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Ok(Self { address, texts, nodes })
    }

    /// What is scraped from now on.
    pub(crate) fn tell(&self, texts: Vec<String>) {
        *self.texts.lock().unwrap_or_else(PoisonError::into_inner) = texts;
    }

    /// Address and path of each.
    pub(crate) fn targets(&self) -> Vec<(String, String)> {
        (0..self.nodes)
            .map(|node| (self.address.clone(), format!("/node-{node}")))
            .collect()
    }
}
