//! Comparing the table of grants with what the chain implies.

use nucleus_core::error::shortened;
use nucleus_core::{ACL_GRANTS_STREAM, CanonicalJson, ErrorKind, REDACTIONS_STREAM, Record, VerificationError};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::connect::Doing;
use super::grants::{self, read_grant};
use super::{Snapshot, SqliteStorage};
use crate::access::{Governed, Grant, Kinds, PassKeys, Recomputed, Resource, WHOLE_KIND, passes};
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
        let chain = Chain {
            connection: &connection,
            kinds: &kinds,
            covered_below: state.covered_below.min(length),
            keys: PassKeys::default(),
            now_s,
        };
        chain.compare(&mut faults, progress)?;
        snapshot.end()?;
        Ok(faults)
    }
}

/// The chain as far as the table covers it, in one snapshot.
struct Chain<'a> {
    connection: &'a Connection,
    kinds: &'a Kinds,
    covered_below: u64,
    keys: PassKeys,
    now_s: i64,
}

impl Chain<'_> {
    fn compare(&self, faults: &mut Vec<VerificationError>, progress: Progress<'_>) -> Result<()> {
        let governed = self.governed()?;
        let left_out = redacted_since(self.connection, self.kinds, self.covered_below)?;
        let passes_by_sum = governed.passes(self.covered_below, self.entries_with_roles()?);
        for pass in 0..passes_by_sum {
            let mut table = WholeTable::default();
            let also = &mut |grant: &Grant| table.add(&self.keys, grant);
            let (recomputed, unreadable) =
                self.recompute((pass, passes_by_sum), Some(&governed), &left_out, also, progress)?;
            if pass == 0 {
                self.compare_indexes(&table, unreadable, faults)?;
            }
            if !recomputed.agrees() {
                return self.locate(&left_out, faults, progress);
            }
        }
        Ok(())
    }

    /// Names what disagrees.
    fn locate(&self, left_out: &[Resource], faults: &mut Vec<VerificationError>, progress: Progress<'_>) -> Result<()> {
        let passes = passes(self.covered_below);
        for pass in 0..passes {
            let (mut recomputed, _) = self.recompute((pass, passes), None, left_out, &mut |_| {}, progress)?;
            if !recomputed.agrees() {
                locate(self.connection, &mut recomputed, self.now_s, faults)?;
            }
        }
        Ok(())
    }

    /// The sums of one pass over the chain and the table, of which every row is shown to `also`, and the number of rows that
    /// cannot be read.
    fn recompute<'b>(
        &'b self,
        pass: (u64, u64),
        governed: Option<&'b Governed>,
        left_out: &[Resource],
        also: &mut dyn FnMut(&Grant),
        progress: Progress<'_>,
    ) -> Result<(Recomputed<'b>, u64)> {
        let mut recomputed = Recomputed::new(self.kinds, &self.keys, pass, governed);
        for resource in left_out {
            recomputed.leave_out(resource);
        }
        recompute(self.connection, &mut recomputed, self.covered_below, progress)?;
        recomputed.sum_up(self.now_s);
        let first = pass.0 == 0;
        let share = recomputed.share();
        let wanted = |kind: &str, id: &str| first || share.holds(&self.keys, kind, id);
        let unreadable = each_grant(self.connection, self.now_s, &wanted, &mut |grant| {
            also(&grant);
            recomputed.stored(&grant);
        })?;
        Ok((recomputed, unreadable))
    }

    /// Whether the table holds only what can be read, and its indexes the same.
    fn compare_indexes(&self, table: &WholeTable, unreadable: u64, faults: &mut Vec<VerificationError>) -> Result<()> {
        if unreadable == 0 {
            return table.compare_indexes(self.connection, &self.keys, self.now_s, faults);
        }
        let actual = format!("{unreadable} rows of acl_grants are none that any version of this library wrote");
        faults.push(fault(None, None, None, Some(actual)));
        Ok(())
    }

    /// The resources that something was ever granted on.
    fn governed(&self) -> Result<Governed> {
        let doing = "reading what grants are about";
        let sql = format!(
            "SELECT record_id, payload FROM entries INDEXED BY entries_stream \
             WHERE stream = '{ACL_GRANTS_STREAM}' AND seq < ?1"
        );
        let mut statement = self.connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query([self.covered_below as i64]).doing(doing)?;
        let mut governed = Governed::default();
        while let Some(row) = rows.next().doing(doing)? {
            let text = |index: usize| row.get_ref(index).ok().and_then(|value| value.as_str().ok());
            if let (Some(id), Some(payload)) = (text(0), text(1)) {
                let record = Record {
                    id: id.to_owned(),
                    stream: ACL_GRANTS_STREAM.to_owned(),
                    timestamp: 0,
                    payload: Some(CanonicalJson::from_canonical(payload)),
                    meta: None,
                };
                governed.push(&self.keys, &record);
            }
        }
        Ok(governed)
    }

    /// Number of entries in streams whose payloads imply grants.
    fn entries_with_roles(&self) -> Result<u64> {
        let doing = "counting entries that imply grants";
        let sql = "SELECT count(*) FROM entries INDEXED BY entries_stream WHERE stream = ?1";
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        let mut count = 0;
        for (stream, _) in self.kinds.declared().filter(|(stream, _)| !self.kinds.roles_of(stream).is_empty()) {
            count += statement.query_row([stream], |row| row.get::<_, i64>(0)).doing(doing)? as u64;
        }
        Ok(count)
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
            let reads_payload = recomputed.reads_payload(stream);
            recomputed.push(seq as u64, stream, id, || Record {
                id: id.to_owned(),
                stream: stream.to_owned(),
                timestamp,
                payload: text(4).filter(|_| reads_payload).map(CanonicalJson::from_canonical),
                meta: text(5).map(CanonicalJson::from_canonical),
            });
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

/// Reads the stored grants that count, of the resources that are wanted, by kind and id; answers how many cannot be read.
fn each_grant(
    connection: &Connection,
    now_s: i64,
    wanted: &dyn Fn(&str, &str) -> bool,
    take: &mut dyn FnMut(Grant),
) -> Result<u64> {
    let doing = "reading grants for verification";
    let sql = format!("SELECT {} FROM acl_grants WHERE exp IS NULL OR exp > ?1", grants::COLUMNS);
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query([now_s]).doing(doing)?;
    let mut unreadable = 0;
    while let Some(row) = rows.next().doing(doing)? {
        let text = |index: usize| row.get_ref(index).ok().and_then(|value| value.as_str().ok());
        if let (Some(kind), Some(id)) = (text(0), text(1))
            && !wanted(kind, id)
        {
            continue;
        }
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
    each_grant(connection, now_s, &|_, _| true, &mut |grant| {
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
