//! What an append needs before it takes any lock: bounds, the engine's own meta, the commitment to the payload.

use nucleus_core::entry::{Salt, commit_payload};
use nucleus_core::{CanonicalJson, ChainEntry, FORMAT, Hash, InvalidRecord, Record};

use crate::model::{NewRecord, is_own_stream, with_engine_meta};

/// What a caller said of a record besides what becomes its entry.
#[derive(Debug)]
pub(super) struct Note {
    /// The meta as the caller gave it.
    pub(super) caller_meta: Option<CanonicalJson>,
    pub(super) timestamp_given: bool,
    /// The payload as the caller gave it, where hooks have changed it since.
    pub(super) given_payload: Option<CanonicalJson>,
}

/// Who writes a record, when, and how large it may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) requester_oid: &'a str,
    /// The engine's clock, in ms since the Unix epoch.
    pub(super) recorded_at: i64,
    pub(super) max_record_bytes: usize,
}

/// Checks a caller's record and makes the entry of it, which needs nothing but its place in the chain.
pub(super) fn prepare(
    new: NewRecord,
    salt: Salt,
    writer: Writer<'_>,
) -> std::result::Result<(ChainEntry, Note), InvalidRecord> {
    let NewRecord { mut record, timestamp_given } = new;
    record.validate()?;
    if is_own_stream(&record.stream) {
        let reason = format!("`{}` is the engine's own stream; append to another", record.stream);
        return Err(InvalidRecord::new(reason).within_key("stream"));
    }
    let note = Note { caller_meta: record.meta.take(), timestamp_given, given_payload: None };
    record.meta = Some(complete_meta(note.caller_meta.as_ref(), writer)?);
    check_size(record.content_bytes(), writer)?;
    Ok((unplaced(record, salt), note))
}

/// Completes anew what hooks have changed: `caller_meta` is the meta as they left it.
pub(super) fn complete(
    entry: &mut ChainEntry,
    caller_meta: Option<&CanonicalJson>,
    writer: Writer<'_>,
) -> std::result::Result<(), InvalidRecord> {
    entry.record.meta = Some(complete_meta(caller_meta, writer)?);
    check_size(entry.record.content_bytes(), writer)?;
    if let Some(salt) = &entry.salt {
        entry.payload_hash = commit_payload(&entry.record, salt);
    }
    Ok(())
}

fn complete_meta(
    caller_meta: Option<&CanonicalJson>,
    writer: Writer<'_>,
) -> std::result::Result<CanonicalJson, InvalidRecord> {
    with_engine_meta(caller_meta, writer.requester_oid, writer.recorded_at)
}

fn check_size(bytes: usize, writer: Writer<'_>) -> std::result::Result<(), InvalidRecord> {
    if bytes <= writer.max_record_bytes {
        return Ok(());
    }
    Err(InvalidRecord::new(format!(
        "the record has {bytes} bytes in canonical form; at most {} are allowed (max_record_bytes)",
        writer.max_record_bytes
    )))
}

/// An entry that needs nothing but its place in the chain.
pub(super) fn unplaced(record: Record, salt: Salt) -> ChainEntry {
    let payload_hash = commit_payload(&record, &salt);
    let hash = Hash([0; 32]);
    ChainEntry { seq: 0, format: FORMAT, hash, prev_hash: None, salt: Some(salt), payload_hash, record }
}
