//! A database that nobody closed: SQLite brings it up to date from the write-ahead log beside it, whatever log that is.
//!
//! Where a backup was copied over the database, the log is of another state. Nothing in it says so, but what the two make
//! together does not add up. So the log is not worked into the database before the whole was accepted, and where it is
//! refused, the database is looked at without the log: the one who reads the error then knows what happened.

use std::fs::File;
use std::path::{Path, PathBuf};

use nucleus_core::VerificationError;
use nucleus_engine::env::Environment;
use nucleus_engine::model::{Error, Result};

use crate::connect::{Connector, Doing, Target};
use crate::files::lock_guard::is_locked_by_others;
use crate::open::{Shape, wal_has_content};
use crate::schema;
use crate::storage::SqliteStorage;

/// Entries before the head that are read where not everything is.
const TAIL_ENTRIES: u64 = 1_000;

/// What was found beside the database before SQLite opened it.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// The database, where a write-ahead log lay beside it.
    beside_log: Option<PathBuf>,
    /// Whether nobody had the database open then.
    alone: bool,
}

impl Recovery {
    /// To be asked before SQLite opens the database.
    pub(crate) fn of(path: &Path) -> Self {
        if !wal_has_content(path) {
            return Self::default();
        }
        let alone = File::open(path).is_ok_and(|file| !is_locked_by_others(&file));
        Self { beside_log: Some(path.to_owned()), alone }
    }

    /// Whether a write-ahead log was there.
    pub(crate) fn left_behind(&self) -> bool {
        self.beside_log.is_some()
    }

    /// An error of opening, with what the log may have to do with it.
    pub(crate) fn explained(&self, connector: &Connector, error: Error) -> Error {
        match error {
            Error::Store(error) => Error::Store(error.with_hint(&self.hint(connector))),
            other => other,
        }
    }

    /// In words, where the database is whole without the log.
    fn hint(&self, connector: &Connector) -> String {
        let Some(path) = self.beside_log.as_deref().filter(|_| self.alone) else {
            return String::new();
        };
        match end_without_log(connector, path) {
            Ok(Some(entries)) => format!(
                "; without the write-ahead log beside it {0} is whole, with {entries} entries: the log is of another state, \
                 as where a backup was copied over the file. Nothing was changed. To restore a backup use `nucleus restore`; \
                 to go on with the file as it is, move {0}-wal and {0}-shm away and open it with accept_rollback=True",
                path.display()
            ),
            _ => String::new(),
        }
    }
}

/// Number of entries of the database alone; None where it does not add up either.
fn end_without_log(connector: &Connector, path: &Path) -> Result<Option<u64>> {
    let target = Target::ImmutableFile { path: path.to_owned() };
    let connector = Connector { target, ..connector.clone() };
    let reader = connector.connect(crate::connect::Role::Reader).doing("opening the database for reading")?;
    let contents = schema::identify(&reader, path)?;
    drop(reader);
    let shape = Shape { location: Some(path.to_owned()), read_only: true, has_grants: contents.has_grants() };
    let alone = SqliteStorage::assemble(connector, None, shape, &Environment::system(), path)?;
    let report = nucleus_engine::verify_storage(&alone, &mut |_, _| Ok(()))?;
    Ok(report.valid().then_some(report.entries_checked))
}

impl SqliteStorage {
    /// See [`nucleus_engine::Storage`].
    pub(crate) fn hint_of_recovery(&self) -> String {
        self.recovery.hint(&self.connector)
    }

    /// See [`nucleus_engine::Storage`]. Others who have the ledger open have looked at it already.
    pub(crate) fn check_recovered(&self) -> Result<Option<VerificationError>> {
        if !self.recovery.left_behind() || !self.recovery.alone {
            return Ok(None);
        }
        let connection = self.reader()?;
        if let Some(fault) = crate::scan::units::structure_fault(&connection)? {
            return Ok(Some(fault));
        }
        let length = crate::storage::committed_below(&connection)? as u64;
        match self.read_range(&connection, length.saturating_sub(TAIL_ENTRIES), TAIL_ENTRIES as usize) {
            Err(Error::Integrity { report, .. }) => Ok(report.errors.into_iter().next()),
            read => read.map(|_| None),
        }
    }
}
