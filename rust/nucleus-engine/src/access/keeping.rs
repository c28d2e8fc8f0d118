//! Keeping the table of grants in step with the chain.

use nucleus_core::error::shortened;
use nucleus_core::{ACL_GRANTS_STREAM, ChainEntry, REDACTIONS_STREAM, Record};

use super::Access;
use super::projection::{Before, Version, changes};
use crate::model::{
    Authority, Change, Error, ProjectionState, QueryFilters, Result, Sight, about_redaction, collect_history,
    record_id_of,
};
use crate::store::{OpenTransaction, Write};

/// What the grants follow from.
const EVERYTHING: Sight = Sight::Everything(Authority::Rules);

/// Entries of one page while the projection catches up.
const PAGE_ENTRIES: usize = 1_000;

impl Access {
    /// Runs `work` in a transaction whose projection is up to date before it and after it.
    pub(crate) fn in_step<T>(&self, open: &OpenTransaction, work: impl FnOnce() -> Result<T>) -> Result<T> {
        open.with(|transaction| self.catch_up(transaction))?;
        let answer = work()?;
        open.with(|transaction| self.note_covered(transaction))?;
        Ok(answer)
    }

    /// Brings the projection up to the head.
    pub(crate) fn catch_up(&self, transaction: &mut dyn Write) -> Result<()> {
        let state = transaction.projection()?;
        match &state {
            Some(state) if state.kinds != self.kinds_text() => return Err(other_kinds()),
            Some(_) => {}
            // Whatever the table holds is of nothing that is known.
            None => transaction.clear_grants()?,
        }
        let length = transaction.head()?.map_or(0, |head| head.seq + 1);
        let mut covered_below = state.map_or(0, |state| state.covered_below);
        while covered_below < length {
            let entries = transaction.range(covered_below, PAGE_ENTRIES)?;
            for entry in &entries {
                self.project(transaction, entry)?;
            }
            covered_below = entries.last().map_or(length, |last| last.seq + 1);
        }
        self.note_covered(transaction)
    }

    /// Makes the projection anew from the whole chain.
    pub(crate) fn rebuild(&self, transaction: &mut dyn Write) -> Result<()> {
        transaction.clear_grants()?;
        self.catch_up(transaction)
    }

    /// Keeps the projection under the resource kinds of this opener from now on, if nothing it is made of is touched by
    /// the difference. Else that would give rights to whoever prepared them under a name that meant nothing, or take some
    /// away: the administrator's rebuild alone does it.
    pub(crate) fn adopt_kinds(&self, transaction: &mut dyn Write) -> Result<()> {
        let Some(state) = transaction.projection()? else {
            return self.catch_up(transaction);
        };
        let as_stored = self.as_stored(&state)?;
        as_stored.catch_up(transaction)?;
        for name in self.kinds().differences(as_stored.kinds()) {
            let any =
                |stream: &str| QueryFilters { stream: Some(stream.to_owned()), limit: 1, ..QueryFilters::default() };
            let payload = vec![QueryFilters::text_member(("resource_kind", name))];
            for filters in [any(name), QueryFilters { payload, ..any(ACL_GRANTS_STREAM) }] {
                if !transaction.page(&filters, &EVERYTHING)?.entries.is_empty() {
                    return Err(Error::Config(format!(
                        "{OTHER_KINDS}, and there are entries for which that makes a difference (`{}`); open it with the \
                         same modules, or open it with verify_on_open=False and let the administrator rebuild the grants, \
                         who looks through them first",
                        shortened(name).escape_debug()
                    )));
                }
            }
        }
        self.note_covered(transaction)
    }

    fn note_covered(&self, transaction: &mut dyn Write) -> Result<()> {
        let covered_below = transaction.head()?.map_or(0, |head| head.seq + 1);
        let state = ProjectionState { covered_below, kinds: self.kinds_text().to_owned() };
        if transaction.projection()?.as_ref() == Some(&state) {
            return Ok(());
        }
        transaction.set_projection(&state)
    }

    /// Writes what an entry changes among the grants.
    pub(crate) fn project(&self, transaction: &mut dyn Write, entry: &ChainEntry) -> Result<()> {
        if entry.record.stream == REDACTIONS_STREAM {
            return self.project_redaction(transaction, &entry.record);
        }
        let before = self.before(transaction, entry)?;
        transaction.change_grants(&changes(self.kinds(), entry.seq, &entry.record, &before))
    }

    /// Makes out anew who has what on a resource of which an entry was erased: an erased payload names nobody.
    fn project_redaction(&self, transaction: &mut dyn Write, redaction: &Record) -> Result<()> {
        let Some(seq) = about_redaction(redaction) else {
            return Ok(());
        };
        let Some(redacted) = transaction.range(seq, 1)?.pop().filter(|redacted| redacted.seq == seq) else {
            return Ok(());
        };
        let Some(resource) = self.kinds().resource_of(&redacted.record) else {
            return Ok(());
        };
        if self.kinds().roles_of(&redacted.record.stream).is_empty() {
            return Ok(());
        }
        let periods = self.periods(&resource, &mut |id, stream| history(transaction, id, stream))?;
        let held = periods.into_iter().filter(|period| period.end.is_none()).map(|period| Change::Put(period.grant));
        let changes: Vec<Change> = std::iter::once(Change::EndAll(resource)).chain(held).collect();
        transaction.change_grants(&changes)
    }

    fn before(&self, transaction: &mut dyn Write, entry: &ChainEntry) -> Result<Before> {
        let record = &entry.record;
        let mut before = Before::default();
        let Some(resource) = self.kinds().resource_of(record) else {
            return Ok(before);
        };
        if let Some(version) = transaction.version_before(&record.id, &record.stream, entry.seq)? {
            before.exists = true;
            before.version = Version::of(self.kinds().roles_of(&record.stream), &version.record);
            return Ok(before);
        }
        let mut others = self.kinds().streams_of(&resource.kind);
        others.retain(|stream| *stream != record.stream);
        before.exists = transaction.any_version_before(&record.id, &others, entry.seq)?;
        if !before.exists {
            let grants = transaction.version_before(&record_id_of(&resource), ACL_GRANTS_STREAM, entry.seq)?;
            before.reserved = grants.is_some();
        }
        Ok(before)
    }
}

/// All versions of a record id in a stream, oldest first.
fn history(transaction: &mut dyn Write, id: &str, stream: &str) -> Result<Vec<ChainEntry>> {
    collect_history(id, Some(stream), |filters| transaction.page(filters, &EVERYTHING))
}

const OTHER_KINDS: &str =
    "the ledger's grants are kept with other resource kinds than the modules of this opener declare";

/// The refusal of a file whose projection was made with other resource kinds.
pub(crate) fn other_kinds() -> Error {
    Error::Config(format!("{OTHER_KINDS}; every process that opens the ledger runs the same modules"))
}
