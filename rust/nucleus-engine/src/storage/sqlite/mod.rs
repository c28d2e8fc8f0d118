//! A ledger in an SQLite database.

mod anchor;
mod attended;
mod backup;
mod connect;
mod declared;
mod derived;
mod file_watch;
mod files;
mod grants;
mod index_faults;
mod lock_guard;
mod log_scan;
mod lookup;
mod open;
mod page;
mod places;
mod read;
mod recovery;
mod rows;
mod schema;
mod verify;
mod verify_grants;
mod versions;
mod visible;
mod write;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use nucleus_core::entry::Head;
use nucleus_core::{ChainEntry, Hash, VerificationError, VerificationReport};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use self::anchor::Anchor;
use self::connect::{Connector, Doing, Role};
use self::file_watch::FileWatch;
use self::lookup::{Extent, Key, Lookup};
use self::places::ManyGrants;
use self::recovery::Recovery;
use self::rows::read_head;
use self::schema::LedgerInfo;
use self::versions::Versions;
use crate::access::{Grant, GrantQuery, ProjectionState, Question, Viewer};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::query::{QueryFilters, QueryPage};
use crate::storage::{EndOfChain, FieldIndex, FieldValues, OpenTransaction, Progress, Stats, StorageBackend};

/// Read connections kept for the next read.
const MAX_IDLE_READERS: usize = 8;

/// The oldest SQLite that is free of the bugs known to lose or corrupt data in WAL mode.
const LEAST_SQLITE_VERSION: i32 = 3_051_003;

/// One ledger in one SQLite database.
///
/// Locks, in the order they are taken: `writer`, held for a whole write transaction; then `watch` or the look-up map,
/// each for a moment; `readers` for the time of taking or returning a connection.
pub struct SqliteStorage {
    info: LedgerInfo,
    /// What stands before the first entry.
    ledger_hash: Hash,
    connector: Connector,
    read_only: bool,
    page_bytes: u64,
    /// Whether the schema has the table of grants: one that an older version wrote and nobody opened for writing has not.
    has_grants: bool,
    writer: Mutex<Writer>,
    /// Frames in the write-ahead log after the last commit of this process.
    wal_frames: Arc<AtomicU64>,
    /// Whether this process has written anything since it opened the ledger.
    wrote: AtomicBool,
    readers: Mutex<Vec<Connection>>,
    lookup: Lookup,
    many_grants: ManyGrants,
    /// The declared indexes that the database has. Replaced as a whole; read for a moment.
    field_indexes: RwLock<Arc<Vec<FieldIndex>>>,
    /// None in memory, when opened read-only or closed, and until the chain has been accepted. Held for a write of it.
    anchor: Mutex<Option<Anchor>>,
    watch: Option<Mutex<FileWatch>>,
    /// Whether bytes of an erased payload may still be in the write-ahead log.
    scrub_pending: AtomicBool,
    recovery: Recovery,
    closed: AtomicBool,
    opened_in: u32,
}

/// The writer's connection.
#[derive(Debug)]
struct Writer {
    /// None when read-only, closed, or after an error that SQLite asks to be followed by a new connection.
    connection: Option<Connection>,
    /// The files were found replaced: nothing more may be written.
    replaced: bool,
    /// The newest head that this process knows to be durable: the chain must never be without it.
    head: Option<Head>,
}

/// A read connection on loan; it goes back when it is dropped.
struct Reader<'a> {
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
struct Snapshot<'a> {
    connection: &'a Connection,
}

impl<'a> Snapshot<'a> {
    fn begin(connection: &'a Connection) -> Result<Self> {
        write::execute(connection, "BEGIN").doing("beginning a read")?;
        Ok(Self { connection })
    }

    fn end(self) -> Result<()> {
        write::execute(self.connection, "COMMIT").doing("ending a read")
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = write::execute(self.connection, "ROLLBACK")
        {
            tracing::warn!(%error, "a read could not be ended");
        }
    }
}

impl SqliteStorage {
    fn guard(&self) -> Result<()> {
        let here = std::process::id();
        if here != self.opened_in {
            return Err(Error::Forked { opened_in: self.opened_in, here });
        }
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A panic inside a transaction leaves the connection in it; the next BEGIN then fails and drops it.
        lock(&self.writer)
    }

    fn reader(&self) -> Result<Reader<'_>> {
        self.guard()?;
        let idle = lock(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connector.connect(Role::Reader).doing("opening the database for reading")?,
        };
        Ok(Reader { storage: self, connection: Some(connection), interruptible: false })
    }

    /// A read connection whose statements end early once `stop` is set.
    fn interruptible_reader(&self, stop: Arc<AtomicBool>) -> Result<Reader<'_>> {
        let mut reader = self.reader()?;
        if let Some(connection) = &mut reader.connection {
            connect::make_interruptible(connection, stop).doing("preparing a connection for long work")?;
            reader.interruptible = true;
        }
        Ok(reader)
    }

    fn field_indexes(&self) -> Arc<Vec<FieldIndex>> {
        Arc::clone(&self.field_indexes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs reads that look versions up in one snapshot.
    fn with_versions<T>(&self, read: impl FnOnce(&mut Versions<'_>) -> Result<T>) -> Result<T> {
        let connection = self.reader()?;
        let generation = self.lookup.generation();
        let snapshot = Snapshot::begin(&connection)?;
        let extent = Extent { committed_below: committed_below(&connection)?, generation };
        let answer = read(&mut Versions::new(self, &connection, extent, None))?;
        snapshot.end()?;
        Ok(answer)
    }

    fn drop_readers(&self) {
        lock(&self.readers).clear();
    }

    fn wal_path(&self) -> Option<PathBuf> {
        self.connector.path().map(|path| {
            let mut path = path.as_os_str().to_owned();
            path.push("-wal");
            PathBuf::from(path)
        })
    }

    fn wal_bytes(&self) -> u64 {
        self.wal_path().and_then(|path| std::fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
    }
}

/// Locks what stays usable whatever a panic elsewhere left undone.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Number of committed entries that a read sees.
fn committed_below(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM entries").doing("reading the head")?;
    let last: Option<i64> = statement.query_row([], |row| row.get(0)).doing("reading the head")?;
    Ok(last.map_or(0, |seq| seq.saturating_add(1)))
}

impl StorageBackend for SqliteStorage {
    fn ledger_id(&self) -> &str {
        &self.info.id
    }

    fn write(self: Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
        self.run_write(work)
    }

    fn declare_indexes(&self, indexes: &[FieldIndex]) -> Result<()> {
        self.guard()?;
        self.make_indexes(indexes)
    }

    fn indexed_streams(&self) -> Vec<String> {
        self.field_indexes().iter().map(|index| index.stream().to_owned()).collect()
    }

    fn get(&self, hash: &Hash, viewer: Option<&Viewer>) -> Result<Option<ChainEntry>> {
        let connection = self.reader()?;
        let generation = self.lookup.generation();
        let snapshot = Snapshot::begin(&connection)?;
        let extent = || Ok::<_, Error>(Extent { committed_below: committed_below(&connection)?, generation });
        // An entry never changes its hash: what is found without looking for newer entries is the answer.
        let known = self.lookup.known_candidates(&connection, hash.prefix())?;
        let mut found = self.confirm_hash(&connection, &known, hash)?;
        if found.is_none() {
            let seqs = self.lookup.candidates(&connection, Key::Hash, hash.prefix(), extent()?)?;
            found = self.confirm_hash(&connection, &seqs, hash)?;
        }
        if let (Some(viewer), Some(entry)) = (viewer, &found)
            && !viewer.sees(&Versions::new(self, &connection, extent()?, None), entry)?
        {
            found = None;
        }
        snapshot.end()?;
        Ok(found)
    }

    fn latest_by_id(&self, id: &str, stream: Option<&str>, viewer: Option<&Viewer>) -> Result<Option<ChainEntry>> {
        self.with_versions(|versions| versions.latest(id, stream, viewer))
    }

    fn range(&self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        let connection = self.reader()?;
        self.read_range(&connection, first_seq, limit)
    }

    fn query(&self, filters: &QueryFilters) -> Result<QueryPage> {
        self.with_versions(|versions| versions.page(filters))
    }

    fn field_values(&self, query: &FieldValues<'_>) -> Result<Vec<String>> {
        let connection = self.reader()?;
        let snapshot = Snapshot::begin(&connection)?;
        let values = self.read_field_values(&connection, query)?;
        snapshot.end()?;
        Ok(values)
    }

    fn allows(&self, question: &Question<'_>, kinds: &str) -> Result<Option<bool>> {
        if self.has_grants { grants::allows_now(&*self.reader()?, question, kinds) } else { Ok(None) }
    }

    fn grants(&self, query: &GrantQuery<'_>) -> Result<Vec<Grant>> {
        grants::grants(&*self.reader()?, query)
    }

    fn projection(&self) -> Result<Option<ProjectionState>> {
        if self.has_grants { grants::projection(&*self.reader()?) } else { Ok(None) }
    }

    fn projection_is_current(&self, kinds: &str) -> Result<bool> {
        if self.has_grants { grants::is_current(&*self.reader()?, kinds) } else { Ok(false) }
    }

    fn verify_grants(&self, now_s: i64, progress: Progress<'_>) -> Result<Vec<VerificationError>> {
        if self.has_grants { self.compare_grants(now_s, progress) } else { Ok(Vec::new()) }
    }

    fn head(&self) -> Result<Option<Head>> {
        read_head(&*self.reader()?)
    }

    fn verify(&self, deep: bool, progress: Progress<'_>) -> Result<VerificationReport> {
        self.run_verify(deep, progress)
    }

    fn end(&self) -> Result<EndOfChain> {
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

    fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        self.run_backup(path, progress)
    }

    fn stats(&self) -> Result<Stats> {
        let connection = self.reader()?;
        self.read_stats(&connection)
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

impl SqliteStorage {
    /// Works the log into the database and makes the anchor durable. What fails here is found, or done, at the next opening.
    fn leave_durable(&self, connection: &Connection, head: Option<Head>) {
        if let Err(error) = write::checkpoint(connection, "TRUNCATE") {
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
    fn anchor_what_is_durable(&self, head: Option<Head>) {
        match self.sync_log() {
            Ok(()) => self.advance_anchor(head),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be made durable"),
        }
    }

    /// Notes a head that is durable.
    fn advance_anchor(&self, head: Option<Head>) {
        if let (Some(anchor), Some(head)) = (&*lock(&self.anchor), head)
            && let Err(error) = anchor.advance(head)
        {
            tracing::warn!(%error, "the anchor file could not be rewritten; it now trails the chain");
        }
    }

    /// Closes the files that this process keeps open besides SQLite's own.
    fn let_go(&self) {
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

/// Version of the SQLite library in this build, e.g. `3.54.1`.
pub fn library_version() -> &'static str {
    rusqlite::version()
}
