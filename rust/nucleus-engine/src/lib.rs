//! The ledger engine: the rules of appends, queries, verification, redaction, modules and access, over a storage.
//!
//! One [`LedgerEngine`] is one open ledger. It shares nothing with any other, holds no global state and may be used
//! from many threads at once. It knows no database and no files: those implement the ports in [`store`].
//!
//! Modules depend on one another in one direction: `model` on nothing; `env` and `store` on it; `access` and `module` on
//! those; `ledger` on all.

pub mod access;
pub mod env;
mod ledger;
pub mod model;
pub mod module;
pub mod store;

pub use access::{AccessConfig, Creation};
pub use env::Environment;
pub use ledger::{
    DEFAULT_MAX_RECORD_BYTES, LedgerConfig, LedgerEngine, VerifyOptions, check_ledger_id, verify_storage,
};
pub use model::{
    AppendOptions, Cursor, Error, FieldIndex, FieldValues, NewRecord, Order, Progress, QueryFilters, QueryPage, Result,
};
pub use module::{Module, ModuleConfig, ModuleContext, ModuleFactory, ModuleInfo, ModuleRegistry, Status};
pub use store::{Stats, Storage};

/// Verifies a whole chain held in memory, seq 0 first.
///
/// It has threads of its own for the time of the call: a shared pool would not survive a fork of the process.
///
/// # Errors
/// `Config` where the id cannot be a ledger's.
pub fn verify_chain(entries: &[nucleus_core::ChainEntry], ledger_id: &str) -> Result<nucleus_core::VerificationReport> {
    check_ledger_id(ledger_id)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .build()
        .map_err(|error| Error::Config(format!("no threads to verify with: {error}")))?;
    Ok(pool.install(|| nucleus_core::verify_chain(entries, ledger_id)))
}
