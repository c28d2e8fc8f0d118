//! What is there after a storage was closed and opened again, and after reads and writes that were left where they were.

use std::sync::Arc;

use nucleus_engine::model::{GrantQuery, ProjectionState, Scope};
use nucleus_engine::store::EndOfChain;
use nucleus_engine::{AppendOptions, Error};

use super::operations::{append, chain, empty, grant, notes, put};
use super::ports::indexes;
use crate::Subject;
use crate::chain::record;
use crate::fixture::{ADMINISTRATOR, Wanted, assert_sound, new, open_ledger, try_open_ledger};
use crate::simulation::Simulation;

/// Nothing that was committed is lost, nothing else is there.
pub fn recovery(subject: &dyn Subject) {
    reads_that_are_left_hold_nobody_up(subject);
    what_was_committed_is_there_again(subject);
    a_ledger_is_sound_again(subject);
}

fn reads_that_are_left_hold_nobody_up(subject: &dyn Subject) {
    let storage = empty(subject);
    let entries = notes(20);
    for (position, entry) in entries.iter().enumerate() {
        for _ in 0..20 {
            let mut read = storage.read().unwrap();
            assert_eq!(read.range(0, 100).unwrap(), entries[..position]);
            drop(read);
            drop(storage.read().unwrap());
        }
        append(&storage, std::slice::from_ref(entry));
    }
    if storage.described().reads_wait_for_writes {
        return;
    }
    // One state, whatever is written meanwhile.
    let mut read = storage.read().unwrap();
    assert_eq!(read.head().unwrap().map(|head| head.seq), Some(19));
    let more = notes(25);
    append(&storage, &more[20..]);
    put(&storage, &[grant("notes", "n-1", "oid:test:user:p", Scope::Read)]);
    assert_eq!(read.range(0, 100).unwrap(), entries);
    assert_eq!(read.grants(&GrantQuery::default()).unwrap(), []);
    drop(read);
    assert_eq!(chain(&storage), more);
}

fn what_was_committed_is_there_again(subject: &dyn Subject) {
    let environment = Simulation::new(0).environment;
    let storage = subject.open(&environment);
    storage.upkeep().declare_indexes(&indexes()).unwrap();
    let entries = notes(10);
    append(&storage, &entries[..8]);
    let granted = [grant("notes", "n-1", "oid:test:user:p", Scope::Full)];
    put(&storage, &granted);
    let state = ProjectionState { covered_below: 8, kinds: "{}".to_owned() };
    let noted = Arc::clone(&storage).write(&mut |open| open.with(|transaction| transaction.set_projection(&state)));
    noted.unwrap();
    let refused = Arc::clone(&storage).write(&mut |open| {
        open.with(|transaction| transaction.append(&entries[8..]))?;
        Err(Error::Interrupted)
    });
    assert!(matches!(refused, Err(Error::Interrupted)));
    storage.close().unwrap();
    drop(storage);
    let Some(storage) = subject.reopen(&environment) else { return };
    assert_eq!(chain(&storage), entries[..8]);
    let mut read = storage.read().unwrap();
    assert_eq!(read.grants(&GrantQuery::default()).unwrap(), granted);
    assert_eq!(read.projection().unwrap(), Some(state));
    drop(read);
    let mut indexed = storage.upkeep().indexed_streams();
    indexed.sort_unstable();
    indexed.dedup();
    assert_eq!(indexed, ["books", "notes"]);
    assert!(storage.upkeep().recovery_fault().unwrap().is_none());
    let end = storage.upkeep().end_of_chain().unwrap();
    assert!(matches!(end, EndOfChain::Anchored | EndOfChain::InMemory), "{end:?}");
    append(&storage, &entries[8..]);
    assert_eq!(chain(&storage), entries);
}

fn a_ledger_is_sound_again(subject: &dyn Subject) {
    let environment = Simulation::new(1).environment;
    let wanted = Wanted { access: true, stamp: false };
    let ledger = open_ledger(subject.open(&environment), &environment, wanted);
    let first = new(record("notes", "a", 1, "{}"));
    let entry = ledger.append(vec![first], ADMINISTRATOR, AppendOptions::default()).unwrap().remove(0);
    ledger.redact(&entry.hash, "a reason", ADMINISTRATOR).unwrap();
    ledger.close().unwrap();
    assert!(matches!(ledger.head(), Err(Error::Closed)));
    drop(ledger);
    let Some(storage) = subject.reopen(&environment) else { return };
    let ledger = try_open_ledger(storage, &environment, wanted).unwrap();
    assert!(ledger.get(&entry.hash, ADMINISTRATOR).unwrap().unwrap().redacted());
    assert_sound(&ledger, 2);
}
