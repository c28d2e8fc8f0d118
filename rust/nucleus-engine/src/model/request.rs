//! Who asks for an append, for what and when.

use std::sync::Arc;

use nucleus_core::{Hash, Record};

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who.
    pub requester_oid: Arc<str>,
    /// The engine's clock, in ms since the Unix epoch.
    pub recorded_at: i64,
}

/// A record with what the caller said explicitly.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The record.
    pub record: Record,
    /// Whether its timestamp is the caller's, not the default.
    pub timestamp_given: bool,
}

/// What the caller asks of an append besides the records.
#[derive(Debug, Clone, Copy, Default)]
pub struct AppendOptions {
    /// Answer the existing entry where the same record was appended under its id before; refuse another.
    pub unique: bool,
    /// Refuse unless the chain ends here.
    pub expected_head: Option<Hash>,
    /// Name the position of a refused record, as callers of a batch expect, even of a batch of one.
    pub batch: bool,
}
