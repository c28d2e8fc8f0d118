//! What the engine asks of a storage, and the storages.

pub mod sqlite;

use std::path::Path;

use nucleus_core::entry::Head;
use nucleus_core::{ChainEntry, Hash, VerificationError, VerificationReport};

use crate::error::Result;
use crate::query::{QueryFilters, QueryPage};

pub use sqlite::SqliteStorage;

/// Called now and then during long work as `progress(done, total)`; an error stops the work.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> Result<()>;

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
}

/// A place where a chain is kept.
///
/// Every method may be called from any thread. What a method answers was committed before it answered; a read sees
/// one consistent state. No method calls back into the engine but through the arguments shown here.
pub trait StorageBackend: Send + Sync {
    /// Id of the ledger that is kept here.
    fn ledger_id(&self) -> &str;

    /// Runs `work` in one write transaction, alone among all processes, and commits what it wrote.
    ///
    /// An error of `work` rolls everything back. `Ok` means durable as configured. `CommitInDoubt` means that the
    /// commit failed and its outcome could not be found out; any other error means that nothing was written.
    fn write(&self, work: &mut dyn FnMut(&mut dyn WriteTransaction) -> Result<()>) -> Result<()>;

    /// The entry with this hash.
    fn get(&self, hash: &Hash) -> Result<Option<ChainEntry>>;

    /// The newest entry with this record id.
    fn latest_by_id(&self, id: &str) -> Result<Option<ChainEntry>>;

    /// At most `limit` entries from `first_seq` on, in chain order; fewer where they are large, at least one while there
    /// are any.
    fn range(&self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>>;

    /// One page of matching entries.
    fn query(&self, filters: &QueryFilters) -> Result<QueryPage>;

    /// Where the chain ends.
    fn head(&self) -> Result<Option<Head>>;

    /// What is wrong between the chain and its anchor, if anything.
    fn anchor_fault(&self) -> Result<Option<VerificationError>>;

    /// The opener has accepted the chain as it is: from here on the anchor follows it.
    fn accept(&self) -> Result<()>;

    /// Verifies the whole chain, what is derived from it, and its anchor.
    fn verify(&self, deep: bool, progress: Progress<'_>) -> Result<VerificationReport>;

    /// After a redaction was committed: makes sure that no erased byte is left in any file.
    fn scrub(&self) -> Result<()>;

    /// Writes a consistent copy to a file that does not exist yet; answers the copy's head.
    fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>>;

    /// Figures about the ledger.
    fn stats(&self) -> Result<Stats>;

    /// Closes the storage; later calls answer `Closed`. Closing twice does nothing.
    fn close(&self) -> Result<()>;
}

/// An open write transaction.
pub trait WriteTransaction {
    /// Where the chain ends, with what this transaction wrote.
    fn head(&mut self) -> Result<Option<Head>>;

    /// Appends entries that continue the chain.
    fn insert(&mut self, entries: &[ChainEntry]) -> Result<()>;

    /// The newest entry with this record id, with what this transaction wrote.
    fn latest_by_id(&mut self, id: &str) -> Result<Option<ChainEntry>>;

    /// The entry with this hash among those committed before.
    fn get(&mut self, hash: &Hash) -> Result<Option<ChainEntry>>;

    /// Erases an entry's payload and salt, keeping its commitment.
    fn erase_payload(&mut self, entry: &ChainEntry) -> Result<()>;
}
