//! Reads: by hash, ranges and figures.

use nucleus_core::{ChainEntry, Hash};
use rusqlite::{Connection, ToSql};

use super::SqliteStorage;
use super::connect::Doing;
use super::rows::{COLUMNS, read_entries, read_entry, read_head};
use crate::error::Result;
use crate::storage::Stats;

/// A range ends early where its records would fill the memory.
const MOST_RANGE_BYTES: usize = 64 * 1024 * 1024;

const ENTRY_BY_HASH: &str = "SELECT seq, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, \
                             payload_hash, meta FROM entries WHERE seq = ?1 AND hash = ?2";

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
