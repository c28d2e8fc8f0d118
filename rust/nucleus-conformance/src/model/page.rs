//! Pages and values, said a second time: payloads are read by a JSON library, and everything is gone through.

use std::collections::BTreeSet;

use nucleus_core::ChainEntry;
use nucleus_engine::model::{Cursor, FieldValues, Order, PayloadTest, QueryFilters};
use serde_json::Value;

use super::{Eyes, Model};

/// What a page should be.
#[derive(Debug, PartialEq, Eq)]
pub struct NaivePage {
    /// Its entries.
    pub entries: Vec<ChainEntry>,
    /// Where the next one begins.
    pub next_cursor: Option<Cursor>,
    /// Number of all matching entries, whether it was asked for or not.
    pub total: u64,
}

/// A top-level member of a payload, where the payload is an object that has it.
pub fn member_of(entry: &ChainEntry, name: &str) -> Option<Value> {
    let payload: Value = serde_json::from_str(entry.record.payload.as_ref()?.as_str()).ok()?;
    payload.as_object()?.get(name).cloned()
}

impl Model {
    /// One page.
    pub fn page(&self, filters: &QueryFilters, eyes: &Eyes) -> NaivePage {
        let mut matching: Vec<&ChainEntry> =
            self.entries.iter().filter(|entry| self.matches(filters, entry) && self.sees(eyes, entry)).collect();
        let total = matching.len() as u64;
        if filters.order == Order::Descending {
            matching.reverse();
        }
        let behind = |entry: &ChainEntry| {
            filters.cursor.is_none_or(|cursor| match cursor.order {
                Order::Ascending => entry.seq as i64 > cursor.after_seq,
                Order::Descending => (entry.seq as i64) < cursor.after_seq,
            })
        };
        matching.retain(|entry| behind(entry));
        let rest: Vec<ChainEntry> = matching.into_iter().skip(filters.offset as usize).cloned().collect();
        let more = rest.len() > filters.limit;
        let entries: Vec<ChainEntry> = rest.into_iter().take(filters.limit).collect();
        let last = entries.last().filter(|_| more);
        let next_cursor = last.map(|last| Cursor { after_seq: last.seq as i64, order: filters.order });
        NaivePage { entries, next_cursor, total }
    }

    fn matches(&self, filters: &QueryFilters, entry: &ChainEntry) -> bool {
        let record = &entry.record;
        let superseded = || {
            let newer = &self.entries[entry.seq as usize + 1..];
            newer.iter().any(|newer| newer.record.id == record.id && newer.record.stream == record.stream)
        };
        filters.stream.as_ref().is_none_or(|stream| record.stream == *stream)
            && filters.id.as_ref().is_none_or(|id| record.id == *id)
            && filters.since.is_none_or(|since| record.timestamp >= since)
            && filters.until.is_none_or(|until| record.timestamp < until)
            && filters.payload.iter().all(|(name, wanted)| member_of(entry, name) == parsed(wanted.as_str()))
            && filters.tests.iter().all(|test| passes(test, entry))
            && !(filters.latest_only && superseded())
    }

    /// Distinct strings that a member is, in the order of their JSON texts.
    pub fn field_values(&self, query: &FieldValues<'_>, eyes: &Eyes) -> Vec<String> {
        let among = |entry: &&ChainEntry| {
            entry.record.stream == query.stream
                && query.payload.iter().all(|(name, wanted)| member_of(entry, name) == parsed(wanted.as_str()))
                && self.sees(eyes, entry)
        };
        let values = self.entries.iter().filter(among).filter_map(|entry| member_of(entry, query.field));
        let strings: BTreeSet<String> = values.filter(Value::is_string).map(|value| value.to_string()).collect();
        let after = query.after.map(|after| Value::from(after).to_string());
        let behind = strings.into_iter().filter(|text| after.as_ref().is_none_or(|after| text > after));
        behind.take(query.limit).filter_map(|text| parsed(&text)?.as_str().map(str::to_owned)).collect()
    }
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn passes(test: &PayloadTest, entry: &ChainEntry) -> bool {
    if entry.redacted() {
        return false;
    }
    match test {
        PayloadTest::Present => true,
        PayloadTest::OneOf { member, values, wanted } => {
            let is =
                member_of(entry, member).is_some_and(|is| values.iter().any(|value| parsed(value) == Some(is.clone())));
            is == *wanted
        }
        PayloadTest::AtMost { member, most, wanted } => {
            let number = member_of(entry, member).and_then(|value| value.as_i64());
            number.is_some_and(|number| number <= *most) == *wanted
        }
    }
}
