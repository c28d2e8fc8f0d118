//! Comparing the table of grants with what the chain implies.

use nucleus_core::canonical::write_string;
use nucleus_core::error::shortened;
use nucleus_core::{ACL_GRANTS_STREAM, CanonicalJson, ErrorKind, REDACTIONS_STREAM, Record, VerificationError};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::connect::Doing;
use super::derived::Ascending;
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
            return rows_of_nothing(&connection);
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
        let (governed, with_roles) = self.governed()?;
        let left_out = redacted_since(self.connection, self.kinds, self.covered_below)?;
        let passes_by_sum = governed.passes(self.covered_below, with_roles);
        for pass in 0..passes_by_sum {
            let mut table = WholeTable::default();
            let also = &mut |grant: &Grant| table.add(&self.keys, grant);
            let (recomputed, read) =
                self.recompute((pass, passes_by_sum), Some(&governed), &left_out, also, progress)?;
            if pass == 0 {
                self.compare_indexes(&table, read, faults)?;
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

    /// The sums of one pass over the chain and the table, of which every row is shown to `also`, and how the table read.
    fn recompute<'b>(
        &'b self,
        pass: (u64, u64),
        governed: Option<&'b Governed>,
        left_out: &[Resource],
        also: &mut dyn FnMut(&Grant),
        progress: Progress<'_>,
    ) -> Result<(Recomputed<'b>, TableRead)> {
        let mut recomputed = Recomputed::new(self.kinds, &self.keys, pass, governed);
        for resource in left_out {
            recomputed.leave_out(resource);
        }
        recompute(self.connection, &mut recomputed, self.covered_below, progress)?;
        recomputed.sum_up(self.now_s);
        let first = pass.0 == 0;
        let share = recomputed.share();
        let wanted = |kind: &str, id: &str| first || share.holds(&self.keys, kind, id);
        let read = each_grant(self.connection, &wanted, &mut |grant| {
            also(&grant);
            if grant.live_at(self.now_s) {
                recomputed.stored(&grant);
            }
        })?;
        Ok((recomputed, read))
    }

    /// Whether every search in the table finds, and its indexes hold what it holds.
    fn compare_indexes(&self, table: &WholeTable, read: TableRead, faults: &mut Vec<VerificationError>) -> Result<()> {
        if read.unreadable > 0 {
            let actual =
                format!("{} rows of acl_grants are none that any version of this library wrote", read.unreadable);
            faults.push(fault(None, None, None, Some(actual)));
        } else if !read.ascending {
            let actual = "the rows of table acl_grants are out of order, so that searches miss some".to_owned();
            faults.push(fault(None, None, None, Some(actual)));
        } else {
            table.compare_indexes(self.connection, &self.keys, faults)?;
        }
        Ok(())
    }

    /// The resources that something was ever granted on, and the number of entries in streams whose payloads imply grants.
    /// Read from the entries themselves, as all evidence is: an index could be made to hide some.
    fn governed(&self) -> Result<(Governed, u64)> {
        let doing = "reading what grants are about";
        let sql = "SELECT stream, record_id, iif(stream = ?2, payload, NULL) FROM entries NOT INDEXED \
                   WHERE seq < ?1 AND stream IN (SELECT value FROM json_each(?3)) ORDER BY seq";
        let with_roles = self.kinds.declared().map(|(stream, _)| stream);
        let with_roles = with_roles.filter(|stream| !self.kinds.roles_of(stream).is_empty());
        let mut streams = String::from("[");
        write_string(&mut streams, ACL_GRANTS_STREAM);
        for stream in with_roles {
            streams.push(',');
            write_string(&mut streams, stream);
        }
        streams.push(']');
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        let mut rows =
            statement.query((self.covered_below as i64, ACL_GRANTS_STREAM, streams.as_str())).doing(doing)?;
        let mut governed = Governed::default();
        let mut count = 0;
        while let Some(row) = rows.next().doing(doing)? {
            let text = |index: usize| row.get_ref(index).ok().and_then(|value| value.as_str().ok());
            if text(0) != Some(ACL_GRANTS_STREAM) {
                count += 1;
            } else if let (Some(id), Some(payload)) = (text(1), text(2)) {
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
        Ok((governed, count))
    }
}

/// Grants that are said to be of no chain at all: whoever opens the ledger with access control would make them anew.
fn rows_of_nothing(connection: &Connection) -> Result<Vec<VerificationError>> {
    let doing = "looking for grants";
    let any = connection.prepare_cached("SELECT 1 FROM acl_grants NOT INDEXED LIMIT 1").doing(doing)?.exists([]);
    if !any.doing(doing)? {
        return Ok(Vec::new());
    }
    let actual = "table acl_grants holds grants, and table acl_projection does not say of what".to_owned();
    Ok(vec![fault(None, None, None, Some(actual))])
}

/// The resources of which an entry was erased by somebody who does not keep the grants: what the table says of them was
/// implied by a payload that is gone, and is made out anew by the next one who keeps them.
fn redacted_since(connection: &Connection, kinds: &Kinds, covered_below: u64) -> Result<Vec<Resource>> {
    let doing = "reading what was redacted since the grants were kept";
    let sql = format!(
        "SELECT about.stream, about.record_id FROM entries NOT INDEXED CROSS JOIN entries about NOT INDEXED \
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

/// An index of the table of grants.
struct GrantIndex {
    name: &'static str,
    /// Its columns in its order, with those of the table's key that tell its rows apart.
    columns: &'static str,
    /// Which rows are in it, and the same of a grant.
    condition: &'static str,
    holds: fn(&Grant) -> bool,
}

/// All there are: pages are cut by them.
const GRANT_INDEXES: [GrantIndex; 3] = [
    GrantIndex {
        name: "acl_grants_principal",
        columns: "principal_oid, scope, resource_kind, resource_id, exp, source, granted_by",
        condition: "",
        holds: |_| true,
    },
    GrantIndex {
        name: "acl_grants_whole_kind",
        columns: "principal_oid, resource_id, resource_kind, scope, source, granted_by",
        condition: " WHERE resource_id = '*'",
        holds: |grant| grant.resource.id == WHOLE_KIND,
    },
    GrantIndex {
        name: "acl_grants_exp",
        columns: "exp, resource_id, resource_kind, principal_oid, scope, source, granted_by",
        condition: " WHERE exp IS NOT NULL",
        holds: |grant| grant.exp.is_some(),
    },
];

/// What the indexes of the table have to hold, as sums over its rows.
#[derive(Default)]
struct WholeTable {
    sums: [u128; GRANT_INDEXES.len()],
}

impl WholeTable {
    fn add(&mut self, keys: &PassKeys, grant: &Grant) {
        for (sum, index) in self.sums.iter_mut().zip(&GRANT_INDEXES) {
            if (index.holds)(grant) {
                *sum = sum.wrapping_add(index.digest(keys, grant));
            }
        }
    }

    fn compare_indexes(
        &self,
        connection: &Connection,
        keys: &PassKeys,
        faults: &mut Vec<VerificationError>,
    ) -> Result<()> {
        for (index, expected) in GRANT_INDEXES.iter().zip(self.sums) {
            if index.sum(connection, keys)? != Some(expected) {
                let actual = format!("index {} does not hold what table acl_grants holds, in order", index.name);
                let kind = ErrorKind::IndexMismatch;
                let actual = Some(actual);
                faults.push(VerificationError { kind, seq: None, record_id: None, expected: None, actual });
            }
        }
        Ok(())
    }
}

impl GrantIndex {
    /// The digest of what it holds of a grant.
    fn digest(&self, keys: &PassKeys, grant: &Grant) -> u128 {
        let text = |column: &str| match column {
            "principal_oid" => Some(grant.principal_oid.as_str()),
            "scope" => Some(grant.scope.name()),
            "resource_kind" => Some(grant.resource.kind.as_str()),
            "resource_id" => Some(grant.resource.id.as_str()),
            "source" => Some(grant.source.name()),
            "granted_by" => Some(grant.granted_by.as_str()),
            _ => None,
        };
        let texts: Vec<Option<&str>> = self.columns.split(", ").map(text).collect();
        let exp = if self.columns.contains("exp") { grant.exp } else { None };
        keys.index_digest(&texts, exp)
    }

    /// The sum over its rows, walked from the first to the last; None where they are out of order or none of ours.
    fn sum(&self, connection: &Connection, keys: &PassKeys) -> Result<Option<u128>> {
        let doing = "reading the indexes of the grants";
        let sql = format!("SELECT {} FROM acl_grants INDEXED BY {}{}", self.columns, self.name, self.condition);
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let columns = statement.column_count();
        let mut ascending = Ascending::default();
        let mut rows = statement.query([]).doing(doing)?;
        let mut sum: u128 = 0;
        while let Some(row) = rows.next().doing(doing)? {
            let mut texts = Vec::with_capacity(columns);
            let mut exp = None;
            for column in 0..columns {
                match row.get_ref(column).doing(doing)? {
                    ValueRef::Text(text) => texts.push(std::str::from_utf8(text).ok()),
                    ValueRef::Integer(number) => {
                        exp = Some(number);
                        texts.push(None);
                    }
                    _ => texts.push(None),
                }
            }
            if !ascending.takes(row, columns).doing(doing)? {
                return Ok(None);
            }
            sum = sum.wrapping_add(keys.index_digest(&texts, exp));
        }
        Ok(Some(sum))
    }
}

/// How the rows of the table read.
#[derive(Debug, Clone, Copy)]
struct TableRead {
    /// Rows that no version of this library wrote.
    unreadable: u64,
    /// Whether they are in the order of their key.
    ascending: bool,
}

/// Reads the stored grants of the resources that are wanted, expired ones among them, in the order of the table.
fn each_grant(
    connection: &Connection,
    wanted: &dyn Fn(&str, &str) -> bool,
    take: &mut dyn FnMut(Grant),
) -> Result<TableRead> {
    let doing = "reading grants for verification";
    let sql = format!("SELECT {} FROM acl_grants NOT INDEXED", grants::COLUMNS);
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut ascending = Ascending::default();
    let mut read = TableRead { unreadable: 0, ascending: true };
    while let Some(row) = rows.next().doing(doing)? {
        read.ascending &= ascending.takes(row, grants::KEY_COLUMNS).doing(doing)?;
        if !read.ascending {
            break;
        }
        let text = |index: usize| row.get_ref(index).ok().and_then(|value| value.as_str().ok());
        if let (Some(id), Some(kind)) = (text(0), text(1))
            && !wanted(kind, id)
        {
            continue;
        }
        match read_grant(row) {
            Ok(grant) => take(grant),
            Err(_) => read.unreadable += 1,
        }
    }
    Ok(read)
}

/// Names what disagrees.
fn locate(
    connection: &Connection,
    recomputed: &mut Recomputed<'_>,
    now_s: i64,
    faults: &mut Vec<VerificationError>,
) -> Result<()> {
    each_grant(connection, &|_, _| true, &mut |grant| {
        if grant.live_at(now_s) && !recomputed.take_implied(&grant) {
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
