//! The property at the level of the ledger: random principals append, grant, revoke, redact and import; who is refused what,
//! what stands in the table of grants and what each of them sees is as the model says.

use std::sync::Arc;

use nucleus_core::{ACL_GRANTS_STREAM, CanonicalJson, ChainEntry, Hash, REDACTIONS_STREAM, Record};
use nucleus_engine::model::{
    Change, Grant, GrantQuery, GrantRequest, QueryFilters, Resource, Scope, Source, record_id_of, with_engine_meta,
};
use nucleus_engine::module::built_in_kinds;
use nucleus_engine::{Error, LedgerEngine, Storage};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::chain::{next_entry, record};
use crate::fixture::{ADMINISTRATOR, BATCH, Wanted, assert_sound, new, open_ledger, try_open_ledger};
use crate::model::{Eyes, Model};
use crate::names::{DECLARED, IDS, PRINCIPALS};
use crate::script::{filters, id, payload, stream};
use crate::simulation::{BEGINNING_MS, Simulation};
use crate::{Subject, campaign};

/// One call.
#[derive(Debug, Clone)]
enum Call {
    Append(Vec<(&'static str, &'static str, String)>),
    Grant(Vec<GrantRequest>),
    Revoke(Vec<GrantRequest>, bool),
    /// What some grant gives that is there.
    RevokeGranted(Index, bool),
    Redact(Index),
    Import(Vec<(&'static str, &'static str, String)>),
    /// The clock jumps, in ms.
    Jump(i64),
    CleanUp,
    Rebuild,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Denied,
    Conflict,
    Invalid,
}

fn requester() -> impl Strategy<Value = &'static str> {
    prop_oneof![1 => Just(ADMINISTRATOR), 4 => select(&PRINCIPALS[..])]
}

fn call() -> impl Strategy<Value = (&'static str, Call)> {
    let records = || vec((stream(), id(), payload()), 1..4);
    let call = prop_oneof![
        8 => records().prop_map(Call::Append),
        4 => vec(request(), 1..3).prop_map(Call::Grant),
        2 => (vec(request(), 1..3), any::<bool>()).prop_map(|(requests, last)| Call::Revoke(requests, last)),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(which, last)| Call::RevokeGranted(which, last)),
        3 => any::<Index>().prop_map(Call::Redact),
        1 => records().prop_map(Call::Import),
        2 => (-4_000..5_000_i64).prop_map(Call::Jump),
        1 => Just(Call::CleanUp),
        1 => Just(Call::Rebuild),
    ];
    (requester(), call)
}

fn request() -> impl Strategy<Value = GrantRequest> {
    let kind = prop_oneof![5 => select(vec!["notes", "work", "mass"]), 1 => stream()];
    let id = prop_oneof![4 => id(), 1 => Just("*")];
    let scope = select(&[Scope::Read, Scope::Write, Scope::Full, Scope::Full][..]);
    let exp = option::of(BEGINNING_MS / 1000 - 3..BEGINNING_MS / 1000 + 9);
    (kind, id, select(&PRINCIPALS[..]), scope, exp).prop_map(|(kind, id, principal, scope, exp)| {
        let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
        GrantRequest { resource, principal_oid: principal.to_owned(), scope, exp }
    })
}

/// Whatever happened, everybody sees what the model says they see, and the ledger is sound.
pub fn ledger_agrees_with_the_model(subject: &dyn Subject) {
    let case = (vec(call(), 1..25), vec(filters(), 4));
    campaign::run("ledger and model", 128, &case, |(calls, filters)| {
        let simulation = Simulation::new(17);
        let storage = subject.open(&simulation.environment);
        let wanted = Wanted { access: true, stamp: false };
        let ledger = open_ledger(Arc::clone(&storage), &simulation.environment, wanted);
        let mut told = Told::new();
        let mut cleaned_up_ms = 0;
        for (requester, call) in &calls {
            let call = &told.resolved(call);
            match call {
                Call::Jump(by_ms) => {
                    simulation.clock.jump(*by_ms);
                    simulation.clock.set(simulation.environment.now_ms().max(cleaned_up_ms));
                }
                // What expired and was deleted would count again, and be missed, by a clock that went back behind this.
                Call::CleanUp => cleaned_up_ms = told.now_ms,
                _ => {}
            }
            told.now_ms = simulation.environment.now_ms();
            told.requester = requester;
            let before = told.model.clone();
            let expected = told.call(call);
            if expected.is_err() {
                told.model = before;
            }
            let outcome = perform(&ledger, requester, call, &told.model);
            told.compare_outcome(call, outcome, expected);
            compare_stored(&storage, &told.model);
        }
        for asked in &filters {
            compare_reads(&ledger, &told, asked);
        }
        assert_sound(&ledger, told.model.length());
        ledger.close().unwrap();
        if let Some(storage) = subject.reopen(&simulation.environment) {
            let ledger = try_open_ledger(storage, &simulation.environment, wanted).unwrap();
            compare_reads(&ledger, &told, &QueryFilters::default());
        }
    });
}

fn records(parts: &[(&'static str, &'static str, String)]) -> Vec<Record> {
    parts.iter().map(|(stream, id, payload)| record(stream, id, 5, payload)).collect()
}

/// Makes the call of the ledger; answers the entries that are new or were there already.
fn perform(ledger: &LedgerEngine, requester: &str, call: &Call, model: &Model) -> Result<Vec<ChainEntry>, Error> {
    match call {
        Call::Append(parts) => ledger.append(records(parts).into_iter().map(new).collect(), requester, BATCH),
        Call::Grant(requests) => ledger.grant(requests, requester),
        Call::Revoke(requests, allow_last) => ledger.revoke(requests, requester, *allow_last),
        Call::Redact(which) => ledger.redact(&hash_of(model, *which), "a reason", requester).map(|entry| vec![entry]),
        Call::Import(parts) => {
            // The model has taken them already, where they are taken.
            let length = ledger.length()? as usize;
            let taken = model.entries.len() > length;
            let entries =
                if taken { model.entries[length..].to_vec() } else { imported(model, parts, "oid:test:user:z", 7) };
            ledger.import(entries.clone(), requester).map(|_| entries)
        }
        Call::Jump(_) | Call::RevokeGranted(..) => Ok(Vec::new()),
        Call::CleanUp => ledger.cleanup_expired(requester).map(|_| Vec::new()),
        Call::Rebuild => ledger.rebuild_grants(requester).map(|()| Vec::new()),
    }
}

/// Of an entry, seldom of none. Records of redactions are left out, so that the choice stays when one is added.
fn hash_of(model: &Model, which: Index) -> Hash {
    let others = model.entries.iter().filter(|entry| entry.record.stream != REDACTIONS_STREAM);
    let candidates: Vec<Hash> = others.map(|entry| entry.hash).chain([Hash([3; 32])]).collect();
    *which.get(&candidates)
}

/// Entries of an export that continue the chain.
fn imported(model: &Model, parts: &[(&'static str, &'static str, String)], by: &str, at_ms: i64) -> Vec<ChainEntry> {
    let mut whole = model.entries.clone();
    for mut record in records(parts) {
        record.meta = Some(with_engine_meta(None, by, at_ms).unwrap());
        whole.push(next_entry(&whole, record));
    }
    whole.split_off(model.entries.len())
}

/// What a ledger was told, as far as the model knows: what it should answer follows from it.
struct Told {
    model: Model,
    requester: &'static str,
    now_ms: i64,
}

impl Told {
    fn new() -> Self {
        let built_in = built_in_kinds();
        let mut model = Model::new(DECLARED);
        model.declared.extend(built_in.into_iter().map(|ruled| (ruled.stream, ruled.kind)));
        Self { model, requester: ADMINISTRATOR, now_ms: BEGINNING_MS }
    }

    /// A call with the names that stand for its choices, where there is anything to choose from.
    fn resolved(&self, call: &Call) -> Call {
        let Call::RevokeGranted(which, last) = call else { return call.clone() };
        if self.model.grants.is_empty() {
            return call.clone();
        }
        let Grant { resource, principal_oid, scope, .. } = which.get(&self.model.grants).clone();
        Call::Revoke(vec![GrantRequest { resource, principal_oid, scope, exp: None }], *last)
    }

    fn now_s(&self) -> i64 {
        self.now_ms / 1000
    }

    fn may(&self, scope: Scope, (kind, id): (&str, &str)) -> bool {
        self.requester == ADMINISTRATOR || self.model.may(self.requester, scope, (kind, id), self.now_s())
    }

    fn eyes(&self) -> Eyes {
        eyes_of(self.requester, self.now_s())
    }

    /// Takes a call into the model, or says why it is refused. Entries are put in by what follows from them; their hashes are
    /// those that the ledger answers.
    fn call(&mut self, call: &Call) -> Result<(), Refusal> {
        let administrator = self.requester == ADMINISTRATOR;
        match call {
            Call::Append(parts) => records(parts).into_iter().try_for_each(|record| self.append(record)),
            Call::Grant(requests) => requests.iter().try_for_each(|request| self.grant(request)),
            Call::Revoke(requests, last) => requests.iter().try_for_each(|request| self.revoke(request, *last)),
            Call::Redact(which) => self.redact(*which),
            Call::Jump(_) | Call::RevokeGranted(..) => Ok(()),
            _ if !administrator => Err(Refusal::Denied),
            Call::Import(parts) => {
                for entry in imported(&self.model, parts, PRINCIPALS[0], self.now_ms) {
                    self.take(entry.record, PRINCIPALS[0]);
                }
                Ok(())
            }
            Call::CleanUp => {
                self.model.clear_expired(self.now_s());
                Ok(())
            }
            // What was cleaned up is there again.
            Call::Rebuild => {
                let entries = std::mem::take(&mut self.model.entries);
                self.model.grants.clear();
                for entry in entries {
                    self.take_back_in(entry);
                }
                Ok(())
            }
        }
    }

    fn append(&mut self, record: Record) -> Result<(), Refusal> {
        if record.id == "*" {
            return Err(Refusal::Invalid);
        }
        if self.requester != ADMINISTRATOR {
            let Some(kind) = self.model.kind_of(&record.stream).map(str::to_owned) else { return Err(Refusal::Denied) };
            let (exists, reserved) = self.known(&kind, &record.id);
            if !self.may(Scope::Write, (&kind, &record.id)) && (exists || reserved) {
                return Err(Refusal::Denied);
            }
        }
        self.take(self.with_meta(record), self.requester);
        Ok(())
    }

    fn with_meta(&self, mut record: Record) -> Record {
        record.meta = Some(with_engine_meta(None, self.requester, self.now_ms).unwrap());
        record
    }

    /// Whether there is an entry of a resource, and whether anything was ever granted on exactly it.
    fn known(&self, kind: &str, id: &str) -> (bool, bool) {
        let of_resource = |record: &Record| self.model.kind_of(&record.stream) == Some(kind) && record.id == id;
        let exists = self.model.entries.iter().any(|entry| of_resource(&entry.record));
        let about = record_id_of(&Resource { kind: kind.to_owned(), id: id.to_owned() });
        let reserved = |record: &Record| record.stream == ACL_GRANTS_STREAM && record.id == about;
        (exists, self.model.entries.iter().any(|entry| reserved(&entry.record)))
    }

    /// Takes an entry, which makes its writer the creator of a resource that is new.
    fn take(&mut self, record: Record, by: &str) {
        let entry = next_entry(&self.model.entries, record);
        self.creates(&entry, by);
        self.model.entries.push(entry);
    }

    fn creates(&mut self, entry: &ChainEntry, by: &str) {
        let Some(kind) = self.model.kind_of(&entry.record.stream).map(str::to_owned) else { return };
        let id = entry.record.id.clone();
        if id == "*" || self.known(&kind, &id) != (false, false) {
            return;
        }
        self.model.change(&Change::Put(Grant {
            resource: Resource { kind, id },
            principal_oid: by.to_owned(),
            scope: Scope::Full,
            source: Source::Creator,
            granted_by: by.to_owned(),
            exp: None,
            created_at: recorded_at(entry),
            seq: entry.seq,
        }));
    }

    /// Takes an entry of the chain once more, with all that follows from it.
    fn take_back_in(&mut self, entry: ChainEntry) {
        let by = requester_of(&entry);
        if entry.record.stream == ACL_GRANTS_STREAM {
            let said = said_of_grant(&entry, &by);
            self.model.change(&said);
        } else {
            self.creates(&entry, &by);
        }
        self.model.entries.push(entry);
    }

    /// Until when the requester may grant on a resource; None: without end.
    fn authority(&self, request: &GrantRequest) -> Result<Option<i64>, Refusal> {
        let kind = &request.resource.kind;
        let is_a_kind = self.model.declared.values().any(|declared| declared == kind)
            || self.model.kind_of(kind) == Some(kind.as_str());
        if !is_a_kind {
            return Err(Refusal::Invalid);
        }
        if self.requester == ADMINISTRATOR {
            return Ok(None);
        }
        let full = self.model.grants.iter().filter(|grant| {
            grant.principal_oid == self.requester
                && grant.scope == Scope::Full
                && grant.resource.kind == *kind
                && (grant.resource.id == request.resource.id || grant.resource.id == "*")
                && grant.exp.is_none_or(|exp| exp > self.now_s())
        });
        let ends: Vec<Option<i64>> = full.map(|grant| grant.exp).collect();
        match (ends.is_empty(), ends.contains(&None)) {
            (true, _) => Err(Refusal::Denied),
            (false, true) => Ok(None),
            (false, false) => Ok(ends.into_iter().flatten().max()),
        }
    }

    fn grant(&mut self, request: &GrantRequest) -> Result<(), Refusal> {
        let latest = self.authority(request)?;
        let exp = [request.exp, latest].into_iter().flatten().min();
        let record = self.saying("grant", request, exp);
        let entry = next_entry(&self.model.entries, record);
        self.take_back_in(entry);
        Ok(())
    }

    fn revoke(&mut self, request: &GrantRequest, allow_last: bool) -> Result<(), Refusal> {
        self.authority(request)?;
        let counts = |grant: &&Grant| {
            grant.resource == request.resource
                && grant.scope == request.scope
                && grant.exp.is_none_or(|exp| exp > self.now_s())
        };
        let of_scope: Vec<&Grant> = self.model.grants.iter().filter(counts).collect();
        let theirs = of_scope.iter().filter(|grant| grant.principal_oid == request.principal_oid).count();
        if theirs == 0 {
            return Ok(());
        }
        if request.scope == Scope::Full && theirs == of_scope.len() && !allow_last {
            return Err(Refusal::Conflict);
        }
        let record = self.saying("revoke", request, None);
        let entry = next_entry(&self.model.entries, record);
        self.take_back_in(entry);
        Ok(())
    }

    /// The record of the engine's own that says what somebody did.
    fn saying(&self, action: &str, request: &GrantRequest, exp: Option<i64>) -> Record {
        let mut said = serde_json::json!({
            "action": action,
            "principal_oid": request.principal_oid,
            "resource_id": request.resource.id,
            "resource_kind": request.resource.kind,
            "scope": request.scope.name(),
        });
        if let Some(exp) = exp {
            said["exp"] = exp.into();
        }
        let id = record_id_of(&request.resource);
        self.with_meta(record(ACL_GRANTS_STREAM, &id, self.now_ms, &said.to_string()))
    }

    fn redact(&mut self, which: Index) -> Result<(), Refusal> {
        let hash = hash_of(&self.model, which);
        let redaction = format!("redaction:{hash}");
        let redacted_by = self.model.latest_by_id(&redaction, Some(REDACTIONS_STREAM), &Eyes::Everything);
        let by_themselves = redacted_by.is_some_and(|entry| requester_of(entry) == self.requester);
        if self.requester != ADMINISTRATOR && !by_themselves {
            let Some(entry) = self.model.get(&hash, &self.eyes()) else { return Err(Refusal::Conflict) };
            let kind = self.model.kind_of(&entry.record.stream);
            if !kind.is_some_and(|kind| self.may(Scope::Full, (kind, &entry.record.id))) {
                return Err(Refusal::Denied);
            }
        }
        let Some(entry) = self.model.get(&hash, &Eyes::Everything).cloned() else { return Err(Refusal::Conflict) };
        if [ACL_GRANTS_STREAM, REDACTIONS_STREAM].contains(&entry.record.stream.as_str()) {
            return Err(Refusal::Conflict);
        }
        if !entry.redacted() {
            self.model.erase(entry.seq);
            let said = format!(r#"{{"hash":"{hash}","reason":"a reason","seq":{}}}"#, entry.seq);
            let record = self.with_meta(record(REDACTIONS_STREAM, &redaction, self.now_ms, &said));
            self.take(record, self.requester);
        }
        Ok(())
    }

    /// Compares what a call came to, and takes the entries as they were really salted and hashed.
    fn compare_outcome(&mut self, call: &Call, outcome: Result<Vec<ChainEntry>, Error>, expected: Result<(), Refusal>) {
        let refusal = outcome.as_ref().err().map(|error| match error {
            Error::AccessDenied(_) => Refusal::Denied,
            Error::Conflict { .. } => Refusal::Conflict,
            Error::InvalidRecord(_) => Refusal::Invalid,
            other => panic!("{call:?} of {}: {other:?}", self.requester),
        });
        assert_eq!(refusal, expected.err(), "{call:?} of {}: {outcome:?}", self.requester);
        for entry in outcome.into_iter().flatten() {
            let seq = entry.seq as usize;
            let known = &mut self.model.entries[seq];
            assert_eq!(known.record, entry.record, "{call:?} of {}", self.requester);
            *known = entry;
        }
    }
}

fn requester_of(entry: &ChainEntry) -> String {
    let meta: serde_json::Value = serde_json::from_str(entry.record.meta.as_ref().unwrap().as_str()).unwrap();
    meta["requester_oid"].as_str().unwrap().to_owned()
}

fn recorded_at(entry: &ChainEntry) -> i64 {
    let meta: serde_json::Value = serde_json::from_str(entry.record.meta.as_ref().unwrap().as_str()).unwrap();
    meta["recorded_at"].as_i64().unwrap()
}

/// What an entry about a resource does to the table of grants.
fn said_of_grant(entry: &ChainEntry, by: &str) -> Change {
    let payload = entry.record.payload.as_ref().map_or("null", CanonicalJson::as_str);
    let said: serde_json::Value = serde_json::from_str(payload).unwrap();
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    let resource = Resource { kind: text("resource_kind"), id: text("resource_id") };
    let (principal_oid, scope) = (text("principal_oid"), text("scope").parse().unwrap());
    if text("action") == "revoke" {
        return Change::Revoke { resource, principal_oid, scope };
    }
    Change::Put(Grant {
        resource,
        principal_oid,
        scope,
        source: Source::Grant,
        granted_by: by.to_owned(),
        exp: said["exp"].as_i64(),
        created_at: recorded_at(entry),
        seq: entry.seq,
    })
}

fn eyes_of(requester: &str, now_s: i64) -> Eyes {
    if requester == ADMINISTRATOR { Eyes::Everything } else { Eyes::of(requester, now_s) }
}

/// What lies in the storage, whoever asks.
fn compare_stored(storage: &Arc<dyn Storage>, model: &Model) {
    let mut read = storage.read().unwrap();
    assert_eq!(read.range(0, usize::MAX >> 1).unwrap(), model.entries);
    assert_eq!(read.grants(&GrantQuery::default()).unwrap(), model.grants(&GrantQuery::default()));
    let state = read.projection().unwrap().unwrap();
    assert_eq!(state.covered_below, model.length());
}

/// What everybody is answered.
fn compare_reads(ledger: &LedgerEngine, told: &Told, filters: &QueryFilters) {
    for requester in PRINCIPALS.into_iter().chain([ADMINISTRATOR]) {
        let eyes = eyes_of(requester, told.now_s());
        let model = &told.model;
        let (page, expected) = (ledger.query(filters, requester).unwrap(), model.page(filters, &eyes));
        assert_eq!(page.entries, expected.entries, "{filters:?} of {requester}");
        assert_eq!(page.next_cursor, expected.next_cursor, "{filters:?} of {requester}");
        assert_eq!(page.total, filters.with_total.then_some(expected.total), "{filters:?} of {requester}");
        let everything = QueryFilters { limit: 5, ..QueryFilters::default() };
        assert_eq!(ledger.range(2, 5, requester).unwrap(), from(model, &everything, &eyes, 2));
        for entry in &model.entries {
            assert_eq!(ledger.get(&entry.hash, requester).unwrap().as_ref(), model.get(&entry.hash, &eyes));
        }
        for id in IDS {
            compare_id(ledger, model, requester, &eyes, id);
        }
    }
}

fn from(model: &Model, filters: &QueryFilters, eyes: &Eyes, first_seq: u64) -> Vec<ChainEntry> {
    let seen = model.entries.iter().filter(|entry| entry.seq >= first_seq && model.sees(eyes, entry));
    seen.take(filters.limit).cloned().collect()
}

/// What an id means to somebody: the newest and all versions of what they see, unless that is several things.
fn compare_id(ledger: &LedgerEngine, model: &Model, requester: &str, eyes: &Eyes, id: &str) {
    let (_, one_kind) = model.streams_with(id, eyes);
    let (newest, history) = (ledger.get_by_id(id, None, requester), ledger.history(id, None, requester));
    if one_kind {
        assert_eq!(newest.unwrap().as_ref(), model.latest_by_id(id, None, eyes), "{id:?} for {requester}");
        let expected: Vec<ChainEntry> = model.seen_with(id, eyes).cloned().collect();
        assert_eq!(history.unwrap(), expected, "{id:?} for {requester}");
    } else {
        assert!(matches!(newest, Err(Error::Conflict { .. })), "{id:?} for {requester}: {newest:?}");
        assert!(matches!(history, Err(Error::Conflict { .. })), "{id:?} for {requester}: {history:?}");
    }
    let in_notes = ledger.get_by_id(id, Some("notes"), requester).unwrap();
    assert_eq!(in_notes.as_ref(), model.latest_by_id(id, Some("notes"), eyes), "{id:?} of notes for {requester}");
}
