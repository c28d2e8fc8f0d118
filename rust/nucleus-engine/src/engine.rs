//! The ledger: what its users call, over a storage.

use std::path::Path;

use nucleus_core::entry::{Head, commit_payload};
use nucleus_core::hash::ledger_hash;
use nucleus_core::oid::check_oid;
use nucleus_core::{
    ACL_GRANTS_STREAM, CanonicalJson, ChainEntry, ErrorKind, Hash, InvalidRecord, REDACTION_ID_PREFIX,
    REDACTIONS_STREAM, Record, VerificationError, VerificationReport, canonical,
};

use crate::append::{Append, CommitQueue, Prepared};
use crate::clock::now_ms;
use crate::config::{LedgerConfig, StorageConfig};
use crate::error::{Error, Result};
use crate::query::{MAX_PAGE_ENTRIES, QueryFilters, QueryPage};
use crate::storage::{Progress, SqliteStorage, Stats, StorageBackend, WriteTransaction};

/// One open ledger.
pub struct LedgerEngine {
    storage: Box<dyn StorageBackend>,
    queue: CommitQueue,
    max_record_bytes: usize,
    path: Option<std::path::PathBuf>,
    read_only: bool,
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

/// A record with what the caller said explicitly.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// The record.
    pub record: Record,
    /// Whether its timestamp is the caller's, not the default.
    pub timestamp_given: bool,
}

impl LedgerEngine {
    /// Opens a ledger: storage, anchor, then, unless told otherwise, the verification of everything.
    pub fn open(config: &LedgerConfig, progress: Progress<'_>) -> Result<Self> {
        config.validate()?;
        let storage: Box<dyn StorageBackend> = match (&config.storage, &config.id) {
            (StorageConfig::Memory, id) => Box::new(SqliteStorage::in_memory(id.as_deref().unwrap_or_default())?),
            (StorageConfig::Sqlite(file), id) => {
                Box::new(SqliteStorage::open(file, id.as_deref(), config.accept_rollback)?)
            }
        };
        let (path, read_only) = match &config.storage {
            StorageConfig::Memory => (None, false),
            StorageConfig::Sqlite(file) => (Some(file.path.clone()), file.read_only),
        };
        let engine =
            Self { storage, queue: CommitQueue::default(), max_record_bytes: config.max_record_bytes, path, read_only };
        engine.verify_opened(config, progress)?;
        Ok(engine)
    }

    fn verify_opened(&self, config: &LedgerConfig, progress: Progress<'_>) -> Result<()> {
        let mut report =
            if config.verify_on_open { self.storage.verify(false, progress)? } else { self.report_unverified(config)? };
        if config.accept_rollback {
            report.forgive_anchor();
        }
        report.expect_end(config.expected_head.as_ref(), config.expected_length);
        if report.valid() {
            return self.storage.accept();
        }
        let hint = match report.counts.keys().collect::<Vec<_>>()[..] {
            [ErrorKind::HeadMismatch] => {
                " (it was cut, rolled back or damaged; accept_rollback=True opens it as it is)"
            }
            _ => "",
        };
        Err(Error::integrity(&format!("ledger `{}` does not add up and was not opened{hint}", self.id()), report))
    }

    /// What can be said about the end of the chain without verifying it.
    fn report_unverified(&self, config: &LedgerConfig) -> Result<VerificationReport> {
        let mut report = VerificationReport::default();
        if config.expected_head.is_some() || config.expected_length.is_some() {
            report.head = self.storage.head()?;
            report.entries_checked = report.head.map_or(0, |head| head.seq + 1);
        }
        if let Some(fault) = self.storage.anchor_fault()? {
            report.add(fault);
        }
        Ok(report)
    }

    /// The ledger's id.
    pub fn id(&self) -> &str {
        self.storage.ledger_id()
    }

    /// The database file as it was given; None in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether nothing may be written.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Appends records in one atomic step; when this answers, they are durable as configured.
    ///
    /// Calls of several threads share a commit; each fails or succeeds alone.
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
        let salts = random_salts(records.len())?;
        let mut prepared = Vec::with_capacity(records.len());
        for (position, (new, salt)) in records.into_iter().zip(salts).enumerate() {
            let record = self.prepare(new, salt, requester_oid);
            prepared.push(record.map_err(|error| if options.batch { error.within_index(position) } else { error })?);
        }
        self.queue.submit(self.storage.as_ref(), Append { records: prepared, options })
    }

    /// Everything that needs no lock: bounds, the engine's own meta, the commitment to the payload.
    fn prepare(
        &self,
        new: NewRecord,
        salt: [u8; 16],
        requester_oid: &str,
    ) -> std::result::Result<Prepared, InvalidRecord> {
        let NewRecord { mut record, timestamp_given } = new;
        record.validate()?;
        if [REDACTIONS_STREAM, ACL_GRANTS_STREAM].contains(&record.stream.as_str()) {
            let reason = format!("`{}` is the engine's own stream; append to another", record.stream);
            return Err(InvalidRecord::new(reason).within_key("stream"));
        }
        let caller_meta = record.meta.take();
        record.meta = Some(with_engine_meta(caller_meta.as_ref(), requester_oid, now_ms())?);
        if record.content_bytes() > self.max_record_bytes {
            return Err(InvalidRecord::new(format!(
                "the record has {} bytes in canonical form; at most {} are allowed (max_record_bytes)",
                record.content_bytes(),
                self.max_record_bytes
            )));
        }
        let payload_hash = commit_payload(&record, &salt);
        Ok(Prepared { record, salt, payload_hash, caller_meta, timestamp_given })
    }

    /// The entry with this hash.
    pub fn get(&self, hash: &Hash) -> Result<Option<ChainEntry>> {
        self.storage.get(hash)
    }

    /// The newest entry with this record id.
    pub fn get_by_id(&self, id: &str) -> Result<Option<ChainEntry>> {
        self.storage.latest_by_id(id)
    }

    /// All entries with this record id, oldest first.
    pub fn history(&self, id: &str) -> Result<Vec<ChainEntry>> {
        let mut filters = QueryFilters { id: Some(id.to_owned()), limit: MAX_PAGE_ENTRIES, ..QueryFilters::default() };
        let mut entries = Vec::new();
        loop {
            let page = self.storage.query(&filters)?;
            entries.extend(page.entries);
            match page.next_cursor {
                Some(cursor) => filters.cursor = Some(cursor),
                None => return Ok(entries),
            }
        }
    }

    /// At most `limit` entries from `first_seq` on, in chain order.
    pub fn range(&self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        self.storage.range(first_seq, limit.min(MAX_PAGE_ENTRIES))
    }

    /// One page of matching entries.
    pub fn query(&self, filters: &QueryFilters) -> Result<QueryPage> {
        filters.validate()?;
        self.storage.query(filters)
    }

    /// Where the chain ends.
    pub fn head(&self) -> Result<Option<Head>> {
        self.storage.head()
    }

    /// Number of entries.
    pub fn length(&self) -> Result<u64> {
        Ok(self.head()?.map_or(0, |head| head.seq + 1))
    }

    /// Verifies the whole chain and everything derived from it.
    pub fn verify(
        &self,
        deep: bool,
        expected_head: Option<&Hash>,
        expected_length: Option<u64>,
        progress: Progress<'_>,
    ) -> Result<VerificationReport> {
        let mut report = self.storage.verify(deep, progress)?;
        report.expect_end(expected_head, expected_length);
        Ok(report)
    }

    /// Erases one entry's payload and salt for good; answers the entry that records it.
    ///
    /// Redacting what is redacted already finishes a scrub that a reader held up, and answers the entry of then.
    pub fn redact(&self, hash: &Hash, reason: &str, requester_oid: &str) -> Result<ChainEntry> {
        check_oid(requester_oid)?;
        if reason.is_empty() {
            return Err(InvalidRecord::new("a redaction needs a reason").within_key("reason").into());
        }
        let salt = random_salts(1)?[0];
        let mut recorded = None;
        self.storage.write(&mut |transaction| {
            recorded = Some(redact_in(transaction, self.id(), hash, reason, requester_oid, salt)?);
            Ok(())
        })?;
        self.storage.scrub()?;
        recorded.ok_or(Error::Closed)
    }

    /// Appends entries of an export unchanged, each checked to continue this chain; all or nothing.
    pub fn import(&self, entries: &[ChainEntry]) -> Result<u64> {
        let genesis = ledger_hash(self.id());
        let mut length = 0;
        self.storage.write(&mut |transaction| {
            let mut head = transaction.head()?;
            for entry in entries {
                check_continues(entry, head, &genesis)?;
                head = Some(Head { seq: entry.seq, hash: entry.hash });
            }
            length = head.map_or(0, |head| head.seq + 1);
            transaction.insert(entries)
        })?;
        Ok(length)
    }

    /// Writes a consistent copy to a new file; answers the copy's head.
    pub fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        self.storage.backup(path, progress)
    }

    /// Figures about the ledger.
    pub fn stats(&self) -> Result<Stats> {
        self.storage.stats()
    }

    /// Closes the ledger; later calls are refused. Closing twice does nothing.
    pub fn close(&self) -> Result<()> {
        self.storage.close()
    }
}

/// The caller's meta with the engine's own members.
fn with_engine_meta(
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

fn random_salts(count: usize) -> Result<Vec<[u8; 16]>> {
    let mut salts = vec![[0; 16]; count];
    getrandom::fill(salts.as_flattened_mut())
        .map_err(|error| Error::Database(format!("no randomness from the system: {error}")))?;
    Ok(salts)
}

fn redact_in(
    transaction: &mut dyn WriteTransaction,
    ledger_id: &str,
    hash: &Hash,
    reason: &str,
    requester_oid: &str,
    salt: [u8; 16],
) -> Result<ChainEntry> {
    let conflict = |message: String| Error::Conflict { message, existing_hash: Some(*hash) };
    let Some(entry) = transaction.get(hash)? else {
        return Err(Error::Conflict { message: format!("no entry has the hash {hash}"), existing_hash: None });
    };
    if [REDACTIONS_STREAM, ACL_GRANTS_STREAM].contains(&entry.record.stream.as_str()) {
        return Err(conflict(format!("entry {} is of the engine's own stream and stays", entry.seq)));
    }
    let id = format!("{REDACTION_ID_PREFIX}{hash}");
    if entry.redacted() {
        return transaction
            .latest_by_id(&id)?
            .ok_or_else(|| conflict(format!("the payload of entry {} is missing without a record of why", entry.seq)));
    }
    transaction.erase_payload(&entry)?;
    let mut payload = format!("{{\"hash\":\"{hash}\",\"reason\":");
    canonical::write_string(&mut payload, reason);
    payload.push_str(&format!(",\"seq\":{}}}", entry.seq));
    let now = now_ms();
    let record = Record {
        id,
        stream: REDACTIONS_STREAM.to_owned(),
        timestamp: now,
        payload: Some(CanonicalJson::from_canonical(payload)),
        meta: Some(with_engine_meta(None, requester_oid, now)?),
    };
    let payload_hash = commit_payload(&record, &salt);
    let head = transaction.head()?;
    let recorded = nucleus_core::entry::Linker::new(ledger_id, head).link(record, salt, payload_hash);
    transaction.insert(std::slice::from_ref(&recorded))?;
    Ok(recorded)
}

fn check_continues(entry: &ChainEntry, head: Option<Head>, genesis: &Hash) -> Result<()> {
    let expected_seq = head.map_or(0, |head| head.seq + 1);
    let kind = if entry.seq != expected_seq {
        ErrorKind::SequenceGap
    } else if entry.prev_hash != head.map(|head| head.hash) {
        ErrorKind::ChainLinkBroken
    } else if entry.format != nucleus_core::FORMAT {
        ErrorKind::MalformedEntry
    } else if !entry.adds_up(genesis) {
        ErrorKind::HashMismatch
    } else {
        return Ok(());
    };
    let mut report = VerificationReport::default();
    report.add(VerificationError {
        kind,
        seq: i64::try_from(entry.seq).ok(),
        record_id: Some(entry.record.id.clone()),
        expected: (kind == ErrorKind::SequenceGap).then(|| format!("seq {expected_seq}")),
        actual: (kind == ErrorKind::SequenceGap).then(|| format!("seq {}", entry.seq)),
    });
    Err(Error::integrity("an imported entry does not continue the chain; nothing of its batch was kept", report))
}
