//! What a storage tells about itself.

use std::path::PathBuf;

use nucleus_core::VerificationError;
use nucleus_core::entry::Head;

/// What a storage is, for as long as it is open.
#[derive(Debug, Clone)]
pub struct Described {
    /// Id of the ledger that is kept here.
    pub ledger_id: String,
    /// Where it is kept, as it was given; None in memory.
    pub location: Option<PathBuf>,
    /// Whether nothing may be written.
    pub read_only: bool,
    /// Whether a read waits for the write transaction that is open, so that a hook inside it must not read past it.
    pub reads_wait_for_writes: bool,
}

/// Figures about a ledger.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Number of entries.
    pub entries: u64,
    /// Where the chain ends.
    pub head: Option<Head>,
    /// Number of entries by stream.
    pub streams: Vec<(String, u64)>,
    /// Entries whose payload was erased.
    pub redacted: u64,
    /// Smallest timestamp, in ms.
    pub first_timestamp: Option<i64>,
    /// Largest timestamp, in ms.
    pub last_timestamp: Option<i64>,
    /// When the ledger was created, in ms.
    pub created_at: i64,
    /// Size of the database, in bytes.
    pub database_bytes: u64,
    /// Size of the write-ahead log, in bytes.
    pub wal_bytes: u64,
    /// Whether bytes of an erased payload may still be in the write-ahead log, which a reader keeps from being emptied.
    pub scrub_pending: bool,
}

/// What restoring a backup came to.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Where the restored chain ends.
    pub head: Option<Head>,
    /// Where the ledger is now that was there before.
    pub replaced: Option<PathBuf>,
}

/// What is known of where a chain ends, besides the chain.
#[derive(Debug, Clone)]
pub enum EndOfChain {
    /// It ends where its anchor says, or later.
    Anchored,
    /// The anchor that it should have is not there.
    NotAnchored(VerificationError),
    /// The anchor says otherwise.
    Mismatch(VerificationError),
    /// There is nothing to compare: the ledger ends with its process.
    InMemory,
}
