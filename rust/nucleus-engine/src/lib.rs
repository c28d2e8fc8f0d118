//! The ledger engine: appends, queries, verification and redaction over a storage backend.
//!
//! One [`LedgerEngine`] is one open ledger. It shares nothing with any other, holds no global state and may be used
//! from many threads at once.

pub mod access;
mod append;
mod clock;
mod config;
mod engine;
mod error;
pub mod module;
mod prepare;
mod query;
pub mod storage;

pub use access::{AccessConfig, Creation};
pub use config::{Durability, LedgerConfig, SqliteConfig, StorageConfig};
pub use engine::{AppendOptions, LedgerEngine};
pub use error::{Error, Result};
pub use module::{Module, ModuleConfig, ModuleContext, ModuleFactory, ModuleInfo, ModuleRegistry};
pub use prepare::NewRecord;
pub use query::{Cursor, Order, QueryFilters, QueryPage, Status};
pub use storage::{FieldIndex, FieldValues, Progress, Stats};

/// Verifies a whole chain held in memory, seq 0 first.
///
/// It has threads of its own for the time of the call: a shared pool would not survive a fork of the process.
pub fn verify_chain(entries: &[nucleus_core::ChainEntry], ledger_id: &str) -> Result<nucleus_core::VerificationReport> {
    config::check_ledger_id(ledger_id)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .build()
        .map_err(|error| Error::Config(format!("no threads to verify with: {error}")))?;
    Ok(pool.install(|| nucleus_core::verify_chain(entries, ledger_id)))
}
