//! What the engine asks of a storage, and the storages.

mod field_index;
pub mod sqlite;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nucleus_core::entry::Head;
use nucleus_core::{CanonicalJson, ChainEntry, Hash, VerificationError, VerificationReport};

use crate::access::{Change, Grant, GrantQuery, ProjectionState, Question, Viewer};
use crate::error::{Error, Result};
use crate::query::{QueryFilters, QueryPage};

pub use field_index::FieldIndex;
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
    /// Whether bytes of an erased payload may still be in the write-ahead log, which a reader keeps from being emptied.
    pub scrub_pending: bool,
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
    fn write(self: Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()>;

    /// Makes sure that these indexes exist; a storage that may not be written uses those that do.
    fn declare_indexes(&self, indexes: &[FieldIndex]) -> Result<()>;

    /// The entry with this hash, if the viewer sees it.
    fn get(&self, hash: &Hash, viewer: Option<&Viewer>) -> Result<Option<ChainEntry>>;

    /// The streams that declared indexes are over.
    fn indexed_streams(&self) -> Vec<String>;

    /// The newest entry with this record id that the viewer sees, in this stream where one is given.
    fn latest_by_id(&self, id: &str, stream: Option<&str>, viewer: Option<&Viewer>) -> Result<Option<ChainEntry>>;

    /// At most `limit` entries from `first_seq` on, in chain order; fewer where they are large, at least one while there
    /// are any.
    fn range(&self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>>;

    /// One page of matching entries.
    fn query(&self, filters: &QueryFilters) -> Result<QueryPage>;

    /// Distinct values of an indexed member.
    fn field_values(&self, query: &FieldValues<'_>) -> Result<Vec<String>>;

    /// Whether a grant, or one on the whole kind, allows what is asked; None where the table is not a projection of the whole
    /// chain, made with these resource kinds.
    fn allows(&self, question: &Question<'_>, kinds: &str) -> Result<Option<bool>>;

    /// The grants that are asked for.
    fn grants(&self, query: &GrantQuery<'_>) -> Result<Vec<Grant>>;

    /// What the table of grants is a projection of; None where there is none yet.
    fn projection(&self) -> Result<Option<ProjectionState>>;

    /// Whether the table of grants is a projection of the whole chain, made with these resource kinds.
    fn projection_is_current(&self, kinds: &str) -> Result<bool>;

    /// Compares the table of grants with what the chain implies, as far as it is a projection of it.
    fn verify_grants(&self, now_s: i64, progress: Progress<'_>) -> Result<Vec<VerificationError>>;

    /// Where the chain ends.
    fn head(&self) -> Result<Option<Head>>;

    /// Compares where the chain ends with what is kept beside it.
    fn end(&self) -> Result<EndOfChain>;

    /// Looks at what the database was recovered from when it was opened, where nobody had closed it: to be asked by whoever
    /// does not verify everything. None where that is sound.
    fn recovery_fault(&self) -> Result<Option<VerificationError>>;

    /// Why a ledger that does not add up may do so, in words for the error; nothing where nothing is known.
    fn why_unsound(&self) -> String;

    /// The opener has accepted the chain as it is: from here on the anchor follows it.
    fn accept(&self) -> Result<()>;

    /// Verifies the whole chain and what is derived from it.
    fn verify(&self, deep: bool, progress: Progress<'_>) -> Result<VerificationReport>;

    /// After a redaction was committed: makes sure that no erased byte is left in any file; false where a reader keeps it from
    /// that. Then it is tried again after each later commit, and at the end. Nobody waits meanwhile.
    fn scrub(&self) -> Result<bool>;

    /// Writes a consistent copy to a file that does not exist yet; answers the copy's head.
    fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>>;

    /// Figures about the ledger.
    fn stats(&self) -> Result<Stats>;

    /// Closes the storage; later calls answer `Closed`. Closing twice does nothing.
    fn close(&self) -> Result<()>;
}

/// Which values of an indexed payload member are asked for.
#[derive(Debug, Clone)]
pub struct FieldValues<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The member.
    pub field: &'a str,
    /// Members that must have exactly these canonical values; there is an index over these and then `field`.
    pub payload: &'a [(String, CanonicalJson)],
    /// Only values that sort behind this one.
    pub after: Option<&'a str>,
    /// Most values answered.
    pub limit: usize,
    /// Who reads, and sees only what they are granted; None sees everything.
    pub viewer: Option<Viewer>,
}

/// An open write transaction.
pub trait WriteTransaction: Send {
    /// Where the chain ends, with what this transaction wrote.
    fn head(&mut self) -> Result<Option<Head>>;

    /// Appends entries that continue the chain.
    fn insert(&mut self, entries: &[ChainEntry]) -> Result<()>;

    /// The newest entry with this record id that the viewer sees, in this stream where one is given, with what this
    /// transaction wrote.
    fn latest_by_id(&mut self, id: &str, stream: Option<&str>, viewer: Option<&Viewer>) -> Result<Option<ChainEntry>>;

    /// The newest entry with this record id in a stream before `seq`, with what this transaction wrote.
    fn version_before(&mut self, id: &str, stream: &str, seq: u64) -> Result<Option<ChainEntry>>;

    /// As [`StorageBackend::range`], with what this transaction wrote.
    fn range(&mut self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>>;

    /// One page of matching entries, with what this transaction wrote.
    fn query(&mut self, filters: &QueryFilters) -> Result<QueryPage>;

    /// The entry with this hash among those committed before.
    fn get(&mut self, hash: &Hash, viewer: Option<&Viewer>) -> Result<Option<ChainEntry>>;

    /// Erases an entry's payload and salt, keeping its commitment.
    fn erase_payload(&mut self, entry: &ChainEntry) -> Result<()>;

    /// Whether a grant allows what is asked.
    fn allows(&mut self, question: &Question<'_>) -> Result<bool>;

    /// The grants that are asked for.
    fn grants(&mut self, query: &GrantQuery<'_>) -> Result<Vec<Grant>>;

    /// Writes steps of the projection.
    fn apply(&mut self, changes: &[Change]) -> Result<()>;

    /// What the table of grants is a projection of; None where there is none yet.
    fn projection(&mut self) -> Result<Option<ProjectionState>>;

    /// Notes what the table of grants is a projection of.
    fn set_projection(&mut self, state: &ProjectionState) -> Result<()>;

    /// Empties the table of grants: it is a projection of nothing.
    fn clear_grants(&mut self) -> Result<()>;

    /// Deletes the grants that have expired by this second; answers how many.
    fn clear_expired_grants(&mut self, now_s: i64) -> Result<u64>;

    /// Begins a part that can be taken back alone. Parts do not nest.
    fn begin_part(&mut self) -> Result<()>;

    /// Ends the part that was begun, keeping what it wrote or taking it back.
    fn end_part(&mut self, keep: bool) -> Result<()>;
}

/// A write transaction where several can reach it, until it is taken out.
trait SharedTransaction: Send + Sync {
    fn run(&self, work: &mut dyn FnMut(&mut dyn WriteTransaction) -> Result<()>) -> Result<()>;
    fn ended(&self) -> bool;
}

/// Locked for one operation at a time. A panic in an operation unwinds through the write that the transaction belongs
/// to, which then rolls it back.
impl<T: WriteTransaction> SharedTransaction for Mutex<Option<T>> {
    fn run(&self, work: &mut dyn FnMut(&mut dyn WriteTransaction) -> Result<()>) -> Result<()> {
        match &mut *self.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(transaction) => work(transaction),
            None => Err(Error::Closed),
        }
    }

    fn ended(&self) -> bool {
        self.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// An open write transaction, shared with the hooks that run in it. It ends with the call of
/// [`StorageBackend::write`] that it was made for, whoever still holds a copy.
#[derive(Clone)]
pub struct OpenTransaction {
    shared: Arc<dyn SharedTransaction>,
}

impl OpenTransaction {
    /// Shares a transaction, which its storage takes out again at the end.
    pub(crate) fn new<T: WriteTransaction + 'static>(shared: Arc<Mutex<Option<T>>>) -> Self {
        Self { shared }
    }

    /// Does one thing in the transaction.
    ///
    /// # Errors
    /// Those of `work`; `Closed` where the transaction has ended.
    pub fn with<T>(&self, work: impl FnOnce(&mut dyn WriteTransaction) -> Result<T>) -> Result<T> {
        let mut work = Some(work);
        let mut answer = None;
        self.shared.run(&mut |transaction| {
            if let Some(work) = work.take() {
                answer = Some(work(transaction)?);
            }
            Ok(())
        })?;
        answer.ok_or(Error::Closed)
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.shared.ended()
    }
}

impl std::fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenTransaction").field("ended", &self.ended()).finish()
    }
}
