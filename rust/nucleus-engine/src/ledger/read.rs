//! What is read, by whom: each call in one state, of which the grants are a projection.

use nucleus_core::entry::Head;
use nucleus_core::error::shortened;
use nucleus_core::{ChainEntry, Hash, VerificationReport};
use std::path::Path;

use super::LedgerEngine;
use super::open::note_end;
use super::verify::{VerifyOptions, look_at_everything};
use crate::access::Access;
use crate::model::{
    Authority, Cursor, Error, FieldValues, MAX_PAGE_ENTRIES, Order, Progress, QueryFilters, QueryPage, Question,
    Result, Sight, StoreError, StoreErrorKind, collect_history,
};
use crate::store::{Read, Restored, Stats, Storage};

/// How often the grants are brought up to date for one read, while others append without keeping them.
const MOST_CATCH_UPS: u32 = 16;

impl LedgerEngine {
    /// The storage, for a read.
    ///
    /// Where reads wait for the transaction that a hook runs in, a read past the hook's context would wait for itself.
    /// Elsewhere, such a read answers what is committed.
    pub(super) fn readable(&self) -> Result<&dyn Storage> {
        if self.storage.described().reads_wait_for_writes {
            self.hooks.refuse_inside_hook("a read past the hook's own context")?;
        }
        Ok(self.storage.as_ref())
    }

    /// What a requester sees.
    pub(super) fn sight(&self, requester_oid: &str) -> Sight {
        match &self.access {
            None => Sight::Everything(Authority::NoAccessControl),
            Some(access) => access.sight(requester_oid, self.environment.now_ms()),
        }
    }

    /// Begins to read for somebody who sees this: where that goes by grants, in a state in which they are up to date.
    pub(super) fn begin_read(&self, sight: &Sight) -> Result<Box<dyn Read + '_>> {
        match sight {
            Sight::Everything(_) => self.readable()?.read(),
            Sight::Granted(_) => self.read_with_grants(),
        }
    }

    /// Begins to read in a state in which the grants are up to date, where access control is on.
    pub(super) fn read_with_grants(&self) -> Result<Box<dyn Read + '_>> {
        let storage = self.readable()?;
        let Some(access) = &self.access else {
            return storage.read();
        };
        for _ in 0..MOST_CATCH_UPS {
            let mut read = storage.read()?;
            if read.projection_is_current(access.kinds_text())? {
                return Ok(read);
            }
            drop(read);
            self.catch_up_grants(access)?;
        }
        Err(outrun())
    }

    /// Whether a grant allows what is asked, by grants that are up to date.
    pub(super) fn decide(&self, access: &Access, question: &Question<'_>) -> Result<bool> {
        let storage = self.readable()?;
        for _ in 0..MOST_CATCH_UPS {
            if let Some(allowed) = storage.decide(question, access.kinds_text())? {
                return Ok(allowed);
            }
            self.catch_up_grants(access)?;
        }
        Err(outrun())
    }

    /// The entry with this hash, if the requester may read it.
    pub fn get(&self, hash: &Hash, requester_oid: &str) -> Result<Option<ChainEntry>> {
        let sight = self.sight(requester_oid);
        self.begin_read(&sight)?.get(hash, &sight)
    }

    /// The newest entry with this record id that the requester may read, in this stream where one is given.
    ///
    /// Without a stream, where access control is on: `Conflict` where they may read the id in streams of several kinds, for
    /// anybody may use it in a stream of their own.
    pub fn get_by_id(&self, id: &str, stream: Option<&str>, requester_oid: &str) -> Result<Option<ChainEntry>> {
        let sight = self.sight(requester_oid);
        let mut read = self.begin_read(&sight)?;
        match (&self.access, stream) {
            (Some(access), None) => {
                let found = read.latest_of_one_kind(id, access.kinds(), &sight)?;
                found.map_err(|streams| several_kinds(id, &streams))
            }
            _ => read.latest_by_id(id, stream, &sight),
        }
    }

    /// All entries with this record id that the requester may read, in this stream where one is given, oldest first.
    ///
    /// Without a stream, where access control is on, as [`get_by_id`](Self::get_by_id).
    pub fn history(&self, id: &str, stream: Option<&str>, requester_oid: &str) -> Result<Vec<ChainEntry>> {
        let sight = self.sight(requester_oid);
        let mut read = self.begin_read(&sight)?;
        let streams = match (&self.access, stream) {
            (Some(access), None) => {
                let streams = read.streams_with(id, access.kinds(), &sight)?;
                if access.kinds().are_several(&streams) {
                    return Err(several_kinds(id, &streams));
                }
                streams.into_iter().map(Some).collect()
            }
            (_, stream) => vec![stream.map(str::to_owned)],
        };
        let mut entries = Vec::new();
        for stream in &streams {
            entries.append(&mut collect_history(id, stream.as_deref(), |filters| read.page(filters, &sight))?);
        }
        entries.sort_by_key(|entry| entry.seq);
        Ok(entries)
    }

    /// At most `limit` entries from `first_seq` on that the requester may read, in chain order.
    pub fn range(&self, first_seq: u64, limit: usize, requester_oid: &str) -> Result<Vec<ChainEntry>> {
        let limit = limit.min(MAX_PAGE_ENTRIES);
        let sight = self.sight(requester_oid);
        let mut read = self.begin_read(&sight)?;
        match (i64::try_from(first_seq), &sight) {
            (_, Sight::Everything(_)) => read.range(first_seq, limit),
            (Ok(first_seq), Sight::Granted(_)) if limit > 0 => {
                let cursor = Some(Cursor { after_seq: first_seq - 1, order: Order::Ascending });
                Ok(read.page(&QueryFilters { limit, cursor, ..QueryFilters::default() }, &sight)?.entries)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Distinct values of a payload member that a module has declared, in a fixed order, among the entries that the
    /// requester may read.
    pub fn field_values(&self, query: &FieldValues<'_>, requester_oid: &str) -> Result<Vec<String>> {
        if !(1..=MAX_PAGE_ENTRIES).contains(&query.limit) {
            return Err(Error::Config(format!("limit must be 1 to {MAX_PAGE_ENTRIES}, not {}", query.limit)));
        }
        let sight = self.sight(requester_oid);
        self.begin_read(&sight)?.field_values(query, &sight)
    }

    /// One page of matching entries that the requester may read.
    pub fn query(&self, filters: &QueryFilters, requester_oid: &str) -> Result<QueryPage> {
        filters.validate()?;
        let sight = self.sight(requester_oid);
        self.begin_read(&sight)?.page(filters, &sight)
    }

    /// Where the chain ends.
    pub fn head(&self) -> Result<Option<Head>> {
        self.readable()?.head()
    }

    /// Number of entries.
    pub fn length(&self) -> Result<u64> {
        Ok(self.head()?.map_or(0, |head| head.seq + 1))
    }

    /// Verifies the whole chain and everything derived from it.
    pub fn verify(
        &self,
        deep: bool,
        expected_head: Option<&Hash>,
        expected_length: Option<u64>,
        progress: Progress<'_>,
    ) -> Result<VerificationReport> {
        let storage = self.readable()?;
        let grants_at = Some(self.environment.now_ms() / 1000);
        let wanted = VerifyOptions { deep, grants_at, ..VerifyOptions::default() };
        let looked = look_at_everything(storage, wanted, progress)?;
        let mut report = looked.report;
        note_end(&mut report, storage.upkeep().end_of_chain()?);
        for fault in looked.grant_faults {
            report.add(fault);
        }
        report.expect_end(expected_head, expected_length);
        Ok(report)
    }

    /// Writes a consistent copy to a new file; answers the copy's head.
    pub fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        self.readable()?.upkeep().backup(path, progress)
    }

    /// Puts a consistent copy in the place of the ledger at `target`, or where there is none. What is there is refused, unless
    /// it is to be replaced: then it is moved aside.
    pub fn restore_to(&self, target: &Path, replace: bool, progress: Progress<'_>) -> Result<Restored> {
        self.readable()?.upkeep().restore_to(target, replace, progress)
    }

    /// Whether bytes of an erased payload may still be in the write-ahead log, see [`Stats::scrub_pending`].
    pub fn scrub_pending(&self) -> bool {
        self.storage.upkeep().scrub_pending()
    }

    /// Figures about the ledger.
    pub fn stats(&self) -> Result<Stats> {
        self.readable()?.upkeep().stats()
    }
}

fn outrun() -> Error {
    Error::Store(StoreError::new(
        StoreErrorKind::Busy,
        "others append without access control faster than the grants are brought up to date; try again",
    ))
}

/// The refusal to answer for an id that means several things.
fn several_kinds(id: &str, streams: &[String]) -> Error {
    let named: Vec<String> = streams.iter().map(|stream| format!("`{}`", shortened(stream).escape_debug())).collect();
    Error::Conflict {
        message: format!(
            "id `{}` is in use in several streams, among them {}, for different things; pass stream= to say which is meant",
            shortened(id).escape_debug(),
            named.join(" and ")
        ),
        existing_hash: None,
    }
}
