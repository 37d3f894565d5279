//! The route to the API server as a test can cut it: reads TCP connections on a loopback port, produces the same ones to
//! the server, as long as it is open.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};

/// Accepts for as long as it lives; closed, it hangs up on everybody.
#[derive(Debug)]
pub struct Proxy {
    /// Its port on 127.0.0.1.
    pub port: u16,
    route: Arc<Route>,
}

#[derive(Debug)]
struct Route {
    to: String,
    open: AtomicBool,
    ended: AtomicBool,
    /// Both ends of each connection that was made.
    live: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// To `HOST:PORT`.
    pub fn start(to: &str, open: bool) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
        let port = listener.local_addr()?.port();
        let route = Arc::new(Route {
            to: to.to_owned(),
            open: AtomicBool::new(open),
            ended: AtomicBool::new(false),
            live: Mutex::default(),
        });
        let accepting = Arc::clone(&route);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                // What cannot be connected is hung up on, as by a server that is not there.
                let _ = accepting.connect(client);
            }
        });
        Ok(Self { port, route })
    }

    /// Hangs up on everybody, and on whoever comes.
    pub fn close(&self) {
        self.route.open.store(false, Ordering::SeqCst);
        self.route.hang_up();
    }

    /// Lets everybody through.
    pub fn open(&self) {
        self.route.open.store(true, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.route.ended.store(true, Ordering::SeqCst);
        self.close();
        // Wakes the thread that accepts, so that it sees the end.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Route {
    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        if !self.open.load(Ordering::SeqCst) {
            return Ok(());
        }
        let server = TcpStream::connect(&self.to)?;
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.extend([client.try_clone()?, server.try_clone()?]);
        drop(live);
        for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            thread::spawn(move || {
                // Either end may hang up at any time; then the other is hung up on.
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            });
        }
        if !self.open.load(Ordering::SeqCst) {
            // Closed meanwhile.
            self.hang_up();
        }
        Ok(())
    }

    fn hang_up(&self) {
        for stream in self.live.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
