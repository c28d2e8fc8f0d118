//! How a ledger is opened.

use std::path::PathBuf;
use std::time::Duration;

use nucleus_core::Hash;

use crate::access::AccessConfig;
use crate::error::{Error, Result};
use crate::module::ModuleConfig;

/// Longest ledger id, in bytes of UTF-8.
const MAX_LEDGER_ID_BYTES: usize = 255;

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

/// Where a ledger is kept.
#[derive(Debug, Clone)]
pub enum StorageConfig {
    /// In memory; gone when it is closed.
    Memory,
    /// In an SQLite file.
    Sqlite(SqliteConfig),
}

/// How a ledger is opened.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// The ledger's id; None takes it from an existing file.
    pub id: Option<String>,
    /// Where it is kept.
    pub storage: StorageConfig,
    /// Largest record accepted: canonical payload and meta together, in bytes.
    pub max_record_bytes: usize,
    /// Verify the whole chain before anything else.
    pub verify_on_open: bool,
    /// Accept a chain that is shorter than its anchor says, and rewrite the anchor.
    pub accept_rollback: bool,
    /// The head the chain must end in.
    pub expected_head: Option<Hash>,
    /// The number of entries the chain must have.
    pub expected_length: Option<u64>,
    /// The modules it runs, in the order of their hooks.
    pub modules: Vec<ModuleConfig>,
    /// Access control; None: every requester may do everything.
    pub access: Option<AccessConfig>,
}

impl LedgerConfig {
    /// The defaults for a ledger kept in `storage`.
    pub fn new(id: Option<String>, storage: StorageConfig) -> Self {
        Self {
            id,
            storage,
            max_record_bytes: 16 * 1024 * 1024,
            verify_on_open: true,
            accept_rollback: false,
            expected_head: None,
            expected_length: None,
            modules: Vec::new(),
            access: None,
        }
    }

    /// Checks what can be checked without touching the storage.
    pub(crate) fn validate(&self) -> Result<()> {
        // SQLite itself holds no value of more than 10^9 bytes.
        const LARGEST_RECORD_BYTES: usize = 512 * 1024 * 1024;
        if let Some(id) = &self.id {
            check_ledger_id(id)?;
        }
        if self.id.is_none() && matches!(self.storage, StorageConfig::Memory) {
            return Err(Error::Config("a ledger in memory is always new: give it an id".to_owned()));
        }
        if !(1..=LARGEST_RECORD_BYTES).contains(&self.max_record_bytes) {
            return Err(Error::Config(format!("max_record_bytes must be between 1 and {LARGEST_RECORD_BYTES}")));
        }
        Ok(())
    }
}

/// Checks the form of a ledger's id.
pub fn check_ledger_id(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > MAX_LEDGER_ID_BYTES {
        return Err(Error::Config(format!("a ledger id has 1 to {MAX_LEDGER_ID_BYTES} bytes, not {}", id.len())));
    }
    if id.chars().any(char::is_control) {
        return Err(Error::Config("a ledger id has no control characters".to_owned()));
    }
    Ok(())
}
