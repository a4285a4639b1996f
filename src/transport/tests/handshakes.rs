//! Who is taken for whom.

use super::*;
use crate::transport::verify::{PinnedServer, provider};

#[tokio::test]
async fn a_wrong_key_is_refused_with_both_fingerprints() {
    let server = Server::start();
    let expected = Fingerprint([9; 32]);
    let error = client()
        .connect(server.addr(), ALPN, Expect::Key(expected))
        .await
        .unwrap_err();
    let ConnectError::KeyMismatch { found, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(found, server.key());
    let text = error.to_string();
    assert!(
        text.contains(&expected.to_string()) && text.contains(&found.to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn any_key_is_told_to_the_caller() {
    let server = Server::start();
    let client = client();
    let connection = client
        .connect(server.addr(), ALPN, Expect::AnyKey)
        .await
        .unwrap();
    assert_eq!(connection.peer(), server.key());
}

#[tokio::test]
async fn another_protocol_is_named() {
    let server = Server::start();
    let error = client()
        .connect(server.addr(), b"waypost-test/2", Expect::AnyKey)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::WrongProtocol { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("waypost-test/2"), "{error}");
}

#[tokio::test]
async fn a_caller_without_certificate_is_refused() {
    let server = Server::start();
    let verifier = Arc::new(PinnedServer::new(Expect::AnyKey, &provider()));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = quinn::Endpoint::client(any_port()).unwrap();
    let connecting = endpoint.connect_with(config, server.addr(), "x").unwrap();
    // In TLS 1.3 the caller is done before the server has seen that there is no certificate.
    let error = match connecting.await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    let quinn::ConnectionError::ConnectionClosed(close) = error else {
        panic!("{error:?}");
    };
    let certificate_required = quinn_proto::TransportErrorCode::crypto(116);
    assert_eq!(close.error_code, certificate_required);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_refused_key_learns_why() {
    let refusal = ErrorReply::new(
        ErrorCode::NotAdmitted,
        "run: waypost index admit 1 SHA256:x",
    );
    let reply = refusal.clone();
    let server = Server::start_with(|s| s.refuse = Some(reply), Deadlines::default());
    let (_client, connection) = dial(&server).await;
    let error = remote(connection.request(&say("x")).await.unwrap_err());
    assert_eq!(error, refusal);
}

#[tokio::test]
async fn silence_is_given_up_in_time() {
    let silent = std::net::UdpSocket::bind(any_port()).unwrap();
    let deadlines = Deadlines {
        handshake: Duration::from_millis(50),
        ..Deadlines::default()
    };
    let error = endpoint_with(vec![], deadlines)
        .connect(silent.local_addr().unwrap(), ALPN, Expect::AnyKey)
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn a_port_belongs_to_one() {
    let first = endpoint_with(vec![ALPN], Deadlines::default());
    let options = EndpointOptions {
        identity: Identity::ephemeral(),
        bind: first.local_addr(),
        alpns: vec![ALPN],
    };
    let refused = Endpoint::bind(options.clone()).map(|_| ());
    assert!(matches!(refused, Err(BindError::InUse { addr }) if addr == first.local_addr()));
    let next = Endpoint::bind_first_free(options).unwrap();
    assert!(next.local_addr().port() > first.local_addr().port());
}
