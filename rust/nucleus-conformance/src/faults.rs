//! A storage that fails where it is told to, over one that does not.
//!
//! What it reports is what happened: a write that it fails was rolled back by the storage below, unless the fault is a commit
//! in doubt, which may have been either.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nucleus_core::entry::Head;
use nucleus_core::{ChainEntry, Hash};
use nucleus_engine::model::{
    Change, Error, FieldValues, Grant, GrantQuery, Kinds, OfOneKind, Progress, ProjectionState, QueryFilters,
    QueryPage, Question, Result, Sight, StoreError, StoreErrorKind,
};
use nucleus_engine::store::{
    DerivedFaults, Described, Observer, OpenTransaction, Read, Scan, Storage, Upkeep, Write, share,
};

/// What is done to a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Anything that is read in a transaction.
    Read,
    /// Entries are appended.
    Append,
    /// A payload is erased.
    Erase,
    /// Grants are changed.
    ChangeGrants,
    /// What the grants are a projection of is noted.
    SetProjection,
    /// A part begins or ends.
    Part,
}

/// How a write fails as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// Before anything is done.
    Before(StoreErrorKind),
    /// When everything is done but the commit; all of it is rolled back.
    AtCommit(StoreErrorKind),
    /// Everything is committed, and that it was cannot be found out.
    InDoubtKept,
    /// Everything is rolled back, and that it was cannot be found out.
    InDoubtLost,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The next write.
    Write(WriteFault),
    /// An operation inside a write: so many of its kind are let through first.
    Inside(Operation, u32, StoreErrorKind),
}

/// What is told of an operation that is about to be done: its kind, and the grants that it changes.
type Decide = Box<dyn Fn(Operation, &[Change]) -> Option<StoreErrorKind> + Send + Sync>;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Faults that were met.
    pub faults: u64,
    /// Of them, those inside a part.
    pub in_parts: u64,
    /// Writes that were begun.
    pub writes: u64,
}

/// A storage that fails.
pub struct FaultyStorage {
    below: Arc<dyn Storage>,
    plan: Arc<Plan>,
    /// Runs before each write.
    before_write: Box<dyn Fn() + Send + Sync>,
}

/// What is going to fail.
#[derive(Default)]
struct Plan {
    /// Each is met once, in this order. Held for moments.
    faults: Mutex<VecDeque<Fault>>,
    decide: Option<Decide>,
    counts: Mutex<Counts>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(kind: StoreErrorKind) -> Error {
    StoreError::new(kind, format!("a fault that was asked for: {kind:?}")).into()
}

impl Plan {
    /// The fault of the next write, if there is one.
    fn of_write(&self) -> Option<WriteFault> {
        lock(&self.counts).writes += 1;
        let mut faults = lock(&self.faults);
        let Some(Fault::Write(fault)) = faults.front().copied() else { return None };
        faults.pop_front();
        drop(faults);
        self.count(false);
        Some(fault)
    }

    /// Fails an operation where that was asked for.
    fn pass(&self, operation: Operation, changes: &[Change], in_part: bool) -> Result<()> {
        let decided = self.decide.as_ref().and_then(|decide| decide(operation, changes));
        let kind = decided.or_else(|| {
            let mut faults = lock(&self.faults);
            let Some(Fault::Inside(at, left, kind)) = faults.front_mut() else { return None };
            if *at != operation {
                return None;
            }
            if *left > 0 {
                *left -= 1;
                return None;
            }
            let kind = *kind;
            faults.pop_front();
            Some(kind)
        });
        kind.map_or(Ok(()), |kind| {
            self.count(in_part);
            Err(error(kind))
        })
    }

    fn count(&self, in_part: bool) {
        let mut counts = lock(&self.counts);
        counts.faults += 1;
        counts.in_parts += u64::from(in_part);
    }
}

impl FaultyStorage {
    /// Over a storage. Nothing fails until it is told to.
    pub fn over(below: Arc<dyn Storage>) -> Self {
        Self { below, plan: Arc::default(), before_write: Box::new(|| ()) }
    }

    /// Fails whatever operation inside a write this answers a kind of trouble for.
    #[must_use]
    pub fn deciding(
        mut self,
        decide: impl Fn(Operation, &[Change]) -> Option<StoreErrorKind> + Send + Sync + 'static,
    ) -> Self {
        self.plan = Arc::new(Plan { decide: Some(Box::new(decide)), ..Plan::default() });
        self
    }

    /// Runs this before each write, on the thread that writes.
    #[must_use]
    pub fn before_each_write(mut self, before_write: impl Fn() + Send + Sync + 'static) -> Self {
        self.before_write = Box::new(before_write);
        self
    }

    /// Lets these go wrong, one after the other, and forgets what is left of earlier ones.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        *lock(&self.plan.faults) = faults.into_iter().collect();
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        *lock(&self.plan.counts)
    }
}

impl Storage for FaultyStorage {
    fn described(&self) -> &Described {
        self.below.described()
    }

    fn read(&self) -> Result<Box<dyn Read + '_>> {
        self.below.read()
    }

    fn write(self: Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
        (self.before_write)();
        let fault = self.plan.of_write();
        if let Some(WriteFault::Before(kind)) = fault {
            return Err(error(kind));
        }
        let mut written = Written::default();
        let outcome = Arc::clone(&self.below).write(&mut |open| {
            written = Written::default();
            let plan = Arc::clone(&self.plan);
            let faulty = FaultyTransaction { open: open.clone(), plan, written: Written::default(), part: None };
            let (faulty, result) = share(faulty, work);
            result?;
            written = faulty.ok_or(Error::Closed)?.written;
            match fault {
                Some(WriteFault::AtCommit(kind)) => Err(error(kind)),
                Some(WriteFault::InDoubtLost) => Err(Error::Interrupted),
                _ => Ok(()),
            }
        });
        let Written { first_seq, hashes } = written;
        match (fault, outcome) {
            (Some(WriteFault::InDoubtKept), Ok(())) | (Some(WriteFault::InDoubtLost), Err(Error::Interrupted)) => {
                let message = "a commit in doubt that was asked for".to_owned();
                Err(Error::CommitInDoubt { message, first_seq, hashes })
            }
            (_, outcome) => outcome,
        }
    }

    fn scan(&self, scan: Scan, observer: &dyn Observer, progress: Progress<'_>) -> Result<DerivedFaults> {
        self.below.scan(scan, observer, progress)
    }

    fn upkeep(&self) -> &dyn Upkeep {
        self.below.upkeep()
    }

    fn close(&self) -> Result<()> {
        self.below.close()
    }
}

/// The entries of one transaction.
#[derive(Debug, Clone, Default)]
struct Written {
    first_seq: u64,
    hashes: Vec<Hash>,
}

/// A transaction of which operations fail.
struct FaultyTransaction {
    open: OpenTransaction,
    plan: Arc<Plan>,
    written: Written,
    /// Number of entries when the part began that is open.
    part: Option<usize>,
}

impl FaultyTransaction {
    fn at<T>(&self, operation: Operation, work: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
        self.plan.pass(operation, &[], self.part.is_some())?;
        self.open.with(work)
    }
}

impl Read for FaultyTransaction {
    fn head(&mut self) -> Result<Option<Head>> {
        self.at(Operation::Read, |below| below.head())
    }

    fn range(&mut self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        self.at(Operation::Read, |below| below.range(first_seq, limit))
    }

    fn get(&mut self, hash: &Hash, sight: &Sight) -> Result<Option<ChainEntry>> {
        self.at(Operation::Read, |below| below.get(hash, sight))
    }

    fn latest_by_id(&mut self, id: &str, stream: Option<&str>, sight: &Sight) -> Result<Option<ChainEntry>> {
        self.at(Operation::Read, |below| below.latest_by_id(id, stream, sight))
    }

    fn version_before(&mut self, id: &str, stream: &str, seq: u64) -> Result<Option<ChainEntry>> {
        self.at(Operation::Read, |below| below.version_before(id, stream, seq))
    }

    fn any_version_before(&mut self, id: &str, streams: &[&str], seq: u64) -> Result<bool> {
        self.at(Operation::Read, |below| below.any_version_before(id, streams, seq))
    }

    fn latest_of_one_kind(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<OfOneKind> {
        self.at(Operation::Read, |below| below.latest_of_one_kind(id, kinds, sight))
    }

    fn streams_with(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<Vec<String>> {
        self.at(Operation::Read, |below| below.streams_with(id, kinds, sight))
    }

    fn page(&mut self, filters: &QueryFilters, sight: &Sight) -> Result<QueryPage> {
        self.at(Operation::Read, |below| below.page(filters, sight))
    }

    fn field_values(&mut self, query: &FieldValues<'_>, sight: &Sight) -> Result<Vec<String>> {
        self.at(Operation::Read, |below| below.field_values(query, sight))
    }

    fn allows(&mut self, question: &Question<'_>) -> Result<bool> {
        self.at(Operation::Read, |below| below.allows(question))
    }

    fn grants(&mut self, query: &GrantQuery<'_>) -> Result<Vec<Grant>> {
        self.at(Operation::Read, |below| below.grants(query))
    }

    fn projection(&mut self) -> Result<Option<ProjectionState>> {
        self.at(Operation::Read, |below| below.projection())
    }
}

impl Write for FaultyTransaction {
    fn append(&mut self, entries: &[ChainEntry]) -> Result<()> {
        self.at(Operation::Append, |below| below.append(entries))?;
        if let (Some(first), true) = (entries.first(), self.written.hashes.is_empty()) {
            self.written.first_seq = first.seq;
        }
        self.written.hashes.extend(entries.iter().map(|entry| entry.hash));
        Ok(())
    }

    fn erase(&mut self, entry: &ChainEntry) -> Result<()> {
        self.at(Operation::Erase, |below| below.erase(entry))
    }

    fn change_grants(&mut self, changes: &[Change]) -> Result<()> {
        self.plan.pass(Operation::ChangeGrants, changes, self.part.is_some())?;
        self.open.with(|below| below.change_grants(changes))
    }

    fn set_projection(&mut self, state: &ProjectionState) -> Result<()> {
        self.at(Operation::SetProjection, |below| below.set_projection(state))
    }

    fn clear_grants(&mut self) -> Result<()> {
        self.at(Operation::ChangeGrants, |below| below.clear_grants())
    }

    fn clear_expired_grants(&mut self, now_s: i64) -> Result<u64> {
        self.at(Operation::ChangeGrants, |below| below.clear_expired_grants(now_s))
    }

    fn savepoint(&mut self) -> Result<()> {
        self.at(Operation::Part, |below| below.savepoint())?;
        self.part = Some(self.written.hashes.len());
        Ok(())
    }

    fn end(&mut self, keep: bool) -> Result<()> {
        self.at(Operation::Part, |below| below.end(keep))?;
        if let (Some(length), false) = (self.part.take(), keep) {
            self.written.hashes.truncate(length);
        }
        Ok(())
    }
}
