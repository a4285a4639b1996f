//! What ties a struct to its message number, and a request to its reply.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{DecodeError, Frame};

/// A struct that travels as a frame's header.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The number in the frame.
    const KIND: u8;
    /// The name in errors and docs.
    const NAME: &'static str;

    /// Checks bounds of lists after decoding.
    fn check_bounds(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// A message that is answered by exactly one reply, which carries the same number.
pub trait Request: Message {
    /// The answer.
    type Reply: Message;
}

/// All requests of one protocol: what a server decodes the first frame of a stream into.
pub trait WireRequest: Sized {
    /// Decodes the frame; `Bytes` is the payload, empty where the request has none.
    fn decode(frame: &Frame) -> Result<(Self, bytes::Bytes), DecodeError>;
    /// The request's name, for logs.
    fn name(&self) -> &'static str;
}

/// Implements [`Message`] for a struct: `message!(0x01 Lookup)`, with a bound on a list:
/// `message!(0x03 LookupMany, names <= limit)`.
macro_rules! message {
    ($kind:literal $name:ident $(, $list:ident <= $max:expr)*) => {
        impl $crate::wire::message::Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = stringify!($name);
            fn check_bounds(&self) -> Result<(), $crate::wire::frame::DecodeError> {
                $(
                    let max: usize = $max;
                    if self.$list.len() > max {
                        return Err($crate::wire::frame::DecodeError::TooMany {
                            message: stringify!($name),
                            found: self.$list.len(),
                            max,
                        });
                    }
                )*
                Ok(())
            }
        }
    };
}

/// Declares the requests of a protocol: the enum a server matches on, and each request's reply.
macro_rules! requests {
    ($(#[$doc:meta])* $vis:vis enum $enum:ident { $($request:ident => $reply:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)] // each variant is the struct of its name
        $vis enum $enum {
            $($request($request),)*
        }

        impl $crate::wire::message::WireRequest for $enum {
            fn decode(
                frame: &$crate::wire::frame::Frame,
            ) -> Result<(Self, bytes::Bytes), $crate::wire::frame::DecodeError> {
                use $crate::wire::message::Message;
                match frame.kind {
                    $($request::KIND => {
                        let (request, payload) = frame.decode_with_payload::<$request>()?;
                        Ok(($enum::$request(request), payload))
                    })*
                    found => Err($crate::wire::frame::DecodeError::UnknownKind {
                        found,
                        expected: concat!("a request of ", stringify!($enum)),
                    }),
                }
            }

            fn name(&self) -> &'static str {
                match self {
                    $($enum::$request(_) => stringify!($request),)*
                }
            }
        }

        $(impl $crate::wire::message::Request for $request {
            type Reply = $reply;
        })*
    };
}

pub(crate) use {message, requests};
