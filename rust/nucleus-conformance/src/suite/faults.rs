//! What a ledger makes of a storage that fails.
//!
//! No acknowledged entry is lost, nothing that was refused is there, each caller is told of their own, and what they are told is
//! typed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nucleus_core::{ChainEntry, Hash};
use nucleus_engine::model::{Change, GrantRequest, Resource, Scope, StoreErrorKind};
use nucleus_engine::{AppendOptions, Error, LedgerEngine, Storage};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::chain::{next_entry, record};
use crate::faults::{Fault, FaultyStorage, Operation, WriteFault};
use crate::fixture::{ADMINISTRATOR, BATCH, STAMPED, Wanted, assert_sound, new, open_ledger, stamped};
use crate::simulation::Simulation;
use crate::{Subject, campaign};

const ALICE: &str = "oid:test:user:alice";
const BOB: &str = "oid:test:user:bob";

/// So often in a row a transaction is undone: fewer times than it is run at most.
const CONFLICTS: usize = 5;

fn conflicts(count: usize) -> Vec<Fault> {
    vec![Fault::Write(WriteFault::AtCommit(StoreErrorKind::Conflict)); count]
}

fn grant_to(principal_oid: &str, id: &str, scope: Scope) -> GrantRequest {
    let resource = Resource { kind: "notes".to_owned(), id: id.to_owned() };
    GrantRequest { resource, principal_oid: principal_oid.to_owned(), scope, exp: None }
}

/// Everything that is stored below a ledger.
fn chain(storage: &Arc<dyn Storage>) -> Vec<ChainEntry> {
    storage.read().unwrap().range(0, usize::MAX >> 1).unwrap()
}

fn payload(entry: &ChainEntry) -> &str {
    entry.record.payload.as_ref().unwrap().as_str()
}

/// What the storage undid for what others did is run again, with the content that its caller gave; and when it has been run
/// often enough, its caller is told what it was.
pub fn conflicts_are_run_again(subject: &dyn Subject) {
    let simulation = Simulation::new(3);
    let below = subject.open(&simulation.environment);
    let storage = Arc::new(FaultyStorage::over(Arc::clone(&below)));
    let wanted = Wanted { access: true, stamp: true };
    let ledger = open_ledger(Arc::clone(&storage) as _, &simulation.environment, wanted);

    storage.fail(conflicts(CONFLICTS));
    let first = new(record("notes", "a", 1, r#"{"n":1}"#));
    let entry = ledger.append(vec![first], ALICE, AppendOptions::default()).unwrap().remove(0);
    assert_eq!((entry.seq, payload(&entry)), (0, r#"{"n":1}"#));

    storage.fail(conflicts(CONFLICTS));
    let texts = ["x", "y", "x"];
    let batch = texts.map(|text| new(record(STAMPED, "s", 1, &format!(r#"{{"text":"{text}"}}"#))));
    let entries = ledger.append(batch.to_vec(), ALICE, BATCH).unwrap();
    for (version, (entry, text)) in entries.iter().zip(texts).enumerate() {
        assert_eq!((entry.seq, payload(entry)), (version as u64 + 1, stamped(text, version).as_str()));
    }

    storage.fail(conflicts(CONFLICTS));
    let granted = ledger.grant(&[grant_to(BOB, "a", Scope::Read)], ALICE).unwrap();
    assert!(payload(&granted[0]).contains(BOB));
    assert!(ledger.get(&entry.hash, BOB).unwrap().is_some());
    storage.fail(conflicts(CONFLICTS));
    assert_eq!(ledger.revoke(&[grant_to(BOB, "a", Scope::Read)], ALICE, false).unwrap().len(), 1);
    assert!(ledger.get(&entry.hash, BOB).unwrap().is_none());

    storage.fail(conflicts(CONFLICTS));
    let redaction = ledger.redact(&entry.hash, "a reason", ALICE).unwrap();
    assert!(payload(&redaction).contains(&entry.hash.to_string()));
    assert!(ledger.get(&entry.hash, ALICE).unwrap().unwrap().redacted());

    storage.fail(conflicts(CONFLICTS));
    let mut whole = chain(&below);
    let imported = next_entry(&whole, record("notes", "imported", 1, "{}"));
    let length = ledger.import(vec![imported.clone()], ADMINISTRATOR).unwrap();
    whole.push(imported);
    assert_eq!((length, chain(&below)), (whole.len() as u64, whole.clone()));
    assert_sound(&ledger, length);

    // More often than anything is run.
    storage.fail(conflicts(100));
    let refused = ledger.append(vec![new(record("notes", "b", 1, "{}"))], ALICE, AppendOptions::default()).unwrap_err();
    assert!(matches!(&refused, Error::Store(error) if error.kind() == StoreErrorKind::Conflict), "{refused:?}");
    storage.fail([]);
    assert_eq!(chain(&below), whole);
    ledger.append(vec![new(record("notes", "b", 1, "{}"))], ALICE, AppendOptions::default()).unwrap();
    assert_sound(&ledger, length + 1);
}

/// One call, and what goes wrong meanwhile.
#[derive(Debug, Clone)]
struct Call {
    what: What,
    faults: Vec<Fault>,
}

#[derive(Debug, Clone)]
enum What {
    Append(u8),
    Stamp(u8),
    Grant,
    Revoke,
    Redact(Index),
    Import(u8),
}

fn call() -> impl Strategy<Value = Call> {
    let what = prop_oneof![
        3 => (1..4_u8).prop_map(What::Append),
        3 => (1..4_u8).prop_map(What::Stamp),
        1 => Just(What::Grant),
        1 => Just(What::Revoke),
        2 => any::<Index>().prop_map(What::Redact),
        1 => (1..3_u8).prop_map(What::Import),
    ];
    (what, vec(fault(), 0..3)).prop_map(|(what, faults)| Call { what, faults })
}

fn fault() -> impl Strategy<Value = Fault> {
    use Operation::{Append, ChangeGrants, Erase, Part, Read, SetProjection};
    use StoreErrorKind::{Busy, Conflict, Damaged, Full, Other, TooLarge, Unavailable};
    let kind = || select(vec![Busy, Conflict, Conflict, Full, TooLarge, Damaged, Unavailable, Other]);
    let operation = select(vec![Read, Append, Erase, ChangeGrants, SetProjection, Part]);
    let write = prop_oneof![
        kind().prop_map(WriteFault::Before),
        kind().prop_map(WriteFault::AtCommit),
        Just(WriteFault::InDoubtKept),
        Just(WriteFault::InDoubtLost),
    ];
    prop_oneof![
        write.prop_map(Fault::Write),
        (operation, 0..6_u32, kind()).prop_map(|(operation, after, kind)| Fault::Inside(operation, after, kind)),
    ]
}

/// After each call the chain is what was acknowledged, and what was in doubt and is there; whoever is refused is told a kind.
pub fn faults_are_typed_and_lose_nothing(subject: &dyn Subject) {
    campaign::run("faults, one caller", 96, &vec(call(), 1..12), |calls| {
        let simulation = Simulation::new(5);
        let below = subject.open(&simulation.environment);
        let storage = Arc::new(FaultyStorage::over(Arc::clone(&below)));
        let wanted = Wanted { access: true, stamp: true };
        let ledger = open_ledger(Arc::clone(&storage) as _, &simulation.environment, wanted);
        let mut acknowledged = chain(&below);
        for Call { what, faults } in calls {
            storage.fail(faults);
            let outcome = perform(&ledger, &what, &acknowledged);
            storage.fail([]);
            let now = chain(&below);
            assert_eq!(hashes(&now[..acknowledged.len()]), hashes(&acknowledged), "an acknowledged entry is lost");
            let fresh = hashes(&now[acknowledged.len()..]);
            match outcome {
                Ok(entries) => {
                    let new: Vec<Hash> = entries
                        .iter()
                        .filter(|entry| entry.seq >= acknowledged.len() as u64)
                        .map(|entry| entry.hash)
                        .collect();
                    assert_eq!(fresh, new, "what was answered is not what was written");
                }
                Err(Error::CommitInDoubt { first_seq, hashes, .. }) => {
                    assert_eq!(first_seq, acknowledged.len() as u64);
                    assert!(fresh.is_empty() || fresh == hashes, "in doubt is {hashes:?}, there is {fresh:?}");
                }
                Err(Error::Store(_) | Error::Conflict { .. }) => assert_eq!(fresh, [], "what was refused is there"),
                Err(error) => panic!("not of a type that says what failed: {error:?}"),
            }
            acknowledged = now;
        }
        let length = acknowledged.len() as u64;
        assert_sound(&ledger, length);
        ledger
            .append(vec![new(record("notes", "afterwards", 1, "{}"))], ADMINISTRATOR, AppendOptions::default())
            .unwrap();
        assert_sound(&ledger, length + 1);
        ledger.close().unwrap();
    });
}

fn hashes(entries: &[ChainEntry]) -> Vec<Hash> {
    entries.iter().map(|entry| entry.hash).collect()
}

fn perform(ledger: &LedgerEngine, what: &What, before: &[ChainEntry]) -> Result<Vec<ChainEntry>, Error> {
    let many =
        |count: u8, stream: &str, payload: &str| (0..count).map(|_| new(record(stream, "a", 1, payload))).collect();
    match what {
        What::Append(count) => ledger.append(many(*count, "notes", "{}"), ADMINISTRATOR, BATCH),
        What::Stamp(count) => {
            let versions = before.iter().filter(|entry| entry.record.stream == STAMPED).count();
            let entries = ledger.append(many(*count, STAMPED, r#"{"text":"t"}"#), ADMINISTRATOR, BATCH)?;
            for (position, entry) in entries.iter().enumerate() {
                assert_eq!(payload(entry), stamped("t", versions + position));
            }
            Ok(entries)
        }
        What::Grant => ledger.grant(&[grant_to(BOB, "a", Scope::Read), grant_to(BOB, "b", Scope::Full)], ADMINISTRATOR),
        What::Revoke => ledger.revoke(&[grant_to(BOB, "a", Scope::Read)], ADMINISTRATOR, true),
        What::Redact(which) => {
            let plain: Vec<&ChainEntry> = before.iter().filter(|entry| entry.record.stream == "notes").collect();
            let hash = if plain.is_empty() { Hash([1; 32]) } else { which.get(&plain).hash };
            ledger.redact(&hash, "a reason", ADMINISTRATOR).map(|entry| vec![entry])
        }
        What::Import(count) => {
            let mut whole = before.to_vec();
            for _ in 0..*count {
                whole.push(next_entry(&whole, record("notes", "a", 1, "{}")));
            }
            let imported = whole.split_off(before.len());
            let length = ledger.import(imported.clone(), ADMINISTRATOR)?;
            assert_eq!(length, (before.len() + imported.len()) as u64);
            Ok(imported)
        }
    }
}

/// Threads append while every so often a write fails: each is told of its own entries alone.
pub fn faults_under_threads(subject: &dyn Subject) {
    const THREADS: usize = 6;
    const CALLS: usize = 40;
    for access in [false, true] {
        let simulation = Simulation::new(9);
        let below = subject.open(&simulation.environment);
        let turn = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&turn);
        let storage = FaultyStorage::over(Arc::clone(&below)).deciding(move |operation, _| {
            let kinds = [StoreErrorKind::Conflict, StoreErrorKind::Full, StoreErrorKind::Busy];
            let number = count.fetch_add(1, Ordering::SeqCst) as usize;
            (operation == Operation::Append && number % 5 == 4).then(|| kinds[number / 5 % kinds.len()])
        });
        let wanted = Wanted { access, stamp: false };
        let ledger = open_ledger(Arc::new(storage), &simulation.environment, wanted);
        let outcomes: Mutex<BTreeMap<String, bool>> = Mutex::default();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (ledger, outcomes) = (&ledger, &outcomes);
                scope.spawn(move || {
                    for number in 0..CALLS {
                        let id = format!("{thread}-{number}");
                        let outcome =
                            ledger.append(vec![new(record("notes", &id, 1, "{}"))], ALICE, AppendOptions::default());
                        match &outcome {
                            Ok(entries) => assert_eq!((entries.len(), entries[0].record.id.as_str()), (1, id.as_str())),
                            Err(Error::Store(_)) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                        outcomes.lock().unwrap().insert(id, outcome.is_ok());
                    }
                });
            }
        });
        let outcomes = outcomes.into_inner().unwrap();
        let acknowledged: BTreeSet<&str> = outcomes.iter().filter(|(_, ok)| **ok).map(|(id, _)| id.as_str()).collect();
        let whole = chain(&below);
        let there: BTreeSet<&str> = whole.iter().map(|entry| entry.record.id.as_str()).collect();
        assert_eq!((there, whole.len()), (acknowledged.clone(), acknowledged.len()));
        assert!(!acknowledged.is_empty() && acknowledged.len() < THREADS * CALLS, "{} succeeded", acknowledged.len());
        assert_sound(&ledger, whole.len() as u64);
    }
}

/// The record of which the grants cannot be written.
const VICTIM: &str = "victim";

/// Of several in one commit, one fails after its entry was written: it alone is told so, and leaves nothing behind.
pub fn one_callers_fault_in_a_shared_commit(subject: &dyn Subject) {
    const MOST_ROUNDS: usize = 200;
    const OTHERS: usize = 4;
    let simulation = Simulation::new(11);
    let below = subject.open(&simulation.environment);
    // The first write of a round waits until all others have been called, so that they share the next.
    let (holds, called) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (is_held, all) = (Arc::clone(&holds), Arc::clone(&called));
    let storage = FaultyStorage::over(Arc::clone(&below))
        .deciding(|operation, changes| {
            let names = |change: &Change| matches!(change, Change::Put(grant) if grant.resource.id.starts_with(VICTIM));
            let meets = operation == Operation::ChangeGrants && changes.iter().any(names);
            meets.then_some(StoreErrorKind::TooLarge)
        })
        .before_each_write(move || {
            if is_held.swap(false, Ordering::SeqCst) {
                while all.load(Ordering::SeqCst) <= OTHERS as u32 {
                    std::thread::yield_now();
                }
                // They have been called; now they queue.
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    let storage = Arc::new(storage);
    let wanted = Wanted { access: true, stamp: false };
    let ledger = open_ledger(Arc::clone(&storage) as _, &simulation.environment, wanted);
    let mut length = 0;
    for round in 0..MOST_ROUNDS {
        called.store(0, Ordering::SeqCst);
        holds.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let call = |id: String| {
                called.fetch_add(1, Ordering::SeqCst);
                ledger.append(vec![new(record("notes", &id, 1, "{}"))], ALICE, AppendOptions::default())
            };
            let holder = scope.spawn(move || call(format!("holder {round}")));
            let victim = scope.spawn(move || call(format!("{VICTIM} {round}")));
            let others: Vec<_> =
                (1..OTHERS).map(|other| scope.spawn(move || call(format!("{other} {round}")))).collect();
            let victims = victim.join().unwrap().unwrap_err();
            assert!(matches!(&victims, Error::Store(error) if error.kind() == StoreErrorKind::TooLarge), "{victims:?}");
            holder.join().unwrap().unwrap();
            for other in others {
                other.join().unwrap().unwrap();
            }
        });
        length += OTHERS as u64;
        assert!(
            chain(&below).iter().all(|entry| !entry.record.id.starts_with(VICTIM)),
            "an entry that was refused is there"
        );
        assert_sound(&ledger, length);
        if storage.counts().in_parts > 0 {
            return;
        }
    }
    panic!("in {MOST_ROUNDS} rounds no commit was shared");
}
