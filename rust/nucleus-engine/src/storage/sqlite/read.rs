//! Reads: by hash, by id, ranges, queries and figures.

use nucleus_core::canonical::write_string;
use nucleus_core::hash::record_id_prefix;
use nucleus_core::{ChainEntry, Hash};
use rusqlite::types::Value;
use rusqlite::{Connection, ToSql, params_from_iter};

use super::SqliteStorage;
use super::connect::Doing;
use super::lookup::Key;
use super::rows::{COLUMNS, read_entries, read_entry, read_head};
use crate::error::Result;
use crate::query::{Cursor, Order, QueryFilters, QueryPage};
use crate::storage::Stats;

/// A range ends early where its records would fill the memory.
const MOST_RANGE_BYTES: usize = 64 * 1024 * 1024;

const ENTRY_BY_HASH: &str = "SELECT seq, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, \
                             payload_hash, meta FROM entries WHERE seq = ?1 AND hash = ?2";
const ENTRY_BY_ID: &str = "SELECT seq, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, \
                           payload_hash, meta FROM entries WHERE seq = ?1 AND record_id = ?2";

impl SqliteStorage {
    /// The entry among `seqs` that really has this hash.
    pub(super) fn confirm_hash(
        &self,
        connection: &Connection,
        seqs: &[i64],
        hash: &Hash,
    ) -> Result<Option<ChainEntry>> {
        for seq in seqs {
            let found = self.entry_where(connection, ENTRY_BY_HASH, *seq, hash.0.as_slice())?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The newest committed entry with this id.
    pub(super) fn find_latest_by_id(
        &self,
        connection: &Connection,
        id: &str,
        committed_below: i64,
    ) -> Result<Option<ChainEntry>> {
        let seqs = self.lookup.candidates(connection, Key::RecordId, record_id_prefix(id), committed_below)?;
        for seq in seqs.into_iter().rev() {
            let found = self.entry_where(connection, ENTRY_BY_ID, seq, id)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn entry_where(
        &self,
        connection: &Connection,
        sql: &str,
        seq: i64,
        value: impl ToSql,
    ) -> Result<Option<ChainEntry>> {
        let mut statement = connection.prepare_cached(sql).doing("reading an entry")?;
        Ok(read_entries(&mut statement, (seq, value), &self.ledger_hash)?.into_iter().next())
    }

    pub(super) fn read_range(&self, connection: &Connection, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        let Ok(first_seq) = i64::try_from(first_seq) else {
            return Ok(Vec::new());
        };
        let doing = "reading entries";
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq >= ?1 ORDER BY seq LIMIT ?2");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query((first_seq, limit as i64)).doing(doing)?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while bytes < MOST_RANGE_BYTES
            && let Some(row) = rows.next().doing(doing)?
        {
            let entry = read_entry(row, &self.ledger_hash)?;
            bytes += entry.record.content_bytes();
            entries.push(entry);
        }
        Ok(entries)
    }

    pub(super) fn read_page(&self, connection: &Connection, filters: &QueryFilters) -> Result<QueryPage> {
        let mut condition = Condition::of(filters);
        if let Some(id) = &filters.id {
            let length = read_head(connection)?.map_or(0, |head| head.seq as i64 + 1);
            let seqs = self.lookup.candidates(connection, Key::RecordId, record_id_prefix(id), length)?;
            condition.with_candidates(&seqs);
        }
        let total = if filters.with_total { Some(count(connection, &condition)?) } else { None };
        condition.after(filters.cursor);
        let order = match filters.order {
            Order::Ascending => "ASC",
            Order::Descending => "DESC",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM entries WHERE {} ORDER BY seq {order} LIMIT {} OFFSET {}",
            condition.sql(),
            filters.limit + 1,
            filters.offset
        );
        let mut statement = connection.prepare(&sql).doing("querying entries")?;
        let mut entries = read_entries(&mut statement, params_from_iter(&condition.values), &self.ledger_hash)?;
        let has_more = entries.len() > filters.limit;
        entries.truncate(filters.limit);
        let next_cursor =
            entries.last().filter(|_| has_more).map(|last| Cursor { after_seq: last.seq as i64, order: filters.order });
        Ok(QueryPage { entries, next_cursor, total })
    }

    pub(super) fn read_stats(&self, connection: &Connection) -> Result<Stats> {
        let doing = "counting entries";
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).doing(doing);
        let head = read_head(connection)?;
        let mut statement =
            connection.prepare("SELECT stream, count(*) FROM entries GROUP BY stream ORDER BY stream").doing(doing)?;
        let streams = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
            .and_then(Iterator::collect)
            .doing(doing)?;
        let pages = number("SELECT page_count FROM pragma_page_count")?.unwrap_or_default();
        Ok(Stats {
            entries: head.map_or(0, |head| head.seq + 1),
            head,
            streams,
            redacted: number("SELECT count(*) FROM entries WHERE payload IS NULL")?.unwrap_or_default() as u64,
            first_timestamp: number("SELECT min(timestamp) FROM entries")?,
            last_timestamp: number("SELECT max(timestamp) FROM entries")?,
            created_at: self.info.created_at,
            database_bytes: pages as u64 * self.page_bytes,
            wal_bytes: self.wal_bytes(),
        })
    }
}

/// The WHERE clause of a query, with its parameters in order.
struct Condition {
    terms: Vec<String>,
    values: Vec<Value>,
}

impl Condition {
    fn of(filters: &QueryFilters) -> Self {
        let mut condition = Self { terms: Vec::new(), values: Vec::new() };
        if let Some(stream) = &filters.stream {
            condition.add("stream = ?", Value::Text(stream.clone()));
        }
        if let Some(id) = &filters.id {
            condition.add("record_id = ?", Value::Text(id.clone()));
        }
        if let Some(since) = filters.since {
            condition.add("timestamp >= ?", Value::Integer(since));
        }
        if let Some(until) = filters.until {
            condition.add("timestamp < ?", Value::Integer(until));
        }
        for (field, value) in &filters.payload {
            let mut path = String::from("$.");
            write_string(&mut path, field);
            // `->` answers the member's own canonical text, so that `true` is not `1`, nor `"1"`.
            condition.terms.push("payload -> ? = ?".to_owned());
            condition.values.extend([Value::Text(path), Value::Text(value.as_str().to_owned())]);
        }
        condition
    }

    fn add(&mut self, term: &str, value: Value) {
        self.terms.push(term.to_owned());
        self.values.push(value);
    }

    fn with_candidates(&mut self, seqs: &[i64]) {
        let list: Vec<String> = seqs.iter().map(ToString::to_string).collect();
        self.add("seq IN (SELECT value FROM json_each(?))", Value::Text(format!("[{}]", list.join(","))));
    }

    fn after(&mut self, cursor: Option<Cursor>) {
        match cursor {
            Some(Cursor { after_seq, order: Order::Ascending }) => self.add("seq > ?", Value::Integer(after_seq)),
            Some(Cursor { after_seq, order: Order::Descending }) => self.add("seq < ?", Value::Integer(after_seq)),
            None => {}
        }
    }

    fn sql(&self) -> String {
        if self.terms.is_empty() { "true".to_owned() } else { self.terms.join(" AND ") }
    }
}

fn count(connection: &Connection, condition: &Condition) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM entries WHERE {}", condition.sql());
    let total: i64 = connection
        .query_row(&sql, params_from_iter(&condition.values), |row| row.get(0))
        .doing("counting matching entries")?;
    Ok(total as u64)
}
