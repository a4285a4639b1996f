//! What a client library asks side by side.

use tokio::task::JoinSet;

use super::*;
use crate::client::{Client, ClientError, ClientOptions};
use crate::wire::ErrorCode;

const TOPICS: usize = 40;

fn client(index: &TestIndex) -> Client {
    let address = index.address.to_string().parse().unwrap();
    let options = ClientOptions::new(Identity::ephemeral(), peer("2"), address);
    Client::new(options).unwrap()
}

#[test]
fn lookups_side_by_side_are_each_answered_with_their_own_topic() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        let names: Vec<String> = (0..TOPICS).map(|number| format!("t/{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let created = host.create(&names).await;
        let client = client(&index);
        // A caller that goes away while others wait for its place.
        let gone = client.clone();
        let gone = tokio::spawn(async move { gone.lookup(&topic("t/0")).await });
        let mut asking = JoinSet::new();
        for number in 0..10 * TOPICS {
            let client = client.clone();
            asking.spawn(async move { (number, client.lookup(&name(number)).await) });
        }
        tokio::task::yield_now().await;
        gone.abort();
        for (number, found) in asking.join_all().await {
            match exists(number) {
                true => {
                    let CreateOutcome::Created { topic, epoch } =
                        created.outcomes[number % TOPICS].clone()
                    else {
                        panic!("{created:?}");
                    };
                    let found = found.unwrap();
                    assert_eq!((found.topic, found.epoch), (topic, epoch));
                    assert_eq!(found.host.name, peer("1"));
                }
                false => not_found(&found.unwrap_err(), number),
            }
        }
    });
}

#[test]
fn a_lookup_that_is_begun_and_left_alone_holds_nobody_up() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["a", "b"]).await;
        let client = client(&index);
        let (a, b) = (topic("a"), topic("b"));
        // Connected: a dial is one for all.
        client.lookup(&b).await.unwrap();
        let mut left = std::pin::pin!(client.lookup(&a));
        tokio::select! {
            biased;
            _ = &mut left => panic!("answered when first polled"),
            () = std::future::ready(()) => {}
        }
        for _ in 0..3 {
            client.lookup(&b).await.unwrap();
        }
        left.await.unwrap();
    });
}

fn exists(number: usize) -> bool {
    !number.is_multiple_of(7)
}

fn name(number: usize) -> TopicName {
    match exists(number) {
        true => topic(&format!("t/{}", number % TOPICS)),
        false => topic(&format!("none/{number}")),
    }
}

/// The error speaks of the topic that was asked for.
fn not_found(error: &ClientError, number: usize) {
    assert_eq!(error.code(), Some(ErrorCode::TopicNotFound), "{error}");
    let named = format!("'{}'", name(number));
    assert!(error.to_string().contains(&named), "{error}");
}
