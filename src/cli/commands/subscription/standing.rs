//! Where subscriptions stand: asked of the hosts, all at once; where one is away, what it last
//! reported to the index.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::cli::output::Row;
use crate::cli::units;
use crate::client::Client;
use crate::types::{Fingerprint, Group, PeerName, TopicId, TopicName};
use crate::wire::index::{HostAddress, SubscriptionInfo};
use crate::wire::peer::TopicState;

/// How long hosts are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// One subscription as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Line {
    topic: TopicName,
    group: Group,
    /// The next offset to read.
    position: Option<u64>,
    end: Option<u64>,
    lag: Option<u64>,
    host: PeerName,
    /// Whether the host itself said so.
    from_host: bool,
    /// How old the host's last report is, where it did not answer.
    reported_age_ms: Option<u64>,
    since: String,
}

impl Row for Line {
    const HEAD: &'static [&'static str] =
        &["topic", "group", "position", "end", "lag", "host", "as of"];

    fn cells(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let as_of = match (self.from_host, self.reported_age_ms) {
            (true, _) => "now".to_owned(),
            (false, Some(ms)) => {
                format!("{} ago, host away", units::age(Duration::from_millis(ms)))
            }
            (false, None) => "host away".to_owned(),
        };
        vec![
            self.topic.to_string(),
            self.group.to_string(),
            number(self.position),
            number(self.end),
            number(self.lag),
            self.host.to_string(),
            as_of,
        ]
    }
}

/// The topics of one host that are asked for.
type Asked = Vec<(TopicId, Group)>;

/// All subscriptions in their order, with what the hosts say.
pub(super) async fn lines(client: &Client, subscriptions: Vec<SubscriptionInfo>) -> Vec<Line> {
    let states = ask_hosts(client, &subscriptions).await;
    let line = |subscription: SubscriptionInfo| {
        let asked = (subscription.route.topic, subscription.group.clone());
        let state = states.get(&asked).copied();
        line(subscription, state)
    };
    subscriptions.into_iter().map(line).collect()
}

async fn ask_hosts(
    client: &Client,
    subscriptions: &[SubscriptionInfo],
) -> BTreeMap<(TopicId, Group), TopicState> {
    let mut hosts: BTreeMap<Fingerprint, (Arc<HostAddress>, Asked)> = BTreeMap::new();
    for subscription in subscriptions {
        let host = &subscription.route.host;
        let entry = hosts.entry(host.fingerprint);
        let (_, asked) = entry.or_insert_with(|| (Arc::clone(host), vec![]));
        asked.push((subscription.route.topic, subscription.group.clone()));
    }
    let mut questions = JoinSet::new();
    for (host, asked) in hosts.into_values() {
        let client = client.clone();
        questions.spawn(async move {
            let answer = client.topic_states(&host, &asked);
            let states = tokio::time::timeout(PATIENCE, answer).await;
            (asked, states)
        });
    }
    let mut found = BTreeMap::new();
    while let Some(answered) = questions.join_next().await {
        if let Ok((asked, Ok(Ok(states)))) = answered {
            let known = asked.into_iter().zip(states);
            found.extend(known.filter_map(|(asked, state)| Some((asked, state?))));
        }
    }
    found
}

fn line(subscription: SubscriptionInfo, state: Option<TopicState>) -> Line {
    let reported = subscription.reported;
    let position = state
        .and_then(|state| state.position)
        .map(|position| position.next.0);
    let end = match state {
        Some(state) => Some(state.end.0),
        None => reported.map(|reported| reported.metadata.end),
    };
    // Without a position all that is kept is new.
    let next = position.or(state.map(|state| state.start.0));
    Line {
        topic: subscription.name,
        group: subscription.group,
        position,
        end,
        lag: next.zip(end).map(|(next, end)| end.saturating_sub(next)),
        host: subscription.route.host.name.clone(),
        from_host: state.is_some(),
        reported_age_ms: reported.filter(|_| state.is_none()).and_then(|r| r.age_ms),
        since: units::rfc3339(subscription.since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Offset, UnixMicros};
    use crate::wire::index::{ReportedTopic, Route, TopicMetadata};
    use crate::wire::peer::PositionValue;

    fn subscription() -> SubscriptionInfo {
        SubscriptionInfo {
            name: "T1".parse().unwrap(),
            group: Group::default(),
            since: UnixMicros(0),
            route: Route {
                topic: TopicId([1; 16]),
                epoch: Epoch::default(),
                host: Arc::new(HostAddress {
                    fingerprint: Fingerprint([1; 32]),
                    name: "2".parse().unwrap(),
                    addresses: vec![],
                    live: false,
                }),
            },
            reported: Some(ReportedTopic {
                metadata: TopicMetadata {
                    start: 1,
                    end: 9,
                    ..TopicMetadata::default()
                },
                age_ms: Some(12_000),
            }),
        }
    }

    fn state(position: Option<u64>) -> TopicState {
        TopicState {
            start: Offset(3),
            end: Offset(10),
            bytes: 0,
            last_append: None,
            epoch: Epoch::default(),
            position: position.map(|next| PositionValue {
                next: Offset(next),
                sequence: 1,
            }),
            damaged: false,
        }
    }

    #[test]
    fn a_host_that_answers_says_how_far_behind_we_are() {
        let cells = |state| line(subscription(), state).cells();
        assert_eq!(
            cells(Some(state(Some(7)))),
            ["T1", "", "7", "10", "3", "2", "now"]
        );
        assert_eq!(
            cells(Some(state(None))),
            ["T1", "", "-", "10", "7", "2", "now"]
        );
    }

    #[test]
    fn a_host_that_is_away_leaves_its_last_report() {
        let cells = line(subscription(), None).cells();
        assert_eq!(cells, ["T1", "", "-", "9", "-", "2", "12s ago, host away"]);
    }
}
