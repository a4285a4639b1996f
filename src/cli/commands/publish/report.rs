//! What a `publish` says of what was achieved.

use serde_json::{Value, json};

use crate::cli::units;
use crate::client::Receipt;
use crate::types::{Offset, PeerName};
use std::time::Duration;

/// The receipts of one run so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Messages that a host has taken.
    count: u64,
    held_count: u64,
    first: Option<Offset>,
    /// The receipt of the highest offset.
    last: Option<Receipt>,
    /// The least that was achieved for any message.
    durable: Option<u8>,
    /// The last receipt of a message that the index holds.
    held: Option<Receipt>,
}

impl Report {
    pub(super) fn add(&mut self, receipt: Receipt) {
        if receipt.held.is_some() {
            self.held_count += 1;
            self.held = Some(receipt);
            return;
        }
        self.count += 1;
        let first = self.first.get_or_insert(receipt.offset);
        *first = receipt.offset.min(*first);
        let durable = self.durable.get_or_insert(receipt.achieved.durable);
        *durable = receipt.achieved.durable.min(*durable);
        if self
            .last
            .as_ref()
            .is_none_or(|last| last.offset <= receipt.offset)
        {
            self.last = Some(receipt);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count + self.held_count
    }

    /// One line for what a host has taken, one for what the index holds; `None` if there was nothing to
    /// send.
    pub(super) fn text(&self, took: Duration) -> Option<String> {
        let lines: Vec<String> = [self.taken(took), self.held()]
            .into_iter()
            .flatten()
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn held(&self) -> Option<String> {
        let receipt = self.held.as_ref()?;
        let held = receipt.held?;
        let (topic, host) = (&receipt.topic, &receipt.host.name);
        Some(format!(
            "{topic}: held by the index (peer {host}, its host, is away); {} held",
            units::count(held.messages, "message")
        ))
    }

    fn taken(&self, took: Duration) -> Option<String> {
        let (first, last) = (self.first?, self.last.as_ref()?);
        let achieved = format!(
            "durable on {} of {} ({})",
            self.durable.unwrap_or(last.achieved.durable),
            last.achieved.of,
            peers(&last.peers)
        );
        let topic = &last.topic;
        Some(match self.count {
            1 => format!("{topic} @ {}, {achieved}", last.offset),
            count => {
                let rate = count as f64 / took.as_secs_f64().max(1e-6);
                format!(
                    "{topic} @ {first} to {}, {count} messages, {achieved}, in {} ({rate:.0}/s)",
                    last.offset,
                    units::age(took)
                )
            }
        })
    }
}

fn peers(names: &[PeerName]) -> String {
    let list: Vec<&str> = names.iter().map(PeerName::as_str).collect();
    match names.len() {
        1 => format!("peer {}", list[0]),
        _ => format!("peers {}", list.join(", ")),
    }
}

/// One receipt for programs.
pub(super) fn json(receipt: &Receipt) -> Value {
    if let Some(held) = receipt.held {
        return json!({
            "topic": receipt.topic,
            "offset": null,
            "held": held.messages,
            "host": receipt.host.name,
        });
    }
    json!({
        "topic": receipt.topic,
        "offset": receipt.offset.0,
        "durable": receipt.achieved.durable,
        "of": receipt.achieved.of,
        "peers": &receipt.peers[..],
        "duplicate": receipt.duplicate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Fingerprint, UnixMicros};
    use crate::wire::index::HostAddress;
    use crate::wire::index::copies::HeldInfo;
    use crate::wire::peer::Achieved;

    fn receipt(offset: u64) -> Receipt {
        Receipt {
            topic: "T1".parse().unwrap(),
            offset: Offset(offset),
            epoch: Epoch::default(),
            duplicate: false,
            achieved: Achieved { durable: 1, of: 1 },
            peers: vec!["1".parse().unwrap()].into(),
            host: std::sync::Arc::new(HostAddress {
                fingerprint: Fingerprint([1; 32]),
                name: "1".parse().unwrap(),
                addresses: vec![],
                live: true,
            }),
            held: None,
        }
    }

    #[test]
    fn it_says_what_was_achieved() {
        let mut report = Report::default();
        let second = Duration::from_secs(1);
        assert_eq!(report.text(second), None);
        report.add(receipt(42));
        let one = "T1 @ 42, durable on 1 of 1 (peer 1)";
        assert_eq!(report.text(second).as_deref(), Some(one));
        report.add(receipt(43));
        let two = "T1 @ 42 to 43, 2 messages, durable on 1 of 1 (peer 1), in 1s (2/s)";
        assert_eq!(report.text(second).as_deref(), Some(two));
    }

    #[test]
    fn it_says_what_the_index_holds() {
        let held = |messages| Receipt {
            held: Some(HeldInfo {
                messages,
                bytes: 100,
                since: UnixMicros(0),
            }),
            ..receipt(0)
        };
        let mut report = Report::default();
        report.add(held(1));
        let one = "T1: held by the index (peer 1, its host, is away); 1 message held";
        assert_eq!(report.text(Duration::ZERO).as_deref(), Some(one));
        report.add(held(2));
        report.add(receipt(42));
        let both = "T1 @ 42, durable on 1 of 1 (peer 1)\n\
                    T1: held by the index (peer 1, its host, is away); 2 messages held";
        assert_eq!(report.text(Duration::ZERO).as_deref(), Some(both));
        assert_eq!(report.count(), 3);
        let expected = r#"{"topic":"T1","offset":null,"held":2,"host":"1"}"#;
        assert_eq!(json(&held(2)).to_string(), expected);
    }

    #[test]
    fn programs_get_each_receipt() {
        let expected =
            r#"{"topic":"T1","offset":42,"durable":1,"of":1,"peers":["1"],"duplicate":false}"#;
        assert_eq!(json(&receipt(42)).to_string(), expected);
    }
}
