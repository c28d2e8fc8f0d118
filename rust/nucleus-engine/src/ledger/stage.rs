//! What a call writes into an open transaction.

use std::sync::Arc;

use nucleus_core::ChainEntry;

use super::append::{Append, stage_append};
use super::extend::{ChainEnd, Placing};
use super::governing::access_is_off;
use super::redact::{Redaction, stage_redaction};
use crate::access::{Access, RecordWriter};
use crate::env::Environment;
use crate::model::{GrantRequest, Request, Result};
use crate::module::Hooks;
use crate::store::{OpenTransaction, Storage, Write};

/// What everything that is written goes through.
#[derive(Clone, Copy)]
pub(super) struct Ledger<'a> {
    pub(super) storage: &'a Arc<dyn Storage>,
    pub(super) environment: &'a Environment,
    pub(super) hooks: &'a Hooks,
    pub(super) access: Option<&'a Access>,
    /// See [`LedgerEngine`](super::LedgerEngine).
    pub(super) unruled: &'a [(String, &'static str)],
    pub(super) max_record_bytes: usize,
}

/// One call that writes: all of it or nothing. It is worked on in place, and may be staged again.
#[derive(Debug)]
pub(super) enum Work {
    /// Appends records.
    Append(Append),
    /// Erases a payload.
    Redact(Redaction),
    /// Grants access.
    Grant(Vec<GrantRequest>, Request),
    /// Ends access; the last `full` only where the flag says so.
    Revoke(Vec<GrantRequest>, Request, bool),
    /// Appends entries of an export.
    Import(Vec<ChainEntry>),
}

/// What a call came to in a transaction that is still open.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Entries below this seq were there before: they say what the caller said again.
    pub(super) first_seq: u64,
    /// Entries that are answered, where they are not those of the work itself.
    pub(super) entries: Vec<ChainEntry>,
    /// Entries that are answered in place of one of the work, by position.
    pub(super) instead: Vec<(usize, ChainEntry)>,
    /// Positions of the entries whose payload says what the caller did not say and may not read.
    pub(super) withheld: Vec<usize>,
}

/// What a call came to.
#[derive(Debug, Default)]
pub(super) struct Appended {
    /// One entry for each record.
    pub(super) entries: Vec<ChainEntry>,
    /// See [`Staged::first_seq`].
    pub(super) first_seq: u64,
    /// See [`Staged::withheld`].
    pub(super) withheld: Vec<usize>,
}

impl Work {
    /// How many records it is about.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Append(append) => append.entries.len(),
            Self::Import(entries) => entries.len(),
            Self::Grant(requests, _) | Self::Revoke(requests, _, _) => requests.len(),
            Self::Redact(_) => 1,
        }
    }

    /// Takes the entries out that are answered: it is not staged again.
    pub(super) fn settle(&mut self, staged: Staged) -> Appended {
        let Staged { first_seq, entries, instead, withheld } = staged;
        let mut entries = match self {
            Self::Append(append) if entries.is_empty() => std::mem::take(&mut append.entries),
            Self::Import(imported) => std::mem::take(imported),
            _ => entries,
        };
        for (position, entry) in instead {
            entries[position] = entry;
        }
        Appended { entries, first_seq, withheld }
    }
}

impl Ledger<'_> {
    /// Runs `work` in a transaction, with the grants up to date before it and after it, where access control is on.
    pub(super) fn in_step<T>(self, open: &OpenTransaction, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.access {
            None => work(),
            Some(access) => access.in_step(open, work),
        }
    }

    /// Whether nothing but the storage itself can fail once a call has begun to write: then it needs no part of its own.
    pub(super) fn writes_whole_or_fails(self, work: &Work) -> bool {
        matches!(work, Work::Append(append) if append.is_unwatched(self))
    }
}

/// Writes what a call is about.
pub(super) fn stage(ledger: Ledger<'_>, open: &OpenTransaction, work: &mut Work) -> Result<Staged> {
    match work {
        Work::Append(append) => stage_append(ledger, open, append),
        Work::Redact(redaction) => stage_redaction(ledger, open, redaction),
        Work::Grant(requests, request) => stage_governing(ledger, open, request, |access, transaction, write| {
            access.grant(transaction, request, requests, write)
        }),
        Work::Revoke(requests, request, allow_last_full) => {
            stage_governing(ledger, open, request, |access, transaction, write| {
                access.revoke(transaction, request, requests, *allow_last_full, write)
            })
        }
        Work::Import(entries) => open.with(|transaction| {
            let mut end = ChainEnd::of(ledger, transaction)?;
            let first_seq = end.next_seq();
            end.append(transaction, entries, Placing::AsItSays)?;
            Ok(Staged { first_seq, ..Staged::default() })
        }),
    }
}

fn stage_governing(
    ledger: Ledger<'_>,
    open: &OpenTransaction,
    request: &Request,
    govern: impl FnOnce(&Access, &mut dyn Write, RecordWriter<'_>) -> Result<Vec<ChainEntry>>,
) -> Result<Staged> {
    let access = ledger.access.ok_or_else(access_is_off)?;
    open.with(|transaction| {
        let mut end = ChainEnd::of(ledger, transaction)?;
        let first_seq = end.next_seq();
        let mut write = |transaction: &mut dyn Write, record| end.append_own(transaction, record, request);
        let entries = govern(access, transaction, &mut write)?;
        Ok(Staged { first_seq, entries, ..Staged::default() })
    })
}
