//! Redacting: the public call, and its part inside the write transaction.

use std::sync::Arc;

use nucleus_core::oid::check_oid;
use nucleus_core::{
    CanonicalJson, ChainEntry, Hash, InvalidRecord, REDACTION_ID_PREFIX, REDACTIONS_STREAM, Record, canonical,
};

use super::extend::ChainEnd;
use super::stage::{Ledger, Staged, Work};
use super::{LedgerEngine, refuse_unruled};
use crate::model::{Authority, Error, Request, Result, Sight, is_own_stream};
use crate::store::{OpenTransaction, Write};

/// One call of redact.
#[derive(Debug)]
pub(super) struct Redaction {
    /// Of the entry whose payload is erased.
    hash: Hash,
    reason: String,
    request: Request,
}

/// What an entry is looked at by that is to be erased, once its requester is authorised.
const EVERYTHING: Sight = Sight::Everything(Authority::Rules);

impl LedgerEngine {
    /// Erases one entry's payload and salt for good; answers the entry that records it.
    ///
    /// Redacting what is redacted already answers the entry of then. A reader may keep the write-ahead log from being emptied
    /// of what was erased: then [`Stats::scrub_pending`](crate::store::Stats::scrub_pending) says so until a later commit,
    /// or the closing, has emptied it.
    pub fn redact(&self, hash: &Hash, reason: &str, requester_oid: &str) -> Result<ChainEntry> {
        check_oid(requester_oid)?;
        if reason.is_empty() {
            return Err(InvalidRecord::new("a redaction needs a reason").within_key("reason").into());
        }
        self.hooks.refuse_inside_hook("redact")?;
        if !self.hooks.none() {
            self.bring_grants_up_to_date()?;
        }
        let request = Request { requester_oid: Arc::from(requester_oid), recorded_at: self.environment.now_ms() };
        let redaction = Redaction { hash: *hash, reason: reason.to_owned(), request };
        let recorded = self.queue.submit(self.parts(), Work::Redact(redaction))?;
        // The erasure is durable: what is left to do is not for its caller to fail by.
        match self.storage.upkeep().scrub() {
            Ok(true) => {}
            Ok(false) => tracing::warn!("a reader keeps the write-ahead log from being emptied of an erased payload"),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be emptied of an erased payload yet"),
        }
        recorded.entries.into_iter().next().ok_or(Error::Closed)
    }
}

/// Erases a payload and appends the record of it.
pub(super) fn stage_redaction(ledger: Ledger<'_>, open: &OpenTransaction, redaction: &Redaction) -> Result<Staged> {
    let Redaction { hash, request, .. } = redaction;
    if let Some(access) = ledger.access {
        open.with(|transaction| access.authorise_redaction(transaction, request, hash))?;
    }
    if let Some(entry) = open.with(|transaction| redactable(transaction, hash))? {
        refuse_unruled(ledger.unruled, &entry.record.stream)?;
        ledger.hooks.before_redact(open, request, &entry)?;
    }
    open.with(|transaction| {
        let mut end = ChainEnd::of(ledger, transaction)?;
        let first_seq = end.next_seq();
        let recorded = erase(transaction, &mut end, redaction)?;
        Ok(Staged { first_seq, entries: vec![recorded], ..Staged::default() })
    })
}

/// The entry that a redaction would change, if it would.
fn redactable(transaction: &mut dyn Write, hash: &Hash) -> Result<Option<ChainEntry>> {
    Ok(transaction.get(hash, &EVERYTHING)?.filter(|entry| !entry.redacted()))
}

fn erase(transaction: &mut dyn Write, end: &mut ChainEnd<'_>, redaction: &Redaction) -> Result<ChainEntry> {
    let Redaction { hash, reason, request } = redaction;
    let conflict = |message: String| Error::Conflict { message, existing_hash: Some(*hash) };
    let Some(entry) = transaction.get(hash, &EVERYTHING)? else {
        return Err(Error::no_entry(hash));
    };
    if is_own_stream(&entry.record.stream) {
        return Err(conflict(format!("entry {} is of the engine's own stream and stays", entry.seq)));
    }
    let id = format!("{REDACTION_ID_PREFIX}{hash}");
    if entry.redacted() {
        return transaction
            .latest_by_id(&id, Some(REDACTIONS_STREAM), &EVERYTHING)?
            .ok_or_else(|| conflict(format!("the payload of entry {} is missing without a record of why", entry.seq)));
    }
    transaction.erase(&entry)?;
    let mut payload = format!("{{\"hash\":\"{hash}\",\"reason\":");
    canonical::write_string(&mut payload, reason);
    payload.push_str(&format!(",\"seq\":{}}}", entry.seq));
    let record = Record {
        id,
        stream: REDACTIONS_STREAM.to_owned(),
        timestamp: request.recorded_at,
        payload: Some(CanonicalJson::from_canonical(payload)),
        meta: None,
    };
    end.append_own(transaction, record, request)
}
