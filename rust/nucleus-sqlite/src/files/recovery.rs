//! A database that nobody closed: SQLite brings it up to date from the write-ahead log beside it, whatever log that is.
//!
//! Where a backup was copied over the database, the log is of another state. Nothing in it says so, but what the two make
//! together does not add up. So the log is not worked into the database before the whole was accepted, and where it is
//! refused, the database is looked at without the log: the one who reads the error then knows what happened.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::files::lock_guard::is_locked_by_others;
use crate::files::names::wal_has_content;

/// What was found beside the database before SQLite opened it.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// The database, where a write-ahead log lay beside it.
    pub(crate) beside_log: Option<PathBuf>,
    /// Whether nobody had the database open then.
    pub(crate) alone: bool,
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
}
