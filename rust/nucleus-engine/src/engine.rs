//! The ledger: what its users call, over a storage.

mod access;

use std::path::Path;
use std::sync::Arc;

use nucleus_core::entry::{Head, Salt, commit_payload};
use nucleus_core::hash::ledger_hash;
use nucleus_core::oid::check_oid;
use nucleus_core::{
    CanonicalJson, ChainEntry, EndCheck, ErrorKind, Hash, InvalidRecord, REDACTION_ID_PREFIX, REDACTIONS_STREAM,
    Record, VerificationError, VerificationReport, canonical,
};

use crate::access::{Access, Viewer, is_own_stream, is_well_formed};
use crate::append::{Append, Appended, CommitQueue, Ledger};
use crate::clock::now_ms;
use crate::config::{LedgerConfig, StorageConfig};
use crate::error::{Error, Result};
use crate::module::{Hooks, ModuleFactory, ModuleRegistry, Request, built_in_streams};
use crate::prepare::{NewRecord, Prepared, Writer, random_salts, with_engine_meta};
use crate::query::{Cursor, MAX_PAGE_ENTRIES, Order, QueryFilters, QueryPage, collect_history};
use crate::storage::{
    EndOfChain, FieldValues, OpenTransaction, Progress, SqliteStorage, Stats, StorageBackend, WriteTransaction,
};

/// One open ledger.
pub struct LedgerEngine {
    storage: Arc<dyn StorageBackend>,
    hooks: Hooks,
    /// None: every requester may do everything.
    access: Option<Access>,
    /// Streams of built-in modules that do not run, which nobody may write to: those that they ruled when the ledger was
    /// opened earlier and, where access control is on, all, for who has access to their resources follows from the rules.
    unruled: Vec<(String, &'static str)>,
    queue: CommitQueue,
    max_record_bytes: usize,
    path: Option<std::path::PathBuf>,
    read_only: bool,
    opened_in: u32,
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

impl LedgerEngine {
    /// Opens a ledger: storage, anchor, then, unless told otherwise, the verification of everything; then its modules
    /// are made by `factory`, initialised and started.
    pub fn open(config: &LedgerConfig, factory: &dyn ModuleFactory, progress: Progress<'_>) -> Result<Self> {
        config.validate()?;
        let storage: Arc<dyn StorageBackend> = match (&config.storage, &config.id) {
            (StorageConfig::Memory, id) => Arc::new(SqliteStorage::in_memory(id.as_deref().unwrap_or_default())?),
            (StorageConfig::Sqlite(file), id) => {
                Arc::new(SqliteStorage::open(file, id.as_deref(), config.accept_rollback)?)
            }
        };
        let (path, read_only) = match &config.storage {
            StorageConfig::Memory => (None, false),
            StorageConfig::Sqlite(file) => (Some(file.path.clone()), file.read_only),
        };
        verify_opened(storage.as_ref(), config, progress)?;
        let mut registry = ModuleRegistry::new(storage.ledger_id());
        for module in &config.modules {
            registry.register(factory.build(module)?, module.config.clone())?;
        }
        let access =
            config.access.as_ref().map(|wanted| access::open_access(wanted, &registry, &storage)).transpose()?;
        let ruled_earlier = storage.indexed_streams();
        let mut unruled = built_in_streams();
        unruled
            .retain(|(stream, id)| registry.info(id).is_none() && (access.is_some() || ruled_earlier.contains(stream)));
        let engine = Self {
            storage,
            access,
            unruled,
            hooks: Hooks::new(registry),
            queue: CommitQueue::default(),
            max_record_bytes: config.max_record_bytes,
            path,
            read_only,
            opened_in: std::process::id(),
        };
        if let Some(access) = &engine.access {
            engine.begin_access(access, config.verify_on_open, progress)?;
        }
        engine.hooks.start(&engine.storage)?;
        Ok(engine)
    }

    /// The modules.
    pub fn modules(&self) -> &ModuleRegistry {
        self.hooks.registry()
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
        self.hooks.refuse_inside_hook("append")?;
        if !self.unruled.is_empty() {
            records.iter().try_for_each(|new| self.refuse_unruled(&new.record.stream))?;
        }
        let recorded_at = now_ms();
        let writer = Writer { requester_oid, recorded_at, max_record_bytes: self.max_record_bytes };
        let salts = random_salts(records.len())?;
        let mut prepared = Vec::with_capacity(records.len());
        for (position, (new, salt)) in records.into_iter().zip(salts).enumerate() {
            let record = Prepared::new(new, salt, writer);
            prepared.push(record.map_err(|error| if options.batch { error.within_index(position) } else { error })?);
        }
        let request = Request { requester_oid: Arc::from(requester_oid), recorded_at };
        let ledger = Ledger {
            storage: &self.storage,
            hooks: &self.hooks,
            access: self.access.as_ref(),
            max_record_bytes: self.max_record_bytes,
        };
        if !self.hooks.none() {
            // So that a hook that reads through the ledger finds the grants up to date: it could not wait for them.
            self.bring_grants_up_to_date()?;
        }
        let append = Append { records: prepared, options, request: request.clone() };
        let Appended { entries, first_seq } = self.queue.submit(ledger, append)?;
        if !self.hooks.none() {
            let fresh: Vec<&ChainEntry> = entries.iter().filter(|entry| entry.seq >= first_seq).collect();
            self.hooks.after_append(&self.storage, &request, &fresh);
        }
        Ok(entries)
    }

    /// Refuses what would get round the rules that a stream was written under.
    fn refuse_unruled(&self, stream: &str) -> Result<()> {
        match self.unruled.iter().find(|(unruled, _)| unruled == stream) {
            None => Ok(()),
            Some((_, id)) => Err(Error::Module {
                module_id: (*id).to_owned(),
                message: format!(
                    "it rules the stream `{stream}` of this ledger, which was opened without it; name the module when \
                     opening the ledger to write there"
                ),
                cause: None,
            }),
        }
    }

    /// The storage, for a read.
    ///
    /// A ledger in memory has one state, locked by the transaction that a hook runs in: a read past the hook's context
    /// would wait for it. In a file, such a read answers what is committed.
    fn readable(&self) -> Result<&dyn StorageBackend> {
        if self.path.is_none() {
            self.hooks.refuse_inside_hook("a read past the hook's own context")?;
        }
        Ok(self.storage.as_ref())
    }

    /// How a requester sees the ledger; None: as it is.
    fn viewer(&self, requester_oid: &str) -> Result<Option<Viewer>> {
        let viewer = self.access.as_ref().and_then(|access| access.viewer(requester_oid, now_ms()));
        if viewer.is_some() {
            self.bring_grants_up_to_date()?;
        }
        Ok(viewer)
    }

    /// The entry with this hash, if the requester may read it.
    pub fn get(&self, hash: &Hash, requester_oid: &str) -> Result<Option<ChainEntry>> {
        let storage = self.readable()?;
        storage.get(hash, self.viewer(requester_oid)?.as_ref())
    }

    /// The newest entry with this record id that the requester may read, in this stream where one is given.
    pub fn get_by_id(&self, id: &str, stream: Option<&str>, requester_oid: &str) -> Result<Option<ChainEntry>> {
        let storage = self.readable()?;
        storage.latest_by_id(id, stream, self.viewer(requester_oid)?.as_ref())
    }

    /// All entries with this record id that the requester may read, in this stream where one is given, oldest first.
    pub fn history(&self, id: &str, stream: Option<&str>, requester_oid: &str) -> Result<Vec<ChainEntry>> {
        let storage = self.readable()?;
        collect_history(id, stream, self.viewer(requester_oid)?, |filters| storage.query(filters))
    }

    /// At most `limit` entries from `first_seq` on that the requester may read, in chain order.
    pub fn range(&self, first_seq: u64, limit: usize, requester_oid: &str) -> Result<Vec<ChainEntry>> {
        let storage = self.readable()?;
        let limit = limit.min(MAX_PAGE_ENTRIES);
        let viewer = self.viewer(requester_oid)?;
        match i64::try_from(first_seq) {
            _ if viewer.is_none() => storage.range(first_seq, limit),
            Ok(first_seq) if limit > 0 => {
                let cursor = Some(Cursor { after_seq: first_seq - 1, order: Order::Ascending });
                Ok(storage.query(&QueryFilters { limit, cursor, viewer, ..QueryFilters::default() })?.entries)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Distinct values of a payload member that a module has declared, in a fixed order, among the entries that the
    /// requester may read.
    pub fn field_values(&self, query: &FieldValues<'_>, requester_oid: &str) -> Result<Vec<String>> {
        if !(1..=MAX_PAGE_ENTRIES).contains(&query.limit) {
            return Err(Error::Config(format!("limit must be 1 to {MAX_PAGE_ENTRIES}, not {}", query.limit)));
        }
        let storage = self.readable()?;
        storage.field_values(&FieldValues { viewer: self.viewer(requester_oid)?, ..query.clone() })
    }

    /// One page of matching entries that the requester may read.
    pub fn query(&self, filters: &QueryFilters, requester_oid: &str) -> Result<QueryPage> {
        filters.validate()?;
        let storage = self.readable()?;
        match self.viewer(requester_oid)? {
            None => storage.query(filters),
            viewer => storage.query(&QueryFilters { viewer, ..filters.clone() }),
        }
    }

    /// Where the chain ends.
    pub fn head(&self) -> Result<Option<Head>> {
        self.readable()?.head()
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
        let storage = self.readable()?;
        let mut report = storage.verify(deep, progress)?;
        note_end(&mut report, storage.end()?);
        for fault in storage.verify_grants(now_ms() / 1000, progress)? {
            report.add(fault);
        }
        report.expect_end(expected_head, expected_length);
        Ok(report)
    }

    /// Erases one entry's payload and salt for good; answers the entry that records it.
    ///
    /// Redacting what is redacted already answers the entry of then. A reader may keep the write-ahead log from being emptied
    /// of what was erased: then [`Stats::scrub_pending`] says so until a later commit, or the closing, has emptied it.
    pub fn redact(&self, hash: &Hash, reason: &str, requester_oid: &str) -> Result<ChainEntry> {
        check_oid(requester_oid)?;
        if reason.is_empty() {
            return Err(InvalidRecord::new("a redaction needs a reason").within_key("reason").into());
        }
        self.hooks.refuse_inside_hook("redact")?;
        if !self.hooks.none() {
            self.bring_grants_up_to_date()?;
        }
        let salt = random_salts(1)?[0];
        let request = Request { requester_oid: Arc::from(requester_oid), recorded_at: now_ms() };
        let mut recorded = None;
        self.hooks.exclusively(|| {
            Arc::clone(&self.storage).write(&mut |open| {
                recorded = Some(self.in_step(open, || self.redact_in(open, hash, reason, &request, salt))?);
                Ok(())
            })
        })?;
        // The erasure is durable: what is left to do is not for its caller to fail by.
        match self.storage.scrub() {
            Ok(true) => {}
            Ok(false) => tracing::warn!("a reader keeps the write-ahead log from being emptied of an erased payload"),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be emptied of an erased payload yet"),
        }
        recorded.ok_or(Error::Closed)
    }

    fn redact_in(
        &self,
        open: &OpenTransaction,
        hash: &Hash,
        reason: &str,
        request: &Request,
        salt: Salt,
    ) -> Result<ChainEntry> {
        if let Some(access) = &self.access {
            open.with(|transaction| access.authorise_redaction(transaction, request, hash))?;
        }
        if let Some(entry) = open.with(|transaction| redactable(transaction, hash))? {
            self.refuse_unruled(&entry.record.stream)?;
            self.hooks.around(|| self.hooks.before_redact(open, request, &entry))?;
        }
        open.with(|transaction| {
            let before = transaction.head()?;
            let recorded = erase(transaction, self.id(), hash, reason, request, salt)?;
            // Redacting again answers the entry of then, whose grants have ended already.
            if let Some(access) = self.access.as_ref().filter(|_| before.is_none_or(|head| head.seq < recorded.seq)) {
                access.project(transaction, &recorded)?;
            }
            Ok(recorded)
        })
    }

    /// Runs `work` in a transaction, with the grants up to date where access control is on.
    fn in_step<T>(&self, open: &OpenTransaction, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.access {
            None => work(),
            Some(access) => access.in_step(open, work),
        }
    }

    /// Appends entries of an export unchanged, each checked to continue this chain; all or nothing. Where access control
    /// is on, the administrator alone may.
    pub fn import(&self, entries: &[ChainEntry], requester_oid: &str) -> Result<u64> {
        self.only_administrator(requester_oid, "import entries")?;
        let genesis = ledger_hash(self.id());
        let mut length = 0;
        self.hooks.refuse_inside_hook("import")?;
        Arc::clone(&self.storage).write(&mut |open| {
            let mut head = open.with(|transaction| transaction.head())?;
            for entry in entries {
                check_continues(entry, head, &genesis)?;
                head = Some(Head { seq: entry.seq, hash: entry.hash });
            }
            length = head.map_or(0, |head| head.seq + 1);
            open.with(|transaction| {
                transaction.insert(entries)?;
                self.access.as_ref().map_or(Ok(()), |access| access.catch_up(transaction))
            })
        })?;
        Ok(length)
    }

    /// Writes a consistent copy to a new file; answers the copy's head.
    pub fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        self.readable()?.backup(path, progress)
    }

    /// Figures about the ledger.
    pub fn stats(&self) -> Result<Stats> {
        self.readable()?.stats()
    }

    /// Stops the modules and closes the ledger; later calls are refused. Closing twice does nothing.
    pub fn close(&self) -> Result<()> {
        // In a forked child the modules belong to the process that opened the ledger.
        if std::process::id() == self.opened_in {
            self.hooks.stop(&self.storage)?;
        }
        self.storage.close()
    }
}

impl Drop for LedgerEngine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "closing a ledger failed");
        }
    }
}

fn verify_opened(storage: &dyn StorageBackend, config: &LedgerConfig, progress: Progress<'_>) -> Result<()> {
    let mut report =
        if config.verify_on_open { storage.verify(false, progress)? } else { report_unverified(storage, config)? };
    let elsewhere = config.expected_head.is_some() || config.expected_length.is_some();
    let mut hint = "";
    match storage.end()? {
        _ if config.accept_rollback => {}
        EndOfChain::NotAnchored(_) if elsewhere => {}
        EndOfChain::NotAnchored(missing) => {
            report.add(missing);
            hint =
                " (put the file back, name the end with expected_head, or open it as it is with accept_rollback=True)";
        }
        end @ EndOfChain::Mismatch(_) => {
            note_end(&mut report, end);
            hint = " (it was cut, rolled back or damaged; accept_rollback=True opens it as it is)";
        }
        end => note_end(&mut report, end),
    }
    report.expect_end(config.expected_head.as_ref(), config.expected_length);
    if report.valid() {
        return storage.accept();
    }
    if report.counts.keys().any(|kind| *kind != ErrorKind::HeadMismatch) {
        hint = "";
    }
    let why = storage.why_unsound();
    let id = storage.ledger_id();
    Err(Error::integrity(&format!("ledger `{id}` does not add up and was not opened{hint}{why}"), report))
}

/// Notes by what the end of the chain was checked, and whether it is there.
fn note_end(report: &mut VerificationReport, end: EndOfChain) {
    match end {
        EndOfChain::Anchored => report.end_checked_by = Some(EndCheck::Anchor),
        EndOfChain::Mismatch(fault) => {
            report.end_checked_by = Some(EndCheck::Anchor);
            report.add(fault);
        }
        EndOfChain::NotAnchored(_) | EndOfChain::InMemory => {}
    }
}

/// What can be said without verifying the whole chain: whether what was recovered after a crash is sound.
fn report_unverified(storage: &dyn StorageBackend, config: &LedgerConfig) -> Result<VerificationReport> {
    let mut report = VerificationReport::default();
    if config.expected_head.is_some() || config.expected_length.is_some() {
        report.head = storage.head()?;
        report.entries_checked = report.head.map_or(0, |head| head.seq + 1);
    }
    if let Some(fault) = storage.recovery_fault()? {
        report.add(fault);
    }
    Ok(report)
}

/// The entry that a redaction would change, if it would.
fn redactable(transaction: &mut dyn WriteTransaction, hash: &Hash) -> Result<Option<ChainEntry>> {
    Ok(transaction.get(hash, None)?.filter(|entry| !entry.redacted()))
}

fn erase(
    transaction: &mut dyn WriteTransaction,
    ledger_id: &str,
    hash: &Hash,
    reason: &str,
    request: &Request,
    salt: Salt,
) -> Result<ChainEntry> {
    let conflict = |message: String| Error::Conflict { message, existing_hash: Some(*hash) };
    let Some(entry) = transaction.get(hash, None)? else {
        return Err(Error::no_entry(hash));
    };
    if is_own_stream(&entry.record.stream) {
        return Err(conflict(format!("entry {} is of the engine's own stream and stays", entry.seq)));
    }
    let id = format!("{REDACTION_ID_PREFIX}{hash}");
    if entry.redacted() {
        return transaction
            .latest_by_id(&id, Some(REDACTIONS_STREAM), None)?
            .ok_or_else(|| conflict(format!("the payload of entry {} is missing without a record of why", entry.seq)));
    }
    transaction.erase_payload(&entry)?;
    let mut payload = format!("{{\"hash\":\"{hash}\",\"reason\":");
    canonical::write_string(&mut payload, reason);
    payload.push_str(&format!(",\"seq\":{}}}", entry.seq));
    let record = Record {
        id,
        stream: REDACTIONS_STREAM.to_owned(),
        timestamp: request.recorded_at,
        payload: Some(CanonicalJson::from_canonical(payload)),
        meta: Some(with_engine_meta(None, &request.requester_oid, request.recorded_at)?),
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
    } else if entry.format != nucleus_core::FORMAT || !is_well_formed(&entry.record) {
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
