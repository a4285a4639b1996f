//! Keys, names and passes that are somebody else's.

use std::net::{SocketAddr, UdpSocket};

use crate::common::Deployment;
use crate::hostile::*;
use waypost::clock;
use waypost::transport::{ConnectError, Connection, Expect, Identity};
use waypost::types::UnixMicros;
use waypost::wire::index::IndexStatus;
use waypost::wire::pass::{PassBody, SignedPass};
use waypost::wire::peer::PeerStatus;
use waypost::wire::{ALPN_INDEX, ErrorCode};

#[tokio::test]
async fn another_key_than_the_pinned_one_is_refused_with_both() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let other = Identity::ephemeral().fingerprint();
    let caller = Caller::stranger();
    let dialled = caller
        .endpoint
        .connect(index_address(&deployment), ALPN_INDEX, Expect::Key(other))
        .await;
    let error = dialled.unwrap_err();
    let ConnectError::KeyMismatch { found, .. } = error else {
        panic!("{error}")
    };
    // The same from the command line.
    let pinned = format!("127.0.0.1:{}#{other}", deployment.port);
    deployment
        .run(["peers", "list", "--id", "1", "--index", &pinned])
        .fails(4, &[&other.to_string(), &found.to_string()]);
}

#[tokio::test]
async fn an_index_that_comes_back_with_another_key_is_refused() {
    let deployment = Deployment::new();
    let index = deployment.index();
    deployment.run(["peers", "list", "--id", "1"]).ok();
    index.kill();
    let certs = deployment.path().join("certs");
    for file in ["index.key.pem", "index.cert.pem"] {
        std::fs::remove_file(certs.join(file)).unwrap();
    }
    let _index = deployment.index();
    deployment
        .run(["peers", "list", "--id", "1"])
        .fails(4, &["expected", "found", "SHA256:"]);
}

#[tokio::test]
async fn a_stolen_name_is_refused_with_both_keys() {
    let deployment = Deployment::new();
    let index = deployment.index();
    let owner = Caller::stranger();
    owner.register(&deployment, "1").await;
    let thief = Caller::stranger();
    let connection = thief.index(&deployment).await;
    let refused = told(connection.request(&register("1")).await);
    assert_eq!(refused.code(), ErrorCode::IdentityMismatch);
    for key in [owner.key(), thief.key()] {
        assert!(refused.detail.contains(&key.to_string()), "{refused}");
    }
    // Nothing is served to it, and the index says who tried.
    let refused = told(connection.request(&IndexStatus {}).await);
    assert_eq!(refused.code(), ErrorCode::NotRegistered);
    let line = index.wait_for("refused");
    assert!(line.contains(&thief.key().to_string()), "{line}");
    // A key has one name.
    let (connection, _) = owner.register(&deployment, "1").await;
    let refused = told(connection.request(&register("2")).await);
    assert_eq!(refused.code(), ErrorCode::NameTaken);
}

/// An address of this machine that is not loopback.
fn outward_address() -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing: it only asks for a route.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?;
    (!address.ip().is_loopback() && !address.ip().is_unspecified()).then_some(address)
}

#[tokio::test]
async fn a_key_from_elsewhere_must_be_admitted() {
    let Some(outward) = outward_address() else {
        println!("SKIPPED: this machine has no address but loopback");
        return;
    };
    let deployment = Deployment::with_config(|config| {
        config["indexing_server"]["bind_ip"] = "0.0.0.0".into();
    });
    let _index = deployment.index();
    let address = SocketAddr::new(outward.ip(), deployment.port);
    let caller = Caller::stranger();
    let connection = caller.dial(address, ALPN_INDEX).await;
    let refused = told(connection.request(&IndexStatus {}).await);
    assert_eq!(refused.code(), ErrorCode::NotAdmitted);
    let refused = told(connection.request(&register("far")).await);
    assert_eq!(refused.code(), ErrorCode::NotAdmitted);
    let command = format!("waypost index admit far {}", caller.key());
    assert!(refused.detail.ends_with(&command), "{refused}");
    let words = command.split(' ').skip(1);
    deployment.run(words).ok();
    // The same connection, the same process.
    connection.request(&register("far")).await.unwrap();
    connection.request(&IndexStatus {}).await.unwrap();
    let refused = told(
        caller
            .dial(address, ALPN_INDEX)
            .await
            .request(&register("other"))
            .await,
    );
    assert_eq!(refused.code(), ErrorCode::NotAdmitted, "one name only");
}

fn forged(signer: &Identity, of: &SignedPass, key: &Caller) -> SignedPass {
    let body = of.read_body().unwrap();
    signer.sign_pass(&PassBody {
        fingerprint: key.key(),
        ..body
    })
}

async fn refused(connection: Connection) -> waypost::wire::ErrorReply {
    let reply = told(connection.request(&PeerStatus {}).await);
    assert_eq!(reply.code(), ErrorCode::BadPass, "{reply}");
    reply
}

#[tokio::test]
async fn a_host_serves_nobody_without_a_pass_of_its_own() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("host");
    deployment.run(["publish", "T1", "hi", "--id", "host"]).ok();
    let known = Caller::stranger();
    let (index, pass) = known.register(&deployment, "known").await;
    let route = lookup(&index, "T1").await;
    let stranger = Caller::stranger();

    let reply = refused(stranger.host(&route, None).await).await;
    assert!(reply.detail.contains("no pass was shown"), "{reply}");
    let reply = refused(stranger.host(&route, Some(&pass)).await).await;
    assert!(reply.detail.contains(&known.key().to_string()), "{reply}");
    assert!(
        reply.detail.contains(&stranger.key().to_string()),
        "{reply}"
    );

    let other_index = Identity::ephemeral();
    let theirs = forged(&other_index, &pass, &stranger);
    let reply = refused(stranger.host(&route, Some(&theirs)).await).await;
    assert!(
        reply
            .detail
            .contains(&other_index.fingerprint().to_string()),
        "{reply}"
    );

    // The right issuer, and a signature of somebody else.
    let bent = SignedPass {
        issuer: pass.issuer.clone(),
        ..theirs
    };
    let reply = refused(stranger.host(&route, Some(&bent)).await).await;
    assert!(reply.detail.contains("valid signature"), "{reply}");

    // Genuine, and long over: only the index's key can make one.
    let key = Identity::load(&deployment.path().join("certs"), "index").unwrap();
    let body = pass.read_body().unwrap();
    let month = 30 * 24 * 3600 * 1_000_000;
    let old = key.sign_pass(&PassBody {
        issued: UnixMicros(clock::wall_now().0 - 2 * month),
        expires: UnixMicros(clock::wall_now().0 - month),
        ..body
    });
    let reply = refused(known.host(&route, Some(&old)).await).await;
    assert!(reply.detail.contains("register again"), "{reply}");

    let served = known.host(&route, Some(&pass)).await;
    served.request(&PeerStatus {}).await.unwrap();
}
