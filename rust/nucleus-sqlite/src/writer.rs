//! The write transaction, and what a failed commit came to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nucleus_core::entry::Head;
use nucleus_core::{CanonicalJson, ChainEntry, Hash};
use nucleus_engine::model::{
    Change, Error, FieldValues, Grant, GrantQuery, Kinds, OfOneKind, ProjectionState, QueryFilters, QueryPage,
    Question, Result, Sight,
};
use nucleus_engine::store::{OpenTransaction, Read, Write, share};
use rusqlite::Connection;

use crate::config::Durability;
use crate::connect::{Doing, Role, checkpoint_on_close};
use crate::faults::{busy, database_error};
use crate::files::log_scan;
use crate::grants;
use crate::locks::lock;
use crate::lookup::runs::{Extent, Key, prefix_of};
use crate::pages::versions::{Uncommitted, Versions};
use crate::pages::visible::Viewer;
use crate::rows::{check_neighbours, hash_at, read_head};
use crate::state::SqliteStorage;
use crate::statements::checkpoint;
use crate::statements::execute;
use crate::statements::is_busy;

/// Frames in the write-ahead log from which on a commit is followed by a checkpoint (4 MiB). The log is then written from
/// its beginning again, which syncs faster than a file that grows.
const CHECKPOINT_FRAMES: u64 = 1_000;

/// An open write transaction on the writer's connection.
pub(crate) struct Transaction {
    storage: Arc<SqliteStorage>,
    connection: Connection,
    head: Option<Head>,
    /// Seq of the first entry written here: as many were committed before.
    first_seq: u64,
    /// See [`Extent::generation`]: nobody else writes runs while this transaction lasts.
    generation: u64,
    /// The hashes of all entries written here.
    hashes: Vec<Hash>,
    uncommitted: Uncommitted,
    changed: bool,
    part: Option<Part>,
}

/// What a part that is taken back returns to.
struct Part {
    head: Option<Head>,
    entries: usize,
    changed: bool,
}

impl SqliteStorage {
    /// See [`nucleus_engine::Storage::write`].
    pub(crate) fn run_write(self: &Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
        self.guard()?;
        if self.read_only {
            return Err(Error::Config(
                "the ledger was opened read-only; open it without read_only to write".to_owned(),
            ));
        }
        let mut slot = self.writer();
        if slot.replaced {
            return Err(Error::StorageReplaced(
                "the ledger's file was moved, replaced or truncated earlier; close the ledger and open it again"
                    .to_owned(),
            ));
        }
        // The transaction owns the connection while it is open; a panic drops both, which rolls everything back.
        let connection = match slot.connection.take() {
            Some(connection) => connection,
            None => self.connect_writer()?,
        };
        let (connection, outcome) = self.transact(connection, slot.head, work);
        slot.connection = connection;
        let result = match outcome {
            Outcome::Committed(head) => {
                slot.head = head;
                slot.connection.as_mut().map_or(Ok(()), |connection| self.after_commit(connection, head))
            }
            Outcome::Nothing => Ok(()),
            Outcome::RolledBack(error) => Err(error),
            Outcome::Broken(error) => {
                // SQLite asks for a new connection after an I/O error; nothing of the transaction was committed.
                slot.connection = None;
                Err(error)
            }
            Outcome::CommitFailed { error, first_seq, hashes } => {
                slot.connection = None;
                self.resolve_failed_commit(&error, first_seq, hashes)
                    .map(|connection| slot.connection = Some(connection))
            }
        };
        slot.replaced |= matches!(result, Err(Error::StorageReplaced(_)));
        result
    }

    /// Runs `work` in a transaction; the connection comes back unless it was lost.
    fn transact(
        self: &Arc<Self>,
        connection: Connection,
        known: Option<Head>,
        work: &mut dyn FnMut(&OpenTransaction) -> Result<()>,
    ) -> (Option<Connection>, Outcome) {
        if let Err(error) = execute(&connection, "BEGIN IMMEDIATE") {
            let broken = !is_busy(&error);
            let error = database_error("beginning a transaction", &error);
            let outcome = if broken { Outcome::Broken(error) } else { Outcome::RolledBack(error) };
            return (Some(connection), outcome);
        }
        let head = match self.head_to_continue(&connection, known) {
            Ok(head) => head,
            Err(error) => {
                let outcome = roll_back(&connection, error);
                return (Some(connection), outcome);
            }
        };
        let (transaction, result) = share(Transaction::new(Arc::clone(self), connection, head), work);
        match transaction {
            Some(transaction) => transaction.end(result),
            None => (None, Outcome::Broken(Error::Closed)),
        }
    }

    /// The head that the transaction continues; refused where the files are no longer those that hold `known`.
    fn head_to_continue(&self, connection: &Connection, known: Option<Head>) -> Result<Option<Head>> {
        if let Some(watch) = &self.watch {
            lock(watch).check()?;
        }
        let head = read_head(connection)?;
        if let Some(known) = known
            && head != Some(known)
            && hash_at(connection, known.seq)? != Some(known.hash)
        {
            return Err(Error::StorageReplaced(format!(
                "entry {} that was acknowledged earlier is no longer in the ledger's file; nothing more is written: \
                 restore a backup, then open the ledger again",
                known.seq
            )));
        }
        Ok(head)
    }

    /// What follows a commit. The entries are durable: what fails here is reported only where it means that they are
    /// not in the file that bears the ledger's name.
    fn after_commit(&self, connection: &mut Connection, head: Option<Head>) -> Result<()> {
        self.wrote.store(true, Ordering::Release);
        let frames = self.wal_frames.load(Ordering::Relaxed);
        if let Some(watch) = &self.watch {
            match lock(watch).committed(frames) {
                Err(error @ Error::StorageReplaced(_)) => return Err(error),
                Err(error) => tracing::warn!(%error, "after a commit the files could not be looked at"),
                Ok(()) => {}
            }
        }
        let Some(head) = head else { return Ok(()) };
        if self.connector.durability == Durability::Full {
            self.advance_anchor(Some(head));
        }
        if let Err(error) = self.maintain(connection, frames, head) {
            tracing::warn!(%error, "upkeep after a commit failed; it is tried again after the next one");
        }
        Ok(())
    }

    /// Checkpoints and index runs: neither decides about any entry.
    fn maintain(&self, connection: &mut Connection, frames: u64, head: Head) -> Result<()> {
        let length = head.seq as i64 + 1;
        if self.lookup.run_is_due(connection, length)? {
            self.lookup.write_runs(connection, length)?;
        }
        if frames >= CHECKPOINT_FRAMES {
            checkpoint(connection, "PASSIVE")?;
            if self.connector.durability == Durability::Normal {
                self.anchor_what_is_durable(Some(head));
            }
        }
        if self.scrub_pending.load(Ordering::Relaxed) {
            self.empty_log(connection)?;
        }
        Ok(())
    }

    /// See [`nucleus_engine::store::Upkeep::scrub`]. A reader of a moment ago is waited for, without holding any lock; one
    /// that stays is not.
    pub(crate) fn run_scrub(&self) -> Result<bool> {
        const TRIES: u32 = 20;
        const PAUSE: Duration = Duration::from_millis(5);
        if self.connector.path().is_none() {
            return Ok(true);
        }
        self.scrub_pending.store(true, Ordering::Relaxed);
        for attempt in 0..TRIES {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            let slot = self.writer();
            let Some(connection) = &slot.connection else {
                return Err(Error::Closed);
            };
            if self.empty_log(connection)? {
                // Else a power cut could bring the log back as it was.
                self.sync_log()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Empties the write-ahead log, where nobody has to be waited for: other processes could not append meanwhile.
    pub(crate) fn empty_log(&self, connection: &Connection) -> Result<bool> {
        let doing = "emptying the write-ahead log";
        connection.busy_timeout(Duration::ZERO).doing(doing)?;
        let emptied = checkpoint(connection, "TRUNCATE");
        connection.busy_timeout(self.connector.busy_timeout).doing(doing)?;
        let emptied = emptied?;
        if emptied {
            self.scrub_pending.store(false, Ordering::Relaxed);
        }
        Ok(emptied)
    }

    /// Finds out what became of a commit that reported an error.
    ///
    /// The connection is gone. A new one recovers the database; a checkpoint that empties the write-ahead log then
    /// leaves nothing that a later recovery could see differently, and fsyncs the database. Only after it is the
    /// answer of a look-up final.
    fn resolve_failed_commit(&self, error: &Error, first_seq: u64, hashes: Vec<Hash>) -> Result<Connection> {
        self.drop_readers();
        let look = || -> Result<(Connection, bool)> {
            let connection = self.connect_writer()?;
            if self.watch.is_some() && !checkpoint(&connection, "TRUNCATE")? {
                return Err(busy("the write-ahead log is in use by another process"));
            }
            let present = match hashes.first() {
                Some(hash) => hash_at(&connection, first_seq)? == Some(*hash),
                None => false,
            };
            Ok((connection, present))
        };
        match look() {
            Ok((connection, true)) => {
                self.advance_anchor(read_head(&connection)?);
                Ok(connection)
            }
            Ok((_, false)) => Err(error.clone()),
            Err(second) => {
                // Without a connection that could settle it, the log itself may show that nothing of it can ever appear.
                let log = self.wal_path();
                let looked = log.as_deref().zip(hashes.first()).map(|(log, hash)| log_scan::may_recover(log, &hash.0));
                if matches!(looked, Some(Ok(false))) {
                    return Err(error.clone());
                }
                Err(Error::CommitInDoubt { message: format!("{error}; then {second}"), first_seq, hashes })
            }
        }
    }

    /// A connection for the writer.
    pub(crate) fn connect_writer(&self) -> Result<Connection> {
        let mut connection = self.connector.connect(Role::Writer).doing("opening the database for writing")?;
        checkpoint_on_close(&connection)?;
        self.count_frames(&mut connection)?;
        if let Some(watch) = &self.watch {
            lock(watch).reconnected();
        }
        Ok(connection)
    }

    /// Makes a connection note the length of the write-ahead log at each commit.
    pub(crate) fn count_frames(&self, connection: &mut Connection) -> Result<()> {
        let frames = std::sync::Arc::clone(&self.wal_frames);
        connection
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
                frames.store(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
                Ok(())
            }))
            .doing("watching the write-ahead log")
    }
}

enum Outcome {
    Committed(Option<Head>),
    Nothing,
    RolledBack(Error),
    Broken(Error),
    CommitFailed { error: Error, first_seq: u64, hashes: Vec<Hash> },
}

fn roll_back(connection: &Connection, error: Error) -> Outcome {
    // After some errors SQLite has rolled back already; then ROLLBACK itself would be the error.
    let clean = connection.is_autocommit() || execute(connection, "ROLLBACK").is_ok();
    let harmless = !matches!(error, Error::Store(_));
    if clean && harmless { Outcome::RolledBack(error) } else { Outcome::Broken(error) }
}

impl Transaction {
    fn new(storage: Arc<SqliteStorage>, connection: Connection, head: Option<Head>) -> Self {
        let first_seq = head.map_or(0, |head| head.seq + 1);
        let generation = storage.lookup.generation();
        Self {
            storage,
            connection,
            head,
            first_seq,
            hashes: Vec::new(),
            uncommitted: Uncommitted::new(first_seq as i64),
            generation,
            changed: false,
            part: None,
        }
    }

    /// Commits or rolls back, as the work came out.
    fn end(self, result: Result<()>) -> (Option<Connection>, Outcome) {
        let Self { connection, head, first_seq, hashes, changed, .. } = self;
        let outcome = match result {
            Err(error) => roll_back(&connection, error),
            Ok(()) if !changed => match execute(&connection, "ROLLBACK") {
                Ok(()) => Outcome::Nothing,
                Err(error) => Outcome::Broken(database_error("ending a transaction", &error)),
            },
            Ok(()) => match execute(&connection, "COMMIT") {
                Ok(()) => Outcome::Committed(head),
                Err(error) if is_busy(&error) => roll_back(&connection, database_error("committing", &error)),
                Err(error) => Outcome::CommitFailed { error: database_error("committing", &error), first_seq, hashes },
            },
        };
        (Some(connection), outcome)
    }

    fn versions(&mut self) -> Versions<'_> {
        let extent = self.extent();
        let written_below = extent.committed_below + self.hashes.len() as i64;
        let uncommitted = (!self.hashes.is_empty()).then_some((&mut self.uncommitted, written_below));
        Versions::new(&self.storage, &self.connection, extent, uncommitted)
    }

    fn extent(&self) -> Extent {
        Extent { committed_below: self.first_seq as i64, generation: self.generation }
    }
}

impl Read for Transaction {
    fn head(&mut self) -> Result<Option<Head>> {
        Ok(self.head)
    }

    fn range(&mut self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        self.storage.read_range(&self.connection, first_seq, limit)
    }

    fn get(&mut self, hash: &Hash, sight: &Sight) -> Result<Option<ChainEntry>> {
        let seqs = self.storage.lookup.candidates(&self.connection, Key::Hash, prefix_of(hash), self.extent())?;
        let found = self.storage.confirm_hash(&self.connection, &seqs, hash)?;
        match (Viewer::of(sight), found) {
            (Some(viewer), Some(entry)) => Ok(self.versions().shows(viewer, &entry)?.then_some(entry)),
            (_, found) => Ok(found),
        }
    }

    fn latest_by_id(&mut self, id: &str, stream: Option<&str>, sight: &Sight) -> Result<Option<ChainEntry>> {
        self.versions().latest(id, stream, Viewer::of(sight))
    }

    fn version_before(&mut self, id: &str, stream: &str, seq: u64) -> Result<Option<ChainEntry>> {
        self.versions().version_before(id, stream, seq as i64)
    }

    fn any_version_before(&mut self, id: &str, streams: &[&str], seq: u64) -> Result<bool> {
        self.versions().any_version_before(id, streams, seq as i64)
    }

    fn latest_of_one_kind(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<OfOneKind> {
        self.versions().latest_of_one_kind(id, kinds, Viewer::of(sight))
    }

    fn streams_with(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<Vec<String>> {
        self.versions().streams_with(id, kinds, Viewer::of(sight))
    }

    /// Rules decide by what they read here: it is checked against its neighbours.
    fn page(&mut self, filters: &QueryFilters, sight: &Sight) -> Result<QueryPage> {
        let page = self.versions().page(filters, Viewer::of(sight))?;
        page.entries.iter().try_for_each(|entry| check_neighbours(&self.connection, entry))?;
        Ok(page)
    }

    fn field_values(&mut self, query: &FieldValues<'_>, sight: &Sight) -> Result<Vec<String>> {
        self.storage.read_field_values(&self.connection, query, Viewer::of(sight))
    }

    fn allows(&mut self, question: &Question<'_>) -> Result<bool> {
        grants::allows(&self.connection, question)
    }

    fn grants(&mut self, query: &GrantQuery<'_>) -> Result<Vec<Grant>> {
        grants::grants(&self.connection, query)
    }

    fn projection(&mut self) -> Result<Option<ProjectionState>> {
        grants::projection(&self.connection)
    }
}

impl Write for Transaction {
    fn append(&mut self, entries: &[ChainEntry]) -> Result<()> {
        let doing = "writing an entry";
        let sql = "INSERT INTO entries(seq, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, \
                   payload_hash, meta) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        for entry in entries {
            self.changed = true;
            let stored_commitment = entry.redacted().then_some(entry.payload_hash.0.as_slice());
            statement
                .execute(rusqlite::params![
                    entry.seq as i64,
                    entry.format,
                    entry.hash.0.as_slice(),
                    entry.prev_hash.as_ref().map(|hash| hash.0.as_slice()),
                    entry.record.id,
                    entry.record.stream,
                    entry.record.timestamp,
                    entry.record.payload.as_ref().map(CanonicalJson::as_str),
                    entry.salt.as_ref().map(<[u8; 16]>::as_slice),
                    stored_commitment,
                    entry.record.meta.as_ref().map(CanonicalJson::as_str),
                ])
                .doing(doing)?;
            self.head = Some(Head { seq: entry.seq, hash: entry.hash });
            self.hashes.push(entry.hash);
            self.uncommitted.note(entry.seq as i64, &entry.record.id, &entry.record.stream);
        }
        Ok(())
    }

    fn erase(&mut self, entry: &ChainEntry) -> Result<()> {
        let doing = "erasing a payload";
        self.changed = true;
        let sql = "UPDATE entries SET payload = NULL, salt = NULL, payload_hash = ?2 WHERE seq = ?1";
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        statement.execute((entry.seq as i64, entry.payload_hash.0.as_slice())).doing(doing)?;
        Ok(())
    }

    fn change_grants(&mut self, changes: &[Change]) -> Result<()> {
        self.changed |= !changes.is_empty();
        changes.iter().try_for_each(|change| grants::apply(&self.connection, change))
    }

    fn set_projection(&mut self, state: &ProjectionState) -> Result<()> {
        self.changed = true;
        grants::set_projection(&self.connection, state)
    }

    fn clear_grants(&mut self) -> Result<()> {
        self.changed = true;
        grants::clear(&self.connection)
    }

    fn clear_expired_grants(&mut self, now_s: i64) -> Result<u64> {
        let cleared = grants::clear_expired(&self.connection, now_s)?;
        self.changed |= cleared > 0;
        Ok(cleared)
    }

    fn savepoint(&mut self) -> Result<()> {
        execute(&self.connection, "SAVEPOINT part").doing("beginning a part of a transaction")?;
        self.part = Some(Part { head: self.head, entries: self.hashes.len(), changed: self.changed });
        Ok(())
    }

    fn end(&mut self, keep: bool) -> Result<()> {
        let doing = "ending a part of a transaction";
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        if !keep {
            execute(&self.connection, "ROLLBACK TO part").doing(doing)?;
            self.head = part.head;
            self.hashes.truncate(part.entries);
            self.changed = part.changed;
            self.uncommitted.take_back(part.entries);
        }
        execute(&self.connection, "RELEASE part").doing(doing)
    }
}
