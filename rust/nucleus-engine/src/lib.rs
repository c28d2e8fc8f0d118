//! The ledger engine: appends, queries, verification and redaction over a storage backend.
//!
//! One [`LedgerEngine`] is one open ledger. It shares nothing with any other, holds no global state and may be used
//! from many threads at once.

mod append;
mod clock;
mod config;
mod engine;
mod error;
mod query;
pub mod storage;

pub use config::{Durability, LedgerConfig, SqliteConfig, StorageConfig};
pub use engine::LedgerEngine;
pub use error::{Error, Result};
pub use query::{Cursor, Order, QueryFilters, QueryPage};
pub use storage::{Progress, Stats};
