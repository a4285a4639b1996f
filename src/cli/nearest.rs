//! The name that was probably meant, where a topic does not exist.

use std::time::Duration;

use super::error::CliError;
use crate::client::{Client, ClientError, TopicFilter};
use crate::types::TopicName;
use crate::wire::ErrorCode;

/// How long a suggestion may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// How alike names must be, from 0 to 1.
const ALIKE: f64 = 0.75;

/// The error for people; for a topic that does not exist, with the nearest name that does.
pub async fn explained(client: &Client, topic: &TopicName, error: ClientError) -> CliError {
    let missing = error.code() == Some(ErrorCode::TopicNotFound);
    let error = CliError::from(error);
    if !missing {
        return error;
    }
    match tokio::time::timeout(PATIENCE, suggestion(client, topic)).await {
        Ok(Some(near)) => error
            .detail("nearest", near)
            .help("see what there is: waypost topic list"),
        _ => error,
    }
}

/// Looks at one page of names with the same first letter, in either case.
async fn suggestion(client: &Client, topic: &TopicName) -> Option<TopicName> {
    let first = topic.as_str().chars().next()?;
    let mut prefixes = vec![first.to_string()];
    let other = match first.is_lowercase() {
        true => first.to_ascii_uppercase(),
        false => first.to_ascii_lowercase(),
    };
    prefixes.extend((other != first).then(|| other.to_string()));
    let mut names = vec![];
    for prefix in prefixes {
        let filter = TopicFilter {
            prefix,
            ..TopicFilter::default()
        };
        let (page, _) = client.list_topics(&filter, None).await.ok()?;
        names.extend(page.into_iter().map(|info| info.name));
    }
    nearest(topic.as_str(), names)
}

fn nearest(wanted: &str, names: Vec<TopicName>) -> Option<TopicName> {
    let wanted = wanted.to_lowercase();
    let alike = |name: &TopicName| strsim::jaro_winkler(&wanted, &name.as_str().to_lowercase());
    let scored = names.into_iter().map(|name| (alike(&name), name));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= ALIKE).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alike_names_are_suggested() {
        let names = || {
            ["orders", "order-lines", "T1"]
                .map(|name| name.parse().unwrap())
                .to_vec()
        };
        assert_eq!(nearest("oders", names()).unwrap().as_str(), "orders");
        assert_eq!(nearest("t1", names()).unwrap().as_str(), "T1");
        assert_eq!(nearest("payments", names()), None);
        assert_eq!(nearest("x", vec![]), None);
    }
}
