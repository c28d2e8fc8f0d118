//! The one place where anything is appended.

use nucleus_core::entry::{Head, Linker, Salt, commit_payload};
use nucleus_core::{ChainEntry, FORMAT, Hash, Record};

use super::import::check_continues;
use super::stage::Ledger;
use crate::model::{Request, Result, with_engine_meta};
use crate::store::Write;

/// How an entry comes to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placing {
    /// It is linked to the entry before.
    Link,
    /// It says itself where it belongs, and is refused elsewhere.
    AsItSays,
}

/// The end of the chain inside one transaction. Records, batches, redactions, grants and imports are all appended here.
pub(super) struct ChainEnd<'a> {
    ledger: Ledger<'a>,
    linker: Linker,
    /// What stands before the first entry.
    genesis: Hash,
}

impl<'a> ChainEnd<'a> {
    /// The end as the transaction sees it.
    pub(super) fn of(ledger: Ledger<'a>, transaction: &mut dyn Write) -> Result<Self> {
        let id = &ledger.storage.described().ledger_id;
        let linker = Linker::new(id, transaction.head()?);
        Ok(Self { ledger, genesis: *linker.ledger_hash(), linker })
    }

    pub(super) fn head(&self) -> Option<Head> {
        self.linker.head()
    }

    /// Seq of the next entry.
    pub(super) fn next_seq(&self) -> u64 {
        self.head().map_or(0, |head| head.seq + 1)
    }

    /// Appends entries: puts them in their places, writes them, and brings the grants that they imply up to date.
    pub(super) fn append(
        &mut self,
        transaction: &mut dyn Write,
        entries: &mut [ChainEntry],
        placing: Placing,
    ) -> Result<()> {
        for entry in entries.iter_mut() {
            match placing {
                Placing::Link => self.linker.place(entry),
                Placing::AsItSays => {
                    check_continues(entry, self.head(), &self.genesis)?;
                    self.linker.follow(entry);
                }
            }
        }
        transaction.append(entries)?;
        match self.ledger.access {
            None => Ok(()),
            Some(access) => entries.iter().try_for_each(|entry| access.project(transaction, entry)),
        }
    }

    /// Appends a record of the engine's own.
    pub(super) fn append_own(
        &mut self,
        transaction: &mut dyn Write,
        mut record: Record,
        request: &Request,
    ) -> Result<ChainEntry> {
        record.meta = Some(with_engine_meta(None, &request.requester_oid, request.recorded_at)?);
        let salt = self.ledger.environment.salts(1)?[0];
        let mut entry = unplaced(record, salt);
        self.append(transaction, std::slice::from_mut(&mut entry), Placing::Link)?;
        Ok(entry)
    }
}

/// An entry that needs nothing but its place in the chain.
pub(super) fn unplaced(record: Record, salt: Salt) -> ChainEntry {
    let payload_hash = commit_payload(&record, &salt);
    let hash = Hash([0; 32]);
    ChainEntry { seq: 0, format: FORMAT, hash, prev_hash: None, salt: Some(salt), payload_hash, record }
}
