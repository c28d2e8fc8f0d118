//! Comparing the table of grants with what the chain implies.

use nucleus_core::error::shortened;
use nucleus_core::{CanonicalJson, ErrorKind, REDACTIONS_STREAM, Record, VerificationError};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::connect::Doing;
use super::grants::{self, read_grant};
use super::{Snapshot, SqliteStorage};
use crate::access::{Grant, Kinds, PassKeys, Recomputed, Resource, WHOLE_KIND};
use crate::error::Result;
use crate::storage::Progress;

/// Entries between two calls of the progress callback.
const PROGRESS_ENTRIES: u64 = 16_384;

impl SqliteStorage {
    /// See [`crate::storage::StorageBackend::verify_grants`].
    pub(super) fn compare_grants(&self, now_s: i64, progress: Progress<'_>) -> Result<Vec<VerificationError>> {
        let connection = self.reader()?;
        // One state for the entries and the table: a grant made meanwhile would be in one of them only.
        let snapshot = Snapshot::begin(&connection)?;
        let Some(state) = grants::projection(&connection)? else {
            return Ok(Vec::new());
        };
        let mut faults = Vec::new();
        let Ok(kinds) = Kinds::from_text(&state.kinds) else {
            let actual = "table acl_projection does not hold resource kinds".to_owned();
            return Ok(vec![fault(None, None, None, Some(actual))]);
        };
        let length = super::committed_below(&connection)? as u64;
        if state.covered_below > length {
            let expected = Some(format!("grants of at most {length} entries"));
            faults.push(fault(None, None, expected, Some(format!("grants of {}", state.covered_below))));
        }
        let covered_below = state.covered_below.min(length);
        let keys = PassKeys::new(covered_below);
        let redacted_since = redacted_since(&connection, &kinds, covered_below)?;
        for pass in 0..keys.passes() {
            let mut recomputed = Recomputed::new(&kinds, &keys, pass);
            for resource in &redacted_since {
                recomputed.leave_out(resource);
            }
            recompute(&connection, &mut recomputed, covered_below, progress)?;
            recomputed.expect(now_s);
            let mut whole_table = WholeTable::default();
            let unreadable = each_grant(&connection, now_s, &mut |grant| {
                whole_table.add(&keys, &grant);
                recomputed.stored(&grant);
            })?;
            if unreadable > 0 && pass == 0 {
                let actual = format!("{unreadable} rows of acl_grants are none that any version of this library wrote");
                faults.push(fault(None, None, None, Some(actual)));
            } else if pass == 0 {
                whole_table.compare_indexes(&connection, &keys, now_s, &mut faults)?;
            }
            if !recomputed.agrees() {
                locate(&connection, &mut recomputed, now_s, &mut faults)?;
            }
        }
        snapshot.end()?;
        Ok(faults)
    }
}

/// The resources of which an entry was erased by somebody who does not keep the grants: what the table says of them was
/// implied by a payload that is gone, and is made out anew by the next one who keeps them.
fn redacted_since(connection: &Connection, kinds: &Kinds, covered_below: u64) -> Result<Vec<Resource>> {
    let doing = "reading what was redacted since the grants were kept";
    let sql = format!(
        "SELECT about.stream, about.record_id FROM entries JOIN entries about \
         ON about.seq = entries.payload ->> '$.seq' AND about.payload IS NULL \
         WHERE entries.seq >= ?1 AND entries.stream = '{REDACTIONS_STREAM}'"
    );
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query([covered_below as i64]).doing(doing)?;
    let mut resources = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let (stream, id): (String, String) = (row.get(0).doing(doing)?, row.get(1).doing(doing)?);
        // Elsewhere no payload implies anything.
        if !kinds.roles_of(&stream).is_empty() {
            resources.extend(kinds.kind_of(&stream).map(|kind| Resource { kind: kind.to_owned(), id }));
        }
    }
    Ok(resources)
}

/// Reads the chain, as far as it bears on grants.
fn recompute(
    connection: &Connection,
    recomputed: &mut Recomputed<'_>,
    covered_below: u64,
    progress: Progress<'_>,
) -> Result<()> {
    let doing = "reading entries to compare the grants with";
    let sql = "SELECT seq, record_id, stream, timestamp, payload, meta FROM entries NOT INDEXED \
               WHERE seq < ?1 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let mut rows = statement.query([covered_below as i64]).doing(doing)?;
    let mut done = 0;
    while let Some(row) = rows.next().doing(doing)? {
        // What is not of its column's type is reported by the verification of the chain.
        let text = |index: usize| row.get_ref(index).ok().and_then(|value| value.as_str().ok());
        let integer = |index: usize| match row.get_ref(index) {
            Ok(ValueRef::Integer(value)) => Some(value),
            _ => None,
        };
        if let (Some(seq), Some(id), Some(stream), Some(timestamp)) = (integer(0), text(1), text(2), integer(3)) {
            let payload = text(4).filter(|_| recomputed.reads_payload(stream));
            let record = Record {
                id: id.to_owned(),
                stream: stream.to_owned(),
                timestamp,
                payload: payload.map(CanonicalJson::from_canonical),
                meta: text(5).map(CanonicalJson::from_canonical),
            };
            recomputed.push(seq as u64, &record);
        }
        done += 1;
        if done % PROGRESS_ENTRIES == 0 {
            progress(done.min(covered_below), covered_below)?;
        }
    }
    Ok(())
}

/// What the indexes of the table have to hold: pages are cut by them.
#[derive(Default)]
struct WholeTable {
    by_principal: u64,
    of_whole_kinds: u64,
}

impl WholeTable {
    fn add(&mut self, keys: &PassKeys, grant: &Grant) {
        let Grant { resource, principal_oid, scope, exp, .. } = grant;
        let digest = keys.index_digest(principal_oid, scope.name(), &resource.kind, &resource.id, *exp);
        self.by_principal = self.by_principal.wrapping_add(digest);
        if resource.id == WHOLE_KIND {
            self.of_whole_kinds = self.of_whole_kinds.wrapping_add(digest);
        }
    }

    fn compare_indexes(
        &self,
        connection: &Connection,
        keys: &PassKeys,
        now_s: i64,
        faults: &mut Vec<VerificationError>,
    ) -> Result<()> {
        let doing = "reading the indexes of the grants";
        let indexes = [
            ("acl_grants_principal", "principal_oid >= ''", self.by_principal),
            ("acl_grants_whole_kind", "resource_id = '*'", self.of_whole_kinds),
        ];
        for (index, rows, expected) in indexes {
            let sql = format!(
                "SELECT principal_oid, scope, resource_kind, resource_id, exp FROM acl_grants INDEXED BY {index} \
                 WHERE {rows} AND (exp IS NULL OR exp > ?1)"
            );
            let mut statement = connection.prepare_cached(&sql).doing(doing)?;
            let mut rows = statement.query([now_s]).doing(doing)?;
            let mut found: u64 = 0;
            while let Some(row) = rows.next().doing(doing)? {
                let text = |index: usize| {
                    let value = row.get_ref(index).doing(doing)?;
                    value.as_str().map_err(rusqlite::Error::from).doing(doing)
                };
                let exp = row.get(4).doing(doing)?;
                found = found.wrapping_add(keys.index_digest(text(0)?, text(1)?, text(2)?, text(3)?, exp));
            }
            if found != expected {
                let actual = format!("index {index} does not hold what table acl_grants holds");
                let kind = ErrorKind::IndexMismatch;
                let actual = Some(actual);
                faults.push(VerificationError { kind, seq: None, record_id: None, expected: None, actual });
            }
        }
        Ok(())
    }
}

/// Reads the stored grants that count.
fn each_grant(connection: &Connection, now_s: i64, take: &mut dyn FnMut(Grant)) -> Result<u64> {
    let doing = "reading grants for verification";
    let sql = format!("SELECT {} FROM acl_grants WHERE exp IS NULL OR exp > ?1", grants::COLUMNS);
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query([now_s]).doing(doing)?;
    let mut unreadable = 0;
    while let Some(row) = rows.next().doing(doing)? {
        match read_grant(row) {
            Ok(grant) => take(grant),
            Err(_) => unreadable += 1,
        }
    }
    Ok(unreadable)
}

/// Names what disagrees.
fn locate(
    connection: &Connection,
    recomputed: &mut Recomputed<'_>,
    now_s: i64,
    faults: &mut Vec<VerificationError>,
) -> Result<()> {
    each_grant(connection, now_s, &mut |grant| {
        if !recomputed.take_implied(&grant) {
            let Grant { resource, principal_oid, scope, source, seq, .. } = &grant;
            let what = format!("`{}` of {} on {resource} ({})", scope.name(), shortened(principal_oid), source.name());
            faults.push(fault(
                Some(*seq as i64),
                Some(&resource.id),
                None,
                Some(format!("the chain does not imply {what}")),
            ));
        }
    })?;
    for seq in recomputed.left_over(now_s) {
        let expected = "a grant that this entry implies".to_owned();
        let actual = "it is missing or was altered".to_owned();
        faults.push(fault(Some(seq as i64), None, Some(expected), Some(actual)));
    }
    Ok(())
}

fn fault(
    seq: Option<i64>,
    record_id: Option<&str>,
    expected: Option<String>,
    actual: Option<String>,
) -> VerificationError {
    VerificationError { kind: ErrorKind::GrantMismatch, seq, record_id: record_id.map(str::to_owned), expected, actual }
}
