//! The words of the system: names, addresses, identifiers, offsets, epochs and times.
//!
//! Guarantees: a value of one of these types is valid by construction (a [`TopicName`] that exists is a
//! legal topic name, also when it came from the network). Knows nothing but serde.

mod address;
mod ids;
mod names;
mod settings;
mod time;

pub use address::{AddressError, Host, IndexAddress};
pub use ids::{
    BootId, Epoch, Fingerprint, Incarnation, Offset, ParseFingerprintError, ProducerId, SessionId,
    StorageId, TopicId, Version,
};
pub use names::{Group, NameError, PeerName, TopicName};
pub use settings::TopicSettings;
pub use time::{MonoNs, UnixMicros};
