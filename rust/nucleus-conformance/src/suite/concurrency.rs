//! Many threads at one ledger: what each is told holds, and what each reads is one state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nucleus_engine::model::{Authority, GrantRequest, QueryFilters, Resource, Scope, Sight};
use nucleus_engine::{AppendOptions, LedgerEngine, Storage};

use crate::Subject;
use crate::chain::record;
use crate::fixture::{Wanted, assert_sound, new, open_ledger};
use crate::simulation::Simulation;

const WRITERS: usize = 4;
const READERS: usize = 2;
const ROUNDS: usize = 25;

/// Threads append, redact, grant and revoke, while others read.
pub fn concurrency(subject: &dyn Subject) {
    let environment = Simulation::new(2).environment;
    let storage = subject.open(&environment);
    let ledger = open_ledger(Arc::clone(&storage), &environment, Wanted { access: true, stamp: false });
    let done = AtomicBool::new(false);
    let written: BTreeSet<u64> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut length = 0;
                    while !done.load(Ordering::SeqCst) {
                        length = read_one_state(storage.as_ref(), length);
                    }
                })
            })
            .collect();
        let ledger = &ledger;
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(ledger, writer))).collect();
        let written = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.join().unwrap();
        }
        written
    });
    let length = (WRITERS * ROUNDS * 5) as u64;
    assert!(written.into_iter().eq(0..length), "two callers were told of one entry, or none of one");
    assert_sound(&ledger, length);
}

/// Writes what only this thread writes, and reads it at once; answers the seqs that it was told.
fn write(ledger: &LedgerEngine, writer: usize) -> Vec<u64> {
    let me = format!("oid:test:user:w{writer}");
    let other = format!("oid:test:user:w{}", (writer + 1) % WRITERS);
    let mut seqs = Vec::new();
    for round in 0..ROUNDS {
        let id = format!("{writer}-{round}");
        let resource = Resource { kind: "notes".to_owned(), id: id.clone() };
        let append = |payload: &str| {
            let made = vec![new(record("notes", &id, 1, payload))];
            ledger.append(made, &me, AppendOptions::default()).unwrap().remove(0)
        };
        let first = append("{}");
        assert!(ledger.get(&first.hash, &other).unwrap().is_none());
        let request = [GrantRequest { resource, principal_oid: other.clone(), scope: Scope::Read, exp: None }];
        seqs.push(ledger.grant(&request, &me).unwrap()[0].seq);
        assert_eq!(ledger.get(&first.hash, &other).unwrap().as_ref(), Some(&first));
        let second = append(r#"{"k":2}"#);
        assert_eq!(ledger.get_by_id(&id, Some("notes"), &me).unwrap().as_ref(), Some(&second));
        seqs.push(ledger.redact(&first.hash, "a reason", &me).unwrap().seq);
        assert!(ledger.get(&first.hash, &me).unwrap().unwrap().redacted());
        seqs.push(ledger.revoke(&request, &me, false).unwrap()[0].seq);
        assert!(ledger.get(&second.hash, &other).unwrap().is_none());
        seqs.extend([first.seq, second.seq]);
    }
    seqs
}

/// Whatever is asked of one state fits together, and no state is older than one that was read before.
fn read_one_state(storage: &dyn Storage, before: usize) -> usize {
    let everything = Sight::Everything(Authority::Service);
    let mut read = storage.read().unwrap();
    let entries = read.range(0, 1_000_000).unwrap();
    assert!(entries.len() >= before);
    assert_eq!(read.head().unwrap().map(|head| head.hash), entries.last().map(|last| last.hash));
    let filters = QueryFilters { limit: 1, with_total: true, ..QueryFilters::default() };
    assert_eq!(read.page(&filters, &everything).unwrap().total, Some(entries.len() as u64));
    if let Some(last) = entries.last() {
        assert_eq!(read.get(&last.hash, &everything).unwrap().as_ref(), Some(last));
    }
    let covered = read.projection().unwrap().map_or(0, |state| state.covered_below);
    assert_eq!(covered, entries.len() as u64, "grants are kept in the transaction of their entries");
    entries.len()
}
