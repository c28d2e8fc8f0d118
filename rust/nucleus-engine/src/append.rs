//! Group commit: appends of many threads share one transaction and one `fsync`, each with its own outcome.
//!
//! There is no writer thread. The first caller that finds nobody committing becomes the leader: it takes what is queued,
//! its own append included, commits it, hands out the results and steps down. What arrives during a commit is the next
//! group. An append that meets nobody else runs on its own thread, without a hand-over.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nucleus_core::entry::{Head, Linker};
use nucleus_core::{CanonicalJson, ChainEntry, Hash, Record, canonical};

use crate::access::{Access, Meta};
use crate::engine::AppendOptions;
use crate::error::{Error, Result};
use crate::module::{AppendHooks, Hooks, Request, Verdict};
use crate::prepare::{Prepared, Writer};
use crate::storage::{OpenTransaction, StorageBackend, WriteTransaction};

/// Most appends in one commit.
const MAX_GROUP_APPENDS: usize = 512;
/// Records after which a commit takes no further append.
const MAX_GROUP_RECORDS: usize = 8_192;

/// How long a leader waits for the callers of the last group.
const LONGEST_GATHERING: Duration = Duration::from_micros(100);

/// One call of append: all its records or none.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) records: Vec<Prepared>,
    pub(crate) options: AppendOptions,
    pub(crate) request: Request,
}

/// What an append came to.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// One entry for each record.
    pub(crate) entries: Vec<ChainEntry>,
    /// Entries below this seq were there before: they say what the caller said again.
    pub(crate) first_seq: u64,
    /// Positions of the entries whose payload says what the caller did not say and may not read.
    pub(crate) withheld: Vec<usize>,
}

/// An append in the queue and, later, its outcome.
#[derive(Debug)]
struct Ticket {
    work: Mutex<Option<Append>>,
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
pub(crate) struct CommitQueue {
    /// Held for moments only, never during a commit.
    state: Mutex<State>,
    /// Signalled when a leader steps down.
    stepped_down: Condvar,
    /// Signalled when as many appends wait as the last group had: a leader may be gathering.
    joined: Condvar,
}

impl CommitQueue {
    /// Queues an append and answers its outcome, leading a commit where nobody else does.
    pub(crate) fn submit(&self, ledger: Ledger<'_>, append: Append) -> Result<Appended> {
        let ticket = Arc::new(Ticket { work: Mutex::new(Some(append)), outcome: Mutex::new(None) });
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
                Err(Error::Database("the thread that committed for this append died; nothing was written".to_owned()))
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
        records += lock(&ticket.work).as_ref().map_or(0, |append| append.records.len());
        group.push(ticket);
    }
    group
}

/// What appends go through.
#[derive(Clone, Copy)]
pub(crate) struct Ledger<'a> {
    pub(crate) storage: &'a Arc<dyn StorageBackend>,
    pub(crate) hooks: &'a Hooks,
    pub(crate) access: Option<&'a Access>,
    pub(crate) max_record_bytes: usize,
}

/// Commits a group and settles every ticket of it.
fn commit(ledger: Ledger<'_>, group: &[Arc<Ticket>]) {
    let mut outcomes: Vec<Result<Appended>> = Vec::with_capacity(group.len());
    let result = ledger.hooks.exclusively(|| {
        Arc::clone(ledger.storage).write(&mut |open| {
            let mut stage = || ledger.hooks.around(|| stage_group(ledger, open, group, &mut outcomes));
            match ledger.access {
                None => stage(),
                Some(access) => access.in_step(open, stage),
            }
        })
    });
    for (position, ticket) in group.iter().enumerate() {
        let outcome = match (&result, outcomes.get_mut(position)) {
            (Ok(()), Some(outcome)) | (Err(_), Some(outcome @ Err(_))) => {
                std::mem::replace(outcome, Ok(Appended::default()))
            }
            (Err(error), Some(Ok(appended))) => of_own_entries(error, std::mem::take(appended)),
            (Err(error), None) => Err(error.duplicate()),
            (Ok(()), None) => Err(Error::Closed),
        };
        *lock(&ticket.outcome) = Some(outcome);
    }
}

/// The failure of a commit as one of its callers is told: of their own entries, not of those of others. An append that only
/// found what was there before has not failed.
fn of_own_entries(error: &Error, appended: Appended) -> Result<Appended> {
    let Error::CommitInDoubt { message, .. } = error else {
        return Err(error.duplicate());
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
    outcomes: &mut Vec<Result<Appended>>,
) -> Result<()> {
    for ticket in group {
        let Some(append) = lock(&ticket.work).take() else {
            continue;
        };
        let alone = group.len() == 1;
        // What the storage reports concerns the whole transaction; anything else, this caller alone.
        match stage(ledger, open, append, alone) {
            Err(error @ (Error::Database(_) | Error::StorageReplaced(_))) => return Err(error),
            Err(error) if alone => return Err(error),
            outcome => outcomes.push(outcome),
        }
    }
    Ok(())
}

/// Links the records of one append and writes them into the open transaction. A refusal takes back what it wrote, but
/// for an append that is `alone` in its transaction: that is rolled back as a whole.
fn stage(ledger: Ledger<'_>, open: &OpenTransaction, append: Append, alone: bool) -> Result<Appended> {
    if append.options.unique || append.options.expected_head.is_some() {
        // What is compared before the records are looked at one by one tells of the ledger.
        authorise_all(ledger, open, &append)?;
    }
    let head = open.with(|transaction| transaction.head())?;
    if let Some(expected) = append.options.expected_head
        && head.map(|head| head.hash) != Some(expected)
    {
        return Err(open.with(|transaction| other_head(transaction, expected, head, &append.request, ledger.access))?);
    }
    let first_seq = head.map_or(0, |head| head.seq + 1);
    if append.options.unique
        && let Some(existing) = open.with(|transaction| existing(transaction, &append, ledger.access))?
    {
        return Ok(Appended { entries: vec![existing], first_seq, withheld: Vec::new() });
    }
    let linker = Linker::new(ledger.storage.ledger_id(), head);
    let unwatched = ledger.access.is_none()
        && append.records.iter().all(|prepared| ledger.hooks.indifferent_to(&prepared.record.stream));
    let (entries, withheld) = if unwatched {
        (insert_all(open, linker, append.records)?, Vec::new())
    } else if alone || append.records.len() == 1 {
        insert_each(ledger, open, linker, append)?
    } else {
        open.with(|transaction| transaction.begin_part())?;
        let inserted = insert_each(ledger, open, linker, append);
        open.with(|transaction| transaction.end_part(inserted.is_ok()))?;
        inserted?
    };
    Ok(Appended { entries, first_seq, withheld })
}

/// What the caller of an append is told where the chain does not end as they expect: its end, if they may read it.
fn other_head(
    transaction: &mut dyn WriteTransaction,
    expected: Hash,
    head: Option<Head>,
    request: &Request,
    access: Option<&Access>,
) -> Result<Error> {
    let shown = match (head, access) {
        (Some(head), Some(access)) => {
            let entry = transaction.range(head.seq, 1)?.pop();
            entry.map_or(Ok(false), |entry| access.may_read(transaction, request, &entry.record))?
        }
        _ => true,
    };
    let actual = match head {
        Some(head) if shown => format!(", it is {}", head.hash),
        Some(_) => String::new(),
        None => ", the ledger is empty".to_owned(),
    };
    Ok(Error::Conflict {
        message: format!("the head is not {expected}{actual}; read what was appended meanwhile and try again"),
        existing_hash: head.filter(|_| shown).map(|head| head.hash),
    })
}

fn insert_all(open: &OpenTransaction, mut linker: Linker, records: Vec<Prepared>) -> Result<Vec<ChainEntry>> {
    let entries: Vec<ChainEntry> = records
        .into_iter()
        .map(|prepared| linker.link(prepared.record, prepared.salt, prepared.payload_hash))
        .collect();
    open.with(|transaction| transaction.insert(&entries))?;
    Ok(entries)
}

/// Inserts the records one by one, each seen by the hooks after the ones before it are written; answers the entries, and
/// the positions of those to withhold.
fn insert_each(
    ledger: Ledger<'_>,
    open: &OpenTransaction,
    mut linker: Linker,
    append: Append,
) -> Result<(Vec<ChainEntry>, Vec<usize>)> {
    let hooks = ledger.hooks.for_append(open, &append.request);
    let request = &append.request;
    let writer = Writer {
        requester_oid: &request.requester_oid,
        recorded_at: request.recorded_at,
        max_record_bytes: ledger.max_record_bytes,
    };
    let mut entries = Vec::with_capacity(append.records.len());
    let mut withheld = Vec::new();
    for (position, mut prepared) in append.records.into_iter().enumerate() {
        let verdict = authorise(ledger, open, request, &prepared)
            .and_then(|()| decide(&hooks, &mut prepared, writer))
            .or_else(|error| Err(without_hidden_hash(ledger, open, request, error)?))
            .map_err(|error| if append.options.batch { error.of_record(position) } else { error })?;
        let (entry, hidden) = match verdict {
            Verdict::Existing(entry) => {
                let hidden = !may_read(ledger, open, request, &entry.record)?;
                (*entry, hidden)
            }
            Verdict::Append { changed } => {
                // What the hooks added follows from what stood there before, and a record may end its requester's rights.
                let hidden = changed && !may_read(ledger, open, request, &prepared.record)?;
                let entry = linker.link(prepared.record, prepared.salt, prepared.payload_hash);
                open.with(|transaction| {
                    transaction.insert(std::slice::from_ref(&entry))?;
                    ledger.access.map_or(Ok(()), |access| access.project(transaction, &entry))
                })?;
                let hidden = hidden && !may_read(ledger, open, request, &entry.record)?;
                (entry, hidden)
            }
        };
        if hidden {
            withheld.push(position);
        }
        entries.push(entry);
    }
    Ok((entries, withheld))
}

/// Whether the requester may read what a record is of; everybody may where access control is off.
fn may_read(ledger: Ledger<'_>, open: &OpenTransaction, request: &Request, record: &Record) -> Result<bool> {
    match ledger.access {
        None => Ok(true),
        Some(access) => open.with(|transaction| access.may_read(transaction, request, record)),
    }
}

/// The refusal of a hook without the hash of an entry that the requester may not read.
fn without_hidden_hash(ledger: Ledger<'_>, open: &OpenTransaction, request: &Request, error: Error) -> Result<Error> {
    let Error::Conflict { message, existing_hash: Some(hash) } = error else {
        return Ok(error);
    };
    let Some(access) = ledger.access else {
        return Ok(Error::Conflict { message, existing_hash: Some(hash) });
    };
    // An entry that this transaction wrote is not found, and so not named.
    let existing_hash = open.with(|transaction| {
        let entry = transaction.get(&hash, access.viewer_now(request).as_ref())?;
        Ok(entry.map(|entry| entry.hash))
    })?;
    Ok(Error::Conflict { message, existing_hash })
}

/// Refuses an append of which its requester may not append one record, before any of them is written.
fn authorise_all(ledger: Ledger<'_>, open: &OpenTransaction, append: &Append) -> Result<()> {
    for (position, prepared) in append.records.iter().enumerate() {
        let authorised = authorise(ledger, open, &append.request, prepared);
        authorised.map_err(|error| if append.options.batch { error.of_record(position) } else { error })?;
    }
    Ok(())
}

/// Refuses a record that its requester may not append.
fn authorise(ledger: Ledger<'_>, open: &OpenTransaction, request: &Request, prepared: &Prepared) -> Result<()> {
    let Some(access) = ledger.access else {
        return Ok(());
    };
    open.with(|transaction| access.authorise_append(transaction, request, &prepared.record))
}

/// Lets the hooks see a record as its caller gave it, and completes anew what they changed.
fn decide(hooks: &AppendHooks<'_>, prepared: &mut Prepared, writer: Writer<'_>) -> Result<Verdict> {
    let engine_meta = std::mem::replace(&mut prepared.record.meta, prepared.caller_meta.clone());
    let verdict = hooks.before_append(&mut prepared.record)?;
    if let Verdict::Append { changed: true } = verdict {
        prepared.caller_meta = prepared.record.meta.take();
        prepared.complete(writer)?;
    } else {
        prepared.record.meta = engine_meta;
    }
    Ok(verdict)
}

/// For a unique append: the entry that already says the same, or a conflict with one that says something else.
fn existing(
    transaction: &mut dyn WriteTransaction,
    append: &Append,
    access: Option<&Access>,
) -> Result<Option<ChainEntry>> {
    let Some(prepared) = append.records.first() else {
        return Ok(None);
    };
    let Some((entry, seen)) = newest(transaction, &prepared.record, &append.request, access)? else {
        return Ok(None);
    };
    let theirs = || Meta::of(&entry.record).requester_oid.as_deref() == Some(&append.request.requester_oid);
    let (old, new) = (&entry.record, &prepared.record);
    let same = (seen || theirs())
        && old.stream == new.stream
        && old.payload == new.payload
        && (!prepared.timestamp_given || old.timestamp == new.timestamp)
        && caller_members(old.meta.as_ref()) == caller_members(prepared.caller_meta.as_ref());
    if same {
        return Ok(Some(entry));
    }
    let where_and_what = match (seen, entry.redacted()) {
        (false, _) => String::new(),
        (true, true) => format!(", at seq {}, and was redacted", entry.seq),
        (true, false) => format!(", at seq {}, and has other content", entry.seq),
    };
    Err(Error::Conflict {
        message: format!(
            "a record with id `{}` is in the ledger already{where_and_what}; choose another id, or append without \
             unique=True to add a version",
            nucleus_core::error::shortened(&new.id)
        ),
        existing_hash: seen.then_some(entry.hash),
    })
}

/// The newest entry that a unique append meets, and whether its requester may read it. Where access control is on, it meets
/// the entries of its own resource alone: others may use the id elsewhere.
fn newest(
    transaction: &mut dyn WriteTransaction,
    record: &Record,
    request: &Request,
    access: Option<&Access>,
) -> Result<Option<(ChainEntry, bool)>> {
    match access {
        None => Ok(transaction.latest_by_id(&record.id, None, None)?.map(|entry| (entry, true))),
        Some(access) => access.newest_of_resource(transaction, request, record),
    }
}

/// The members of a meta that are not the engine's own.
fn caller_members(meta: Option<&CanonicalJson>) -> Vec<(String, &str)> {
    let mut members = meta.and_then(|meta| canonical::members(meta.as_str())).unwrap_or_default();
    members.retain(|(key, _)| key != "recorded_at" && key != "requester_oid");
    members
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use nucleus_core::Hash;
    use nucleus_core::entry::commit_payload;

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
        let failed = of_own_entries(&Error::Database("full".to_owned()), own);
        assert!(matches!(failed, Err(Error::Database(_))));
    }
}
