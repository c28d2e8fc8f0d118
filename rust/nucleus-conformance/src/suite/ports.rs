//! The property at the level of the ports: whatever was written, every question is answered as the model answers it, of what is
//! committed and, inside a transaction, of what is not yet.

use std::sync::Arc;

use nucleus_core::Hash;
use nucleus_engine::model::{FieldIndex, FieldValues, Kinds, ProjectionState, QueryFilters, Question, Resource, Scope};
use nucleus_engine::store::{Read, Write};
use nucleus_engine::{Error, Storage};

use crate::chain::{granting, head_of, next_entry, redaction_of};
use crate::model::{Eyes, Model};
use crate::names::{DECLARED, IDS, INDEXED, PRINCIPALS, STREAMS};
use crate::script::{Case, Script, Step, case};
use crate::simulation::Simulation;
use crate::{Subject, campaign};

/// `page(query, sight)` is the chain filtered by what the query matches and the sight admits; and so for every other question.
pub fn ports_agree_with_the_model(subject: &dyn Subject) {
    campaign::run("ports and model", 96, &case(), |case| {
        let storage = subject.open(&Simulation::new(0).environment);
        if case.indexed {
            storage.upkeep().declare_indexes(&indexes()).unwrap();
        }
        let mut model = Model::new(DECLARED);
        let kinds = model.kinds();
        for script in &case.scripts {
            perform(&storage, &mut model, script, &case, &kinds);
            let mut read = storage.read().unwrap();
            compare_all(&mut *read, &model, &kinds, &case, u64::MAX);
        }
        storage.close().unwrap();
    });
}

pub(super) fn indexes() -> Vec<FieldIndex> {
    INDEXED.iter().map(|(stream, fields)| FieldIndex::new(stream, fields).unwrap()).collect()
}

/// Runs one transaction, asking everything in it before it ends.
fn perform(storage: &Arc<dyn Storage>, model: &mut Model, script: &Script, case: &Case, kinds: &Arc<Kinds>) {
    let before = model.clone();
    let written = Arc::clone(storage).write(&mut |open| {
        *model = before.clone();
        open.with(|transaction| {
            script.steps.iter().try_for_each(|step| write_step(transaction, model, step))?;
            compare_all(transaction, model, kinds, case, before.length());
            Ok(())
        })?;
        if script.commits { Ok(()) } else { Err(Error::Interrupted) }
    });
    match written {
        Ok(()) => assert!(script.commits),
        Err(Error::Interrupted) if !script.commits => *model = before,
        Err(error) => panic!("a transaction failed: {error}"),
    }
}

/// Writes one step into the storage and into the model.
fn write_step(transaction: &mut dyn Write, model: &mut Model, step: &Step) -> Result<(), Error> {
    match step {
        Step::Append(records) => {
            let first = model.entries.len();
            for record in records {
                model.entries.push(next_entry(&model.entries, record.clone()));
            }
            transaction.append(&model.entries[first..])
        }
        Step::Granting(kind, id, principal_oid) => {
            model.entries.push(next_entry(&model.entries, granting(kind, id, principal_oid, 5)));
            transaction.append(&model.entries[model.entries.len() - 1..])
        }
        Step::Erase(which) => {
            let erasable: Vec<u64> = model
                .entries
                .iter()
                .filter(|entry| !entry.redacted() && STREAMS.contains(&entry.record.stream.as_str()))
                .map(|entry| entry.seq)
                .collect();
            if erasable.is_empty() {
                return Ok(());
            }
            let entry = model.entries[*which.get(&erasable) as usize].clone();
            transaction.erase(&entry)?;
            model.erase(entry.seq);
            model.entries.push(next_entry(&model.entries, redaction_of(&entry, 5)));
            transaction.append(&model.entries[model.entries.len() - 1..])
        }
        Step::Change(changes) => {
            for change in changes {
                model.change(change);
            }
            transaction.change_grants(changes)
        }
        Step::ClearExpired(now_s) => {
            let cleared = model.clear_expired(*now_s);
            assert_eq!(transaction.clear_expired_grants(*now_s)?, cleared);
            Ok(())
        }
        Step::ClearGrants => {
            model.grants.clear();
            model.projection = None;
            transaction.clear_grants()
        }
        Step::Projection(covered_below) => {
            let state = ProjectionState { covered_below: *covered_below, kinds: model.kinds().to_text() };
            model.projection = Some(state.clone());
            transaction.set_projection(&state)
        }
        Step::Part(steps, keep) => {
            let before = model.clone();
            transaction.savepoint()?;
            steps.iter().try_for_each(|step| write_step(transaction, model, step))?;
            transaction.end(*keep)?;
            if !keep {
                *model = before;
            }
            Ok(())
        }
    }
}

/// Asks everything of one state. Entries from `own_from` on are the transaction's own, which need not find them by hash.
fn compare_all(read: &mut dyn Read, model: &Model, kinds: &Arc<Kinds>, case: &Case, own_from: u64) {
    compare_state(read, model);
    for asked in &case.pages {
        compare_pages(read, model, kinds, &asked.filters, &asked.eyes);
    }
    for asked in &case.grants {
        assert_eq!(read.grants(&asked.query()).unwrap(), model.grants(&asked.query()), "{asked:?}");
    }
    let mut all_eyes = vec![Eyes::Everything];
    all_eyes.extend(case.pages.iter().map(|asked| asked.eyes.clone()).filter(|eyes| *eyes != Eyes::Everything).take(3));
    for eyes in &all_eyes {
        compare_look_ups(read, model, kinds, eyes, own_from);
        if case.indexed {
            compare_values(read, model, kinds, eyes);
        }
    }
}

/// What is asked without a sight.
fn compare_state(read: &mut dyn Read, model: &Model) {
    assert_eq!(read.head().unwrap(), head_of(&model.entries));
    assert_eq!(read.projection().unwrap(), model.projection);
    let text = model.kinds().to_text();
    let current = model.projection.as_ref().is_some_and(|state| state.covered_below == model.length());
    assert_eq!(read.projection_is_current(&text).unwrap(), current);
    assert!(!read.projection_is_current("{\"other\":\"kinds\"}").unwrap());
    for first in [0, 1, model.length() / 2, model.length(), model.length() + 5, u64::MAX] {
        for limit in [0, 1, 3, usize::MAX >> 1] {
            let expected: Vec<_> =
                model.entries.iter().skip(first.min(1 << 40) as usize).take(limit).cloned().collect();
            assert_eq!(read.range(first, limit).unwrap(), expected, "range from {first}, {limit}");
        }
    }
    let ends = [0, 1, model.length() / 2, model.length(), (1 << 53) - 1];
    for (position, id) in IDS.into_iter().enumerate() {
        for stream in STREAMS {
            let seq = ends[(position + stream.len()) % ends.len()];
            let expected = model.version_before(id, stream, seq);
            assert_eq!(
                read.version_before(id, stream, seq).unwrap().as_ref(),
                expected,
                "{id} in {stream} before {seq}"
            );
        }
        for (streams, seq) in [(&STREAMS[..], 3), (&STREAMS[1..3], (1 << 53) - 1), (&[][..], 9)] {
            let expected = streams.iter().any(|stream| model.version_before(id, stream, seq).is_some());
            assert_eq!(
                read.any_version_before(id, streams, seq).unwrap(),
                expected,
                "{id} in {streams:?} before {seq}"
            );
        }
        for (kind, scope, now_s) in [("work", Scope::Read, 1), ("notes", Scope::Write, 3), ("mass", Scope::Full, 5)] {
            let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
            for principal_oid in PRINCIPALS {
                let question = Question { principal_oid, resource: &resource, scope, now_s };
                let expected = model.may(principal_oid, scope, (kind, id), now_s);
                assert_eq!(read.allows(&question).unwrap(), expected, "{question:?}");
            }
        }
    }
}

/// What is looked up by hash or id.
fn compare_look_ups(read: &mut dyn Read, model: &Model, kinds: &Arc<Kinds>, eyes: &Eyes, own_from: u64) {
    let sight = eyes.sight(kinds);
    for entry in &model.entries {
        let found = read.get(&entry.hash, &sight).unwrap();
        let own = entry.seq >= own_from;
        assert!(found.as_ref() == model.get(&entry.hash, eyes) || (own && found.is_none()), "entry {}", entry.seq);
    }
    assert_eq!(read.get(&Hash([9; 32]), &sight).unwrap(), None);
    let of_the_engine = model.entries.iter().filter(|entry| !STREAMS.contains(&entry.record.stream.as_str()));
    let mut ids: Vec<&str> = of_the_engine.map(|entry| entry.record.id.as_str()).chain(IDS).collect();
    ids.push("nobody's");
    for id in ids {
        for stream in STREAMS.into_iter().map(Some).chain([None, Some("acl_grants"), Some("redactions")]) {
            let expected = model.latest_by_id(id, stream, eyes);
            let found = read.latest_by_id(id, stream, &sight).unwrap();
            assert_eq!(found.as_ref(), expected, "newest {id:?} in {stream:?} for {eyes:?}");
        }
        compare_kinds(read, model, kinds, eyes, id);
    }
}

/// What an id means to somebody.
pub(super) fn compare_kinds(read: &mut dyn Read, model: &Model, kinds: &Arc<Kinds>, eyes: &Eyes, id: &str) {
    let sight = eyes.sight(kinds);
    let (seen, one_kind) = model.streams_with(id, eyes);
    let several = |named: &[String]| {
        assert!(!model.are_of_one_kind(named), "{id:?} in {named:?} for {eyes:?}");
        assert!(named.iter().all(|stream| seen.contains(stream)), "{id:?} in {named:?}, seen in {seen:?}");
    };
    let mut named = read.streams_with(id, kinds, &sight).unwrap();
    named.sort_unstable();
    match read.latest_of_one_kind(id, kinds, &sight).unwrap() {
        Ok(newest) => {
            assert!(one_kind, "{id:?} is seen in {seen:?} by {eyes:?}");
            assert_eq!(newest.as_ref(), model.latest_by_id(id, None, eyes), "{id:?} for {eyes:?}");
            // One stream alone need not hold the id.
            assert!(named == seen || (seen.is_empty() && named.len() == 1), "{id:?} in {named:?}, seen in {seen:?}");
        }
        Err(streams) => {
            assert!(!one_kind, "{id:?} is seen in {seen:?} by {eyes:?}");
            several(&streams);
            several(&named);
        }
    }
}

fn compare_values(read: &mut dyn Read, model: &Model, kinds: &Arc<Kinds>, eyes: &Eyes) {
    let sight = eyes.sight(kinds);
    let one = ("k".to_owned(), nucleus_core::CanonicalJson::from_canonical("1"));
    for (stream, field, payload) in [("books", "k", &[][..]), ("notes", "n", &[]), ("books", "n", &[one][..])] {
        for (after, limit) in [(None, 10), (Some("x"), 10), (None, 1)] {
            let query = FieldValues { stream, field, payload, after, limit };
            let expected = model.field_values(&query, eyes);
            assert_eq!(read.field_values(&query, &sight).unwrap(), expected, "{query:?} for {eyes:?}");
        }
    }
}

/// Follows the cursors from one page to the last.
pub(super) fn compare_pages(
    read: &mut dyn Read,
    model: &Model,
    kinds: &Arc<Kinds>,
    filters: &QueryFilters,
    eyes: &Eyes,
) {
    let sight = eyes.sight(kinds);
    let mut filters = filters.clone();
    // Each page has an entry at least.
    for _ in 0..=model.entries.len() {
        let expected = model.page(&filters, eyes);
        let page = read.page(&filters, &sight).unwrap();
        let seqs = |entries: &[nucleus_core::ChainEntry]| entries.iter().map(|entry| entry.seq).collect::<Vec<u64>>();
        assert_eq!(seqs(&page.entries), seqs(&expected.entries), "{filters:?} for {eyes:?}");
        assert_eq!(page.entries, expected.entries);
        assert_eq!(page.next_cursor, expected.next_cursor, "{filters:?} for {eyes:?}");
        assert_eq!(page.total, filters.with_total.then_some(expected.total), "{filters:?} for {eyes:?}");
        filters.cursor = page.next_cursor;
        if filters.cursor.is_none() {
            return;
        }
    }
    panic!("the cursors of {filters:?} lead round in circles");
}
