//! How a ledger is kept in an SQLite database.

use std::path::PathBuf;
use std::time::Duration;

/// What survives what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// An acknowledged append survives a power cut: one `fsync` per commit.
    #[default]
    Full,
    /// An acknowledged append survives the death of the process; a power cut may take the newest ones, never a part
    /// of one.
    Normal,
}

/// A ledger in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The database file.
    pub path: PathBuf,
    /// Open without writing anything.
    pub read_only: bool,
    /// What survives what.
    pub durability: Durability,
    /// How long to wait for the lock of another process.
    pub busy_timeout: Duration,
}
