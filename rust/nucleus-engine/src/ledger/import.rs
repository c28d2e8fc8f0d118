//! Taking in the entries of an export, unchanged.

use nucleus_core::entry::Head;
use nucleus_core::{ChainEntry, ErrorKind, Hash, VerificationError, VerificationReport};

use super::LedgerEngine;
use super::stage::Work;
use crate::model::{Error, Result, is_well_formed};

impl LedgerEngine {
    /// Appends entries of an export unchanged, each checked to continue this chain; all or nothing; answers the number of
    /// entries in the ledger. Where access control is on, the administrator alone may.
    ///
    /// # Errors
    /// `AccessDenied`; `Integrity` where an entry does not continue the chain; those of an append.
    pub fn import(&self, entries: Vec<ChainEntry>, requester_oid: &str) -> Result<u64> {
        self.only_administrator(requester_oid, "import entries")?;
        self.hooks.refuse_inside_hook("import")?;
        if entries.is_empty() {
            return self.length();
        }
        let imported = self.queue.submit(self.parts(), Work::Import(entries))?;
        Ok(imported.entries.last().map_or(imported.first_seq, |last| last.seq + 1))
    }
}

/// Refuses an entry that is not the next one of the chain.
pub(super) fn check_continues(entry: &ChainEntry, head: Option<Head>, genesis: &Hash) -> Result<()> {
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
