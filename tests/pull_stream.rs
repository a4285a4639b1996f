//! Pulls of more than fits in one request: in order, once each, whatever happens to the host meanwhile.

#[path = "common/clients.rs"]
mod clients;
mod common;

use clients::{client, read_all, runtime};
use common::{Deployment, Process};
use waypost::client::{
    ClientError, Message, PublisherOptions, PullOptions, PullStream, Pulled, ReadFrom,
};
use waypost::types::{Offset, TopicName};
use waypost::wire::ErrorCode;

/// Messages, which together are more than QUIC has under way.
const MESSAGES: u64 = 3_000;
const BODY_BYTES: usize = 16 << 10;

fn topic() -> TopicName {
    "T1".parse().unwrap()
}

fn body(number: u64) -> Vec<u8> {
    let mut body = vec![b'x'; BODY_BYTES];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

async fn publish(deployment: &Deployment, numbers: impl Iterator<Item = u64>) {
    let publisher = client(deployment, "writer").publisher(PublisherOptions::default());
    for number in numbers {
        let message = Message::new(body(number));
        drop(publisher.send(&topic(), message).await.unwrap());
    }
    publisher.flush().await.unwrap();
}

/// An index, a host, and the messages.
fn staged() -> (Deployment, Process, Process) {
    let deployment = Deployment::new();
    let index = deployment.index();
    let host = deployment.peer("host");
    deployment
        .run(["topic", "create", "T1", "--id", "host"])
        .ok();
    runtime().block_on(publish(&deployment, 1..=MESSAGES));
    (deployment, index, host)
}

fn everything() -> PullOptions {
    PullOptions {
        from: ReadFrom::Start,
        max_bytes: u64::MAX,
        ..PullOptions::default()
    }
}

/// What has come, and checks that it is what comes next.
#[derive(Default)]
struct Seen {
    last: u64,
}

impl Seen {
    fn take(&mut self, pulled: &Pulled) {
        for message in pulled.delivery.messages() {
            let message = message.unwrap();
            assert_eq!(message.offset, Offset(self.last + 1));
            assert_eq!(message.body, body(self.last + 1));
            self.last += 1;
        }
    }

    async fn read(&mut self, stream: &mut PullStream, to: u64) {
        while self.last < to {
            let pulled = stream.next().await.unwrap().expect("more is there");
            self.take(&pulled);
        }
    }
}

#[test]
fn a_stream_ends_where_the_topic_ended_when_it_began_and_commits_as_far_as_it_came() {
    let (deployment, _index, _host) = staged();
    runtime().block_on(async {
        let reader = client(&deployment, "reader");
        let mut seen = Seen::default();
        let mut stream = reader.pull_stream(&topic(), everything());
        assert_eq!(stream.commit().await.unwrap(), None, "nothing was given");
        seen.read(&mut stream, MESSAGES / 2).await;
        let half = stream.commit().await.unwrap().unwrap();
        assert_eq!(half.next, Offset(seen.last + 1));
        publish(&deployment, MESSAGES + 1..=MESSAGES + 9).await;
        seen.read(&mut stream, MESSAGES).await;
        assert_eq!(seen.last, MESSAGES);
        assert!(stream.next().await.unwrap().is_none());
        assert!(stream.next().await.unwrap().is_none());
        let all = stream.commit().await.unwrap().unwrap();
        assert_eq!(
            (all.next, all.sequence),
            (Offset(MESSAGES + 1), half.sequence + 1)
        );

        // From the position on, and no more than is wanted.
        let mut options = PullOptions {
            max_messages: 5,
            ..PullOptions::default()
        };
        let mut stream = reader.pull_stream(&topic(), options.clone());
        seen.read(&mut stream, MESSAGES + 5).await;
        assert_eq!(seen.last, MESSAGES + 5);
        assert!(stream.next().await.unwrap().is_none());
        options.max_bytes = 1;
        options.max_messages = u64::MAX;
        let mut stream = reader.pull_stream(&topic(), options);
        assert!(stream.next().await.unwrap().is_some(), "at least one batch");
        assert!(stream.next().await.unwrap().is_none());
    });
}

#[test]
fn a_stream_goes_on_when_its_host_was_killed_and_comes_again() {
    let (deployment, _index, host) = staged();
    runtime().block_on(async {
        let reader = client(&deployment, "reader");
        let mut seen = Seen::default();
        let mut stream = reader.pull_stream(&topic(), everything());
        seen.read(&mut stream, 10).await;
        host.kill();
        let _host = deployment.peer("host");
        seen.read(&mut stream, MESSAGES).await;
        assert!(stream.next().await.unwrap().is_none());
    });
}

#[test]
fn a_stream_does_not_go_on_in_another_topic_of_that_name() {
    let (deployment, _index, _host) = staged();
    runtime().block_on(async {
        let reader = client(&deployment, "reader");
        let mut stream = reader.pull_stream(&topic(), everything());
        let mut seen = Seen::default();
        seen.read(&mut stream, 10).await;
        let delete = ["topic", "delete", "T1", "--yes", "--id", "host"];
        deployment.run(delete).ok();
        let create = ["topic", "create", "T1", "--id", "host"];
        deployment.run(create).ok();
        publish(&deployment, std::iter::once(1)).await;
        let error = loop {
            match stream.next().await {
                Ok(pulled) => seen.take(&pulled.expect("an error in the end")),
                Err(error) => break error,
            }
        };
        assert!(seen.last < MESSAGES);
        assert_eq!(error.code(), Some(ErrorCode::TopicNotFound), "{error}");
        let says = ClientError::to_string(&error);
        assert!(says.contains("deleted and made anew"), "{says}");
        assert_eq!(read_all(&reader, &topic()).await, [(1, body(1))]);
    });
}

#[test]
fn the_command_shows_all_of_a_large_topic_and_goes_on_behind_it() {
    let (deployment, _index, _host) = staged();
    let offsets = |args: &[&str]| -> Vec<u64> {
        let pull = ["pull", "T1", "--id", "reader", "-f", "%o\n"];
        let shown = deployment.run(pull.iter().chain(args)).ok();
        shown.lines().map(|line| line.parse().unwrap()).collect()
    };
    let most: Vec<u64> = (1..=MESSAGES - 500).collect();
    let max = most.len().to_string();
    assert_eq!(offsets(&["--max", &max]), most);
    assert_eq!(
        offsets(&[]),
        (MESSAGES - 499..=MESSAGES).collect::<Vec<_>>()
    );
    assert!(offsets(&[]).is_empty());
    assert_eq!(
        offsets(&["--from", "start", "--commit"]).len() as u64,
        MESSAGES
    );
    assert!(offsets(&[]).is_empty(), "the position stands at the end");
}
