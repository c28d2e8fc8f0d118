//! A storage in a `BTreeMap`, made from the ports alone: what it takes to add one, and that it passes the suite.
//!
//! One state is shared until it is written; a write works on a copy and puts it in the place of the state that was. So
//! nobody waits for a reader, every read is of one state, and what fails was never there.
#![allow(clippy::unwrap_used, missing_docs)] // a failure here is a failed test

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use nucleus_conformance::{LEDGER_ID, conformance};
use nucleus_core::entry::Head;
use nucleus_core::verify::Row;
use nucleus_core::{CanonicalJson, ChainEntry, Hash, canonical};
use nucleus_engine::model::{
    Change, Cursor, FieldValues, Grant, GrantQuery, Order, PayloadTest, Progress, ProjectionState, QueryFilters,
    QueryPage, Question, Sight, WHOLE_KIND,
};
use nucleus_engine::store::{
    DerivedFaults, Described, EndOfChain, Extent, Observer, OpenTransaction, Read, Scan, Stats, Upkeep, Write, share,
};
use nucleus_engine::{Environment, Error, Result, Storage};

#[derive(Clone, Default)]
struct State {
    entries: BTreeMap<u64, ChainEntry>,
    grants: Vec<Grant>,
    projection: Option<ProjectionState>,
}

impl State {
    fn admits(&self, entry: &ChainEntry, sight: &Sight) -> bool {
        let Sight::Granted(rule) = sight else { return true };
        let mut at = |seq| Ok(self.entries.get(&seq).map(|entry: &ChainEntry| entry.record.clone()));
        rule.admits(&entry.record, &mut at, &mut |question| Ok(self.allows(question))).is_ok_and(|admitted| admitted)
    }

    fn allows(&self, question: &Question<'_>) -> bool {
        self.grants.iter().any(|grant| {
            grant.principal_oid == question.principal_oid
                && grant.resource.kind == question.resource.kind
                && [question.resource.id.as_str(), WHOLE_KIND].contains(&grant.resource.id.as_str())
                && grant.allows(question.scope)
                && grant.live_at(question.now_s)
        })
    }

    /// The entries that are seen and wanted, oldest first.
    fn seen(&self, sight: &Sight, wanted: impl Fn(&ChainEntry) -> bool) -> Vec<ChainEntry> {
        self.entries.values().filter(|entry| wanted(entry) && self.admits(entry, sight)).cloned().collect()
    }

    fn matches(&self, filters: &QueryFilters, entry: &ChainEntry) -> bool {
        let record = &entry.record;
        let of_record = |other: &ChainEntry| (&other.record.id, &other.record.stream) == (&record.id, &record.stream);
        filters.stream.as_ref().is_none_or(|stream| record.stream == *stream)
            && filters.id.as_ref().is_none_or(|id| record.id == *id)
            && filters.since.is_none_or(|since| record.timestamp >= since)
            && filters.until.is_none_or(|until| record.timestamp < until)
            && has_members(entry, &filters.payload)
            && filters.tests.iter().all(|test| passes(entry, test))
            && !(filters.latest_only && self.entries.range(entry.seq + 1..).any(|(_, newer)| of_record(newer)))
    }
}

fn member<'a>(entry: &'a ChainEntry, name: &str) -> Option<&'a str> {
    let members = canonical::members(entry.record.payload.as_ref()?.as_str())?;
    members.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn has_members(entry: &ChainEntry, wanted: &[(String, CanonicalJson)]) -> bool {
    wanted.iter().all(|(name, value)| member(entry, name) == Some(value.as_str()))
}

fn passes(entry: &ChainEntry, test: &PayloadTest) -> bool {
    let (name, wanted, holds): (_, _, &dyn Fn(&str) -> bool) = match test {
        PayloadTest::Present => return !entry.redacted(),
        PayloadTest::OneOf { member, values, wanted } => (member, wanted, &|value| values.contains(&value)),
        PayloadTest::AtMost { member, most, wanted } => {
            (member, wanted, &|value| value.parse::<i64>().is_ok_and(|number| number <= *most))
        }
    };
    !entry.redacted() && member(entry, name).is_some_and(holds) == *wanted
}

/// One state, read or written.
struct View {
    state: Arc<State>,
    /// What a part that is taken back returns to.
    before_part: Option<Arc<State>>,
}

impl Read for View {
    fn head(&mut self) -> Result<Option<Head>> {
        Ok(self.state.entries.values().next_back().map(|last| Head { seq: last.seq, hash: last.hash }))
    }

    fn range(&mut self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        Ok(self.state.entries.range(first_seq..).take(limit).map(|(_, entry)| entry.clone()).collect())
    }

    fn get(&mut self, hash: &Hash, sight: &Sight) -> Result<Option<ChainEntry>> {
        Ok(self.state.seen(sight, |entry| entry.hash == *hash).pop())
    }

    fn page(&mut self, filters: &QueryFilters, sight: &Sight) -> Result<QueryPage> {
        let mut entries = self.state.seen(sight, |entry| self.state.matches(filters, entry));
        let total = filters.with_total.then_some(entries.len() as u64);
        let mut onwards = Ordering::Greater;
        if filters.order == Order::Descending {
            entries.reverse();
            onwards = Ordering::Less;
        }
        entries.retain(|entry| filters.cursor.is_none_or(|at| (entry.seq as i64).cmp(&at.after_seq) == onwards));
        entries.drain(..entries.len().min(filters.offset as usize));
        let more = entries.len() > filters.limit;
        entries.truncate(filters.limit);
        let last = entries.last().filter(|_| more);
        let next_cursor = last.map(|last| Cursor { after_seq: last.seq as i64, order: filters.order });
        Ok(QueryPage { entries, next_cursor, total })
    }

    fn field_values(&mut self, query: &FieldValues<'_>, sight: &Sight) -> Result<Vec<String>> {
        let among = |entry: &ChainEntry| entry.record.stream == query.stream && has_members(entry, query.payload);
        let seen = self.state.seen(sight, among);
        let texts: BTreeSet<&str> = seen.iter().filter_map(|entry| member(entry, query.field)).collect();
        let mut after = String::new();
        query.after.inspect(|text| canonical::write_string(&mut after, text));
        let behind = texts.into_iter().filter(|text| *text > after.as_str());
        Ok(behind.filter_map(canonical::string_value).take(query.limit).collect())
    }

    fn allows(&mut self, question: &Question<'_>) -> Result<bool> {
        Ok(self.state.allows(question))
    }

    fn grants(&mut self, query: &GrantQuery<'_>) -> Result<Vec<Grant>> {
        let asked_for = self.state.grants.iter().filter(|grant| {
            query.principal_oid.is_none_or(|principal| grant.principal_oid == principal)
                && query.resource.is_none_or(|resource| grant.resource == *resource)
                && query.scope.is_none_or(|scope| grant.scope == scope)
                && query.live_at.is_none_or(|now_s| grant.live_at(now_s))
        });
        let mut grants: Vec<Grant> = asked_for.cloned().collect();
        grants.sort_by_cached_key(|Grant { resource, principal_oid, scope, source, granted_by, .. }| {
            [&resource.id, &resource.kind, principal_oid, scope.name(), source.name(), granted_by].map(str::to_owned)
        });
        grants.truncate(query.limit);
        Ok(grants)
    }

    fn projection(&mut self) -> Result<Option<ProjectionState>> {
        Ok(self.state.projection.clone())
    }
}

impl Write for View {
    fn append(&mut self, entries: &[ChainEntry]) -> Result<()> {
        Arc::make_mut(&mut self.state).entries.extend(entries.iter().map(|entry| (entry.seq, entry.clone())));
        Ok(())
    }

    fn erase(&mut self, entry: &ChainEntry) -> Result<()> {
        Arc::make_mut(&mut self.state).entries.get_mut(&entry.seq).map(ChainEntry::withhold_payload);
        Ok(())
    }

    fn change_grants(&mut self, changes: &[Change]) -> Result<()> {
        for change in changes {
            Arc::make_mut(&mut self.state).grants.retain(|grant| !change.ends(grant));
            if let Change::Put(grant) = change {
                Arc::make_mut(&mut self.state).grants.push(grant.clone());
            }
        }
        Ok(())
    }

    fn set_projection(&mut self, state: &ProjectionState) -> Result<()> {
        Arc::make_mut(&mut self.state).projection = Some(state.clone());
        Ok(())
    }

    fn clear_grants(&mut self) -> Result<()> {
        let state = Arc::make_mut(&mut self.state);
        (state.grants, state.projection) = (Vec::new(), None);
        Ok(())
    }

    fn clear_expired_grants(&mut self, now_s: i64) -> Result<u64> {
        let before = self.state.grants.len();
        Arc::make_mut(&mut self.state).grants.retain(|grant| grant.live_at(now_s));
        Ok((before - self.state.grants.len()) as u64)
    }

    fn savepoint(&mut self) -> Result<()> {
        self.before_part = Some(Arc::clone(&self.state));
        Ok(())
    }

    fn end(&mut self, keep: bool) -> Result<()> {
        self.state = self.before_part.take().filter(|_| !keep).unwrap_or_else(|| Arc::clone(&self.state));
        Ok(())
    }
}

struct Toy {
    described: Described,
    /// None once it is closed. Held for moments.
    state: Mutex<Option<Arc<State>>>,
    /// Held for a whole write.
    writing: Mutex<()>,
}

impl Toy {
    fn view(&self) -> Result<View> {
        let state = self.state.lock().unwrap().clone();
        state.map(|state| View { state, before_part: None }).ok_or(Error::Closed)
    }
}

impl Storage for Toy {
    fn described(&self) -> &Described {
        &self.described
    }

    fn read(&self) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.view()?))
    }

    fn write(self: Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, outcome) = share(self.view()?, work);
        outcome?;
        *self.state.lock().unwrap() = Some(written.ok_or(Error::Closed)?.state);
        Ok(())
    }

    fn scan(&self, scan: Scan, observer: &dyn Observer, progress: Progress<'_>) -> Result<DerivedFaults> {
        let mut view = self.view()?;
        let (state, below) = (Arc::clone(&view.state), view.state.entries.len() as u64);
        observer.begin(&mut view, Extent { below, most_entries: below, has_grants: scan.grants })?;
        let mut stretch = observer.stretch(0);
        for (seq, entry) in &state.entries {
            progress(*seq, below)?;
            stretch.take(&as_stored(entry));
        }
        stretch.finish();
        for seq in observer.revisit() {
            observer.revisited(seq, state.entries.get(&(seq as u64)).map(as_stored).as_ref());
        }
        state.grants.iter().filter(|_| scan.grants).for_each(|grant| observer.grant(grant));
        progress(below, below).map(|()| DerivedFaults::default())
    }

    fn upkeep(&self) -> &dyn Upkeep {
        self
    }

    fn close(&self) -> Result<()> {
        *self.state.lock().unwrap() = None;
        Ok(())
    }
}

/// The commitment of a payload that is there follows from it.
fn as_stored(entry: &ChainEntry) -> Row<'_> {
    Row { payload_hash: entry.redacted().then_some(&entry.payload_hash.0), ..entry.as_row() }
}

impl Upkeep for Toy {
    fn end_of_chain(&self) -> Result<EndOfChain> {
        Ok(EndOfChain::InMemory)
    }

    fn scrub(&self) -> Result<bool> {
        Ok(true)
    }

    fn stats(&self) -> Result<Stats> {
        let mut view = self.view()?;
        let (head, entries) = (view.head()?, view.state.entries.len() as u64);
        let all = || view.state.entries.values();
        let redacted = all().filter(|entry| entry.redacted()).count() as u64;
        let timestamps: BTreeSet<i64> = all().map(|entry| entry.record.timestamp).collect();
        let (first_timestamp, last_timestamp) = (timestamps.first().copied(), timestamps.last().copied());
        let mut counts = BTreeMap::new();
        all().for_each(|entry| *counts.entry(entry.record.stream.clone()).or_default() += 1);
        let streams = counts.into_iter().collect();
        Ok(Stats { entries, head, streams, redacted, first_timestamp, last_timestamp, ..Stats::default() })
    }
}

fn open(_environment: &Environment) -> Arc<dyn Storage> {
    let ledger_id = LEDGER_ID.to_owned();
    let described = Described { ledger_id, location: None, read_only: false, reads_wait_for_writes: false };
    Arc::new(Toy { described, state: Mutex::new(Some(Arc::default())), writing: Mutex::default() })
}

conformance!(toy, open);
