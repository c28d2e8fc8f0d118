//! The grants that a chain implies, recomputed from one scan of it and compared with those that are stored.
//!
//! Stretches of the chain are watched in parallel, each for what in it bears on grants, and joined in the order of the
//! chain. Most resources are plain: their creator has `full` and nothing was ever granted or revoked. Of those, little is
//! kept; of the others, the grants one by one.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nucleus_core::error::shortened;
use nucleus_core::verify::Row;
use nucleus_core::{CanonicalJson, ErrorKind, REDACTIONS_STREAM, Record, VerificationError, canonical};

use super::projection::{Before, Seen, changes, governed_resource};
use crate::model::{
    Authority, Change, Cursor, Error, Grant, Kinds, MAX_PAGE_ENTRIES, Order, QueryFilters, Resource, Result,
    RuledStream, Scope, Sight, Source, WHOLE_KIND, about_redaction, is_own_stream,
};
use crate::store::{Extent, Read};

/// What the chain says.
const EVERYTHING: Sight = Sight::Everything(Authority::Rules);

/// The secrets of one verification: nobody can prepare grants that are taken for others.
#[derive(Default)]
pub(crate) struct Secrets {
    low: RandomState,
    high: RandomState,
}

impl Secrets {
    fn resource(&self, kind: &str, id: &str) -> u128 {
        self.digest((kind, id))
    }

    fn digest(&self, value: impl Hash) -> u128 {
        u128::from(self.high.hash_one(&value)) << 64 | u128::from(self.low.hash_one(&value))
    }

    /// The digest of all that a stored row says.
    fn grant(&self, grant: &Grant) -> u128 {
        let Grant { resource, principal_oid, scope, source, granted_by, exp, created_at, seq } = grant;
        self.digest(((resource, principal_oid, *scope, *source), (granted_by, *exp, *created_at, *seq)))
    }
}

/// A share of all resources: one pass over the chain of so many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) pass: u64,
    pub(crate) passes: u64,
}

/// What is compared in one pass.
pub(crate) struct GrantsCheck {
    secrets: Arc<Secrets>,
    /// None where the table is a projection of nothing.
    kinds: Option<Kinds>,
    share: Pass,
    covered_below: u64,
    now_s: i64,
    /// Whether every grant is compared by itself and named; else only sums are compared.
    naming: bool,
    left_out: HashSet<u128>,
    implied: Mutex<Implied>,
    stored: Mutex<Stored>,
    /// The latest second at which any entry was recorded: where grants are named, and the clock has gone back since, what had
    /// expired by then may have been deleted.
    latest_s: AtomicI64,
}

/// What the chain implies, as far as it has been joined.
#[derive(Default)]
struct Implied {
    /// Plain resources.
    firsts: HashMap<u128, First>,
    resources: HashMap<u128, State>,
}

/// What has been seen of the table.
#[derive(Default)]
struct Stored {
    rows: u64,
    live: Digests,
    faults: Vec<VerificationError>,
}

/// An order-free sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Digests {
    count: u64,
    sum: u128,
}

impl Digests {
    fn add(&mut self, digest: u128) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(digest);
    }
}

/// The first entry of a resource, in a stream without roles.
#[derive(Debug, Clone, Copy)]
struct First {
    /// Of the creator.
    principal: u64,
    /// Of the creator's grant.
    digest: u128,
    seq: u64,
    /// Whether there is such a grant.
    granted: bool,
}

/// A resource whose grants are kept one by one.
#[derive(Default)]
struct State {
    seen: Seen,
    live: Vec<Live>,
}

/// A grant, in little space.
struct Live {
    /// Of what a later grant replaces.
    identity: u64,
    /// Of the principal.
    principal: u64,
    scope: Scope,
    /// Of everything.
    digest: u128,
    source: Source,
    exp: Option<i64>,
    seq: u64,
}

/// What one stretch of the chain says of grants, in chain order.
pub(crate) type Findings = Vec<Finding>;

/// One entry that bears on grants.
pub(crate) enum Finding {
    /// The first one of a resource in the stretch, in a stream without roles.
    First(u128, FirstSeen),
    /// One of a stream whose entries say who has what.
    Telling(u128, u64, Box<Record>),
}

/// See [`First`].
pub(crate) struct FirstSeen(First);

/// Watches one stretch of the chain.
pub(crate) struct GrantsWatcher<'a> {
    check: &'a GrantsCheck,
    kinds: &'a Kinds,
    seen: HashSet<u128>,
    findings: Findings,
}

impl GrantsCheck {
    /// Begins one pass, in the state that is going to be shown.
    pub(crate) fn begin(
        read: &mut dyn Read,
        extent: Extent,
        share: Pass,
        (secrets, built_in): (Arc<Secrets>, &[RuledStream]),
        (now_s, naming): (i64, bool),
    ) -> Result<Self> {
        let mut faults = Vec::new();
        let mut kinds = None;
        let mut covered_below = 0;
        if let Some(state) = read.projection()? {
            covered_below = state.covered_below.min(extent.below);
            if state.covered_below > extent.below {
                let expected = Some(format!("grants of at most {} entries", extent.below));
                faults.push(fault(None, None, expected, Some(format!("grants of {}", state.covered_below))));
            }
            kinds = Kinds::from_text(&state.kinds, built_in).ok();
            if kinds.is_none() {
                let actual = "table acl_projection does not hold resource kinds".to_owned();
                faults.push(fault(None, None, None, Some(actual)));
            }
        }
        let left_out = match &kinds {
            Some(kinds) => redacted_since(read, kinds, covered_below, extent)?,
            None => Vec::new(),
        };
        Ok(Self {
            left_out: left_out.iter().map(|resource| secrets.resource(&resource.kind, &resource.id)).collect(),
            stored: Mutex::new(Stored { faults, ..Stored::default() }),
            implied: Mutex::default(),
            latest_s: AtomicI64::new(now_s),
            secrets,
            kinds,
            share,
            covered_below,
            now_s,
            naming,
        })
    }

    /// How often the chain has to be gone through.
    pub(crate) fn passes(&self) -> u64 {
        self.share.passes
    }

    /// The watcher of one stretch; None where no entry is of importance.
    pub(crate) fn watch(&self) -> Option<GrantsWatcher<'_>> {
        let kinds = self.kinds.as_ref().filter(|_| self.covered_below > 0)?;
        Some(GrantsWatcher { check: self, kinds, seen: HashSet::new(), findings: Findings::new() })
    }

    /// Takes what was found in the next stretch of the chain.
    pub(crate) fn join(&self, findings: Findings) {
        let Some(kinds) = &self.kinds else { return };
        let mut implied = lock(&self.implied);
        let Implied { firsts, resources } = &mut *implied;
        for finding in findings {
            match finding {
                Finding::First(key, FirstSeen(first)) => match resources.get_mut(&key) {
                    Some(state) => state.take_first(&self.secrets, first),
                    None => {
                        firsts.entry(key).or_insert(first);
                    }
                },
                Finding::Telling(key, seq, record) => {
                    let state = resources.entry(key).or_insert_with(|| {
                        let first = firsts.remove(&key);
                        first.map_or_else(State::default, |first| State::of(&self.secrets, first))
                    });
                    state.take_entry(&self.secrets, kinds, seq, &record);
                }
            }
        }
    }

    /// Takes a stored grant. Where grants are named, all stretches must have been joined.
    pub(crate) fn stored(&self, grant: &Grant) {
        let mut stored = lock(&self.stored);
        stored.rows += 1;
        let key = self.secrets.resource(&grant.resource.kind, &grant.resource.id);
        if self.kinds.is_none() || !grant.live_at(self.now_s) || !self.is_mine(key) {
            return;
        }
        let digest = self.secrets.grant(grant);
        if !self.naming {
            stored.live.add(digest);
        } else if !lock(&self.implied).take(key, digest) {
            stored.faults.push(not_implied(grant));
        }
    }

    /// What disagrees; where grants are not named, one fault for all that does.
    pub(crate) fn finish(self) -> Vec<VerificationError> {
        let Stored { rows, live, mut faults } = self.stored.into_inner().unwrap_or_else(PoisonError::into_inner);
        let implied = self.implied.into_inner().unwrap_or_else(PoisonError::into_inner);
        if self.kinds.is_none() {
            if faults.is_empty() && rows > 0 {
                let actual = "table acl_grants holds grants, and table acl_projection does not say of what".to_owned();
                faults.push(fault(None, None, None, Some(actual)));
            }
        } else if self.naming {
            faults.extend(implied.left_over(self.latest_s.into_inner()).into_iter().map(missing));
        } else if implied.sum(self.now_s) != live {
            faults.push(fault(None, None, None, Some("grants that the chain does not imply".to_owned())));
        }
        faults
    }

    fn is_mine(&self, key: u128) -> bool {
        (key as u64) % self.share.passes == self.share.pass && !self.left_out.contains(&key)
    }
}

impl GrantsWatcher<'_> {
    /// Takes the next entry of the stretch.
    pub(crate) fn take(&mut self, row: &Row<'_>) {
        let Some(seq) = u64::try_from(row.seq).ok().filter(|seq| *seq < self.check.covered_below) else {
            return;
        };
        if self.check.naming {
            let recorded_at = row.meta.map(recorded_at).unwrap_or_default().unwrap_or_default();
            self.check.latest_s.fetch_max(recorded_at / 1000, Ordering::Relaxed);
        }
        if is_own_stream(row.stream) || !self.kinds.roles_of(row.stream).is_empty() {
            let record = record(row, true);
            if let Some(resource) = governed_resource(self.kinds, &record) {
                let key = self.check.secrets.resource(&resource.kind, &resource.id);
                if self.check.is_mine(key) {
                    self.findings.push(Finding::Telling(key, seq, Box::new(record)));
                }
            }
            return;
        }
        let Some(kind) = self.kinds.kind_of(row.stream).filter(|_| row.record_id != WHOLE_KIND) else {
            return;
        };
        let key = self.check.secrets.resource(kind, row.record_id);
        if self.check.is_mine(key) && self.seen.insert(key) {
            let first = First::of(&self.check.secrets, self.kinds, seq, &record(row, false));
            self.findings.push(Finding::First(key, FirstSeen(first)));
        }
    }

    /// What was found.
    pub(crate) fn finish(self) -> Findings {
        self.findings
    }
}

/// When a meta says that its entry was recorded, in ms.
fn recorded_at(meta: &str) -> Option<i64> {
    let members = canonical::members(meta)?;
    members.iter().find(|(key, _)| key == "recorded_at")?.1.parse().ok()
}

/// The record of a row, with its payload where that is of importance.
fn record(row: &Row<'_>, with_payload: bool) -> Record {
    Record {
        id: row.record_id.to_owned(),
        stream: row.stream.to_owned(),
        timestamp: row.timestamp,
        payload: row.payload.filter(|_| with_payload).map(CanonicalJson::from_canonical),
        meta: row.meta.map(CanonicalJson::from_canonical),
    }
}

impl First {
    fn of(secrets: &Secrets, kinds: &Kinds, seq: u64, record: &Record) -> Self {
        let mut first = Self { principal: 0, digest: 0, seq, granted: false };
        for change in changes(kinds, seq, record, &Before::default()) {
            if let Change::Put(grant) = change {
                let principal = secrets.low.hash_one(&grant.principal_oid);
                first = Self { principal, digest: secrets.grant(&grant), seq, granted: true };
            }
        }
        first
    }

    /// Creators grant themselves `full` without an end.
    fn live(self, secrets: &Secrets) -> Option<Live> {
        let Self { principal, digest, seq, granted } = self;
        let (scope, source) = (Scope::Full, Source::Creator);
        let identity = secrets.low.hash_one((principal, scope, source, principal));
        granted.then_some(Live { identity, principal, scope, digest, source, exp: None, seq })
    }
}

impl State {
    fn of(secrets: &Secrets, first: First) -> Self {
        Self { seen: Seen::begun(), live: first.live(secrets).into_iter().collect() }
    }

    fn take_first(&mut self, secrets: &Secrets, first: First) {
        if self.seen.take_plain() {
            self.live.extend(first.live(secrets));
        }
    }

    fn take_entry(&mut self, secrets: &Secrets, kinds: &Kinds, seq: u64, record: &Record) {
        for change in changes(kinds, seq, record, &self.seen.before(&record.stream)) {
            self.take(secrets, change);
        }
        self.seen.take(kinds, record);
    }

    fn take(&mut self, secrets: &Secrets, change: Change) {
        match change {
            Change::Put(grant) => {
                let live = Live::of(secrets, &grant);
                self.live.retain(|known| known.identity != live.identity);
                self.live.push(live);
            }
            Change::EndRole { source, principal_oid, .. } => {
                let principal = secrets.low.hash_one(&principal_oid);
                self.live.retain(|live| live.source != source || live.principal != principal);
            }
            Change::Revoke { principal_oid, scope, .. } => {
                let principal = secrets.low.hash_one(&principal_oid);
                self.live.retain(|live| live.scope != scope || live.principal != principal);
            }
            Change::EndAll(_) => self.live.clear(),
        }
    }
}

impl Live {
    fn of(secrets: &Secrets, grant: &Grant) -> Self {
        let principal = secrets.low.hash_one(&grant.principal_oid);
        let granter = secrets.low.hash_one(&grant.granted_by);
        Self {
            identity: secrets.low.hash_one((principal, grant.scope, grant.source, granter)),
            principal,
            scope: grant.scope,
            digest: secrets.grant(grant),
            source: grant.source,
            exp: grant.exp,
            seq: grant.seq,
        }
    }

    fn counts_at(&self, now_s: i64) -> bool {
        self.exp.is_none_or(|exp| now_s < exp)
    }
}

impl Implied {
    /// The sum over the grants that count at this second.
    fn sum(&self, now_s: i64) -> Digests {
        let mut sum = Digests::default();
        for first in self.firsts.values().filter(|first| first.granted) {
            sum.add(first.digest);
        }
        for live in self.live(now_s) {
            sum.add(live.digest);
        }
        sum
    }

    fn live(&self, now_s: i64) -> impl Iterator<Item = &Live> {
        self.resources.values().flat_map(|state| &state.live).filter(move |live| live.counts_at(now_s))
    }

    /// Whether a grant is implied; each is taken once.
    fn take(&mut self, key: u128, digest: u128) -> bool {
        if let Some(first) = self.firsts.get_mut(&key) {
            let taken = first.granted && first.digest == digest;
            first.granted &= !taken;
            return taken;
        }
        let Some(state) = self.resources.get_mut(&key) else {
            return false;
        };
        let position = state.live.iter().position(|live| live.digest == digest);
        position.map(|position| state.live.swap_remove(position)).is_some()
    }

    /// Seqs of the entries whose grants were not taken and count at this second.
    fn left_over(&self, now_s: i64) -> Vec<u64> {
        let firsts = self.firsts.values().filter(|first| first.granted).map(|first| first.seq);
        let mut seqs: Vec<u64> = firsts.chain(self.live(now_s).map(|live| live.seq)).collect();
        seqs.sort_unstable();
        seqs
    }
}

/// The resources of which an entry was erased by somebody who does not keep the grants: what the table says of them was
/// implied by a payload that is gone, and is made out anew by the next one who keeps them.
fn redacted_since(read: &mut dyn Read, kinds: &Kinds, covered_below: u64, extent: Extent) -> Result<Vec<Resource>> {
    let mut resources = Vec::new();
    if covered_below >= extent.below {
        return Ok(resources);
    }
    let mut filters = QueryFilters {
        stream: Some(REDACTIONS_STREAM.to_owned()),
        cursor: Some(Cursor { after_seq: covered_below as i64 - 1, order: Order::Ascending }),
        limit: MAX_PAGE_ENTRIES,
        ..QueryFilters::default()
    };
    loop {
        let page = match read.page(&filters, &EVERYTHING) {
            // An entry that does not add up is reported by the verification of the chain.
            Err(Error::Integrity { .. }) => return Ok(resources),
            page => page?,
        };
        for redaction in &page.entries {
            resources.extend(erased_resource(read, kinds, &redaction.record)?);
        }
        match page.next_cursor {
            Some(cursor) => filters.cursor = Some(cursor),
            None => return Ok(resources),
        }
    }
}

/// The resource of the entry that a redaction is about, where payloads imply grants and this one is gone.
fn erased_resource(read: &mut dyn Read, kinds: &Kinds, redaction: &Record) -> Result<Option<Resource>> {
    let Some(seq) = about_redaction(redaction) else { return Ok(None) };
    let redacted = match read.range(seq, 1) {
        Err(Error::Integrity { .. }) => None,
        entries => entries?.pop().filter(|entry| entry.seq == seq && entry.redacted()),
    };
    // Elsewhere no payload implies anything.
    let redacted = redacted.filter(|entry| !kinds.roles_of(&entry.record.stream).is_empty());
    Ok(redacted.and_then(|entry| kinds.governing(&entry.record)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_implied(grant: &Grant) -> VerificationError {
    let Grant { resource, principal_oid, scope, source, seq, .. } = grant;
    let what = format!("`{}` of {} on {resource} ({})", scope.name(), shortened(principal_oid), source.name());
    fault(Some(*seq as i64), Some(&resource.id), None, Some(format!("the chain does not imply {what}")))
}

fn missing(seq: u64) -> VerificationError {
    let expected = "a grant that this entry implies".to_owned();
    fault(Some(seq as i64), None, Some(expected), Some("it is missing or was altered".to_owned()))
}

fn fault(
    seq: Option<i64>,
    record_id: Option<&str>,
    expected: Option<String>,
    actual: Option<String>,
) -> VerificationError {
    VerificationError { kind: ErrorKind::GrantMismatch, seq, record_id: record_id.map(str::to_owned), expected, actual }
}
