//! The storage itself: its connections and its upkeep.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use nucleus_core::entry::Head;
use nucleus_core::{Hash, VerificationError, VerificationReport};
use nucleus_engine::env::Environment;
use nucleus_engine::model::{Error, FieldIndex, Progress, Result};
use nucleus_engine::store::{
    Described, EndOfChain, Observer, OpenTransaction, Read, Restored, Scan, Stats, Storage, Upkeep,
};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::config::Durability;
use crate::connect::{self, Connector, Doing, Role};
use crate::files::anchor::{self, Anchor};
use crate::files::file_watch::FileWatch;
use crate::files::recovery::Recovery;
use crate::lookup::runs::Lookup;
use crate::pages::homonyms::StreamsOfIds;
use crate::pages::places::ManyGrants;
use crate::pages::versions::NewestKnown;
use crate::schema::LedgerInfo;
use crate::writer::{checkpoint, execute};

/// Read connections kept for the next read.
const MAX_IDLE_READERS: usize = 8;

/// The oldest SQLite that is free of the bugs known to lose or corrupt data in WAL mode.
pub(crate) const LEAST_SQLITE_VERSION: i32 = 3_051_003;

/// One ledger in one SQLite database.
///
/// Locks, in the order they are taken: `writer`, held for a whole write transaction; then `watch` or the look-up map,
/// each for a moment; `readers` for the time of taking or returning a connection.
pub struct SqliteStorage {
    pub(crate) described: Described,
    pub(crate) environment: Environment,
    pub(crate) info: LedgerInfo,
    /// What stands before the first entry.
    pub(crate) ledger_hash: Hash,
    pub(crate) connector: Connector,
    pub(crate) read_only: bool,
    pub(crate) page_bytes: u64,
    /// Whether the schema has the table of grants: one that an older version wrote and nobody opened for writing has not.
    pub(crate) has_grants: bool,
    pub(crate) writer: Mutex<Writer>,
    /// Frames in the write-ahead log after the last commit of this process.
    pub(crate) wal_frames: Arc<AtomicU64>,
    /// Whether this process has written anything since it opened the ledger.
    pub(crate) wrote: AtomicBool,
    pub(crate) readers: Mutex<Vec<Connection>>,
    pub(crate) lookup: Lookup,
    pub(crate) many_grants: ManyGrants,
    pub(crate) streams_of_ids: StreamsOfIds,
    pub(crate) newest_known: NewestKnown,
    /// The declared indexes that the database has. Replaced as a whole; read for a moment.
    pub(crate) field_indexes: RwLock<Arc<Vec<FieldIndex>>>,
    /// None in memory, when opened read-only or closed, and until the chain has been accepted. Held for a write of it.
    pub(crate) anchor: Mutex<Option<Anchor>>,
    pub(crate) watch: Option<Mutex<FileWatch>>,
    /// Whether bytes of an erased payload may still be in the write-ahead log.
    pub(crate) scrub_pending: AtomicBool,
    pub(crate) recovery: Recovery,
    pub(crate) closed: AtomicBool,
    pub(crate) opened_in: u32,
}

/// The writer's connection.
#[derive(Debug)]
pub(crate) struct Writer {
    /// None when read-only, closed, or after an error that SQLite asks to be followed by a new connection.
    pub(crate) connection: Option<Connection>,
    /// The files were found replaced: nothing more may be written.
    pub(crate) replaced: bool,
    /// The newest head that this process knows to be durable: the chain must never be without it.
    pub(crate) head: Option<Head>,
}

/// A read connection on loan; it goes back when it is dropped.
pub(crate) struct Reader<'a> {
    storage: &'a SqliteStorage,
    connection: Option<Connection>,
    interruptible: bool,
}

impl Deref for Reader<'_> {
    type Target = Connection;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a loan holds its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if self.interruptible && connect::make_uninterruptible(&mut connection).is_err() {
            return;
        }
        let mut idle = lock(&self.storage.readers);
        if idle.len() < MAX_IDLE_READERS && !self.storage.closed.load(Ordering::Acquire) {
            idle.push(connection);
        }
    }
}

/// A read transaction: all statements see one state, and the locks are taken once. Ends when dropped.
pub(crate) struct Snapshot<'a> {
    connection: &'a Connection,
}

impl<'a> Snapshot<'a> {
    pub(crate) fn begin(connection: &'a Connection) -> Result<Self> {
        execute(connection, "BEGIN").doing("beginning a read")?;
        Ok(Self { connection })
    }

    pub(crate) fn end(self) -> Result<()> {
        execute(self.connection, "COMMIT").doing("ending a read")
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(self.connection, "ROLLBACK")
        {
            tracing::warn!(%error, "a read could not be ended");
        }
    }
}

impl SqliteStorage {
    pub(crate) fn guard(&self) -> Result<()> {
        let here = std::process::id();
        if here != self.opened_in {
            return Err(Error::Forked { opened_in: self.opened_in, here });
        }
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic inside a transaction leaves the connection in it; the next BEGIN then fails and drops it.
        lock(&self.writer)
    }

    pub(crate) fn reader(&self) -> Result<Reader<'_>> {
        self.guard()?;
        let idle = lock(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connector.connect(Role::Reader).doing("opening the database for reading")?,
        };
        Ok(Reader { storage: self, connection: Some(connection), interruptible: false })
    }

    /// A read connection whose statements end early once `stop` is set.
    pub(crate) fn interruptible_reader(&self, stop: Arc<AtomicBool>) -> Result<Reader<'_>> {
        let mut reader = self.reader()?;
        if let Some(connection) = &mut reader.connection {
            connect::make_interruptible(connection, stop).doing("preparing a connection for long work")?;
            reader.interruptible = true;
        }
        Ok(reader)
    }

    pub(crate) fn field_indexes(&self) -> Arc<Vec<FieldIndex>> {
        Arc::clone(&self.field_indexes.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn drop_readers(&self) {
        lock(&self.readers).clear();
    }

    pub(crate) fn wal_path(&self) -> Option<PathBuf> {
        self.connector.path().map(|path| {
            let mut path = path.as_os_str().to_owned();
            path.push("-wal");
            PathBuf::from(path)
        })
    }

    pub(crate) fn wal_bytes(&self) -> u64 {
        self.wal_path().and_then(|path| std::fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
    }
}

/// Locks what stays usable whatever a panic elsewhere left undone.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Number of committed entries that a read sees.
pub(crate) fn committed_below(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM entries").doing("reading the head")?;
    let last: Option<i64> = statement.query_row([], |row| row.get(0)).doing("reading the head")?;
    Ok(last.map_or(0, |seq| seq.saturating_add(1)))
}

impl Storage for SqliteStorage {
    fn described(&self) -> &Described {
        &self.described
    }

    fn read(&self) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.begin_read(self.reader()?)?))
    }

    fn write(self: Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
        self.run_write(work)
    }

    fn scan(&self, scan: Scan, observer: &dyn Observer, progress: Progress<'_>) -> Result<VerificationReport> {
        self.run_scan(scan, observer, progress)
    }

    fn upkeep(&self) -> &dyn Upkeep {
        self
    }

    fn close(&self) -> Result<()> {
        if std::process::id() != self.opened_in || self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let mut slot = self.writer();
        self.drop_readers();
        let Some(connection) = slot.connection.take() else {
            self.let_go();
            return Ok(());
        };
        let replaced = slot.replaced || self.watch.as_ref().is_some_and(|watch| lock(watch).check().is_err());
        if replaced {
            // Whatever lies there now is not to be written over with what this process remembers.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).doing("closing the database")?;
        } else if self.wrote.load(Ordering::Acquire) {
            self.leave_durable(&connection, slot.head);
        }
        let closed = connection.close().map_err(|(_, error)| error).doing("closing the database");
        self.let_go();
        closed
    }
}

impl Upkeep for SqliteStorage {
    fn declare_indexes(&self, indexes: &[FieldIndex]) -> Result<()> {
        self.guard()?;
        self.make_indexes(indexes)
    }

    fn indexed_streams(&self) -> Vec<String> {
        self.field_indexes().iter().map(|index| index.stream().to_owned()).collect()
    }

    fn end_of_chain(&self) -> Result<EndOfChain> {
        match self.connector.path() {
            Some(path) => anchor::check(&*self.reader()?, path, &self.info),
            None => Ok(EndOfChain::InMemory),
        }
    }

    fn recovery_fault(&self) -> Result<Option<VerificationError>> {
        self.check_recovered()
    }

    fn why_unsound(&self) -> String {
        self.hint_of_recovery()
    }

    fn accept(&self) -> Result<()> {
        self.begin_anchor()
    }

    fn scrub(&self) -> Result<bool> {
        self.guard()?;
        self.run_scrub()
    }

    fn scrub_pending(&self) -> bool {
        self.scrub_pending.load(Ordering::Relaxed)
    }

    fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        self.run_backup(path, progress)
    }

    fn restore_to(&self, target: &Path, replace: bool, progress: Progress<'_>) -> Result<Restored> {
        self.guard()?;
        self.run_restore(target, replace, progress)
    }

    fn stats(&self) -> Result<Stats> {
        let connection = self.reader()?;
        self.read_stats(&connection)
    }
}

impl SqliteStorage {
    /// Works the log into the database and makes the anchor durable. What fails here is found, or done, at the next opening.
    fn leave_durable(&self, connection: &Connection, head: Option<Head>) {
        if let Err(error) = checkpoint(connection, "TRUNCATE") {
            tracing::warn!(%error, "the write-ahead log could not be checkpointed; it is read at the next open");
        }
        if self.connector.durability == Durability::Normal {
            self.anchor_what_is_durable(head);
        }
        if let Some(anchor) = &*lock(&self.anchor)
            && let Err(error) = anchor.sync()
        {
            tracing::warn!(%error, "the anchor file could not be made durable");
        }
    }

    /// Notes a head of which it is not known yet whether it is durable.
    pub(crate) fn anchor_what_is_durable(&self, head: Option<Head>) {
        match self.sync_log() {
            Ok(()) => self.advance_anchor(head),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be made durable"),
        }
    }

    /// Notes a head that is durable.
    pub(crate) fn advance_anchor(&self, head: Option<Head>) {
        if let (Some(anchor), Some(head)) = (&*lock(&self.anchor), head)
            && let Err(error) = anchor.advance(head)
        {
            tracing::warn!(%error, "the anchor file could not be rewritten; it now trails the chain");
        }
    }

    /// Closes the files that this process keeps open besides SQLite's own.
    pub(crate) fn let_go(&self) {
        *lock(&self.anchor) = None;
        if let Some(watch) = &self.watch {
            lock(watch).release();
        }
    }
}

impl Drop for SqliteStorage {
    fn drop(&mut self) {
        if std::process::id() != self.opened_in {
            // The connections belong to the process that opened them: closing them here could checkpoint or delete
            // its write-ahead log.
            std::mem::forget(self.writer().connection.take());
            std::mem::forget(std::mem::take(&mut *lock(&self.readers)));
        } else if let Err(error) = self.close() {
            tracing::warn!(%error, "closing a ledger failed");
        }
    }
}
