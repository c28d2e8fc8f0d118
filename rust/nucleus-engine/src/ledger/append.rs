//! Appending records, inside the write transaction.

use nucleus_core::entry::Head;
use nucleus_core::{CanonicalJson, ChainEntry, Hash, Record, canonical};

use super::extend::{ChainEnd, Placing};
use super::parts::{Ledger, Staged};
use super::prepare::{Note, Writer, complete};
use crate::access::Access;
use crate::model::{AppendOptions, Authority, Error, Meta, Request, Result, Sight};
use crate::module::{AppendHooks, Hooks, Verdict};
use crate::store::{OpenTransaction, Write};

/// One call of append: all its records or none.
#[derive(Debug)]
pub(super) struct Append {
    /// An entry for each record, complete but for its place.
    pub(super) entries: Vec<ChainEntry>,
    /// What is known of each besides.
    pub(super) notes: Vec<Note>,
    pub(super) options: AppendOptions,
    pub(super) request: Request,
}

impl Append {
    /// Whether hooks look at any of its records.
    pub(super) fn is_wanted_by(&self, hooks: &Hooks) -> bool {
        self.entries.iter().any(|entry| !hooks.indifferent_to(&entry.record.stream))
    }

    /// Whether neither hooks nor access control look at its records.
    pub(super) fn is_unwatched(&self, ledger: Ledger<'_>) -> bool {
        ledger.access.is_none() && !self.is_wanted_by(ledger.hooks)
    }

    /// The error of one of its records.
    fn at(&self, position: usize, error: Error) -> Error {
        if self.options.batch { error.of_record(position) } else { error }
    }
}

/// Links the records of one append and writes them into the open transaction.
pub(super) fn stage_append(ledger: Ledger<'_>, open: &OpenTransaction, append: &mut Append) -> Result<Staged> {
    if append.options.unique || append.options.expected_head.is_some() {
        // What is compared before the records are looked at one by one tells of the ledger.
        authorise_all(ledger, open, append)?;
    }
    let mut end = open.with(|transaction| ChainEnd::of(ledger, transaction))?;
    let (head, first_seq) = (end.head(), end.next_seq());
    if let Some(expected) = append.options.expected_head
        && head.map(|head| head.hash) != Some(expected)
    {
        return Err(open.with(|transaction| other_head(transaction, expected, head, &append.request, ledger.access))?);
    }
    let staged = Staged { first_seq, ..Staged::default() };
    if append.options.unique
        && let Some(existing) = open.with(|transaction| existing(transaction, append, ledger.access))?
    {
        return Ok(Staged { entries: vec![existing], ..staged });
    }
    if append.is_unwatched(ledger) {
        open.with(|transaction| end.append(transaction, &mut append.entries, Placing::Link))?;
        return Ok(staged);
    }
    append_each(ledger, open, &mut end, append, staged)
}

/// What the caller of an append is told where the chain does not end as they expect: its end, if they may read it.
fn other_head(
    transaction: &mut dyn Write,
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

/// Appends the records one by one, each seen by the hooks after the ones before it are written.
fn append_each(
    ledger: Ledger<'_>,
    open: &OpenTransaction,
    end: &mut ChainEnd<'_>,
    append: &mut Append,
    mut staged: Staged,
) -> Result<Staged> {
    let hooks = ledger.hooks.for_append(open, &append.request);
    let request = append.request.clone();
    let writer = Writer {
        requester_oid: &request.requester_oid,
        recorded_at: request.recorded_at,
        max_record_bytes: ledger.max_record_bytes,
    };
    for position in 0..append.entries.len() {
        let (entry, note) = (&mut append.entries[position], &mut append.notes[position]);
        let verdict = authorise(ledger, open, &request, &entry.record)
            .and_then(|()| decide(&hooks, entry, note, writer))
            .or_else(|error| Err(without_hidden_hash(ledger, open, &request, error)?));
        match verdict.map_err(|error| append.at(position, error))? {
            Decision::Existing(existing) => {
                if !may_read(ledger, open, &request, &existing.record)? {
                    staged.withheld.push(position);
                }
                staged.instead.push((position, *existing));
            }
            Decision::Append { changed } => {
                let entry = &mut append.entries[position];
                // What the hooks added follows from what stood there before, and a record may end its requester's rights.
                let hidden = changed && !may_read(ledger, open, &request, &entry.record)?;
                open.with(|transaction| end.append(transaction, std::slice::from_mut(entry), Placing::Link))?;
                if hidden && !may_read(ledger, open, &request, &entry.record)? {
                    staged.withheld.push(position);
                }
            }
        }
    }
    Ok(staged)
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
        let entry = transaction.get(&hash, &access.sight_now(request))?;
        Ok(entry.map(|entry| entry.hash))
    })?;
    Ok(Error::Conflict { message, existing_hash })
}

/// Refuses an append of which its requester may not append one record, before any of them is written.
fn authorise_all(ledger: Ledger<'_>, open: &OpenTransaction, append: &Append) -> Result<()> {
    for (position, entry) in append.entries.iter().enumerate() {
        authorise(ledger, open, &append.request, &entry.record).map_err(|error| append.at(position, error))?;
    }
    Ok(())
}

/// Refuses a record that its requester may not append.
fn authorise(ledger: Ledger<'_>, open: &OpenTransaction, request: &Request, record: &Record) -> Result<()> {
    let Some(access) = ledger.access else {
        return Ok(());
    };
    open.with(|transaction| access.authorise_append(transaction, request, record))
}

/// What becomes of a record.
enum Decision {
    Append {
        /// Whether hooks have changed it.
        changed: bool,
    },
    /// This entry says the same already.
    Existing(Box<ChainEntry>),
}

/// Lets the hooks see a record as its caller gave it, and completes anew what they changed. What was decided in a
/// transaction that was undone counts for nothing.
fn decide(hooks: &AppendHooks<'_>, entry: &mut ChainEntry, note: &mut Note, writer: Writer<'_>) -> Result<Decision> {
    if let Some(given) = note.given_payload.take() {
        entry.record.payload = Some(given);
        complete(entry, note.caller_meta.as_ref(), writer)?;
    }
    let engine_meta = std::mem::replace(&mut entry.record.meta, note.caller_meta.clone());
    let verdict = hooks.before_append(&mut entry.record);
    if let Ok(Verdict::Append { given: Some(given) }) = verdict {
        note.given_payload = given.payload;
        let caller_meta = entry.record.meta.take();
        complete(entry, caller_meta.as_ref(), writer)?;
        return Ok(Decision::Append { changed: true });
    }
    entry.record.meta = engine_meta;
    match verdict? {
        Verdict::Existing(existing) => Ok(Decision::Existing(existing)),
        Verdict::Append { .. } => Ok(Decision::Append { changed: false }),
    }
}

/// For a unique append: the entry that already says the same, or a conflict with one that says something else.
fn existing(transaction: &mut dyn Write, append: &Append, access: Option<&Access>) -> Result<Option<ChainEntry>> {
    let (Some(entry), Some(note)) = (append.entries.first(), append.notes.first()) else {
        return Ok(None);
    };
    let new = &entry.record;
    let Some((entry, seen)) = newest(transaction, new, &append.request, access)? else {
        return Ok(None);
    };
    let theirs = || Meta::of(&entry.record).requester_oid.as_deref() == Some(&append.request.requester_oid);
    let old = &entry.record;
    let same = (seen || theirs())
        && old.stream == new.stream
        && old.payload == new.payload
        && (!note.timestamp_given || old.timestamp == new.timestamp)
        && caller_members(old.meta.as_ref()) == caller_members(note.caller_meta.as_ref());
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
    transaction: &mut dyn Write,
    record: &Record,
    request: &Request,
    access: Option<&Access>,
) -> Result<Option<(ChainEntry, bool)>> {
    match access {
        None => {
            let everything = Sight::Everything(Authority::NoAccessControl);
            Ok(transaction.latest_by_id(&record.id, None, &everything)?.map(|entry| (entry, true)))
        }
        Some(access) => access.newest_of_resource(transaction, request, record),
    }
}

/// The members of a meta that are not the engine's own.
fn caller_members(meta: Option<&CanonicalJson>) -> Vec<(String, &str)> {
    let mut members = meta.and_then(|meta| canonical::members(meta.as_str())).unwrap_or_default();
    members.retain(|(key, _)| key != "recorded_at" && key != "requester_oid");
    members
}
