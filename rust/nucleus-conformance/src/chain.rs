//! Entries that continue a chain, made without an engine.

use nucleus_core::entry::{Head, Linker, Salt, commit_payload};
use nucleus_core::{CanonicalJson, ChainEntry, REDACTION_ID_PREFIX, REDACTIONS_STREAM, Record};
use nucleus_engine::model::{GrantAction, GrantEntry, Resource, Scope};

use crate::LEDGER_ID;

/// The salt of every entry that is made here.
const SALT: Salt = [7; 16];

/// Where a chain ends.
pub fn head_of(entries: &[ChainEntry]) -> Option<Head> {
    entries.last().map(|last| Head { seq: last.seq, hash: last.hash })
}

/// The entry of a record that comes behind these.
pub fn next_entry(entries: &[ChainEntry], record: Record) -> ChainEntry {
    let commitment = commit_payload(&record, &SALT);
    Linker::new(LEDGER_ID, head_of(entries)).link(record, SALT, commitment)
}

/// A chain of these records.
pub fn chain_of(records: impl IntoIterator<Item = Record>) -> Vec<ChainEntry> {
    let mut entries = Vec::new();
    for record in records {
        entries.push(next_entry(&entries, record));
    }
    entries
}

/// A record with a canonical payload.
pub fn record(stream: &str, id: &str, timestamp: i64, payload: &str) -> Record {
    let payload = Some(CanonicalJson::from_text(payload).unwrap());
    Record { id: id.to_owned(), stream: stream.to_owned(), timestamp, payload, meta: None }
}

/// The record that an entry was erased.
pub fn redaction_of(entry: &ChainEntry, timestamp: i64) -> Record {
    let id = format!("{REDACTION_ID_PREFIX}{}", entry.hash);
    let payload = format!(r#"{{"hash":"{}","reason":"test","seq":{}}}"#, entry.hash, entry.seq);
    record(REDACTIONS_STREAM, &id, timestamp, &payload)
}

/// A record that says who was granted what.
pub fn granting(kind: &str, id: &str, principal_oid: &str, timestamp: i64) -> Record {
    let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
    let principal_oid = principal_oid.to_owned();
    GrantEntry { action: GrantAction::Grant, resource, principal_oid, scope: Scope::Read, exp: None }.record(timestamp)
}
