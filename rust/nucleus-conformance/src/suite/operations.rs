//! What a storage does in the small: transactions, parts, the table of grants, redactions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nucleus_core::ChainEntry;
use nucleus_engine::model::{
    Authority, Change, Grant, GrantQuery, ProjectionState, Question, Resource, Scope, Sight, Source,
};
use nucleus_engine::store::OpenTransaction;
use nucleus_engine::{Error, Storage};

use crate::Subject;
use crate::chain::{chain_of, head_of, next_entry, record, redaction_of};
use crate::simulation::{BEGINNING_MS, Simulation};

/// Whoever sees everything.
pub(super) const EVERYTHING: Sight = Sight::Everything(Authority::Service);

/// A new and empty storage.
pub(super) fn empty(subject: &dyn Subject) -> Arc<dyn Storage> {
    subject.open(&Simulation::new(0).environment)
}

/// A chain of so many notes.
pub(super) fn notes(count: i64) -> Vec<ChainEntry> {
    chain_of((0..count).map(|number| record("notes", &format!("n-{number}"), number + 1, r#"{"k":1}"#)))
}

pub(super) fn append(storage: &Arc<dyn Storage>, entries: &[ChainEntry]) {
    Arc::clone(storage).write(&mut |open| open.with(|transaction| transaction.append(entries))).unwrap();
}

/// Everything that is committed.
pub(super) fn chain(storage: &Arc<dyn Storage>) -> Vec<ChainEntry> {
    storage.read().unwrap().range(0, 1_000_000).unwrap()
}

pub(super) fn grant(kind: &str, id: &str, principal_oid: &str, scope: Scope) -> Grant {
    let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
    let (principal_oid, granted_by) = (principal_oid.to_owned(), "oid:test:user:g".to_owned());
    let (source, exp, created_at, seq) = (Source::Grant, None, BEGINNING_MS, 0);
    Grant { resource, principal_oid, scope, source, granted_by, exp, created_at, seq }
}

pub(super) fn put(storage: &Arc<dyn Storage>, grants: &[Grant]) {
    let changes: Vec<Change> = grants.iter().cloned().map(Change::Put).collect();
    Arc::clone(storage).write(&mut |open| open.with(|transaction| transaction.change_grants(&changes))).unwrap();
}

/// Transactions are whole or nothing, what is committed is read, and what is closed answers nobody.
pub fn operations(subject: &dyn Subject) {
    let storage = empty(subject);
    assert_eq!(storage.described().ledger_id, crate::LEDGER_ID);
    assert!(!storage.described().read_only);
    let mut read = storage.read().unwrap();
    assert_eq!((read.head().unwrap(), read.projection().unwrap()), (None, None));
    assert_eq!(read.grants(&GrantQuery::default()).unwrap(), []);
    drop(read);
    // A transaction that writes nothing is none.
    Arc::clone(&storage).write(&mut |_| Ok(())).unwrap();
    let entries = notes(3);
    append(&storage, &entries[..2]);
    refused_work_leaves_nothing(&storage, &entries);
    a_panic_leaves_nothing(&storage, &entries);
    a_transaction_ends_with_its_write(&storage, &entries);
    assert_eq!(chain(&storage), entries);
    figures(&storage);
    storage.close().unwrap();
    assert!(matches!(storage.read().err(), Some(Error::Closed)));
    let closed = Arc::clone(&storage).write(&mut |_| panic!("it is closed"));
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    storage.close().unwrap();
}

fn refused_work_leaves_nothing(storage: &Arc<dyn Storage>, entries: &[ChainEntry]) {
    let refused = Arc::clone(storage).write(&mut |open| {
        open.with(|transaction| {
            transaction.append(&entries[2..])?;
            transaction.erase(&entries[0])?;
            transaction.change_grants(&[Change::Put(grant("notes", "n-0", "oid:test:user:p", Scope::Full))])?;
            transaction.set_projection(&ProjectionState { covered_below: 3, kinds: "{}".to_owned() })?;
            assert_eq!(transaction.head()?, head_of(entries));
            Ok(())
        })?;
        Err(Error::Conflict { message: "no".to_owned(), existing_hash: None })
    });
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    assert_eq!(chain(storage), entries[..2]);
    let mut read = storage.read().unwrap();
    assert_eq!(read.projection().unwrap(), None);
    assert_eq!(read.grants(&GrantQuery::default()).unwrap(), []);
}

fn a_panic_leaves_nothing(storage: &Arc<dyn Storage>, entries: &[ChainEntry]) {
    for inside in [false, true] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            Arc::clone(storage).write(&mut |open| {
                open.with(|transaction| {
                    transaction.append(&entries[2..])?;
                    assert!(!inside, "inside of what is done in a transaction");
                    Ok(())
                })?;
                panic!("between what is done in a transaction");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(chain(storage), entries[..2]);
    }
}

/// Whoever kept a copy of it has nothing in their hands.
fn a_transaction_ends_with_its_write(storage: &Arc<dyn Storage>, entries: &[ChainEntry]) {
    let mut kept: Option<OpenTransaction> = None;
    let written = Arc::clone(storage).write(&mut |open| {
        kept = Some(open.clone());
        assert!(!open.ended());
        open.with(|transaction| transaction.append(&entries[2..]))
    });
    written.unwrap();
    let kept = kept.unwrap();
    assert!(kept.ended());
    assert!(matches!(kept.with(|transaction| transaction.head()), Err(Error::Closed)));
}

fn figures(storage: &Arc<dyn Storage>) {
    let stats = storage.upkeep().stats().unwrap();
    assert_eq!((stats.entries, stats.redacted), (3, 0));
    assert_eq!(stats.head, storage.read().unwrap().head().unwrap());
    assert_eq!(stats.streams, [("notes".to_owned(), 3)]);
    assert_eq!((stats.first_timestamp, stats.last_timestamp), (Some(1), Some(3)));
    assert!(!stats.scrub_pending);
}

/// The table of grants: its order, what a key is, and which grant allows what.
pub fn grants(subject: &dyn Subject) {
    let storage = empty(subject);
    let (p, q) = ("oid:test:user:p", "oid:test:user:q");
    let read = grant("notes", "a", p, Scope::Read);
    let until = Grant { exp: Some(10), ..grant("notes", "a", q, Scope::Full) };
    let by_role = Grant { source: Source::Owner, ..read.clone() };
    let whole = grant("other", "*", p, Scope::Write);
    // Ids first, then kinds, then principals, byte by byte.
    let in_order = [whole.clone(), read.clone(), by_role.clone(), until.clone()];
    put(&storage, &[until.clone(), by_role.clone(), read.clone(), whole.clone()]);
    let all = |storage: &Arc<dyn Storage>| storage.read().unwrap().grants(&GrantQuery::default()).unwrap();
    assert_eq!(all(&storage), in_order);
    let later = Grant { exp: Some(99), seq: 7, ..read.clone() };
    put(&storage, std::slice::from_ref(&later));
    assert_eq!(all(&storage), [whole, later, by_role, until]);
    let allows = |principal_oid, kind: &str, id: &str, scope, now_s| {
        let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
        let question = Question { principal_oid, resource: &resource, scope, now_s };
        storage.read().unwrap().allows(&question).unwrap()
    };
    assert!(allows(q, "notes", "a", Scope::Read, 9) && allows(q, "notes", "a", Scope::Write, 9));
    assert!(!allows(q, "notes", "a", Scope::Read, 10), "it counts for nothing from its end on");
    assert!(allows(p, "other", "whatever", Scope::Write, 0) && !allows(p, "other", "whatever", Scope::Read, 0));
    assert!(!allows(p, "notes", "a", Scope::Full, 0) && !allows(p, "notes", "b", Scope::Read, 0));
    assert!(!allows(p, "Notes", "a", Scope::Read, 0), "names are what they are, byte by byte");
    let resource = Resource { kind: "notes".to_owned(), id: "a".to_owned() };
    let changes = [Change::EndRole { resource, source: Source::Owner, principal_oid: p.to_owned() }];
    Arc::clone(&storage).write(&mut |open| open.with(|transaction| transaction.change_grants(&changes))).unwrap();
    assert_eq!(all(&storage).len(), 3);
    let cleared = Arc::clone(&storage).write(&mut |open| {
        open.with(|transaction| {
            assert_eq!(transaction.clear_expired_grants(9)?, 0);
            assert_eq!(transaction.clear_expired_grants(10)?, 1);
            Ok(())
        })
    });
    cleared.unwrap();
    assert_eq!(all(&storage).len(), 2);
}

/// What is erased is gone from every answer, and everything else of the entry stays.
pub fn redactions(subject: &dyn Subject) {
    let storage = empty(subject);
    let mut entries = notes(3);
    append(&storage, &entries);
    let erased = entries[1].clone();
    let mut after = erased.clone();
    after.withhold_payload();
    entries.push(next_entry(&entries, redaction_of(&erased, 5)));
    let written = Arc::clone(&storage).write(&mut |open| {
        open.with(|transaction| {
            transaction.erase(&erased)?;
            assert_eq!(transaction.range(1, 1)?, [after.clone()]);
            assert_eq!(transaction.latest_by_id("n-1", None, &EVERYTHING)?.as_ref(), Some(&after));
            transaction.append(&entries[3..])
        })
    });
    written.unwrap();
    assert!(storage.upkeep().scrub().unwrap());
    assert!(!storage.upkeep().scrub_pending());
    entries[1] = after.clone();
    assert_eq!(chain(&storage), entries);
    let mut read = storage.read().unwrap();
    assert_eq!(read.get(&after.hash, &EVERYTHING).unwrap().as_ref(), Some(&after));
    assert_eq!(read.latest_by_id("n-1", Some("notes"), &EVERYTHING).unwrap().as_ref(), Some(&after));
    drop(read);
    assert_eq!(storage.upkeep().stats().unwrap().redacted, 1);
}

/// A part that is taken back was never there, and what came before and comes after it is.
pub fn savepoints(subject: &dyn Subject) {
    let storage = empty(subject);
    let entries = notes(6);
    let others = {
        let mut others = entries[..3].to_vec();
        others.push(next_entry(&others, record("others", "o", 1, "{}")));
        others
    };
    let of_part = grant("notes", "n-0", "oid:test:user:p", Scope::Full);
    append(&storage, &entries[..1]);
    let written = Arc::clone(&storage).write(&mut |open| {
        open.with(|transaction| {
            transaction.append(&entries[1..3])?;
            transaction.savepoint()?;
            transaction.append(&others[3..])?;
            transaction.erase(&entries[0])?;
            transaction.change_grants(&[Change::Put(of_part.clone())])?;
            assert!(transaction.latest_by_id("o", None, &EVERYTHING)?.is_some());
            transaction.end(false)?;
            assert_eq!(transaction.head()?, head_of(&entries[..3]));
            assert_eq!(transaction.latest_by_id("o", None, &EVERYTHING)?, None);
            assert_eq!(transaction.range(0, 9)?, entries[..3]);
            assert_eq!(transaction.grants(&GrantQuery::default())?, []);
            // In place of what was taken back.
            transaction.savepoint()?;
            transaction.append(&entries[3..])?;
            transaction.change_grants(&[Change::Put(of_part.clone())])?;
            transaction.end(true)
        })
    });
    written.unwrap();
    assert_eq!(chain(&storage), entries);
    assert_eq!(storage.read().unwrap().grants(&GrantQuery::default()).unwrap(), [of_part]);
    assert_eq!(storage.read().unwrap().latest_by_id("o", None, &EVERYTHING).unwrap(), None);
    // A transaction that took back all it did has written nothing.
    let nothing = Arc::clone(&storage).write(&mut |open| {
        open.with(|transaction| {
            transaction.savepoint()?;
            transaction.erase(&entries[0])?;
            transaction.end(false)
        })
    });
    nothing.unwrap();
    assert_eq!(chain(&storage), entries);
}
