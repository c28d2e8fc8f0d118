//! Why a database that nobody closed does not add up, looked at without the log that it was recovered from.

use std::path::Path;

use nucleus_core::VerificationError;
use nucleus_engine::VerifyOptions;
use nucleus_engine::env::Environment;
use nucleus_engine::model::{Error, Result};

use crate::connect::{Connector, Doing, Target};
use crate::files::recovery::Recovery;
use crate::rows::committed_below;
use crate::scan::structure::structure_fault;
use crate::schema;
use crate::state::Shape;
use crate::state::SqliteStorage;

/// Entries before the head that are read where not everything is.
const TAIL_ENTRIES: u64 = 1_000;

/// An error of opening, with what the log may have to do with it.
pub(crate) fn explained(recovery: &Recovery, connector: &Connector, error: Error) -> Error {
    match error {
        Error::Store(error) => Error::Store(error.with_hint(&hint(recovery, connector))),
        other => other,
    }
}

/// In words, where the database is whole without the log.
fn hint(recovery: &Recovery, connector: &Connector) -> String {
    let Some(path) = recovery.beside_log.as_deref().filter(|_| recovery.alone) else {
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

/// Number of entries of the database alone; None where it does not add up either.
fn end_without_log(connector: &Connector, path: &Path) -> Result<Option<u64>> {
    let target = Target::ImmutableFile { path: path.to_owned() };
    let connector = Connector { target, ..connector.clone() };
    let reader = connector.connect(crate::connect::Role::Reader).doing("opening the database for reading")?;
    let contents = schema::identify(&reader, path)?;
    drop(reader);
    let shape = Shape { location: Some(path.to_owned()), read_only: true, has_grants: contents.has_grants() };
    let alone = SqliteStorage::assemble(connector, None, shape, &Environment::system(), path)?;
    let report = nucleus_engine::verify_storage(&alone, VerifyOptions::default(), &mut |_, _| Ok(()))?;
    Ok(report.valid().then_some(report.entries_checked))
}

impl SqliteStorage {
    /// See [`nucleus_engine::Storage`].
    pub(crate) fn hint_of_recovery(&self) -> String {
        hint(&self.recovery, &self.connector)
    }

    /// See [`nucleus_engine::Storage`]. Others who have the ledger open have looked at it already.
    pub(crate) fn check_recovered(&self) -> Result<Option<VerificationError>> {
        if !self.recovery.left_behind() || !self.recovery.alone {
            return Ok(None);
        }
        let connection = self.reader()?;
        if let Some(fault) = structure_fault(&connection)? {
            return Ok(Some(fault));
        }
        let length = committed_below(&connection)? as u64;
        match self.read_range(&connection, length.saturating_sub(TAIL_ENTRIES), TAIL_ENTRIES as usize) {
            Err(Error::Integrity { report, .. }) => Ok(report.errors.into_iter().next()),
            read => read.map(|_| None),
        }
    }
}
