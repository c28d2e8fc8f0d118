//! The grants that a chain implies, recomputed in memory and compared with those that are stored.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use nucleus_core::Record;

use super::entries::governed_resource;
use super::kinds::is_own_stream;
use super::projection::{Change, Seen, changes};
use super::{Grant, Kinds, Resource, Scope, Source};

/// Resources of one pass over the chain: what bounds the memory.
const PASS_RESOURCES: u64 = 2_000_000;

/// What is recomputed in one pass: a share of all resources, chosen by secret hashes, so that nobody can prepare
/// grants that are taken for others.
pub(crate) struct Recomputed<'a> {
    kinds: &'a Kinds,
    keys: &'a PassKeys,
    pass: u64,
    resources: HashMap<u128, State>,
    left_out: HashSet<u128>,
    expected: Digests,
    stored: Digests,
}

/// The secrets of one verification.
pub(crate) struct PassKeys {
    low: RandomState,
    high: RandomState,
    passes: u64,
}

impl PassKeys {
    /// For a chain of this length.
    pub(crate) fn new(entries: u64) -> Self {
        Self { low: RandomState::new(), high: RandomState::new(), passes: entries.div_ceil(PASS_RESOURCES).max(1) }
    }

    /// How often the chain has to be read.
    pub(crate) fn passes(&self) -> u64 {
        self.passes
    }

    /// The digest of what an index holds of a grant.
    pub(crate) fn index_digest(&self, principal_oid: &str, scope: &str, kind: &str, id: &str, exp: Option<i64>) -> u64 {
        self.low.hash_one((principal_oid, scope, kind, id, exp))
    }

    fn digest(&self, value: impl Hash) -> u128 {
        u128::from(self.high.hash_one(&value)) << 64 | u128::from(self.low.hash_one(&value))
    }
}

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

impl<'a> Recomputed<'a> {
    pub(crate) fn new(kinds: &'a Kinds, keys: &'a PassKeys, pass: u64) -> Self {
        let (expected, stored) = Default::default();
        Self { kinds, keys, pass, resources: HashMap::new(), left_out: HashSet::new(), expected, stored }
    }

    /// Whether entries of this stream are of no importance without their payload's members.
    pub(crate) fn reads_payload(&self, stream: &str) -> bool {
        is_own_stream(stream) || !self.kinds.roles_of(stream).is_empty()
    }

    /// Takes the next entry of the chain.
    pub(crate) fn push(&mut self, seq: u64, record: &Record) {
        let Some(resource) = governed_resource(self.kinds, record) else {
            return;
        };
        let key = self.keys.digest(&resource);
        if !self.is_mine(key) {
            return;
        }
        let state = self.resources.entry(key).or_default();
        for change in changes(self.kinds, seq, record, &state.seen.before(&record.stream)) {
            state.take(self.keys, change);
        }
        state.seen.take(self.kinds, record);
    }

    /// Leaves a resource out of the comparison.
    pub(crate) fn leave_out(&mut self, resource: &Resource) {
        self.left_out.insert(self.keys.digest(resource));
    }

    /// Sums up what the chain implies and counts at this second.
    pub(crate) fn expect(&mut self, now_s: i64) {
        for state in self.resources.values() {
            for live in state.live.iter().filter(|live| live.exp.is_none_or(|exp| now_s < exp)) {
                self.expected.add(live.digest);
            }
        }
    }

    /// Takes a stored grant that counts.
    pub(crate) fn stored(&mut self, grant: &Grant) {
        if self.is_mine(self.keys.digest(&grant.resource)) {
            self.stored.add(self.keys.digest(fields(grant)));
        }
    }

    /// Whether what is stored is what the chain implies.
    pub(crate) fn agrees(&self) -> bool {
        self.expected == self.stored
    }

    /// Whether the chain implies this grant; each of them is named once.
    pub(crate) fn take_implied(&mut self, grant: &Grant) -> bool {
        let key = self.keys.digest(&grant.resource);
        if !self.is_mine(key) {
            return true;
        }
        let digest = self.keys.digest(fields(grant));
        let Some(state) = self.resources.get_mut(&key) else {
            return false;
        };
        let position = state.live.iter().position(|live| live.digest == digest);
        position.map(|position| state.live.swap_remove(position)).is_some()
    }

    /// Seqs of the entries whose grants were not taken, and count at this second.
    pub(crate) fn left_over(&self, now_s: i64) -> Vec<u64> {
        let live = self.resources.values().flat_map(|state| &state.live);
        let mut seqs: Vec<u64> =
            live.filter(|live| live.exp.is_none_or(|exp| now_s < exp)).map(|live| live.seq).collect();
        seqs.sort_unstable();
        seqs
    }

    fn is_mine(&self, key: u128) -> bool {
        (key as u64) % self.keys.passes == self.pass && !self.left_out.contains(&key)
    }
}

impl State {
    fn take(&mut self, keys: &PassKeys, change: Change) {
        match change {
            Change::Put(grant) => {
                let live = Live::of(keys, &grant);
                self.live.retain(|known| known.identity != live.identity);
                self.live.push(live);
            }
            Change::EndRole { source, principal_oid, .. } => {
                let principal = keys.low.hash_one(&principal_oid);
                self.live.retain(|live| live.source != source || live.principal != principal);
            }
            Change::Revoke { principal_oid, scope, .. } => {
                let principal = keys.low.hash_one(&principal_oid);
                self.live.retain(|live| live.scope != scope || live.principal != principal);
            }
            Change::EndAll(_) => self.live.clear(),
        }
    }
}

impl Live {
    fn of(keys: &PassKeys, grant: &Grant) -> Self {
        Self {
            identity: keys.low.hash_one((&grant.principal_oid, grant.scope, grant.source, &grant.granted_by)),
            principal: keys.low.hash_one(&grant.principal_oid),
            scope: grant.scope,
            digest: keys.digest(fields(grant)),
            source: grant.source,
            exp: grant.exp,
            seq: grant.seq,
        }
    }
}

type Fields<'a> = ((&'a Resource, &'a str, Scope, Source), (&'a str, Option<i64>, i64, u64));

/// All that a stored row says.
fn fields(grant: &Grant) -> Fields<'_> {
    let Grant { resource, principal_oid, scope, source, granted_by, exp, created_at, seq } = grant;
    ((resource, principal_oid, *scope, *source), (granted_by, *exp, *created_at, *seq))
}
