//! The table of grants: each row shown in the order of the table, and its indexes compared with it.

use std::hash::{BuildHasher, RandomState};

use nucleus_core::{ErrorKind, VerificationError};
use nucleus_engine::model::{Grant, Result, WHOLE_KIND};
use nucleus_engine::store::Observer;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::connect::Doing;
use crate::grants::{COLUMNS, KEY_COLUMNS, read_grant};
use crate::lookup::derived::Ascending;

/// Shows every stored grant to an observer; answers what is wrong with the table and its indexes.
pub(crate) fn show_grants(connection: &Connection, observer: &dyn Observer) -> Result<Vec<VerificationError>> {
    let secrets = Secrets::default();
    let mut sums = [0_u128; GRANT_INDEXES.len()];
    let read = each_grant(connection, &mut |grant| {
        for (sum, index) in sums.iter_mut().zip(&GRANT_INDEXES) {
            if (index.holds)(grant) {
                *sum = sum.wrapping_add(index.digest(&secrets, grant));
            }
        }
        observer.grant(grant);
    })?;
    if read.unreadable > 0 {
        let actual = format!("{} rows of acl_grants are none that any version of this library wrote", read.unreadable);
        return Ok(vec![fault(ErrorKind::GrantMismatch, actual)]);
    }
    if !read.ascending {
        let actual = "the rows of table acl_grants are out of order, so that searches miss some".to_owned();
        return Ok(vec![fault(ErrorKind::GrantMismatch, actual)]);
    }
    let mut faults = Vec::new();
    for (index, expected) in GRANT_INDEXES.iter().zip(sums) {
        if index.sum(connection, &secrets)? != Some(expected) {
            let actual = format!("index {} does not hold what table acl_grants holds, in order", index.name);
            faults.push(fault(ErrorKind::IndexMismatch, actual));
        }
    }
    Ok(faults)
}

fn fault(kind: ErrorKind, actual: String) -> VerificationError {
    VerificationError { kind, seq: None, record_id: None, expected: None, actual: Some(actual) }
}

/// The secrets of one look: nobody can prepare rows that are taken for others.
#[derive(Default)]
struct Secrets {
    low: RandomState,
    high: RandomState,
}

impl Secrets {
    /// The digest of what an index holds of a grant: its columns, those that are no texts left out, and the end of the grant.
    fn digest(&self, texts: &[Option<&str>], exp: Option<i64>) -> u128 {
        u128::from(self.high.hash_one((texts, exp))) << 64 | u128::from(self.low.hash_one((texts, exp)))
    }
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

impl GrantIndex {
    /// The digest of what it holds of a grant.
    fn digest(&self, secrets: &Secrets, grant: &Grant) -> u128 {
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
        secrets.digest(&texts, exp)
    }

    /// The sum over its rows, walked from the first to the last; None where they are out of order or none of ours.
    fn sum(&self, connection: &Connection, secrets: &Secrets) -> Result<Option<u128>> {
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
            sum = sum.wrapping_add(secrets.digest(&texts, exp));
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

/// Reads the stored grants, expired ones among them, in the order of the table.
fn each_grant(connection: &Connection, take: &mut dyn FnMut(&Grant)) -> Result<TableRead> {
    let doing = "reading grants for verification";
    let sql = format!("SELECT {COLUMNS} FROM acl_grants NOT INDEXED");
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut ascending = Ascending::default();
    let mut read = TableRead { unreadable: 0, ascending: true };
    while let Some(row) = rows.next().doing(doing)? {
        read.ascending &= ascending.takes(row, KEY_COLUMNS).doing(doing)?;
        if !read.ascending {
            break;
        }
        match read_grant(row) {
            Ok(grant) => take(&grant),
            Err(_) => read.unreadable += 1,
        }
    }
    Ok(read)
}
