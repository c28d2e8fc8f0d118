//! A look at everything: each entry once and in order, each grant once, and whoever looks may stop it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nucleus_core::ChainEntry;
use nucleus_core::entry::Head;
use nucleus_core::verify::Row;
use nucleus_engine::model::{Grant, Result, Scope};
use nucleus_engine::store::{Extent, Manner, Observer, Read, Scan, Watcher};
use nucleus_engine::{Error, Storage};

use super::operations::{append, empty, grant, notes, put};
use crate::Subject;
use crate::chain::{head_of, next_entry, redaction_of};
use crate::model::words_of;

/// What of a row is compared: its seq, hash, payload, salt, and whether a commitment is stored.
type Seen = (i64, Vec<u8>, Option<String>, Option<Vec<u8>>, bool);

fn seen(row: &Row<'_>) -> Seen {
    let payload = row.payload.map(str::to_owned);
    (row.seq, row.hash.to_vec(), payload, row.salt.map(<[u8]>::to_vec), row.payload_hash.is_some())
}

/// Writes down everything that it is shown.
#[derive(Default)]
struct Recorder {
    begun: Mutex<Option<(Extent, Option<Head>)>>,
    /// By the number of the stretch.
    stretches: Mutex<BTreeMap<usize, Vec<Seen>>>,
    unfinished: AtomicU64,
    grants: Mutex<Vec<Grant>>,
    revisit: Vec<i64>,
    revisited: Mutex<Vec<(i64, Option<Seen>)>>,
}

struct Stretch<'a> {
    recorder: &'a Recorder,
    number: usize,
    rows: Vec<Seen>,
}

impl Observer for Recorder {
    fn begin(&self, read: &mut dyn Read, extent: Extent) -> Result<()> {
        let before = self.begun.lock().unwrap().replace((extent, read.head()?));
        assert!(before.is_none(), "a scan begins once");
        Ok(())
    }

    fn stretch(&self, number: usize) -> Box<dyn Watcher + '_> {
        assert!(self.begun.lock().unwrap().is_some());
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        Box::new(Stretch { recorder: self, number, rows: Vec::new() })
    }

    fn grant(&self, grant: &Grant) {
        self.grants.lock().unwrap().push(grant.clone());
    }

    fn revisit(&self) -> Vec<i64> {
        assert_eq!(self.unfinished.load(Ordering::SeqCst), 0, "a stretch is not finished");
        self.revisit.clone()
    }

    fn revisited(&self, seq: i64, row: Option<&Row<'_>>) {
        self.revisited.lock().unwrap().push((seq, row.map(seen)));
    }

    fn all_readable(&self) -> bool {
        true
    }
}

impl Watcher for Stretch<'_> {
    fn take(&mut self, row: &Row<'_>) {
        self.rows.push(seen(row));
    }

    fn take_unreadable(&mut self, seq: i64, why: &'static str) {
        panic!("entry {seq}: {why}");
    }

    fn finish(self: Box<Self>) {
        let Self { recorder, number, rows } = *self;
        recorder.unfinished.fetch_sub(1, Ordering::SeqCst);
        let before = recorder.stretches.lock().unwrap().insert(number, rows);
        assert!(before.is_none(), "stretch {number} is shown twice");
    }
}

/// In both manners, of a storage with and without anything in it.
pub fn scans(subject: &dyn Subject) {
    let storage = empty(subject);
    for manner in [Manner::ShortReads, Manner::OneSnapshot] {
        look(&storage, manner, &[], &[]);
    }
    let mut entries = notes(40_000);
    append(&storage, &entries);
    let erased = entries[1].clone();
    entries.push(next_entry(&entries, redaction_of(&erased, 1)));
    let written = Arc::clone(&storage).write(&mut |open| {
        open.with(|transaction| {
            transaction.erase(&erased)?;
            transaction.append(&entries[entries.len() - 1..])
        })
    });
    written.unwrap();
    entries[1].withhold_payload();
    let ids = ["a", "b", "*"];
    let mut grants: Vec<Grant> = ids.iter().map(|id| grant("notes", id, "oid:test:user:p", Scope::Read)).collect();
    // What has expired is stored all the same.
    grants[0].exp = Some(1);
    grants.sort_by(|one, other| words_of(one).cmp(&words_of(other)));
    put(&storage, &grants);
    for manner in [Manner::ShortReads, Manner::OneSnapshot] {
        look(&storage, manner, &entries, &grants);
        stopped(&storage, manner);
    }
}

fn look(storage: &Arc<dyn Storage>, manner: Manner, entries: &[ChainEntry], grants: &[Grant]) {
    for shows_grants in [true, false] {
        let scan = Scan { manner, derived: true, deep: shows_grants, grants: shows_grants };
        let recorder = Recorder { revisit: vec![0, 1, 9_999_999], ..Recorder::default() };
        let (calls, last) = (Cell::new(0_u64), Cell::new((0, 0)));
        let report = storage.scan(scan, &recorder, &mut |done, total| {
            calls.set(calls.get() + 1);
            last.set((done, total));
            assert!(done <= total, "{done} of {total}");
            Ok(())
        });
        assert!(report.unwrap().is_empty());
        assert!(calls.get() > 0);
        let (extent, head) = recorder.begun.into_inner().unwrap().unwrap();
        assert_eq!((extent.below, extent.has_grants), (entries.len() as u64, shows_grants));
        assert_eq!(head, head_of(entries));
        let stretches = recorder.stretches.into_inner().unwrap();
        assert!(stretches.keys().copied().eq(0..stretches.len()), "stretches have gaps");
        let rows: Vec<Seen> = stretches.into_values().flatten().collect();
        assert_eq!(rows.len(), entries.len());
        for (row, entry) in rows.iter().zip(entries) {
            assert_eq!(*row, expected(entry));
        }
        let mut shown = recorder.grants.into_inner().unwrap();
        shown.sort_by(|one, other| words_of(one).cmp(&words_of(other)));
        assert_eq!(shown, if shows_grants { grants } else { &[] });
        if manner == Manner::OneSnapshot && entries.len() > 1 {
            let revisited = recorder.revisited.into_inner().unwrap();
            assert_eq!(
                revisited,
                [(0, Some(expected(&entries[0]))), (1, Some(expected(&entries[1]))), (9_999_999, None)]
            );
        }
    }
}

fn expected(entry: &ChainEntry) -> Seen {
    let payload = entry.record.payload.as_ref().map(|payload| payload.as_str().to_owned());
    let salt = entry.salt.map(|salt| salt.to_vec());
    (entry.seq as i64, entry.hash.0.to_vec(), payload, salt, entry.redacted())
}

/// An error of whoever is told how far it has come is the answer.
fn stopped(storage: &Arc<dyn Storage>, manner: Manner) {
    for after in [0, 1] {
        let scan = Scan { manner, derived: true, deep: false, grants: true };
        let mut calls = 0;
        let outcome = storage.scan(scan, &Recorder::default(), &mut |_, _| {
            calls += 1;
            if calls > after { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(outcome, Err(Error::Interrupted)), "{manner:?} after {after}: {outcome:?}");
    }
}
