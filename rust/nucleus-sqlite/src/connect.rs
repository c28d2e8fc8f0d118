//! How a connection to a ledger's database is made and hardened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nucleus_engine::model::Result;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::config::Durability;
use crate::faults::database_error;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// Where connections lead to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A database in memory, shared by the connections of this ledger alone: its name is random.
    Memory { name: String },
    /// A file, by its canonical path.
    File { path: PathBuf },
    /// A file on a medium that nobody writes to, without a write-ahead log beside it.
    ImmutableFile { path: PathBuf },
}

/// How connections are made.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) target: Target,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    /// Leave the write-ahead log as it is when the last connection is closed: nobody has accepted yet what is in it.
    pub(crate) keep_log: bool,
}

/// Page cache of the connection that appends: it holds the inner pages of the look-up indexes.
const WRITER_CACHE_KIB: i64 = 65_536;
/// Page cache of a connection that reads; a verification has one on each core.
const READER_CACHE_KIB: i64 = 8_192;
/// What is kept of the write-ahead log after a checkpoint.
const JOURNAL_SIZE_LIMIT_BYTES: i64 = 67_108_864;
/// Larger than any value that a record's size limit allows.
const LARGEST_VALUE_BYTES: i32 = 600 * 1024 * 1024;

/// Steps of a statement, or pages of a check, between two looks at whether it should go on.
const PROGRESS_OPERATIONS: i32 = 1_000;
/// Steps between two looks at whether to go on while the schema is read; there is one for each object at least.
const SCHEMA_OPERATIONS: i32 = 8;
/// Most such looks: enough for ten thousand indexes.
const MOST_SCHEMA_LOOKS: u32 = 30_000;

impl Connector {
    /// The database file; None in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.target {
            Target::Memory { .. } => None,
            Target::File { path } | Target::ImmutableFile { path } => Some(path),
        }
    }

    /// Opens a hardened connection.
    pub(crate) fn connect(&self, role: Role) -> rusqlite::Result<Connection> {
        let access = match (role, &self.target) {
            (Role::Reader, Target::File { .. } | Target::ImmutableFile { .. }) => OpenFlags::SQLITE_OPEN_READ_ONLY,
            // A database of SQLite's memory VFS comes into being with the first connection to it.
            (_, Target::Memory { .. }) => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            (Role::Writer, _) => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = match &self.target {
            Target::Memory { name } => {
                let uri = format!("file:/{name}?vfs=memdb");
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
            }
            Target::File { path } => Connection::open_with_flags(path, flags)?,
            Target::ImmutableFile { path } => {
                let uri = format!("file:{}?immutable=1", percent_encoded(path));
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
            }
        };
        // Before the first statement: two simultaneous opens may meet SQLITE_BUSY_RECOVERY.
        connection.busy_timeout(self.busy_timeout)?;
        harden(&connection)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, self.keep_log)?;
        read_schema(&mut connection)?;
        self.configure(&connection, role)?;
        Ok(connection)
    }

    fn configure(&self, connection: &Connection, role: Role) -> rusqlite::Result<()> {
        connection.set_prepared_statement_cache_capacity(64);
        // Else a statement with a bound LIMIT is compiled again whenever it is bound anew.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        // What is taken back or sorted never touches the disk: no byte of a payload stays behind in a file there.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        match role {
            Role::Reader => {
                connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
                connection.pragma_update(None, "query_only", true)
            }
            Role::Writer => {
                let synchronous = match self.durability {
                    Durability::Full => "FULL",
                    Durability::Normal => "NORMAL",
                };
                connection.pragma_update(None, "synchronous", synchronous)?;
                connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
                // From the first row on, so that no stale copy of a row stays behind in a page that was split.
                connection.pragma_update(None, "secure_delete", true)?;
                connection.pragma_update(None, "recursive_triggers", true)?;
                // Checkpoints are run after commits, by the writer, see `write.rs`.
                connection.pragma_update(None, "wal_autocheckpoint", 0)?;
                connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES)
            }
        }
    }
}

/// Makes SQLite read the schema, which it does before the first statement that needs it, within bounds: a file may have been
/// given any number of objects.
fn read_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    let mut looks = 0;
    let enough = move || {
        looks += 1;
        looks > MOST_SCHEMA_LOOKS
    };
    connection.progress_handler(SCHEMA_OPERATIONS, Some(enough))?;
    let read = connection.prepare("SELECT 1 FROM sqlite_schema").map(drop);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    read
}

/// Lets the last connection work the write-ahead log into the database when it is closed: once somebody has accepted what is
/// in it.
pub(crate) fn checkpoint_on_close(connection: &Connection) -> Result<()> {
    let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(option, false).map(|_| ()).doing("opening the database for writing")
}

/// What protects this process from a file that somebody prepared.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LARGEST_VALUE_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 262_144)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 4)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    Ok(())
}

/// A path inside a URI: everything but unreserved characters and `/` is encoded.
fn percent_encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut out = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            out.push(*byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Lets the statements of a connection end early once that is wished for.
pub(crate) fn make_interruptible(connection: &mut Connection, stop: Arc<AtomicBool>) -> rusqlite::Result<()> {
    connection.progress_handler(PROGRESS_OPERATIONS, Some(move || stop.load(Ordering::Relaxed)))
}

/// Takes that back.
pub(crate) fn make_uninterruptible(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.progress_handler(0, None::<fn() -> bool>)
}

/// Adds what was being done to a database error.
pub(crate) trait Doing<T> {
    /// Names the step that failed.
    fn doing(self, what: &str) -> Result<T>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn doing(self, what: &str) -> Result<T> {
        self.map_err(|error| database_error(what, &error))
    }
}
