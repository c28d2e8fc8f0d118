//! The grants that a chain implies, recomputed in memory and compared with those that are stored.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use nucleus_core::Record;

use super::entries::{about_resource, governed_resource};
use super::kinds::is_own_stream;
use super::projection::{Before, Change, Seen, changes};
use super::{Grant, Kinds, Resource, Scope, Source, WHOLE_KIND};

/// Resources whose grants are kept one by one in one pass over the chain: what bounds the memory.
const PASS_RESOURCES: u64 = 250_000;
/// So many plain resources take the memory of one whose grants are kept one by one.
const PLAIN_OF_ONE: u64 = 16;

/// What is recomputed in one pass: a share of all resources, chosen by secret hashes, so that nobody can prepare
/// grants that are taken for others.
///
/// Most resources are plain: their creator has `full` and nothing was ever granted or revoked. Of those it is enough to
/// know that they were seen. To name what disagrees, all are kept one by one.
pub(crate) struct Recomputed<'a> {
    kinds: &'a Kinds,
    keys: &'a PassKeys,
    share: Share,
    /// None: no resource is taken for plain.
    governed: Option<&'a Governed>,
    plain: HashSet<u128>,
    resources: HashMap<u128, State>,
    left_out: HashSet<u128>,
    expected: Digests,
    stored: Digests,
}

/// The resources that entries of the stream `acl_grants` are about.
#[derive(Default)]
pub(crate) struct Governed {
    keys: HashSet<u128>,
}

impl Governed {
    /// Takes an entry of the stream.
    pub(crate) fn push(&mut self, keys: &PassKeys, record: &Record) {
        self.keys.extend(about_resource(record).map(|resource| keys.resource(&resource.kind, &resource.id)));
    }

    /// How often the chain has to be read, in which so many entries are of streams with roles.
    pub(crate) fn passes(&self, entries: u64, with_roles: u64) -> u64 {
        passes(self.keys.len() as u64 + with_roles + entries / PLAIN_OF_ONE)
    }
}

/// How often the chain has to be read where so many resources are kept one by one.
pub(crate) fn passes(resources: u64) -> u64 {
    resources.div_ceil(PASS_RESOURCES).max(1)
}

/// The resources of one pass of so many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pass: u64,
    passes: u64,
}

impl Share {
    /// Whether a resource is among them.
    pub(crate) fn holds(self, keys: &PassKeys, kind: &str, id: &str) -> bool {
        self.has(keys.resource(kind, id))
    }

    fn has(self, key: u128) -> bool {
        (key as u64) % self.passes == self.pass
    }
}

/// The secrets of one verification.
#[derive(Default)]
pub(crate) struct PassKeys {
    low: RandomState,
    high: RandomState,
}

impl PassKeys {
    fn resource(&self, kind: &str, id: &str) -> u128 {
        self.digest((kind, id))
    }

    /// The digest of what an index holds of a grant: its columns, those that are no texts left out, and the end of the grant.
    pub(crate) fn index_digest(&self, texts: &[Option<&str>], exp: Option<i64>) -> u128 {
        self.digest((texts, exp))
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
    /// Of one pass of so many.
    pub(crate) fn new(
        kinds: &'a Kinds,
        keys: &'a PassKeys,
        (pass, passes): (u64, u64),
        governed: Option<&'a Governed>,
    ) -> Self {
        let (plain, resources, left_out) = Default::default();
        let (expected, stored) = Default::default();
        Self { kinds, keys, share: Share { pass, passes }, governed, plain, resources, left_out, expected, stored }
    }

    /// Whether entries of this stream are of no importance without their payload's members.
    pub(crate) fn reads_payload(&self, stream: &str) -> bool {
        is_own_stream(stream) || !self.kinds.roles_of(stream).is_empty()
    }

    /// Takes the next entry of the chain; its record is only asked for where it may change something.
    pub(crate) fn push(&mut self, seq: u64, stream: &str, id: &str, record: impl FnOnce() -> Record) {
        if is_own_stream(stream) {
            let record = record();
            let resource = governed_resource(self.kinds, &record);
            let key = resource.map(|Resource { kind, id }| self.keys.resource(&kind, &id));
            if let Some(key) = key.filter(|key| self.is_mine(*key)) {
                self.keep(key, seq, &record);
            }
            return;
        }
        let Some(kind) = self.kinds.kind_of(stream).filter(|_| id != WHOLE_KIND) else {
            return;
        };
        let key = self.keys.resource(kind, id);
        if !self.is_mine(key) {
            return;
        }
        let governed = self.governed.is_none_or(|governed| governed.keys.contains(&key));
        if governed || !self.kinds.roles_of(stream).is_empty() {
            self.keep(key, seq, &record());
        } else if self.plain.insert(key) {
            for change in changes(self.kinds, seq, &record(), &Before::default()) {
                // Creators' grants do not expire.
                if let Change::Put(grant) = change {
                    self.expected.add(self.keys.digest(fields(&grant)));
                }
            }
        }
    }

    fn keep(&mut self, key: u128, seq: u64, record: &Record) {
        let state = self.resources.entry(key).or_default();
        for change in changes(self.kinds, seq, record, &state.seen.before(&record.stream)) {
            state.take(self.keys, change);
        }
        state.seen.take(self.kinds, record);
    }

    /// Leaves a resource out of the comparison.
    pub(crate) fn leave_out(&mut self, resource: &Resource) {
        self.left_out.insert(self.keys.resource(&resource.kind, &resource.id));
    }

    /// The resources that this pass is about.
    pub(crate) fn share(&self) -> Share {
        self.share
    }

    /// Sums up what the chain implies and counts at this second.
    pub(crate) fn sum_up(&mut self, now_s: i64) {
        for state in self.resources.values() {
            for live in state.live.iter().filter(|live| live.exp.is_none_or(|exp| now_s < exp)) {
                self.expected.add(live.digest);
            }
        }
    }

    /// Takes a stored grant that counts.
    pub(crate) fn stored(&mut self, grant: &Grant) {
        if self.is_mine(self.keys.resource(&grant.resource.kind, &grant.resource.id)) {
            self.stored.add(self.keys.digest(fields(grant)));
        }
    }

    /// Whether what is stored is what the chain implies.
    pub(crate) fn agrees(&self) -> bool {
        self.expected == self.stored
    }

    /// Whether the chain implies this grant; each of them is named once.
    pub(crate) fn take_implied(&mut self, grant: &Grant) -> bool {
        let key = self.keys.resource(&grant.resource.kind, &grant.resource.id);
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
        self.share.has(key) && !self.left_out.contains(&key)
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
