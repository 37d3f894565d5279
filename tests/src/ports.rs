//! Ports of the loopback that stay this process's own: reads how many are wanted, produces their numbers.
//!
//! A port that was merely seen to be free is anybody's a moment later: another test's, or that of a connection which takes it
//! for its own end. These are held by sockets that are bound and never listen: who connects is refused, as at a server that
//! is down, and a server that sets `SO_REUSEADDR`, as all do that are used here, may listen there, go and come back.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context as _, Result};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt::set_socket_reuseaddr,
};

/// Ports that are free, differ, and are nobody else's until this process ends.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    for port in &mut ports {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddr::try_from(getsockname(&socket)?).context("no address of the internet")?;
        *port = address.port();
        // Held to the end of this process, which is soon.
        std::mem::forget(socket);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::free_ports;

    #[test]
    fn nobody_answers_there_until_somebody_listens_and_none_is_given_twice() {
        let ports = free_ports::<40>().unwrap();
        let mut sorted = ports.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ports.len());
        for round in 0..2 {
            assert!(TcpStream::connect(("127.0.0.1", ports[0])).is_err(), "round {round}");
            let server = TcpListener::bind(("127.0.0.1", ports[0])).unwrap();
            assert!(TcpStream::connect(("127.0.0.1", ports[0])).is_ok(), "round {round}");
            drop(server);
        }
    }
}
