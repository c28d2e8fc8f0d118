//! What an open storage is: its connections, and what it knows.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use nucleus_core::Hash;
use nucleus_core::entry::Head;
use nucleus_core::hash::ledger_hash;
use nucleus_engine::env::Environment;
use nucleus_engine::model::{Error, FieldIndex, Result};
use nucleus_engine::store::Described;
use rusqlite::Connection;

use crate::connect::{self, Connector, Doing, Role};
use crate::files::anchor::Anchor;
use crate::files::file_watch::FileWatch;
use crate::files::recovery::Recovery;
use crate::locks::lock;
use crate::lookup::runs::Lookup;
use crate::pages::memory::{ManyGrants, NewestKnown, StreamsOfIds};
use crate::schema::{self, LedgerInfo};

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

    /// A storage on these connections.
    pub(crate) fn assemble(
        connector: Connector,
        writer: Option<Connection>,
        shape: Shape,
        environment: &Environment,
        path: &Path,
    ) -> Result<Self> {
        let reader = connector.connect(Role::Reader).doing("opening the database for reading")?;
        let info = schema::ledger_info(&reader, path)?;
        let page_bytes: i64 =
            reader.pragma_query_value(None, "page_size", |row| row.get(0)).doing("reading the page size")?;
        let watch = match (&writer, connector.path()) {
            (Some(_), Some(path)) => Some(Mutex::new(FileWatch::new(path, page_bytes as u64)?)),
            _ => None,
        };
        let Shape { location, read_only, has_grants } = shape;
        let storage = Self {
            described: Described {
                ledger_id: info.id.clone(),
                read_only,
                // In memory there is one state, locked by whoever writes.
                reads_wait_for_writes: location.is_none(),
                location,
            },
            environment: environment.clone(),
            ledger_hash: ledger_hash(&info.id),
            info,
            connector,
            read_only,
            page_bytes: page_bytes as u64,
            has_grants,
            writer: Mutex::new(Writer { connection: None, replaced: false, head: None }),
            wal_frames: Arc::new(AtomicU64::new(0)),
            wrote: AtomicBool::new(false),
            readers: Mutex::new(vec![reader]),
            lookup: Lookup::default(),
            many_grants: ManyGrants::default(),
            streams_of_ids: StreamsOfIds::default(),
            newest_known: NewestKnown::default(),
            field_indexes: RwLock::default(),
            anchor: Mutex::new(None),
            watch,
            scrub_pending: AtomicBool::new(false),
            recovery: Recovery::default(),
            closed: AtomicBool::new(false),
            opened_in: std::process::id(),
        };
        storage.note_indexes()?;
        if let Some(mut connection) = writer {
            storage.count_frames(&mut connection)?;
            storage.writer().connection = Some(connection);
        }
        Ok(storage)
    }
}

/// What a storage turns out to be at its opening.
pub(crate) struct Shape {
    /// The file as it was given; None in memory.
    pub(crate) location: Option<PathBuf>,
    pub(crate) read_only: bool,
    pub(crate) has_grants: bool,
}
