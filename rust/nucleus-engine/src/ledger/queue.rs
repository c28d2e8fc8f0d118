//! Group commit: what many threads write shares one transaction and one `fsync`, each with its own outcome.
//!
//! There is no writer thread. The first caller that finds nobody committing becomes the leader: it takes what is queued,
//! its own append included, commits it, hands out the results and steps down. What arrives during a commit is the next
//! group. An append that meets nobody else runs on its own thread, without a hand-over.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::parts::{Appended, Ledger, Staged};
use super::stage::{Work, stage};
use crate::model::{Error, Result, StoreError, StoreErrorKind};
use crate::store::{OpenTransaction, Storage};

/// Most appends in one commit.
const MAX_GROUP_APPENDS: usize = 512;
/// Records after which a commit takes no further append.
const MAX_GROUP_RECORDS: usize = 8_192;

/// How often one transaction is run where the storage undoes it.
const MOST_RUNS: u32 = 8;

/// How long a leader waits for the callers of the last group.
const LONGEST_GATHERING: Duration = Duration::from_micros(100);

/// A call in the queue and, later, its outcome.
#[derive(Debug)]
struct Ticket {
    /// Locked by the leader while it works on it; nobody else does.
    work: Mutex<Work>,
    outcome: Mutex<Option<Result<Appended>>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Ticket>>,
    /// Whether some thread is committing.
    led: bool,
    /// Appends in the last group.
    last_group: usize,
}

/// The queue of one ledger.
#[derive(Debug, Default)]
pub(super) struct CommitQueue {
    /// Held for moments only, never during a commit.
    state: Mutex<State>,
    /// Signalled when a leader steps down.
    stepped_down: Condvar,
    /// Signalled when as many appends wait as the last group had: a leader may be gathering.
    joined: Condvar,
}

impl CommitQueue {
    /// Queues a call and answers its outcome, leading a commit where nobody else does.
    pub(super) fn submit(&self, ledger: Ledger<'_>, work: Work) -> Result<Appended> {
        let ticket = Arc::new(Ticket { work: Mutex::new(work), outcome: Mutex::new(None) });
        let mut state = self.state();
        state.waiting.push_back(Arc::clone(&ticket));
        if state.waiting.len() == state.last_group {
            self.joined.notify_one();
        }
        loop {
            if let Some(outcome) = lock(&ticket.outcome).take() {
                return outcome;
            }
            if state.led {
                state = self.stepped_down.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.led = true;
            state = self.gather(state);
            let group = take_group(&mut state);
            state.last_group = group.len();
            drop(state);
            let leadership = Leadership { queue: self, group: &group };
            commit(ledger, &group);
            drop(leadership);
            state = self.state();
        }
    }

    /// Callers that were answered together come back one by one. Their appends are waited for, for less time than the
    /// `fsync` that each of them would cost alone; a caller that appends by itself waits for nobody.
    fn gather<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let deadline = Instant::now() + LONGEST_GATHERING;
        let expected = state.last_group;
        while expected > 1 && state.waiting.len() < expected {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.joined.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Steps down when dropped, also by a panic: nobody may wait for a leader that is gone.
struct Leadership<'a> {
    queue: &'a CommitQueue,
    group: &'a [Arc<Ticket>],
}

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        for ticket in self.group {
            lock(&ticket.outcome).get_or_insert_with(|| {
                let message = "the thread that committed for this call died; nothing was written";
                Err(Error::Store(StoreError::new(StoreErrorKind::Other, message)))
            });
        }
        self.queue.state().led = false;
        self.queue.stepped_down.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_group(state: &mut State) -> Vec<Arc<Ticket>> {
    let mut group = Vec::new();
    let mut records = 0;
    while group.len() < MAX_GROUP_APPENDS && records < MAX_GROUP_RECORDS {
        let Some(ticket) = state.waiting.pop_front() else {
            break;
        };
        records += lock(&ticket.work).records();
        group.push(ticket);
    }
    group
}

/// Runs one write transaction, and runs it again where the storage undid it for what others did at the same time.
pub(super) fn transact(storage: &Arc<dyn Storage>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
    for _ in 1..MOST_RUNS {
        match Arc::clone(storage).write(work) {
            Err(error) if error.retryable() => tracing::debug!(%error, "a transaction is run again"),
            result => return result,
        }
    }
    Arc::clone(storage).write(work)
}

/// Commits a group and settles every ticket of it.
fn commit(ledger: Ledger<'_>, group: &[Arc<Ticket>]) {
    let mut staged: Vec<Result<Staged>> = Vec::with_capacity(group.len());
    let hooked = group.iter().any(|ticket| ledger.runs_hooks(&lock(&ticket.work)));
    let result = ledger.hooks.exclusively(|| {
        transact(ledger.storage, &mut |open| {
            staged.clear();
            let mut stage = || stage_group(ledger, open, group, &mut staged);
            ledger.in_step(open, || if hooked { ledger.hooks.around(stage) } else { stage() })
        })
    });
    let mut staged = staged.into_iter();
    for ticket in group {
        let appended = staged.next().map(|staged| staged.map(|staged| lock(&ticket.work).settle(staged)));
        *lock(&ticket.outcome) = Some(outcome(&result, appended));
    }
}

/// What a call came to: as it was staged, where the commit did not fail. A refusal may follow from what others wrote in the
/// same transaction: where that is undone, it is not what its caller is told.
fn outcome(result: &Result<()>, appended: Option<Result<Appended>>) -> Result<Appended> {
    match (result, appended) {
        (Ok(()), Some(appended)) => appended,
        (Err(Error::CommitInDoubt { .. }), Some(Err(refusal))) => Err(refusal),
        (Err(error), Some(Ok(appended))) => of_own_entries(error, appended),
        (Err(error), _) => Err(error.clone()),
        (Ok(()), None) => Err(Error::Closed),
    }
}

/// The failure of a commit as one of its callers is told: of their own entries, not of those of others. A call that only
/// found what was there before has not failed.
fn of_own_entries(error: &Error, appended: Appended) -> Result<Appended> {
    let Error::CommitInDoubt { message, .. } = error else {
        return Err(error.clone());
    };
    let fresh = || appended.entries.iter().filter(|entry| entry.seq >= appended.first_seq);
    match fresh().next() {
        None => Ok(appended),
        Some(first) => Err(Error::CommitInDoubt {
            message: message.clone(),
            first_seq: first.seq,
            hashes: fresh().map(|entry| entry.hash).collect(),
        }),
    }
}

fn stage_group(
    ledger: Ledger<'_>,
    open: &OpenTransaction,
    group: &[Arc<Ticket>],
    staged: &mut Vec<Result<Staged>>,
) -> Result<()> {
    let alone = group.len() == 1;
    for ticket in group {
        let mut work = lock(&ticket.work);
        let whole = alone || ledger.writes_whole_or_fails(&work);
        let outcome = if whole { stage(ledger, open, &mut work) } else { stage_apart(ledger, open, &mut work) };
        // What the storage reports concerns the whole transaction; anything else, this caller alone.
        match outcome {
            Err(error) if alone || error.poisons_transaction() => return Err(error),
            Err(error @ Error::Store(_)) if whole => return Err(error),
            outcome => staged.push(outcome),
        }
    }
    Ok(())
}

/// Stages one call of several in a transaction. What is refused takes back what it wrote.
fn stage_apart(ledger: Ledger<'_>, open: &OpenTransaction, work: &mut Work) -> Result<Staged> {
    open.with(|transaction| transaction.savepoint())?;
    let staged = stage(ledger, open, work);
    if staged.as_ref().is_err_and(Error::poisons_transaction) {
        return staged;
    }
    open.with(|transaction| transaction.end(staged.is_ok()))?;
    staged
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use nucleus_core::entry::{Linker, commit_payload};
    use nucleus_core::{CanonicalJson, ChainEntry, Hash, Record};

    use super::*;

    fn entries(count: usize) -> Vec<ChainEntry> {
        let mut linker = Linker::new("ledger", None);
        let payload = Some(CanonicalJson::from_canonical("{}"));
        let record = Record { id: "r".to_owned(), stream: "s".to_owned(), timestamp: 1, payload, meta: None };
        let commitment = commit_payload(&record, &[0; 16]);
        (0..count).map(|_| linker.link(record.clone(), [0; 16], commitment)).collect()
    }

    #[test]
    fn a_caller_is_told_of_their_own_entries_in_doubt() {
        let all = entries(3);
        let hashes: Vec<Hash> = all.iter().map(|entry| entry.hash).collect();
        let doubt = Error::CommitInDoubt { message: "the disk".to_owned(), first_seq: 0, hashes };
        let own = Appended { entries: all[1..2].to_vec(), first_seq: 1, ..Appended::default() };
        match of_own_entries(&doubt, own) {
            Err(Error::CommitInDoubt { first_seq, hashes, .. }) => {
                assert_eq!((first_seq, hashes), (1, vec![all[1].hash]));
            }
            other => panic!("{other:?}"),
        }
        // What was there before is there.
        let before = Appended { entries: all[..1].to_vec(), first_seq: 1, ..Appended::default() };
        assert_eq!(of_own_entries(&doubt, before).unwrap().entries, all[..1]);
        let own = Appended { entries: all, ..Appended::default() };
        let full = Error::Store(StoreError::new(StoreErrorKind::Full, "full"));
        let failed = of_own_entries(&full, own);
        assert!(matches!(failed, Err(Error::Store(_))));
    }
}
