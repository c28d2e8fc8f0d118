//! Cases: what is written, and what is then asked. Plain choices, so that a failing case is made small.

use nucleus_core::{CanonicalJson, Record};
use nucleus_engine::model::{
    Change, Cursor, Grant, GrantQuery, Order, PayloadTest, QueryFilters, Resource, Scope, Source,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::chain::record;
use crate::model::Eyes;
use crate::names::{IDS, MEMBERS, PRINCIPALS, STREAMS, VALUES};

/// One thing that is written.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Entries, in one call.
    Append(Vec<Record>),
    /// A payload is erased, and a record says so.
    Erase(Index),
    /// An entry of the engine's own about a resource, whatever the table of grants says.
    Granting(&'static str, &'static str, &'static str),
    Change(Vec<Change>),
    ClearExpired(i64),
    ClearGrants,
    Projection(u64),
    /// A part, and whether it is kept.
    Part(Vec<Step>, bool),
}

/// One transaction, and whether it is committed.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) commits: bool,
}

/// One page that is asked for, and those behind it.
#[derive(Debug, Clone)]
pub(crate) struct PageAsked {
    pub(crate) filters: QueryFilters,
    pub(crate) eyes: Eyes,
}

/// Grants that are asked for.
#[derive(Debug, Clone)]
pub(crate) struct GrantsAsked {
    pub(crate) principal_oid: Option<&'static str>,
    pub(crate) resource: Option<Resource>,
    pub(crate) scope: Option<Scope>,
    pub(crate) live_at: Option<i64>,
    pub(crate) limit: usize,
}

impl GrantsAsked {
    pub(crate) fn query(&self) -> GrantQuery<'_> {
        let Self { principal_oid, resource, scope, live_at, limit } = self;
        let limit = *limit;
        GrantQuery {
            principal_oid: *principal_oid,
            resource: resource.as_ref(),
            scope: *scope,
            live_at: *live_at,
            limit,
        }
    }
}

/// One case at the level of the ports.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Whether indexes over payload members are declared first.
    pub(crate) indexed: bool,
    pub(crate) scripts: Vec<Script>,
    pub(crate) pages: Vec<PageAsked>,
    pub(crate) grants: Vec<GrantsAsked>,
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    (any::<bool>(), vec(script(), 1..5), vec(page_asked(), 1..8), vec(grants_asked(), 0..4))
        .prop_map(|(indexed, scripts, pages, grants)| Case { indexed, scripts, pages, grants })
}

fn script() -> impl Strategy<Value = Script> {
    let steps = vec(prop_oneof![6 => step(), 1 => part()], 1..9);
    (steps, prop::bool::weighted(0.85)).prop_map(|(steps, commits)| Script { steps, commits })
}

fn part() -> impl Strategy<Value = Step> {
    (vec(step(), 1..4), any::<bool>()).prop_map(|(steps, keep)| Step::Part(steps, keep))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(any_record(), 1..6).prop_map(Step::Append),
        2 => any::<Index>().prop_map(Step::Erase),
        1 => (kind(), id(), principal()).prop_map(|(kind, id, principal)| Step::Granting(kind, id, principal)),
        6 => vec(change(), 1..5).prop_map(Step::Change),
        1 => second().prop_map(Step::ClearExpired),
        1 => (0..20_u64).prop_map(Step::Projection),
        1 => Just(Step::ClearGrants),
    ]
}

/// Some names more often than others, so that entries, grants and questions meet.
pub(crate) fn stream() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![4 => select(&STREAMS[..4]), 2 => select(&STREAMS[..])]
}

pub(crate) fn id() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![3 => select(&IDS[..2]), 1 => select(&IDS[..])]
}

fn kind() -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![2 => select(vec!["notes", "work", "mass"]), 1 => stream()]
}

fn principal() -> impl Strategy<Value = &'static str> + Clone {
    select(&PRINCIPALS[..])
}

fn second() -> impl Strategy<Value = i64> + Clone {
    0..6_i64
}

fn resource() -> impl Strategy<Value = Resource> + Clone {
    let id = prop_oneof![3 => id(), 1 => Just("*")];
    (kind(), id).prop_map(|(kind, id)| Resource { kind: kind.to_owned(), id: id.to_owned() })
}

fn scope() -> impl Strategy<Value = Scope> + Clone {
    select(&[Scope::Read, Scope::Write, Scope::Full][..])
}

fn any_record() -> impl Strategy<Value = Record> {
    (stream(), id(), 1..8_i64, payload())
        .prop_map(|(stream, id, timestamp, payload)| record(stream, id, timestamp, &payload))
}

/// Canonical objects of a few members; seldom an array.
pub(crate) fn payload() -> impl Strategy<Value = String> {
    let member = (select(&MEMBERS[..]), select(&VALUES[..]));
    let object = vec(prop_oneof![2 => (select(&MEMBERS[..2]), select(&VALUES[..])), 1 => member], 0..4);
    let object = object.prop_map(|members| {
        let members: std::collections::BTreeMap<_, _> = members.into_iter().collect();
        let texts = members.iter().map(|(name, value)| format!("{}:{value}", serde_json::Value::from(*name)));
        format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
    });
    prop_oneof![12 => object, 1 => Just("[\"k\",1]".to_owned())]
}

fn change() -> impl Strategy<Value = Change> {
    let sources = [Source::Grant, Source::Creator, Source::Owner, Source::App];
    let source = select(sources.to_vec());
    let grant = (resource(), principal(), scope(), source.clone(), principal(), option::of(second()), 0..9_u64);
    let put = grant.prop_map(|(resource, principal_oid, scope, source, granted_by, exp, seq)| {
        let (principal_oid, granted_by) = (principal_oid.to_owned(), granted_by.to_owned());
        Change::Put(Grant { resource, principal_oid, scope, source, granted_by, exp, created_at: 5, seq })
    });
    let end_role = (resource(), source, principal()).prop_map(|(resource, source, principal)| {
        let principal_oid = principal.to_owned();
        Change::EndRole { resource, source, principal_oid }
    });
    let revoke = (resource(), principal(), scope()).prop_map(|(resource, principal, scope)| {
        let principal_oid = principal.to_owned();
        Change::Revoke { resource, principal_oid, scope }
    });
    prop_oneof![8 => put, 1 => end_role, 1 => revoke, 1 => resource().prop_map(Change::EndAll)]
}

pub(crate) fn eyes() -> impl Strategy<Value = Eyes> {
    prop_oneof![
        1 => Just(Eyes::Everything),
        4 => (principal(), second()).prop_map(|(principal, now_s)| Eyes::of(principal, now_s)),
    ]
}

fn page_asked() -> impl Strategy<Value = PageAsked> {
    (filters(), eyes()).prop_map(|(filters, eyes)| PageAsked { filters, eyes })
}

pub(crate) fn filters() -> impl Strategy<Value = QueryFilters> {
    let which = (
        option::weighted(0.4, stream()),
        option::weighted(0.3, id()),
        option::weighted(0.2, 1..8_i64),
        option::weighted(0.2, 1..8_i64),
        vec((select(&MEMBERS[..]), select(&VALUES[..])), 0..=2),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(test(), 1..=2)],
    );
    let how = (any::<bool>(), 1..8_usize, 0..3_u64, any::<bool>(), any::<bool>(), option::weighted(0.2, -1..30_i64));
    let chances = (prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    (which, how, chances).prop_map(|(which, how, (by_payload, latest_only))| {
        let (stream, id, since, until, payload, tests) = which;
        let (descending, limit, offset, with_offset, with_total, after_seq) = how;
        let order = if descending { Order::Descending } else { Order::Ascending };
        let canonical = |(name, value): (&str, &'static str)| (name.to_owned(), CanonicalJson::from_canonical(value));
        QueryFilters {
            stream: stream.map(str::to_owned),
            id: id.map(str::to_owned),
            since,
            until,
            payload: if by_payload { payload.into_iter().map(canonical).collect() } else { Vec::new() },
            latest_only,
            tests,
            limit,
            offset: if with_offset { offset } else { 0 },
            cursor: after_seq.map(|after_seq| Cursor { after_seq, order }),
            order,
            with_total,
        }
    })
}

fn test() -> impl Strategy<Value = PayloadTest> {
    const SETS: [&[&str]; 3] = [&["1"], &["\"x\"", "true"], &["null", "-3"]];
    let member = || select(vec!["k", "n"]);
    prop_oneof![
        Just(PayloadTest::Present),
        (member(), select(SETS.to_vec()), any::<bool>()).prop_map(|(member, values, wanted)| PayloadTest::OneOf {
            member,
            values,
            wanted
        }),
        (member(), -3..3_i64, any::<bool>()).prop_map(|(member, most, wanted)| PayloadTest::AtMost {
            member,
            most,
            wanted
        }),
    ]
}

fn grants_asked() -> impl Strategy<Value = GrantsAsked> {
    let resource = option::weighted(0.4, resource());
    (option::of(principal()), resource, option::weighted(0.3, scope()), option::of(second()), 0..20_usize).prop_map(
        |(principal_oid, resource, scope, live_at, limit)| GrantsAsked {
            principal_oid,
            resource,
            scope,
            live_at,
            limit,
        },
    )
}
