//! Opening: creating the file, telling a ledger from anything else, checking it against its anchor.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nucleus_core::{VerificationError, VerificationReport};
use nucleus_engine::check_ledger_id;
use nucleus_engine::env::{Entropy, Environment, SystemEntropy};
use nucleus_engine::model::{Error, Result};
use rusqlite::Connection;

use crate::config::{Durability, SqliteConfig};
use crate::connect::{Connector, Doing, Role, Target, checkpoint_on_close};
use crate::faults::{damaged, database_error, failed_io, unavailable};
use crate::files::anchor::Anchor;
use crate::files::names::wal_has_content;
use crate::files::recovery::Recovery;
use crate::files::why_unsound::explained;
use crate::files::{anchor, lock_guard, names};
use crate::locks::lock;
use crate::rows::read_head;
use crate::schema;
use crate::schema::{APPLICATION_ID, Contents, LedgerInfo, SCHEMA_VERSION};
use crate::state::LEAST_SQLITE_VERSION;
use crate::state::Shape;
use crate::state::SqliteStorage;
use crate::statements::is_busy;

impl SqliteStorage {
    /// A new ledger in memory.
    pub fn in_memory(id: &str, environment: &Environment) -> Result<Self> {
        check_ledger_id(id)?;
        check_library()?;
        let mut random = [0; 16];
        // Not the environment's: two ledgers of one seed must not share a database.
        SystemEntropy.fill(&mut random)?;
        let name = format!("nucleus-{}", u128::from_le_bytes(random));
        let connector = Connector {
            target: Target::Memory { name },
            durability: Durability::Full,
            busy_timeout: Duration::from_secs(30),
            keep_log: false,
        };
        let mut connection = connector.connect(Role::Writer).doing("creating a database in memory")?;
        schema::create(&mut connection, id, environment.now_ms())?;
        let shape = Shape { location: None, read_only: false, has_grants: true };
        Self::assemble(connector, Some(connection), shape, environment, Path::new("a ledger in memory"))
    }

    /// Opens a ledger file, or creates one where there is none.
    ///
    /// `id` must be the ledger's own; None takes it from the file, which then must exist.
    pub fn open(
        config: &SqliteConfig,
        id: Option<&str>,
        accept_rollback: bool,
        environment: &Environment,
    ) -> Result<Self> {
        id.map_or(Ok(()), check_ledger_id)?;
        check_library()?;
        lock_guard::install()?;
        let path = locate(config, id, accept_rollback, environment)?;
        refuse_second_name(&path)?;
        refuse_foreign_header(&path)?;
        refuse_network_file_system(&path)?;
        let recovery = Recovery::of(&path);
        let connector = Connector {
            target: Target::File { path: path.clone() },
            durability: config.durability,
            busy_timeout: config.busy_timeout,
            keep_log: recovery.left_behind(),
        };
        let opened = if config.read_only {
            open_read_only(connector.clone(), &path, config, environment)
        } else {
            open_writable(connector.clone(), &path, id, config, environment)
        };
        let mut storage = opened.map_err(|error| explained(&recovery, &connector, error))?;
        storage.recovery = recovery;
        if let Some(id) = id.filter(|id| *id != storage.info.id) {
            return Err(Error::Config(format!(
                "{} holds the ledger `{}`, not `{}`; open it with its own id",
                path.display(),
                storage.info.id,
                id.escape_debug()
            )));
        }
        Ok(storage)
    }

    /// The opener has accepted the chain: from here on the anchor follows it, and the write-ahead log may be worked into the
    /// database.
    pub(crate) fn begin_anchor(&self) -> Result<()> {
        let (Some(path), false) = (self.connector.path(), self.read_only) else {
            return Ok(());
        };
        let head = read_head(&*self.reader()?)?;
        // Another process may have committed it without making it durable.
        self.sync_log()?;
        let anchor = Anchor::begin(path, &self.info, head)?;
        *lock(&self.anchor) = Some(anchor);
        let mut slot = self.writer();
        slot.head = head;
        if let Some(connection) = &slot.connection {
            checkpoint_on_close(connection)?;
            if self.recovery.left_behind() {
                // A process that died may have left a redaction's bytes in the log. Others who use it are not waited for; on a
                // full disk, the ledger can still be read.
                if let Err(error) = self.empty_log(connection) {
                    tracing::warn!(%error, "the write-ahead log could not be emptied at the opening");
                }
            }
        }
        Ok(())
    }

    /// Makes what stands in the write-ahead log durable, whoever wrote it.
    pub(crate) fn sync_log(&self) -> Result<()> {
        self.watch.as_ref().map_or(Ok(()), |watch| lock(watch).sync_log())
    }
}

fn check_library() -> Result<()> {
    let version = rusqlite::version_number();
    if version >= LEAST_SQLITE_VERSION {
        return Ok(());
    }
    Err(Error::Config(format!(
        "SQLite {} has known bugs that lose data; at least 3.51.3 is needed",
        rusqlite::version()
    )))
}

/// The canonical path of the file; creates a ledger there where that is wanted.
///
/// Where an anchor or a write-ahead log stands beside a file that is gone or empty, there was a ledger: a new one is not
/// begun in its place.
fn locate(
    config: &SqliteConfig,
    id: Option<&str>,
    accept_rollback: bool,
    environment: &Environment,
) -> Result<PathBuf> {
    let refuse = |why: String| Error::Config(format!("{}: {why}", config.path.display()));
    let path = std::path::absolute(&config.path).map_err(|error| refuse(error.to_string()))?;
    let there = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Some(metadata.len()),
        Ok(_) => return Err(refuse("is not a regular file".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(refuse(error.to_string())),
    };
    let begins = match there {
        None if config.read_only || id.is_none() => {
            return Err(refuse("there is no ledger here; give an id, without read_only, to create one".to_owned()));
        }
        None => true,
        Some(bytes) => bytes == 0 && !wal_has_content(&path),
    };
    if begins && !accept_rollback && (anchor::stands_for_entries(&path) || wal_has_content(&path)) {
        return Err(lost_ledger(&path));
    }
    if let (true, false, Some(id)) = (begins, config.read_only, id) {
        create_ledger_file(&path, id, environment.now_ms())?;
    }
    std::fs::canonicalize(&path).map_err(|error| refuse(error.to_string()))
}

fn lost_ledger(path: &Path) -> Error {
    let mut report = VerificationReport::default();
    report.add(VerificationError {
        kind: nucleus_core::ErrorKind::HeadMismatch,
        seq: None,
        record_id: None,
        expected: Some(format!("the ledger that {} is the anchor of", anchor::anchor_path(path).display())),
        actual: Some("no ledger".to_owned()),
    });
    Error::integrity("the ledger's file is gone or empty (accept_rollback=True begins a new one)", report)
}

/// Makes a new, empty ledger, unless another process does so first. It gets its name when it is whole and durable, and its
/// anchor is: a power cut leaves a ledger or none.
fn create_ledger_file(path: &Path, id: &str, created_at: i64) -> Result<()> {
    let failed = |error: std::io::Error| not_created(path, &error);
    // A link leads to where the file is, or is to be.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = target.as_path();
    if let Some(directory) = path.parent() {
        names::create_directories(directory).map_err(failed)?;
    }
    let unfinished = names::unfinished_path(path);
    let file = names::create_unfinished(&unfinished, 0o600).map_err(failed)?;
    let there = std::fs::metadata(path).ok();
    if there.as_ref().is_some_and(|metadata| metadata.len() > 0) {
        return names::remove_if_there(&unfinished).map_err(failed);
    }
    // An empty file that somebody has put there keeps its owner and mode.
    let mode = there.as_ref().map_or(0o600, |metadata| metadata.mode() & 0o666);
    let create = || -> Result<()> {
        if let Some(metadata) = &there {
            let own = file.metadata().map_err(failed)?;
            if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
                std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid())).map_err(failed)?;
            }
            file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        file.write_all_at(&schema::image(id, created_at)?, 0).map_err(failed)?;
        for leftover in ["-wal", "-shm"] {
            names::remove_if_there(&names::beside(path, leftover)).map_err(failed)?;
        }
        Anchor::replace(path, mode, &LedgerInfo { id: id.to_owned(), created_at }, None)?;
        names::finish(&file, &unfinished, path).map_err(failed)
    };
    let created = create();
    if created.is_err() {
        names::remove_if_there(&unfinished).map_err(failed)?;
    }
    created
}

/// A place that is wrong is the caller's to mend; a disk that is full or failing is not.
fn not_created(path: &Path, error: &std::io::Error) -> Error {
    use ErrorKind::{AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    let place = [AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem];
    let message = format!("creating {}: {error}", path.display());
    if place.contains(&error.kind()) { Error::Config(message) } else { failed_io(message, error) }
}

/// A file with two names has two write-ahead logs, of which each user would know one.
fn refuse_second_name(path: &Path) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::Config(format!("{}: {error}", path.display())))?;
    if metadata.nlink() <= 1 {
        return Ok(());
    }
    Err(Error::Config(format!(
        "{} has {} names (hard links): whoever opened it by another would not see what is written here, and the two would \
         ruin it; copy it to a file of its own (cp), or remove the other names",
        path.display(),
        metadata.nlink()
    )))
}

/// Refuses what is plainly something else before SQLite opens it, so that it stays as it is.
fn refuse_foreign_header(path: &Path) -> Result<()> {
    let mut header = Vec::new();
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(|error| failed_io(format!("reading {}: {error}", path.display()), &error))?;
    if header.is_empty() {
        return Ok(());
    }
    let refuse =
        |what: &str| Err(damaged(format!("{} is {what}, not a Nucleus ledger; nothing was changed", path.display())));
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return refuse("not an SQLite database");
    }
    let number = |offset: usize| {
        let bytes = [header[offset], header[offset + 1], header[offset + 2], header[offset + 3]];
        i64::from(u32::from_be_bytes(bytes))
    };
    let (application_id, schema_changes) = (number(68), number(40));
    // SQLite file format, section 1.3.3: what a program must know to write the file, and to read it.
    if header[18] > 2 || header[19] > 2 {
        return refuse("for a newer version of SQLite, or was altered");
    }
    // A ledger that is just being created has neither id nor schema in the file yet.
    if application_id == APPLICATION_ID || (application_id == 0 && schema_changes == 0) {
        return Ok(());
    }
    refuse("an SQLite database of another application")
}

/// The write-ahead log needs memory shared by all its users, which no network file system offers.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn refuse_network_file_system(path: &Path) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    const NETWORK_FILE_SYSTEMS: [(i64, &str); 4] =
        [(0x6969, "NFS"), (0xFE53_4D42, "SMB"), (0xFF53_4D42, "CIFS"), (0x0102_1997, "9p")];
    let Ok(name) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return Ok(());
    };
    let mut status = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `name` ends in NUL; `statfs` fills the structure when it answers 0, and only then is it read.
    let kind = unsafe {
        if libc::statfs(name.as_ptr(), status.as_mut_ptr()) != 0 {
            return Ok(());
        }
        status.assume_init().f_type
    };
    match NETWORK_FILE_SYSTEMS.iter().find(|(number, _)| *number == kind) {
        None => Ok(()),
        Some((_, name)) => Err(Error::Config(format!(
            "{} is on {name}: several users of one file would corrupt it there; keep the ledger on a local disk",
            path.display()
        ))),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network_file_system(_path: &Path) -> Result<()> {
    Ok(())
}

fn open_writable(
    connector: Connector,
    path: &Path,
    id: Option<&str>,
    config: &SqliteConfig,
    environment: &Environment,
) -> Result<SqliteStorage> {
    let mut connection = connector.connect(Role::Writer).map_err(|error| opening(path, &error))?;
    let contents = schema::identify(&connection, path)?;
    if contents == Contents::Empty {
        let Some(id) = id else {
            return Err(Error::Config(format!("{} is empty; give an id to create a ledger in it", path.display())));
        };
        use_write_ahead_log(&connection, path, connector.busy_timeout)?;
        schema::create(&mut connection, id, environment.now_ms())?;
        schema::identify(&connection, path)?;
        if !anchor::anchor_path(path).exists() {
            let mode = std::fs::metadata(path).map_or(0o600, |metadata| metadata.mode());
            Anchor::replace(path, mode, &schema::ledger_info(&connection, path)?, None)?;
        }
    }
    // SQLite opens for reading what it may not, or cannot, write: then each append would fail.
    if connection.is_readonly("main").map_err(|error| opening(path, &error))? {
        return Err(unavailable(format!(
            "{} cannot be written: make it writable for this user, or open it with read_only=True",
            path.display()
        )));
    }
    use_write_ahead_log(&connection, path, connector.busy_timeout)?;
    if matches!(contents, Contents::Ledger { version } if version < SCHEMA_VERSION) {
        schema::migrate(&mut connection, path)?;
        schema::identify(&connection, path)?;
    }
    let shape = Shape { location: Some(config.path.clone()), read_only: false, has_grants: true };
    SqliteStorage::assemble(connector, Some(connection), shape, environment, path)
}

fn use_write_ahead_log(connection: &Connection, path: &Path, busy_timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + busy_timeout;
    let mode = loop {
        let result: rusqlite::Result<String> =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match result {
            Ok(mode) => break mode,
            // SQLite does not wait for the lock that this change needs; two first opens may meet here.
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(opening(path, &error)),
        }
    };
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(unavailable(format!("{}: the file system does not support a write-ahead log", path.display())))
}

fn open_read_only(
    connector: Connector,
    path: &Path,
    config: &SqliteConfig,
    environment: &Environment,
) -> Result<SqliteStorage> {
    let connector = match try_reading(&connector) {
        Ok(()) => connector,
        // Without write access SQLite cannot set up the write-ahead log; where there is none, it need not.
        Err(error) if lacks_write_access(&error) && !wal_has_content(path) => {
            Connector { target: Target::ImmutableFile { path: path.to_owned() }, ..connector }
        }
        Err(error) => return Err(opening(path, &error)),
    };
    let reader = connector.connect(Role::Reader).map_err(|error| opening(path, &error))?;
    let contents = schema::identify(&reader, path)?;
    if contents == Contents::Empty {
        return Err(Error::Config(format!("{} is empty: there is no ledger to read", path.display())));
    }
    drop(reader);
    let shape = Shape { location: Some(config.path.clone()), read_only: true, has_grants: contents.has_grants() };
    SqliteStorage::assemble(connector, None, shape, environment, path)
}

fn try_reading(connector: &Connector) -> rusqlite::Result<()> {
    let connection = connector.connect(Role::Reader)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

fn opening(path: &Path, error: &rusqlite::Error) -> Error {
    let hint = if lacks_write_access(error) {
        "; a ledger that was not closed has a write-ahead log (-wal) that cannot be read without write access to its \
         directory: copy both files to a writable place, or close the ledger where it is written"
    } else {
        ""
    };
    match database_error(&format!("opening {}", path.display()), error) {
        Error::Store(error) => Error::Store(error.with_hint(hint)),
        other => other,
    }
}

fn lacks_write_access(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly))
}
