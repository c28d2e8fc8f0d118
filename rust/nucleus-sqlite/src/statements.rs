//! Statements and transactions that several parts need.

use nucleus_engine::model::Result;
use rusqlite::{Connection, ErrorCode};

use crate::connect::Doing;

/// Runs a statement that answers nothing.
pub(crate) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// Whether others held the lock.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Runs a checkpoint; false where another connection kept it from finishing.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<bool> {
    let doing = "checkpointing the write-ahead log";
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(0))
        .doing(doing)
        .map(|busy| busy == 0)
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
