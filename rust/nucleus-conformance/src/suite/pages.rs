//! Pages over chains and grants that are long enough for a storage to choose its way.

use std::sync::Arc;

use nucleus_core::{CanonicalJson, Record};
use nucleus_engine::model::{Grant, Order, QueryFilters, Scope};

use super::operations::{append, empty, grant, put};
use super::ports::{compare_kinds, compare_pages, indexes};
use crate::Subject;
use crate::chain::{chain_of, record, redaction_of};
use crate::model::{Eyes, Model};
use crate::names::DECLARED;

/// Entries of the chain.
const LENGTH: usize = 500;

/// Who was granted how much: nothing, a few resources, many of several kinds, a whole kind, everything there is.
const FEW: &str = "oid:test:user:few";
const MANY: &str = "oid:test:user:many";
const WHOLE: &str = "oid:test:user:whole";
const GOVERNS: &str = "oid:test:user:governs";
const NOBODY: &str = "oid:test:user:nobody";

/// Streams of one kind, an id that is in use in all of them, and one that is in use behind them too.
const OF_ONE_KIND: [&str; 10] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "mass"];
const CROWDED: &str = "crowded";
const EVERYWHERE: &str = "everywhere";

/// Whichever way a storage takes to a page, by few grants or many, an index or the chain, it leads to the same entries.
pub fn pages(subject: &dyn Subject) {
    let storage = empty(subject);
    storage.upkeep().declare_indexes(&indexes()).unwrap();
    let mut model = Model::new(DECLARED);
    model.entries = chain_of((0..LENGTH).map(numbered));
    let erased = model.entries[10].clone();
    append(&storage, &model.entries);
    let redaction = crate::chain::next_entry(&model.entries, redaction_of(&erased, 5));
    model.entries.push(redaction);
    let written = Arc::clone(&storage).write(&mut |open| {
        open.with(|transaction| {
            transaction.erase(&erased)?;
            transaction.append(&model.entries[LENGTH..])
        })
    });
    written.unwrap();
    model.erase(erased.seq);
    model.grants = all_grants(&model);
    put(&storage, &model.grants);

    let kinds = model.kinds();
    let eyes = [FEW, MANY, WHOLE, GOVERNS, NOBODY].map(|principal| Eyes::of(principal, 1_000));
    let mut read = storage.read().unwrap();
    for filters in all_filters() {
        for eyes in eyes.iter().chain([&Eyes::Everything]) {
            compare_pages(&mut *read, &model, &kinds, &filters, eyes);
        }
    }
    for eyes in eyes.iter().chain([&Eyes::Everything]) {
        for id in [CROWDED, EVERYWHERE, "shared", "r-100"] {
            compare_kinds(&mut *read, &model, &kinds, eyes, id);
        }
    }
}

/// Records of some streams and of ids that come again, of which one id is in use everywhere.
fn numbered(number: usize) -> Record {
    if let Some(stream) = OF_ONE_KIND.get(number) {
        return record(stream, CROWDED, 1, "{}");
    }
    let behind = OF_ONE_KIND.iter().chain([&"notes"]).nth(number - OF_ONE_KIND.len());
    if let Some(stream) = behind {
        return record(stream, EVERYWHERE, 1, "{}");
    }
    let stream = ["notes", "books", "notes", "scrolls", "m0", "notes", "m1"][number % 7];
    let id = if number.is_multiple_of(11) { "shared".to_owned() } else { format!("r-{}", number % 400) };
    let payload = format!(r#"{{"k":{},"n":"{}"}}"#, number % 3, number % 5);
    record(stream, &id, (number % 50) as i64 + 1, &payload)
}

fn all_grants(model: &Model) -> Vec<Grant> {
    let mut grants = vec![
        grant("notes", "r-1", FEW, Scope::Read),
        grant("work", "r-8", FEW, Scope::Full),
        grant("mass", "shared", FEW, Scope::Read),
        grant("notes", "shared", FEW, Scope::Write),
        Grant { exp: Some(1_000), ..grant("notes", "r-2", FEW, Scope::Read) },
        grant("notes", "*", WHOLE, Scope::Read),
        grant("work", "r-3", WHOLE, Scope::Read),
        grant("notes", "*", GOVERNS, Scope::Full),
        grant("work", "*", GOVERNS, Scope::Full),
        grant("mass", "*", GOVERNS, Scope::Full),
    ];
    for entry in &model.entries[..LENGTH] {
        let kind = model.kind_of(&entry.record.stream).unwrap();
        if entry.seq % 2 == 0 {
            grants.push(grant(kind, &entry.record.id, MANY, Scope::Read));
        }
        // Of whom others know nothing.
        grants.push(grant(kind, &entry.record.id, &format!("oid:test:user:u{}", entry.seq % 40), Scope::Full));
    }
    grants.sort_by(|one, other| crate::model::words_of(one).cmp(&crate::model::words_of(other)));
    grants.dedup();
    grants
}

fn all_filters() -> Vec<QueryFilters> {
    let every = QueryFilters { limit: 120, ..QueryFilters::default() };
    let of = |stream: &str| QueryFilters { stream: Some(stream.to_owned()), ..every.clone() };
    let member = |name: &str, value: &str| vec![(name.to_owned(), CanonicalJson::from_text(value).unwrap())];
    let ways = [
        every.clone(),
        of("notes"),
        of("books"),
        of("redactions"),
        QueryFilters { id: Some("shared".to_owned()), ..every.clone() },
        QueryFilters { id: Some("shared".to_owned()), ..of("m0") },
        QueryFilters { payload: member("k", "1"), ..of("books") },
        QueryFilters { payload: member("n", "\"4\""), ..of("notes") },
        QueryFilters { payload: member("n", "\"4\""), ..every.clone() },
        QueryFilters { since: Some(10), until: Some(20), ..every.clone() },
        QueryFilters { offset: 90, limit: 1_000, ..every.clone() },
        QueryFilters { latest_only: true, ..every },
    ];
    let ordered = |filters: QueryFilters| {
        [Order::Ascending, Order::Descending].map(|order| QueryFilters {
            order,
            with_total: order == Order::Descending,
            ..filters.clone()
        })
    };
    ways.into_iter().flat_map(ordered).collect()
}
