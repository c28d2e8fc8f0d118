//! The one place where anything is appended.

use nucleus_core::entry::{Head, Linker};
use nucleus_core::{ChainEntry, ErrorKind, Hash, Record, VerificationError, VerificationReport};

use super::parts::Ledger;
use super::prepare::unplaced;
use crate::model::{Error, Request, Result, is_well_formed, with_engine_meta};
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

/// Refuses an entry that is not the next one of the chain.
fn check_continues(entry: &ChainEntry, head: Option<Head>, genesis: &Hash) -> Result<()> {
    let expected_seq = head.map_or(0, |head| head.seq + 1);
    let kind = if entry.seq != expected_seq {
        ErrorKind::SequenceGap
    } else if entry.prev_hash != head.map(|head| head.hash) {
        ErrorKind::ChainLinkBroken
    } else if entry.format != nucleus_core::FORMAT || !is_well_formed(&entry.record) {
        ErrorKind::MalformedEntry
    } else if !entry.adds_up(genesis) {
        ErrorKind::HashMismatch
    } else {
        return Ok(());
    };
    let mut report = VerificationReport::default();
    report.add(VerificationError {
        kind,
        seq: i64::try_from(entry.seq).ok(),
        record_id: Some(entry.record.id.clone()),
        expected: (kind == ErrorKind::SequenceGap).then(|| format!("seq {expected_seq}")),
        actual: (kind == ErrorKind::SequenceGap).then(|| format!("seq {}", entry.seq)),
    });
    Err(Error::integrity("an imported entry does not continue the chain; nothing of its batch was kept", report))
}
