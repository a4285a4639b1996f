//! The numbers as OpenMetrics text. Names are frozen once released: dashboards and alerts go by them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::client::{Metrics, PeerMetrics};
use crate::wire::index::{IndexStatusReply, TopicInfo, TopicPhase};

/// `None`: the index cannot be reached; nothing else is known then.
pub(super) fn text(metrics: Option<&Metrics>, version: &str) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Gauges(gauges(metrics, version))));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing to a String does not fail.
        Err(fmt::Error) => String::new(),
    }
}

type Labels = Vec<(&'static str, String)>;

/// One name with all its series.
#[derive(Debug)]
struct Gauge {
    name: &'static str,
    help: &'static str,
    series: Vec<(Labels, u64)>,
}

#[derive(Debug)]
struct Gauges(Vec<Gauge>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for gauge in self.0.iter().filter(|gauge| !gauge.series.is_empty()) {
            let kind = MetricType::Gauge;
            let mut metric = encoder.encode_descriptor(gauge.name, gauge.help, None, kind)?;
            for (labels, value) in &gauge.series {
                match labels.is_empty() {
                    true => metric.encode_gauge(value)?,
                    false => metric.encode_family(labels)?.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

fn gauges(metrics: Option<&Metrics>, version: &str) -> Vec<Gauge> {
    let program = vec![("version", version.to_owned())];
    let mut all = vec![
        of(
            "waypost_metrics_info",
            "The program that gathered this",
            program,
            1,
        ),
        of(
            "waypost_index_up",
            "Whether the index answered; if not, nothing else is known",
            vec![],
            metrics.is_some().into(),
        ),
    ];
    if let Some(metrics) = metrics {
        all.extend(of_index(&metrics.index));
        all.extend(of_peers(&metrics.peers));
        all.extend(of_topics(&metrics.topics));
    }
    all
}

fn of(name: &'static str, help: &'static str, labels: Labels, value: u64) -> Gauge {
    let series = vec![(labels, value)];
    Gauge { name, help, series }
}

fn of_index(index: &IndexStatusReply) -> Vec<Gauge> {
    let started = u64::try_from(index.started.0 / 1_000_000).unwrap_or(0);
    let told = [
        (
            "waypost_index_start_time_seconds",
            "When the index started",
            started,
        ),
        ("waypost_peers", "Registered peers", index.peers),
        (
            "waypost_peers_live",
            "Peers with a live session",
            index.live,
        ),
        ("waypost_topics", "Topics", index.topics),
        (
            "waypost_subscriptions",
            "Durable subscriptions",
            index.subscriptions,
        ),
        (
            "waypost_topics_under_replicated",
            "Topics with fewer live copies in sync than they are to have",
            index.under_replicated,
        ),
        (
            "waypost_topics_offline",
            "Topics of which nobody who has every acknowledged message is live",
            index.offline,
        ),
        (
            "waypost_topics_held",
            "Topics for which the index holds messages until a host has come",
            index.held_topics,
        ),
        (
            "waypost_topics_frozen",
            "Topics of which a peer knows more than the index, which comes from a backup",
            index.behind,
        ),
        (
            "waypost_held_messages",
            "Messages that the index holds",
            index.held,
        ),
        (
            "waypost_copies_behind",
            "Copies that are not in sync",
            index.copies_behind,
        ),
        (
            "waypost_largest_lag_messages",
            "Messages that the copy lacks that lacks most, as far as known",
            index.largest_lag,
        ),
    ];
    let gauges = told.into_iter();
    gauges
        .map(|(name, help, value)| of(name, help, vec![], value))
        .collect()
}

fn of_peers(peers: &[PeerMetrics]) -> Vec<Gauge> {
    type Value = fn(&PeerMetrics) -> Option<u64>;
    let wanted: [(&str, &str, Value); 10] = [
        (
            "waypost_peer_live",
            "Whether the index has a live session with the peer",
            |peer| Some(peer.info.live.into()),
        ),
        (
            "waypost_peer_up",
            "Whether a live peer answered when it was asked",
            |peer| peer.info.live.then_some(peer.status.is_some().into()),
        ),
        (
            "waypost_peer_hosted_topics",
            "Topics that the peer hosts",
            |peer| Some(peer.info.hosted.into()),
        ),
        (
            "waypost_peer_copies",
            "Copies that the peer keeps or is to get, hosted topics included",
            |peer| Some(peer.info.copies.into()),
        ),
        (
            "waypost_peer_copies_in_sync",
            "Of these, those that have every acknowledged message",
            |peer| Some(peer.info.copies.saturating_sub(peer.info.behind).into()),
        ),
        (
            "waypost_peer_copies_behind",
            "Of these, those that have not",
            |peer| Some(peer.info.behind.into()),
        ),
        (
            "waypost_peer_largest_lag_messages",
            "Messages that its copy lacks that lacks most, as far as known",
            |peer| Some(peer.info.largest_lag),
        ),
        (
            "waypost_peer_incarnation",
            "Starts of the peer's hosting process",
            |peer| Some(peer.info.incarnation.into()),
        ),
        (
            "waypost_peer_journal_bytes",
            "Bytes of the peer's journal on disk",
            |peer| Some(peer.status.as_ref()?.journal_bytes),
        ),
        (
            "waypost_peer_storage_full",
            "Whether the peer's disk has no room",
            |peer| Some(peer.status.as_ref()?.storage_full.into()),
        ),
    ];
    let gauges = wanted.into_iter().map(|(name, help, value)| {
        let series = peers.iter().filter_map(|peer| {
            let labels = vec![("peer", peer.info.name.to_string())];
            Some((labels, value(peer)?))
        });
        let series = series.collect();
        Gauge { name, help, series }
    });
    gauges.collect()
}

fn of_topics(topics: &[TopicInfo]) -> Vec<Gauge> {
    type Value = fn(&TopicInfo) -> Option<u64>;
    let serves = |phase| matches!(phase, TopicPhase::Serving | TopicPhase::HandingOver);
    let wanted: [(&str, &str, Value); 10] = [
        (
            "waypost_topic_host_live",
            "Whether the topic's host is live",
            |topic| Some(topic.host_live.into()),
        ),
        (
            "waypost_topic_grant",
            "Rises when the host role moves",
            |topic| Some(topic.epoch.grant.into()),
        ),
        (
            "waypost_topic_incarnation",
            "Rises when the host's process starts",
            |topic| Some(topic.epoch.incarnation.into()),
        ),
        (
            "waypost_topic_replicas",
            "Peers that keep a copy or are to get one",
            |topic| Some(topic.replicas.into()),
        ),
        (
            "waypost_topic_in_sync",
            "Copies that have every acknowledged message",
            |topic| Some(topic.in_sync.into()),
        ),
        (
            "waypost_topic_in_sync_live",
            "Of these, those with a live session",
            |topic| Some(topic.in_sync_live.into()),
        ),
        (
            "waypost_topic_lag_messages",
            "Messages that the copy lacks that lacks most, as far as known",
            |topic| Some(topic.largest_lag),
        ),
        (
            "waypost_topic_end_offset",
            "Offset that the next message gets, as last reported",
            |topic| Some(topic.reported?.metadata.end),
        ),
        (
            "waypost_topic_start_offset",
            "First offset kept, as last reported",
            |topic| Some(topic.reported?.metadata.start),
        ),
        (
            "waypost_topic_bytes",
            "Bytes of batches kept, as last reported",
            |topic| Some(topic.reported?.metadata.bytes),
        ),
    ];
    // Not the host: a series would break off where it changes.
    let labels = |topic: &TopicInfo| vec![("topic", topic.name.to_string())];
    let mut gauges: Vec<Gauge> = wanted
        .into_iter()
        .map(|(name, help, value)| {
            let series = topics.iter();
            let series = series.filter_map(|topic| Some((labels(topic), value(topic)?)));
            let series = series.collect();
            Gauge { name, help, series }
        })
        .collect();
    let serving = topics
        .iter()
        .map(|topic| (labels(topic), serves(topic.phase).into()));
    gauges.push(Gauge {
        name: "waypost_topic_serving",
        help: "Whether the topic has a live host that serves it",
        series: serving.collect(),
    });
    gauges.push(Gauge {
        name: "waypost_topic_host",
        help: "Who hosts the topic, by label; always 1",
        series: topics
            .iter()
            .filter_map(|topic| {
                let mut labels = labels(topic);
                labels.push(("host", topic.host.as_ref()?.to_string()));
                Some((labels, 1))
            })
            .collect(),
    });
    gauges
}
