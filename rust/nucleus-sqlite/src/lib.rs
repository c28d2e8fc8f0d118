//! The Nucleus ledger in an SQLite database: the storage that `nucleus-engine` asks for through its ports.
//!
//! One [`SqliteStorage`] is one ledger in one file, or in memory. Other processes, and other SQLite libraries in this one,
//! may use the file at the same time.

mod config;
mod connect;
mod faults;
mod files;
mod grants;
mod locks;
mod lookup;
mod open;
mod pages;
mod reader;
mod rows;
mod scan;
mod schema;
mod state;
mod statements;
mod storage;
mod writer;

pub use config::{Durability, SqliteConfig};
pub use state::SqliteStorage;

/// Version of the SQLite library in this build, e.g. `3.54.1`.
pub fn library_version() -> &'static str {
    rusqlite::version()
}
