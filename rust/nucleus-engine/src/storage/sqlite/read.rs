//! Reads: by hash, ranges and figures.

use std::sync::atomic::Ordering;

use nucleus_core::{ChainEntry, ErrorKind, Hash};
use rusqlite::{Connection, Row};

use super::connect::Doing;
use super::rows::{COLUMNS, bad_entry, check_follows, check_neighbours, read_entry, read_head, refuse_gap};
use super::{SqliteStorage, committed_below};
use crate::error::Result;
use crate::storage::Stats;

/// A range ends early where its records would fill the memory.
const MOST_RANGE_BYTES: usize = 64 * 1024 * 1024;

impl SqliteStorage {
    /// The entry among `seqs` that really has this hash.
    pub(super) fn confirm_hash(
        &self,
        connection: &Connection,
        seqs: &[i64],
        hash: &Hash,
    ) -> Result<Option<ChainEntry>> {
        for seq in seqs {
            let found = self.entry_where(connection, *seq, |row| {
                let stored = row.get_ref(2).doing("reading an entry")?.as_blob().unwrap_or_default();
                if stored == hash.0 {
                    return Ok(true);
                }
                // The look-up knows an entry here whose hash begins like this one: it had another hash before.
                match <[u8; 32]>::try_from(stored) {
                    Ok(stored) if Hash(stored).prefix() == hash.prefix() => Ok(false),
                    _ => Err(bad_entry(ErrorKind::HashMismatch, *seq, None)),
                }
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The entry at a seq, where its row is the one that is wanted, and linked to its neighbours.
    pub(super) fn entry_where(
        &self,
        connection: &Connection,
        seq: i64,
        wanted: impl FnOnce(&Row<'_>) -> Result<bool>,
    ) -> Result<Option<ChainEntry>> {
        let doing = "reading an entry";
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq = ?1");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query([seq]).doing(doing)?;
        let Some(row) = rows.next().doing(doing)? else {
            return refuse_gap(connection, seq).map(|()| None);
        };
        if !wanted(row)? {
            return Ok(None);
        }
        let entry = read_entry(row, &self.ledger_hash)?;
        drop(rows);
        check_neighbours(connection, &entry)?;
        Ok(Some(entry))
    }

    pub(super) fn read_range(&self, connection: &Connection, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        let Ok(first_seq) = i64::try_from(first_seq) else {
            return Ok(Vec::new());
        };
        let doing = "reading entries";
        let length = committed_below(connection)?;
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq >= ?1 ORDER BY seq LIMIT ?2");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query((first_seq, limit as i64)).doing(doing)?;
        let (mut entries, mut bytes): (Vec<ChainEntry>, usize) = (Vec::new(), 0);
        while bytes < MOST_RANGE_BYTES
            && let Some(row) = rows.next().doing(doing)?
        {
            let entry = read_entry(row, &self.ledger_hash)?;
            if let Some(last) = entries.last() {
                check_follows(last, &entry)?;
            } else if entry.seq as i64 != first_seq {
                refuse_gap(connection, first_seq)?;
            }
            bytes += entry.record.content_bytes();
            entries.push(entry);
        }
        let next = entries.last().map_or(first_seq, |last| last.seq as i64 + 1);
        if bytes < MOST_RANGE_BYTES && entries.len() < limit && next < length {
            refuse_gap(connection, next)?;
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
            scrub_pending: self.scrub_pending.load(Ordering::Relaxed),
        })
    }
}
