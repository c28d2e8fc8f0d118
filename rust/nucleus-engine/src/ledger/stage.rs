//! What a call writes into an open transaction.

use nucleus_core::ChainEntry;

use super::append::{Append, stage_append};
use super::extend::{ChainEnd, Placing};
use super::parts::{Appended, Ledger, Staged, access_is_off};
use super::redact::{Redaction, stage_redaction};
use crate::access::{Access, RecordWriter};
use crate::model::{GrantRequest, Request, Result};
use crate::store::{OpenTransaction, Write};

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
    /// Whether hooks look at what a call writes.
    pub(super) fn runs_hooks(self, work: &Work) -> bool {
        match work {
            Work::Append(append) => append.is_wanted_by(self.hooks),
            Work::Redact(_) => !self.hooks.none(),
            Work::Grant(..) | Work::Revoke(..) | Work::Import(_) => false,
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
