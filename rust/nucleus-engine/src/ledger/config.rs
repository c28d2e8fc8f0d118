//! How a ledger is opened.

use nucleus_core::Hash;

use crate::access::AccessConfig;
use crate::model::{Error, Result};
use crate::module::ModuleConfig;

/// Largest record accepted where the opener does not say otherwise, in bytes.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// Longest ledger id, in bytes of UTF-8.
const MAX_LEDGER_ID_BYTES: usize = 255;

/// How a ledger is opened.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
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

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            verify_on_open: true,
            accept_rollback: false,
            expected_head: None,
            expected_length: None,
            modules: Vec::new(),
            access: None,
        }
    }
}

impl LedgerConfig {
    /// Checks what can be checked without touching a storage, before one is opened or made.
    ///
    /// # Errors
    /// `Config`.
    pub fn validate(&self) -> Result<()> {
        // No storage holds a value of more than 10^9 bytes.
        const LARGEST_RECORD_BYTES: usize = 512 * 1024 * 1024;
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
