//! Open loop: messages at a fixed rate, whatever becomes of them (no coordinated omission).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::alarm::Alarm;
use super::publish::{Answers, answer, answered};
use crate::bench::error::BenchError;
use crate::bench::generator::{Generator, Running};
use crate::bench::measure::Sample;
use crate::client::{Message, Publisher};
use crate::clock;
use crate::types::{MonoNs, TopicName};

/// Bytes of the time that begins a body.
pub const STAMP_BYTES: usize = 8;

/// Publishers that each send at the rate, one after the other.
pub struct Pacing {
    /// Who sends.
    pub publishers: Vec<Publisher>,
    /// Where to.
    pub topic: TopicName,
    /// Bytes of a body.
    pub size: usize,
    /// Messages per second.
    pub rate: u64,
    /// Messages per run.
    pub messages: u64,
}

impl Generator for Pacing {
    fn run(&mut self) -> Running<'_> {
        Box::pin(async {
            let mut samples = vec![];
            for publisher in &self.publishers {
                let (topic, size) = (&self.topic, self.size);
                samples.push(send(publisher, topic, size, self.rate, self.messages).await?);
            }
            Sample::merged(samples).ok_or_else(|| BenchError::Usage("no publishers".to_owned()))
        })
    }
}

/// Sends `messages` at `rate` per second. Each body begins with the time at which it should have
/// been sent; the sample's times are from then to the acknowledgement.
async fn send(
    publisher: &Publisher,
    topic: &TopicName,
    size: usize,
    rate: u64,
    messages: u64,
) -> Result<Sample, BenchError> {
    let waiting = || BenchError::io("waiting for a message's time");
    let alarm = Alarm::new().map_err(waiting())?;
    let began = clock::mono_now();
    let mut answers = Answers::new();
    for number in 0..messages {
        let due = began.plus(Duration::from_nanos(number * 1_000_000_000 / rate.max(1)));
        // A message that is late would count against what is measured.
        alarm.until(due).await.map_err(waiting())?;
        let message = Message::new(body(due, size));
        let pending = publisher.send(topic, message).await;
        let pending = pending.map_err(BenchError::waypost("publishing"))?;
        answers.spawn(answer(pending, due));
    }
    let times = answered(answers).await?;
    Ok(Sample {
        ops: messages,
        bytes: messages * size as u64,
        elapsed: clock::mono_now().since(began),
        times,
        cpu: Duration::ZERO,
    })
}

fn body(due: MonoNs, size: usize) -> Bytes {
    let mut body = BytesMut::with_capacity(size.max(STAMP_BYTES));
    body.put_u64_le(due.0);
    body.resize(size.max(STAMP_BYTES), b'x');
    body.freeze()
}

/// When a body should have been sent.
pub fn stamp(body: &[u8]) -> Option<MonoNs> {
    let bytes = body.first_chunk::<STAMP_BYTES>()?;
    Some(MonoNs(u64::from_le_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_tell_when_they_were_due() {
        assert_eq!(stamp(&body(MonoNs(77), 100)), Some(MonoNs(77)));
        assert_eq!(body(MonoNs(77), 100).len(), 100);
        assert_eq!(body(MonoNs(77), 1).len(), STAMP_BYTES);
        assert_eq!(stamp(b"short"), None);
    }
}
