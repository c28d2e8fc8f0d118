//! Where a look-up index disagrees with the entries: the slow, second look, taken only when the sums differ.

use nucleus_core::Hash;
use nucleus_core::{ErrorKind, VerificationError, VerificationReport};
use nucleus_engine::model::Result;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::connect::Doing;
use crate::lookup::runs::{Key, RUN_ENTRIES, prefix_of, record_id_prefix};

/// Reports each row of one side that the other lacks, for both indexes.
pub(crate) fn locate(connection: &Connection, report: &mut VerificationReport) -> Result<()> {
    let indexed_below = intended_extent(connection)?;
    let before: u64 = report.counts.values().sum();
    for key in [Key::Hash, Key::RecordId] {
        surplus_rows(connection, key, indexed_below, report)?;
        missing_rows(connection, key, indexed_below, report)?;
    }
    if report.counts.values().sum::<u64>() == before {
        report.add(VerificationError {
            kind: ErrorKind::IndexMismatch,
            seq: None,
            record_id: None,
            expected: Some("look-up indexes that agree with the entries".to_owned()),
            actual: Some("rows that no look-up finds".to_owned()),
        });
    }
    Ok(())
}

/// Up to where the index tables were filled, by their last row and not by their first, which may be what is missing.
fn intended_extent(connection: &Connection) -> Result<i64> {
    let doing = "reading the extent of the look-up indexes";
    let last = |table: &str| {
        let sql = format!("SELECT max(seq) FROM {table} WHERE typeof(seq) = 'integer'");
        connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0)).doing(doing)
    };
    let length = last("entries")?.map_or(0, |seq| seq.saturating_add(1));
    let indexed = last("hash_index")?.max(last("id_index")?);
    let runs_below = indexed.unwrap_or(-1).clamp(-1, length.saturating_sub(1)) / RUN_ENTRIES * RUN_ENTRIES;
    Ok(if indexed.is_some() { (runs_below + RUN_ENTRIES).min(length - length % RUN_ENTRIES) } else { 0 })
}

fn surplus_rows(connection: &Connection, key: Key, indexed_below: i64, report: &mut VerificationReport) -> Result<()> {
    let doing = "comparing a look-up index with the entries";
    let mut index = connection.prepare(&format!("SELECT prefix, seq FROM {}", key.table())).doing(doing)?;
    let mut entry = connection.prepare("SELECT hash, record_id FROM entries WHERE seq = ?1").doing(doing)?;
    let mut rows = index.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let (ValueRef::Integer(prefix), ValueRef::Integer(seq)) =
            (row.get_ref(0).doing(doing)?, row.get_ref(1).doing(doing)?)
        else {
            report.add(fault(key, row.get(1).ok(), None, "a row that does not hold two integers"));
            continue;
        };
        let mut found = entry.query([seq]).doing(doing)?;
        let expected = match found.next().doing(doing)? {
            Some(entry) if seq < indexed_below => entry_prefix(entry, key),
            _ => None,
        };
        if expected != Some(prefix) {
            report.add(fault(key, Some(seq), None, &format!("a row with prefix {prefix} that no entry accounts for")));
        }
    }
    Ok(())
}

fn missing_rows(connection: &Connection, key: Key, indexed_below: i64, report: &mut VerificationReport) -> Result<()> {
    let doing = "comparing the entries with a look-up index";
    let sql = "SELECT hash, record_id, seq FROM entries NOT INDEXED WHERE seq < ?1 ORDER BY seq";
    let mut entries = connection.prepare(sql).doing(doing)?;
    let sql = format!("SELECT 1 FROM {} WHERE prefix = ?1 AND seq = ?2", key.table());
    let mut index = connection.prepare(&sql).doing(doing)?;
    let mut rows = entries.query([indexed_below]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let seq: i64 = row.get(2).doing(doing)?;
        // An entry that cannot be read is reported as such by the chain scan.
        let Some(prefix) = entry_prefix(row, key) else {
            continue;
        };
        if !index.exists((prefix, seq)).doing(doing)? {
            let record_id = row.get(1).ok();
            report.add(fault(key, Some(seq), record_id, "no row for this entry"));
        }
    }
    Ok(())
}

fn entry_prefix(row: &Row<'_>, key: Key) -> Option<i64> {
    match key {
        Key::Hash => row.get(0).ok().map(|hash| prefix_of(&Hash(hash))),
        Key::RecordId => row.get_ref(1).ok()?.as_str().ok().map(record_id_prefix),
    }
}

fn fault(key: Key, seq: Option<i64>, record_id: Option<String>, what: &str) -> VerificationError {
    VerificationError {
        kind: ErrorKind::IndexMismatch,
        seq,
        record_id,
        expected: Some(format!("one row of {} for each indexed entry", key.table())),
        actual: Some(what.to_owned()),
    }
}
