//! The formats on the wire: a codec only.
pub mod batch;
