//! Rows of `entries`, read without trusting their types.

use nucleus_core::canonical::is_nested_too_deep;
use nucleus_core::entry::Head;
use nucleus_core::hash::payload_hash;
use nucleus_core::verify::Row as VerifyRow;
use nucleus_core::{CanonicalJson, ChainEntry, ErrorKind, Hash, Record, VerificationError, VerificationReport};
use nucleus_engine::model::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::connect::Doing;

/// The columns of an entry, in the order that the functions of this module expect.
pub(crate) const COLUMNS: &str =
    "seq, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, payload_hash, meta";

/// The parts of an entry as they are stored, or why a column is not of its type.
pub(crate) fn verify_row<'a>(row: &'a Row<'_>) -> rusqlite::Result<std::result::Result<VerifyRow<'a>, &'static str>> {
    let cell = |index: usize| row.get_ref(index);
    let parts = Parts {
        seq: cell(0)?,
        format: cell(1)?,
        hash: cell(2)?,
        prev_hash: cell(3)?,
        record_id: cell(4)?,
        stream: cell(5)?,
        timestamp: cell(6)?,
        payload: cell(7)?,
        salt: cell(8)?,
        payload_hash: cell(9)?,
        meta: cell(10)?,
    };
    Ok(parts.typed())
}

struct Parts<'a> {
    seq: ValueRef<'a>,
    format: ValueRef<'a>,
    hash: ValueRef<'a>,
    prev_hash: ValueRef<'a>,
    record_id: ValueRef<'a>,
    stream: ValueRef<'a>,
    timestamp: ValueRef<'a>,
    payload: ValueRef<'a>,
    salt: ValueRef<'a>,
    payload_hash: ValueRef<'a>,
    meta: ValueRef<'a>,
}

impl<'a> Parts<'a> {
    fn typed(&self) -> std::result::Result<VerifyRow<'a>, &'static str> {
        Ok(VerifyRow {
            seq: integer(self.seq).ok_or("seq is not an integer")?,
            format: integer(self.format).ok_or("format is not an integer")?,
            hash: blob(self.hash).ok_or("hash is not a blob")?,
            prev_hash: optional(self.prev_hash, blob).ok_or("prev_hash is not a blob")?,
            record_id: text(self.record_id).ok_or("record_id is not UTF-8 text")?,
            stream: text(self.stream).ok_or("stream is not UTF-8 text")?,
            timestamp: integer(self.timestamp).ok_or("timestamp is not an integer")?,
            payload: optional(self.payload, text).ok_or("payload is not UTF-8 text")?,
            salt: optional(self.salt, blob).ok_or("salt is not a blob")?,
            payload_hash: optional(self.payload_hash, blob).ok_or("payload_hash is not a blob")?,
            meta: optional(self.meta, text).ok_or("meta is not UTF-8 text")?,
        })
    }
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    if let ValueRef::Integer(value) = value { Some(value) } else { None }
}

fn blob(value: ValueRef<'_>) -> Option<&[u8]> {
    if let ValueRef::Blob(value) = value { Some(value) } else { None }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    if let ValueRef::Text(value) = value { std::str::from_utf8(value).ok() } else { None }
}

/// The inner None: NULL; the outer: of another type.
fn optional<'a, T>(value: ValueRef<'a>, read: fn(ValueRef<'a>) -> Option<T>) -> Option<Option<T>> {
    if value == ValueRef::Null { Some(None) } else { read(value).map(Some) }
}

/// Reads an entry and recomputes its hash: what was edited after the ledger was opened is not handed out.
pub(crate) fn read_entry(row: &Row<'_>, ledger_hash: &Hash) -> Result<ChainEntry> {
    let parts = verify_row(row).doing("reading an entry")?;
    let seq = parts.as_ref().map_or(-1, |parts| parts.seq);
    let entry = parts.ok().and_then(|parts| build(&parts));
    match entry {
        Some(entry) if entry.adds_up(ledger_hash) => Ok(entry),
        Some(entry) => Err(bad_entry(ErrorKind::HashMismatch, seq, Some(entry.record.id))),
        None => Err(bad_entry(ErrorKind::MalformedEntry, seq, None)),
    }
}

fn build(row: &VerifyRow<'_>) -> Option<ChainEntry> {
    let hash = |bytes: &[u8]| bytes.try_into().ok().map(Hash);
    // Readers recurse into what they read.
    if [row.payload, row.meta].into_iter().flatten().any(is_nested_too_deep) {
        return None;
    }
    let salt = match row.salt {
        Some(salt) => Some(salt.try_into().ok()?),
        None => None,
    };
    let payload_hash = match (row.payload, &salt, row.payload_hash) {
        (Some(payload), Some(salt), None) => payload_hash(salt, payload),
        (None, None, Some(stored)) => hash(stored)?,
        _ => return None,
    };
    Some(ChainEntry {
        seq: u64::try_from(row.seq).ok()?,
        format: u32::try_from(row.format).ok()?,
        hash: hash(row.hash)?,
        prev_hash: match row.prev_hash {
            Some(bytes) => Some(hash(bytes)?),
            None => None,
        },
        salt,
        payload_hash,
        record: Record {
            id: row.record_id.to_owned(),
            stream: row.stream.to_owned(),
            timestamp: row.timestamp,
            payload: row.payload.map(CanonicalJson::from_canonical),
            meta: row.meta.map(CanonicalJson::from_canonical),
        },
    })
}

/// The refusal of an answer for which an entry is needed that is not found: seqs have no gaps, so that below the head there is
/// one. Nothing where the connection does not see that far.
pub(crate) fn refuse_gap(connection: &Connection, seq: i64) -> Result<()> {
    if seq >= committed_below(connection)? {
        return Ok(());
    }
    Err(Error::integrity("an entry is missing from the ledger's file; verify it and restore a backup", gap_at(seq)))
}

/// Checks that an entry is the one behind another.
pub(crate) fn check_follows(last: &ChainEntry, next: &ChainEntry) -> Result<()> {
    let seq = next.seq as i64;
    if next.seq != last.seq + 1 {
        return Err(bad_entry(ErrorKind::SequenceGap, seq, Some(next.record.id.clone())));
    }
    if next.prev_hash == Some(last.hash) {
        return Ok(());
    }
    Err(bad_entry(ErrorKind::ChainLinkBroken, seq, Some(next.record.id.clone())))
}

fn gap_at(seq: i64) -> VerificationReport {
    let mut report = VerificationReport::default();
    report.add(VerificationError {
        kind: ErrorKind::SequenceGap,
        seq: Some(seq),
        record_id: None,
        expected: Some(format!("seq {seq}")),
        actual: Some("no entry that a search finds".to_owned()),
    });
    report
}

/// Checks that an entry is linked to those before and behind it: one that was rewritten, with a hash that fits, is not.
pub(crate) fn check_neighbours(connection: &Connection, entry: &ChainEntry) -> Result<()> {
    let doing = "reading the neighbours of an entry";
    let sql =
        "SELECT (SELECT hash FROM entries WHERE seq = ?1 - 1), (SELECT prev_hash FROM entries WHERE seq = ?1 + 1)";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let seq = entry.seq as i64;
    let (before, behind) = statement.query_row([seq], |row| Ok((hash_in(row, 0), hash_in(row, 1)))).doing(doing)?;
    if behind.is_none() {
        refuse_gap(connection, seq + 1)?;
    }
    if before == entry.prev_hash && behind.is_none_or(|behind| behind == entry.hash) {
        return Ok(());
    }
    Err(bad_entry(ErrorKind::ChainLinkBroken, seq, Some(entry.record.id.clone())))
}

pub(crate) fn bad_entry(kind: ErrorKind, seq: i64, record_id: Option<String>) -> Error {
    let mut report = VerificationReport::default();
    report.add(VerificationError { kind, seq: Some(seq), record_id, expected: None, actual: None });
    Error::integrity("an entry was altered after it was written", report)
}

/// Number of committed entries that a read sees.
pub(crate) fn committed_below(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached("SELECT max(seq) FROM entries").doing("reading the head")?;
    let last: Option<i64> = statement.query_row([], |row| row.get(0)).doing("reading the head")?;
    Ok(last.map_or(0, |seq| seq.saturating_add(1)))
}

/// Where the chain ends.
pub(crate) fn read_head(connection: &Connection) -> Result<Option<Head>> {
    let doing = "reading the head";
    let mut statement =
        connection.prepare_cached("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let Some(row) = rows.next().doing(doing)? else { return Ok(None) };
    let seq: i64 = row.get(0).doing(doing)?;
    match (u64::try_from(seq), hash_in(row, 1)) {
        (Ok(seq), Some(hash)) => Ok(Some(Head { seq, hash })),
        _ => Err(bad_entry(ErrorKind::MalformedEntry, seq, None)),
    }
}

/// The hash stored at one seq; None where there is no entry, or no hash in it.
pub(crate) fn hash_at(connection: &Connection, seq: u64) -> Result<Option<Hash>> {
    let doing = "reading a hash";
    let mut statement = connection.prepare_cached("SELECT hash FROM entries WHERE seq = ?1").doing(doing)?;
    let mut rows = statement.query([seq as i64]).doing(doing)?;
    Ok(rows.next().doing(doing)?.and_then(|row| hash_in(row, 0)))
}

fn hash_in(row: &Row<'_>, index: usize) -> Option<Hash> {
    blob(row.get_ref(index).ok()?)?.try_into().ok().map(Hash)
}
