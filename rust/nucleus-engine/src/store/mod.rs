//! What the engine asks of a database: the ports.
//!
//! A database is a crate of its own that implements [`Storage`], [`Read`] and [`Write`] in its own words; the rules of the
//! ledger are not its business. What is shared between storages is data (a [`Sight`], a filter) and the conformance suite.

pub mod attended;
mod figures;
mod scan;
mod transaction;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use nucleus_core::entry::Head;
use nucleus_core::{ChainEntry, Hash, VerificationError};

use crate::model::{
    Authority, Change, Cursor, Error, FieldIndex, FieldValues, Grant, GrantQuery, Kinds, OfOneKind, Order, Progress,
    ProjectionState, QueryFilters, QueryPage, Question, Result, Sight, collect_history,
};

pub use figures::{Described, EndOfChain, Restored, Stats};
pub use scan::{DerivedFaults, Extent, Manner, Observer, Scan, Watcher};
pub use transaction::{OpenTransaction, share};

/// A place where a chain is kept.
///
/// Every method may be called from any thread. What a method answers was committed before it answered; no method calls back
/// into the engine but through the arguments shown here.
pub trait Storage: Send + Sync {
    /// What it is.
    fn described(&self) -> &Described;

    /// Begins to read: one state, as it is committed now or at the first question.
    ///
    /// # Errors
    /// `Closed`, `Forked`; those of the storage.
    fn read(&self) -> Result<Box<dyn Read + '_>>;

    /// Where the chain ends: [`Read::head`], asked alone.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn head(&self) -> Result<Option<Head>> {
        self.read()?.head()
    }

    /// Whether a grant allows what is asked, asked alone: [`Read::allows`], where the table of grants is a projection of the
    /// whole chain, made with these resource kinds; else None.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn decide(&self, question: &Question<'_>, kinds: &str) -> Result<Option<bool>> {
        let mut read = self.read()?;
        if read.projection_is_current(kinds)? { read.allows(question).map(Some) } else { Ok(None) }
    }

    /// Runs `work` in one write transaction, alone among all processes, and commits what it wrote.
    ///
    /// `work` may be run again, in a new transaction, where the storage undid the first: it borrows what it works on. An
    /// error of `work` rolls everything back. `Ok` means durable as configured. `CommitInDoubt` means that the commit
    /// failed and its outcome could not be found out; any other error means that nothing was written.
    ///
    /// # Errors
    /// Those of `work` and of the storage.
    fn write(self: Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()>;

    /// Shows everything that is stored to an observer, and answers what is wrong with what the storage itself derives from
    /// it. See [`Scan`].
    ///
    /// # Errors
    /// Those of the storage, of the observer and of `progress`.
    fn scan(&self, scan: Scan, observer: &dyn Observer, progress: Progress<'_>) -> Result<DerivedFaults>;

    /// Its upkeep.
    fn upkeep(&self) -> &dyn Upkeep;

    /// Closes the storage; later calls answer `Closed`. Closing twice does nothing.
    ///
    /// # Errors
    /// Those of the storage; it is closed none the less.
    fn close(&self) -> Result<()>;
}

/// One state of what is stored. What a [`Write`] reads includes what it has written.
pub trait Read: Send {
    /// Where the chain ends.
    fn head(&mut self) -> Result<Option<Head>>;

    /// At most `limit` entries from `first_seq` on, in chain order; fewer where they are large, at least one while there
    /// are any.
    fn range(&mut self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>>;

    /// The entry with this hash. A transaction need not find what it wrote itself.
    fn get(&mut self, hash: &Hash, sight: &Sight) -> Result<Option<ChainEntry>>;

    /// The newest entry with this record id, in this stream where one is given.
    fn latest_by_id(&mut self, id: &str, stream: Option<&str>, sight: &Sight) -> Result<Option<ChainEntry>> {
        Ok(self.page(&newest(id, stream), sight)?.entries.pop())
    }

    /// The newest entry with this record id in a stream before `seq`.
    fn version_before(&mut self, id: &str, stream: &str, seq: u64) -> Result<Option<ChainEntry>> {
        let after_seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let cursor = Some(Cursor { after_seq, order: Order::Descending });
        let before = QueryFilters { cursor, ..newest(id, Some(stream)) };
        Ok(self.page(&before, &Sight::Everything(Authority::Rules))?.entries.pop())
    }

    /// Whether one of these streams has an entry with this record id before `seq`.
    fn any_version_before(&mut self, id: &str, streams: &[&str], seq: u64) -> Result<bool> {
        for stream in streams {
            if self.version_before(id, stream, seq)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest entry with this record id in whatever stream, where all that is seen of the id is of one kind.
    fn latest_of_one_kind(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<OfOneKind> {
        let streams = self.streams_with(id, kinds, sight)?;
        if kinds.are_several(&streams) { Ok(Err(streams)) } else { Ok(Ok(self.latest_by_id(id, None, sight)?)) }
    }

    /// The streams in which entries with this id are seen: all where they are of one kind, else some of several kinds. One
    /// stream alone need not hold the id, where all that can be told from grants is that there is no other.
    fn streams_with(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<Vec<String>> {
        let _ = kinds;
        let seen = collect_history(id, None, |filters| self.page(filters, sight))?;
        let streams: BTreeSet<String> = seen.into_iter().map(|entry| entry.record.stream).collect();
        Ok(streams.into_iter().collect())
    }

    /// One page of matching entries: those of the chain that the filters match and the sight admits, no other.
    fn page(&mut self, filters: &QueryFilters, sight: &Sight) -> Result<QueryPage>;

    /// Distinct values of an indexed member that are strings, in the order of their canonical texts, byte by byte.
    fn field_values(&mut self, query: &FieldValues<'_>, sight: &Sight) -> Result<Vec<String>>;

    /// Whether a grant, or one on the whole kind, allows what is asked.
    fn allows(&mut self, question: &Question<'_>) -> Result<bool>;

    /// The grants that are asked for, by resource id, kind, principal, scope, source and granter.
    fn grants(&mut self, query: &GrantQuery<'_>) -> Result<Vec<Grant>>;

    /// What the table of grants is a projection of; None where there is none yet.
    fn projection(&mut self) -> Result<Option<ProjectionState>>;

    /// Whether the table of grants is a projection of the whole chain, made with these resource kinds.
    fn projection_is_current(&mut self, kinds: &str) -> Result<bool> {
        let length = self.head()?.map_or(0, |head| head.seq + 1);
        Ok(self.projection()?.is_some_and(|state| state.covered_below == length && state.kinds == kinds))
    }
}

/// An open write transaction.
pub trait Write: Read {
    /// Appends entries that continue the chain.
    fn append(&mut self, entries: &[ChainEntry]) -> Result<()>;

    /// Erases an entry's payload and salt, keeping its commitment.
    fn erase(&mut self, entry: &ChainEntry) -> Result<()>;

    /// Changes the table of grants, step by step.
    fn change_grants(&mut self, changes: &[Change]) -> Result<()>;

    /// Notes what the table of grants is a projection of.
    fn set_projection(&mut self, state: &ProjectionState) -> Result<()>;

    /// Empties the table of grants: it is a projection of nothing.
    fn clear_grants(&mut self) -> Result<()>;

    /// Deletes the grants that have expired by this second; answers how many.
    fn clear_expired_grants(&mut self, now_s: i64) -> Result<u64>;

    /// Begins a part that can be taken back alone. Parts do not nest.
    fn savepoint(&mut self) -> Result<()>;

    /// Ends the part that was begun, keeping what it wrote or taking it back.
    fn end(&mut self, keep: bool) -> Result<()>;
}

/// What a storage does besides reading and writing.
pub trait Upkeep {
    /// Makes sure that these indexes exist; a storage that may not be written uses those that do. One that ends with its
    /// process may do without.
    fn declare_indexes(&self, _indexes: &[FieldIndex]) -> Result<()> {
        Ok(())
    }

    /// The streams that indexes are over which were declared in this opening or an earlier one.
    fn indexed_streams(&self) -> Vec<String> {
        Vec::new()
    }

    /// Compares where the chain ends with what is kept beside it.
    fn end_of_chain(&self) -> Result<EndOfChain>;

    /// Looks at what the storage was recovered from when it was opened, where nobody had closed it: to be asked by whoever
    /// does not verify everything. None where that is sound, or there is nothing that it could be recovered from.
    fn recovery_fault(&self) -> Result<Option<VerificationError>> {
        Ok(None)
    }

    /// Why a ledger that does not add up may do so, in words for the error; nothing where nothing is known.
    fn why_unsound(&self) -> String {
        String::new()
    }

    /// The opener has accepted the chain as it is: from here on the anchor follows it, where there is one.
    fn accept(&self) -> Result<()> {
        Ok(())
    }

    /// After a redaction was committed: makes sure that no erased byte is left anywhere; false where a reader keeps it from
    /// that. Then it is tried again after each later commit, and at the end. Nobody waits meanwhile.
    fn scrub(&self) -> Result<bool>;

    /// See [`Stats::scrub_pending`].
    fn scrub_pending(&self) -> bool {
        false
    }

    /// Writes a consistent copy to a file that does not exist yet; answers the copy's head.
    ///
    /// # Errors
    /// `Config` where the storage is backed up by other means; those of the storage and of `progress`.
    fn backup(&self, _path: &Path, _progress: Progress<'_>) -> Result<Option<Head>> {
        Err(no_files())
    }

    /// Puts a consistent copy in the place of the ledger at `target`, or where there is none.
    ///
    /// # Errors
    /// As of [`backup`](Self::backup).
    fn restore_to(&self, _target: &Path, _replace: bool, _progress: Progress<'_>) -> Result<Restored> {
        Err(no_files())
    }

    /// Figures about the ledger.
    fn stats(&self) -> Result<Stats>;
}

/// Asks for the newest entry with an id, in this stream where one is given.
fn newest(id: &str, stream: Option<&str>) -> QueryFilters {
    let (id, stream) = (Some(id.to_owned()), stream.map(str::to_owned));
    QueryFilters { id, stream, order: Order::Descending, limit: 1, ..QueryFilters::default() }
}

fn no_files() -> Error {
    Error::Config(
        "this ledger is not kept in a file; back it up and restore it with the tools of its database".to_owned(),
    )
}
