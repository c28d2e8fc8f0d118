//! What everything that is written goes through, and what it comes to.

use std::sync::Arc;

use nucleus_core::ChainEntry;

use crate::access::Access;
use crate::env::Environment;
use crate::model::{Error, Result};
use crate::module::Hooks;
use crate::store::{OpenTransaction, Storage};

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

impl Ledger<'_> {
    /// Runs `work` in a transaction, with the grants up to date before it and after it, where access control is on.
    pub(super) fn in_step<T>(self, open: &OpenTransaction, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.access {
            None => work(),
            Some(access) => access.in_step(open, work),
        }
    }
}

/// Refuses what would get round the rules that a stream was written under.
pub(super) fn refuse_unruled(unruled: &[(String, &'static str)], stream: &str) -> Result<()> {
    match unruled.iter().find(|(unruled, _)| unruled == stream) {
        None => Ok(()),
        Some((_, id)) => Err(Error::Module {
            module_id: (*id).to_owned(),
            message: format!(
                "it rules the stream `{stream}` of this ledger, which was opened without it; name the module when \
                 opening the ledger to write there"
            ),
            cause: None,
        }),
    }
}

/// The refusal of whoever asks for access control where there is none.
pub(super) fn access_is_off() -> Error {
    Error::Config("the ledger was opened without access control; open it with an access configuration".to_owned())
}
