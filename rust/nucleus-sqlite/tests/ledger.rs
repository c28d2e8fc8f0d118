//! The engine through its public surface, without Python: real files, real threads.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a failure here is a failed test

mod common;

use std::path::Path;

use nucleus_core::{CanonicalJson, Record};
use nucleus_engine::module::BuiltinModules;
use nucleus_engine::{AppendOptions, Error, LedgerConfig, LedgerEngine, NewRecord, QueryFilters};

const ALICE: &str = "oid:onoal:user:alice";

fn open(path: &Path) -> Result<LedgerEngine, Error> {
    common::open_file(path, &LedgerConfig::default(), &BuiltinModules)
}

fn record(id: &str, payload: &str) -> NewRecord {
    let payload = Some(CanonicalJson::from_text(payload).unwrap());
    let record = Record { id: id.to_owned(), stream: "notes".to_owned(), timestamp: 1, payload, meta: None };
    NewRecord { record, timestamp_given: true }
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = open(&path).unwrap();
    let entry = ledger.append(vec![record("r-1", r#"{"n":1}"#)], ALICE, AppendOptions::default()).unwrap().remove(0);
    ledger.close().unwrap();
    assert!(matches!(ledger.head(), Err(Error::Closed)));

    let ledger = open(&path).unwrap();
    assert_eq!(ledger.get(&entry.hash, ALICE).unwrap(), Some(entry.clone()));
    assert_eq!(ledger.get_by_id("r-1", None, ALICE).unwrap(), Some(entry));
}

#[test]
fn threads_share_commits_and_get_their_own_outcomes() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger.db")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || {
                for number in 0..50 {
                    let new = record(&format!("{thread}-{number}"), "{}");
                    let options = AppendOptions { unique: true, ..AppendOptions::default() };
                    let entry = ledger.append(vec![new], ALICE, options).unwrap().remove(0);
                    assert_eq!(entry.record.id, format!("{thread}-{number}"));
                    let other = record(&format!("{thread}-{number}"), r#"{"other":true}"#);
                    let refused = ledger.append(vec![other], ALICE, options);
                    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
                }
            });
        }
    });
    assert_eq!(ledger.length().unwrap(), 400);
    assert!(ledger.verify(true, None, Some(400), &mut |_, _| Ok(())).unwrap().valid());
}

#[test]
fn a_refused_record_refuses_its_batch_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger.db")).unwrap();
    let bad = vec![record("good", "{}"), record("", "{}")];
    let options = AppendOptions { batch: true, ..AppendOptions::default() };
    let refused = ledger.append(bad, ALICE, options).unwrap_err();
    assert!(refused.to_string().starts_with("$[1].id: "), "{refused}");
    assert_eq!(ledger.length().unwrap(), 0);
}

#[test]
fn verification_stops_when_the_progress_callback_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger.db")).unwrap();
    let stopped = ledger.verify(false, None, None, &mut |_, _| Err(Error::Interrupted));
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[test]
fn query_pages_meet_without_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory.path().join("ledger.db")).unwrap();
    let records = (0..25).map(|n| record(&format!("r-{n}"), &format!(r#"{{"even":{}}}"#, n % 2 == 0))).collect();
    ledger.append(records, ALICE, AppendOptions::default()).unwrap();
    let even = ("even".to_owned(), CanonicalJson::from_text("true").unwrap());
    let mut filters = QueryFilters { payload: vec![even], limit: 4, with_total: true, ..QueryFilters::default() };
    let mut seqs = Vec::new();
    loop {
        let page = ledger.query(&filters, ALICE).unwrap();
        assert_eq!(page.total, Some(13));
        seqs.extend(page.entries.iter().map(|entry| entry.seq));
        filters.cursor = page.next_cursor;
        if filters.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seqs, (0..25).step_by(2).collect::<Vec<u64>>());
}
