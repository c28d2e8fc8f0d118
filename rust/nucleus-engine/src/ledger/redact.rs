//! Redacting, inside the write transaction.

use nucleus_core::{CanonicalJson, ChainEntry, Hash, REDACTION_ID_PREFIX, REDACTIONS_STREAM, Record, canonical};

use super::extend::ChainEnd;
use super::parts::{Ledger, Staged, refuse_unruled};
use crate::model::{Authority, Error, Request, Result, Sight, is_own_stream};
use crate::store::{OpenTransaction, Write};

/// One call of redact.
#[derive(Debug)]
pub(super) struct Redaction {
    /// Of the entry whose payload is erased.
    pub(super) hash: Hash,
    pub(super) reason: String,
    pub(super) request: Request,
}

/// What an entry is looked at by that is to be erased, once its requester is authorised.
const EVERYTHING: Sight = Sight::Everything(Authority::Rules);

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
