//! What writes, as the ledger's users call it: appending, redacting, importing. Each is queued, and shares a commit with
//! what others write.

use std::sync::Arc;

use nucleus_core::oid::check_oid;
use nucleus_core::{ChainEntry, Hash, InvalidRecord};

use super::LedgerEngine;
use super::append::Append;
use super::parts::{Appended, refuse_unruled};
use super::prepare::{Writer, prepare};
use super::redact::Redaction;
use super::stage::Work;
use crate::model::{AppendOptions, Error, NewRecord, Request, Result};

impl LedgerEngine {
    /// Appends records in one atomic step; when this answers, they are durable as configured.
    ///
    /// Calls of several threads share a commit; each fails or succeeds alone. Where a module completed a record whose resource
    /// the requester may write but not read, the entry is answered without its payload, as if it were redacted.
    pub fn append(
        &self,
        records: Vec<NewRecord>,
        requester_oid: &str,
        options: AppendOptions,
    ) -> Result<Vec<ChainEntry>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        check_oid(requester_oid)?;
        self.hooks.refuse_inside_hook("append")?;
        if !self.unruled.is_empty() {
            records.iter().try_for_each(|new| refuse_unruled(&self.unruled, &new.record.stream))?;
        }
        let request = Request { requester_oid: Arc::from(requester_oid), recorded_at: self.environment.now_ms() };
        let append = self.prepare(records, options, request.clone())?;
        if !self.hooks.none() {
            // So that a hook that reads through the ledger finds the grants up to date: it could not wait for them.
            self.bring_grants_up_to_date()?;
        }
        let Appended { mut entries, first_seq, withheld } = self.queue.submit(self.parts(), Work::Append(append))?;
        if !self.hooks.none() {
            let fresh: Vec<&ChainEntry> = entries.iter().filter(|entry| entry.seq >= first_seq).collect();
            self.hooks.after_append(&self.storage, &request, &fresh);
        }
        for position in withheld {
            entries[position].withhold_payload();
        }
        Ok(entries)
    }

    fn prepare(&self, records: Vec<NewRecord>, options: AppendOptions, request: Request) -> Result<Append> {
        let writer = Writer {
            requester_oid: &request.requester_oid,
            recorded_at: request.recorded_at,
            max_record_bytes: self.max_record_bytes,
        };
        let salts = self.environment.salts(records.len())?;
        let (mut entries, mut notes) = (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
        for (position, (new, salt)) in records.into_iter().zip(salts).enumerate() {
            let prepared = prepare(new, salt, writer);
            let (entry, note) =
                prepared.map_err(|error| if options.batch { error.within_index(position) } else { error })?;
            entries.push(entry);
            notes.push(note);
        }
        Ok(Append { entries, notes, options, request })
    }

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

    /// Appends entries of an export unchanged, each checked to continue this chain; all or nothing; answers the number of
    /// entries in the ledger. Where access control is on, the administrator alone may.
    ///
    /// # Errors
    /// `AccessDenied`; `Integrity` where an entry does not continue the chain; those of an append.
    pub fn import(&self, entries: Vec<ChainEntry>, requester_oid: &str) -> Result<u64> {
        self.only_administrator(requester_oid, "import entries")?;
        self.hooks.refuse_inside_hook("import")?;
        if entries.is_empty() {
            return self.length();
        }
        let imported = self.queue.submit(self.parts(), Work::Import(entries))?;
        Ok(imported.entries.last().map_or(imported.first_seq, |last| last.seq + 1))
    }
}
