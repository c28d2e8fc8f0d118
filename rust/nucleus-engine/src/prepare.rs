//! What an append needs before it takes any lock: bounds, the engine's own meta, the commitment to the payload.

use nucleus_core::entry::{Salt, commit_payload};
use nucleus_core::{CanonicalJson, Hash, InvalidRecord, Record, canonical};

use crate::access::is_own_stream;
use crate::error::{Error, Result};

/// A record with what the caller said explicitly.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The record.
    pub record: Record,
    /// Whether its timestamp is the caller's, not the default.
    pub timestamp_given: bool,
}

/// A record that needs nothing but its place in the chain.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) record: Record,
    pub(crate) salt: Salt,
    pub(crate) payload_hash: Hash,
    /// The meta as the caller gave it.
    pub(crate) caller_meta: Option<CanonicalJson>,
    pub(crate) timestamp_given: bool,
}

impl Prepared {
    /// Checks a caller's record and completes it.
    pub(crate) fn new(new: NewRecord, salt: Salt, writer: Writer<'_>) -> std::result::Result<Self, InvalidRecord> {
        let NewRecord { mut record, timestamp_given } = new;
        record.validate()?;
        if is_own_stream(&record.stream) {
            let reason = format!("`{}` is the engine's own stream; append to another", record.stream);
            return Err(InvalidRecord::new(reason).within_key("stream"));
        }
        let caller_meta = record.meta.take();
        let mut prepared = Self { payload_hash: Hash([0; 32]), record, salt, caller_meta, timestamp_given };
        prepared.complete(writer)?;
        Ok(prepared)
    }

    /// Writes the engine's own meta and commits to the payload.
    pub(crate) fn complete(&mut self, writer: Writer<'_>) -> std::result::Result<(), InvalidRecord> {
        self.record.meta = Some(with_engine_meta(self.caller_meta.as_ref(), writer.requester_oid, writer.recorded_at)?);
        if self.record.content_bytes() > writer.max_record_bytes {
            return Err(InvalidRecord::new(format!(
                "the record has {} bytes in canonical form; at most {} are allowed (max_record_bytes)",
                self.record.content_bytes(),
                writer.max_record_bytes
            )));
        }
        self.payload_hash = commit_payload(&self.record, &self.salt);
        Ok(())
    }
}

/// Who writes a record, when, and how large it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) requester_oid: &'a str,
    /// The engine's clock, in ms since the Unix epoch.
    pub(crate) recorded_at: i64,
    pub(crate) max_record_bytes: usize,
}

/// The caller's meta with the engine's own members.
pub(crate) fn with_engine_meta(
    caller: Option<&CanonicalJson>,
    requester_oid: &str,
    recorded_at: i64,
) -> std::result::Result<CanonicalJson, InvalidRecord> {
    let mut requester = String::new();
    canonical::write_string(&mut requester, requester_oid);
    let recorded_at = recorded_at.to_string();
    let own = [("recorded_at", recorded_at.as_str()), ("requester_oid", requester.as_str())];
    let mut members = caller.and_then(|meta| canonical::members(meta.as_str())).unwrap_or_default();
    for (key, value) in own {
        match members.iter().find(|(name, _)| name == key) {
            Some((_, given)) if *given == value => {}
            Some(_) => {
                let reason = "is written by the engine itself; leave it out";
                return Err(InvalidRecord::new(reason).within_key(key).within_key("meta"));
            }
            None => members.push((key.to_owned(), value)),
        }
    }
    let mut out = String::new();
    canonical::write_members(&mut out, &mut members);
    Ok(CanonicalJson::from_canonical(out))
}

/// Fresh salts.
pub(crate) fn random_salts(count: usize) -> Result<Vec<Salt>> {
    let mut salts = vec![[0; 16]; count];
    getrandom::fill(salts.as_flattened_mut())
        .map_err(|error| Error::Database(format!("no randomness from the system: {error}")))?;
    Ok(salts)
}
