//! One look at everything that is stored: whoever verifies something observes it.

use nucleus_core::verify::Row;
use nucleus_core::{VerificationError, VerificationReport};

use super::Read;
use crate::model::{Grant, Result};

/// What is looked at, and how.
#[derive(Debug, Clone, Copy)]
pub struct Scan {
    /// In which manner.
    pub manner: Manner,
    /// Whether what the storage itself derives from the entries, and its own structure, is looked at too.
    pub derived: bool,
    /// Whether every structure is checked in the storage's own way as well, however long that takes.
    pub deep: bool,
    /// Whether the table of grants is shown.
    pub grants: bool,
}

/// How a look at everything is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// In short reads, on several threads. Others may write meanwhile, so that what looks wrong may be due to them.
    ShortReads,
    /// In one state. What is wrong there is wrong. The table of grants comes behind all entries.
    OneSnapshot,
}

/// What is wrong with what a storage itself derives and keeps.
#[derive(Debug, Default)]
pub struct DerivedFaults {
    /// Of its structure, and of what follows from the entries; nothing of the chain.
    pub of_entries: VerificationReport,
    /// Of the table of grants and what follows from it; nothing of whom the chain grants what.
    pub of_grants: Vec<VerificationError>,
}

impl DerivedFaults {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.of_entries.valid() && self.of_grants.is_empty()
    }
}

/// How much there is to see.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Entries below this seq are shown. An edited file may say anything.
    pub below: u64,
    /// No more entries than this are shown: for as many there is room.
    pub most_entries: u64,
    /// Whether there is a table of grants.
    pub has_grants: bool,
}

/// Observes a scan. All methods but `begin` may be called from any thread.
pub trait Observer: Sync {
    /// Called first. `read` is in the state of which the table of grants will be shown.
    fn begin(&self, read: &mut dyn Read, extent: Extent) -> Result<()>;

    /// The watcher of one stretch of the chain. Stretches are numbered from 0 in chain order, without gaps, and nothing lies
    /// between them.
    fn stretch(&self, number: usize) -> Box<dyn Watcher + '_>;

    /// Takes the next grant of the table.
    fn grant(&self, grant: &Grant);

    /// Seqs of entries that are to be shown once more, in the state of one snapshot, when all stretches are finished.
    fn revisit(&self) -> Vec<i64>;

    /// Takes an entry that was to be shown once more; None where there is none, or none that can be read.
    fn revisited(&self, seq: i64, row: Option<&Row<'_>>);

    /// Whether every entry shown so far could be read: else what follows from the entries is not known.
    fn all_readable(&self) -> bool;
}

/// Watches one stretch of the chain, on one thread.
pub trait Watcher {
    /// Takes the next entry, as it is stored: nothing about it is trusted.
    fn take(&mut self, row: &Row<'_>);

    /// Takes an entry of which a part is not of its type.
    fn take_unreadable(&mut self, seq: i64, why: &'static str);

    /// The stretch is at its end.
    fn finish(self: Box<Self>);
}
