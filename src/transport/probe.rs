//! Whether anybody listens at a UDP address at all.
//!
//! QUIC itself waits for its handshake timeout, for an unconnected socket is not told of "port
//! unreachable". A connected one is: where the system says so, a dial to a dead process fails in a
//! millisecond. Where nothing says anything (a firewall that drops), the timeout decides as before.

use std::future::pending;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

/// A dial that gets an answer is done before; then no probe is sent.
const HEAD_START: Duration = Duration::from_millis(5);
/// Probes may get lost like anything.
const EVERY: Duration = Duration::from_millis(250);
/// One byte without QUIC's fixed bit (RFC 9000 section 17): whoever listens drops it.
const PROBE: [u8; 1] = [0];

/// Completes once the system has said that nobody listens at `addr`; else never. Cancellation safe.
pub(super) async fn nobody_listens(addr: SocketAddr) {
    tokio::time::sleep(HEAD_START).await;
    if probe(addr).await.is_none() {
        pending::<()>().await;
    }
}

/// `None`: the probe itself failed, which says nothing.
async fn probe(addr: SocketAddr) -> Option<()> {
    let any = match addr {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(addr).await.ok()?;
    loop {
        // A refusal of an earlier probe may show at either call.
        let mut answer = [0; 1];
        let exchange = async {
            socket.send(&PROBE).await?;
            socket.recv(&mut answer).await
        };
        match tokio::time::timeout(EVERY, exchange).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Some(()),
            Ok(Err(_)) => return None,
            Ok(Ok(_)) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_port_is_told_from_a_silent_one() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let listening = tokio::time::timeout(EVERY * 2, nobody_listens(addr)).await;
        assert!(listening.is_err());
        drop(socket);
        nobody_listens(addr).await;
    }
}
