//! Ledgers to test with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nucleus_engine::{Environment, Error, LedgerConfig, LedgerEngine, ModuleFactory};
use nucleus_sqlite::{Durability, SqliteConfig, SqliteStorage};

/// The ledger `test` in a file.
pub fn open_file(path: &Path, config: &LedgerConfig, factory: &dyn ModuleFactory) -> Result<LedgerEngine, Error> {
    open_in(path, config, factory, Environment::system())
}

/// The same in an environment.
pub fn open_in(
    path: &Path,
    config: &LedgerConfig,
    factory: &dyn ModuleFactory,
    environment: Environment,
) -> Result<LedgerEngine, Error> {
    let sqlite = SqliteConfig {
        path: path.to_owned(),
        read_only: false,
        durability: Durability::Normal,
        busy_timeout: Duration::from_secs(10),
    };
    let storage = Arc::new(SqliteStorage::open(&sqlite, Some("test"), config.accept_rollback, &environment)?);
    LedgerEngine::open(storage, config, factory, environment, &mut |_, _| Ok(()))
}

/// The ledger `test` in memory.
#[allow(dead_code)] // each test binary has its own copy of this module
pub fn open_memory(config: &LedgerConfig, factory: &dyn ModuleFactory) -> Result<LedgerEngine, Error> {
    let environment = Environment::system();
    let storage = Arc::new(SqliteStorage::in_memory("test", &environment)?);
    LedgerEngine::open(storage, config, factory, environment, &mut |_, _| Ok(()))
}
