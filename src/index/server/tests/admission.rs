use super::*;
use crate::index::admission::admit;
use crate::wire::ErrorCode;

/// Binds beyond loopback, where this machine has an address that is not loopback.
fn far_address() -> Option<std::net::IpAddr> {
    // No packet is sent: this only asks the routing table.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn beyond_loopback_only_admitted_keys_register() {
    let Some(ip) = far_address() else { return };
    run_test(async {
        let bind = |identity: &Identity, alpns| {
            let identity = identity.clone();
            let options = EndpointOptions {
                identity,
                bind: (ip, 0).into(),
                alpns,
            };
            Endpoint::bind(options).unwrap()
        };
        let index = Identity::ephemeral();
        let server = bind(&index, vec![ALPN_INDEX]);
        let address = server.local_addr();
        let certs = tempfile::tempdir().unwrap();
        let options = ServerOptions::new(server, certs.path().join("data"), certs.path().into());
        let running = tokio::spawn(run(options, std::future::pending()));

        let identity = Identity::ephemeral();
        let expect = Expect::Key(index.fingerprint());
        let connection = bind(&identity, vec![])
            .connect(address, ALPN_INDEX, expect)
            .await
            .unwrap();
        let refused = register(&connection, "1").await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NotAdmitted);
        let command = format!("waypost index admit 1 {}", identity.fingerprint());
        assert!(refused.detail.ends_with(&command), "{refused}");
        let refused = call(&connection, &lookup("T1")).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NotAdmitted);

        admit(certs.path(), &peer("1"), identity.fingerprint()).unwrap();
        assert!(register(&connection, "1").await.unwrap().new);
        running.abort();
    });
}
