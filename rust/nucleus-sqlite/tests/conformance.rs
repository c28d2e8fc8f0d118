//! What every storage must do, of ledgers in a file and in memory.
#![allow(clippy::unwrap_used, missing_docs)] // a failure here is a failed test

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nucleus_conformance::{LEDGER_ID, Subject, conformance};
use nucleus_engine::{Environment, Storage};
use nucleus_sqlite::{Durability, SqliteConfig, SqliteStorage};
use tempfile::TempDir;

/// Each ledger in a file of its own, in one directory.
struct InFile {
    directory: TempDir,
    opened: AtomicU32,
}

impl InFile {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), opened: AtomicU32::new(0) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(format!("{}.db", self.opened.load(Ordering::SeqCst)))
    }

    fn at_path(&self, environment: &Environment) -> Arc<dyn Storage> {
        let config = SqliteConfig {
            path: self.path(),
            read_only: false,
            durability: Durability::Normal,
            busy_timeout: Duration::from_secs(30),
        };
        let storage = Arc::new(SqliteStorage::open(&config, Some(LEDGER_ID), false, environment).unwrap());
        storage.upkeep().accept().unwrap();
        storage
    }
}

impl Subject for InFile {
    fn open(&self, environment: &Environment) -> Arc<dyn Storage> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.at_path(environment)
    }

    fn reopen(&self, environment: &Environment) -> Option<Arc<dyn Storage>> {
        Some(self.at_path(environment))
    }
}

/// Each ledger in memory, gone once it is closed.
fn memory(environment: &Environment) -> Arc<dyn Storage> {
    Arc::new(SqliteStorage::in_memory(LEDGER_ID, environment).unwrap())
}

conformance!(in_a_file, InFile::new());
conformance!(in_memory, memory);
