//! The table of grants: questions about it, and the steps that keep it a projection of the chain.

use nucleus_engine::model::{Change, Grant, GrantQuery, ProjectionState, Question, Resource, Result, Source};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::connect::Doing;
use crate::faults::damaged;

macro_rules! allowing {
    () => {
        "SELECT 1 FROM acl_grants NOT INDEXED WHERE resource_kind = ?1 AND resource_id IN (?2, '*') \
         AND principal_oid = ?3 AND +scope IN (?4, 'full') AND (exp IS NULL OR exp > ?5)"
    };
}

/// Whether a grant, or one on the whole kind, allows what is asked.
///
/// It is read from the table itself, as is everything that lets somebody see or do something: the table is compared with
/// the chain, and an index of it might say something else.
pub(crate) fn allows(connection: &Connection, question: &Question<'_>) -> Result<bool> {
    let doing = "looking for a grant";
    let Question { principal_oid, resource, scope, now_s } = question;
    let parameters = (&resource.kind, &resource.id, principal_oid, scope.name(), now_s);
    connection.prepare_cached(allowing!()).doing(doing)?.exists(parameters).doing(doing)
}

/// The same; None where the table is not a projection of the whole chain, made with these resource kinds.
pub(crate) fn allows_now(connection: &Connection, question: &Question<'_>, kinds: &str) -> Result<Option<bool>> {
    let doing = "looking for a grant";
    let sql = concat!(
        "SELECT EXISTS(",
        allowing!(),
        ") FROM acl_projection WHERE kinds = ?6 AND covered_below = (SELECT coalesce(max(seq) + 1, 0) FROM entries)"
    );
    let Question { principal_oid, resource, scope, now_s } = question;
    let parameters = (&resource.kind, &resource.id, principal_oid, scope.name(), now_s, kinds);
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    statement.query_row(parameters, |row| row.get(0)).optional().doing(doing)
}

/// The grants that are asked for, by resource and then by principal.
pub(crate) fn grants(connection: &Connection, query: &GrantQuery<'_>) -> Result<Vec<Grant>> {
    let doing = "reading grants";
    let mut terms: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(resource) = query.resource {
        terms.push("resource_kind = ? AND resource_id = ?");
        values.extend([&resource.kind, &resource.id].map(|text| Value::Text(text.clone())));
    }
    if let Some(principal_oid) = query.principal_oid {
        terms.push("principal_oid = ?");
        values.push(Value::Text(principal_oid.to_owned()));
    }
    if let Some(scope) = query.scope {
        terms.push("scope = ?");
        values.push(Value::Text(scope.name().to_owned()));
    }
    if let Some(now_s) = query.live_at {
        terms.push("(exp IS NULL OR exp > ?)");
        values.push(Value::Integer(now_s));
    }
    let condition = if terms.is_empty() { "true".to_owned() } else { terms.join(" AND ") };
    let sql = format!("SELECT {COLUMNS} FROM acl_grants WHERE {condition} ORDER BY {KEY} LIMIT ?");
    values.push(Value::Integer(i64::try_from(query.limit).unwrap_or(i64::MAX)));
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query(params_from_iter(values)).doing(doing)?;
    let mut grants = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        grants.push(read_grant(row)?);
    }
    Ok(grants)
}

/// The columns of a grant, those of the key first and in its order.
pub(crate) const COLUMNS: &str =
    "resource_id, resource_kind, principal_oid, scope, source, granted_by, exp, created_at, seq";
/// How many of them are the key.
pub(crate) const KEY_COLUMNS: usize = 6;

const KEY: &str = "resource_id, resource_kind, principal_oid, scope, source, granted_by";

/// A row of [`COLUMNS`].
pub(crate) fn read_grant(row: &Row<'_>) -> Result<Grant> {
    let doing = "reading a grant";
    let text = |index: usize| row.get::<_, String>(index).doing(doing);
    let malformed = || {
        damaged(
            "table acl_grants holds a row that no version of this library wrote; verify the ledger, then rebuild its \
             grants",
        )
    };
    Ok(Grant {
        resource: Resource { id: text(0)?, kind: text(1)? },
        principal_oid: text(2)?,
        scope: text(3)?.parse().map_err(|_| malformed())?,
        source: Source::from_name(&text(4)?).ok_or_else(malformed)?,
        granted_by: text(5)?,
        exp: row.get(6).doing(doing)?,
        created_at: row.get(7).doing(doing)?,
        seq: row.get::<_, i64>(8).doing(doing)?.try_into().map_err(|_| malformed())?,
    })
}

/// Takes one step of the projection.
pub(crate) fn apply(connection: &Connection, change: &Change) -> Result<()> {
    let doing = "writing a grant";
    match change {
        Change::Put(grant) => {
            let Grant { resource, principal_oid, scope, source, granted_by, exp, created_at, seq } = grant;
            let sql = "INSERT INTO acl_grants(resource_kind, resource_id, principal_oid, scope, source, granted_by, exp, \
                       created_at, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                       ON CONFLICT(resource_id, resource_kind, principal_oid, scope, source, granted_by) \
                       DO UPDATE SET exp = excluded.exp, created_at = excluded.created_at, seq = excluded.seq";
            connection.prepare_cached(sql).doing(doing)?.execute(rusqlite::params![
                resource.kind,
                resource.id,
                principal_oid,
                scope.name(),
                source.name(),
                granted_by,
                exp,
                created_at,
                *seq as i64
            ])
        }
        Change::EndRole { resource, source, principal_oid } => {
            let sql = "DELETE FROM acl_grants WHERE resource_kind = ?1 AND resource_id = ?2 AND principal_oid = ?3 \
                       AND source = ?4";
            let mut statement = connection.prepare_cached(sql).doing(doing)?;
            statement.execute((&resource.kind, &resource.id, principal_oid, source.name()))
        }
        Change::Revoke { resource, principal_oid, scope } => {
            let sql = "DELETE FROM acl_grants WHERE resource_kind = ?1 AND resource_id = ?2 AND principal_oid = ?3 \
                       AND scope = ?4";
            let mut statement = connection.prepare_cached(sql).doing(doing)?;
            statement.execute((&resource.kind, &resource.id, principal_oid, scope.name()))
        }
        Change::EndAll(resource) => {
            let sql = "DELETE FROM acl_grants WHERE resource_kind = ?1 AND resource_id = ?2";
            let mut statement = connection.prepare_cached(sql).doing(doing)?;
            statement.execute((&resource.kind, &resource.id))
        }
    }
    .map(|_| ())
    .doing(doing)
}

/// What the table is a projection of; None where there is no projection yet.
pub(crate) fn projection(connection: &Connection) -> Result<Option<ProjectionState>> {
    let doing = "reading the state of the grants";
    let sql = "SELECT covered_below, kinds FROM acl_projection";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let Some(row) = rows.next().doing(doing)? else { return Ok(None) };
    let covered_below: i64 = row.get(0).doing(doing)?;
    Ok(Some(ProjectionState { covered_below: covered_below.max(0) as u64, kinds: row.get(1).doing(doing)? }))
}

/// Whether the table is a projection of the whole chain, made with these resource kinds.
pub(crate) fn is_current(connection: &Connection, kinds: &str) -> Result<bool> {
    let doing = "reading the state of the grants";
    let sql = "SELECT 1 FROM acl_projection \
               WHERE kinds = ?1 AND covered_below = (SELECT coalesce(max(seq) + 1, 0) FROM entries)";
    connection.prepare_cached(sql).doing(doing)?.exists([kinds]).doing(doing)
}

/// Notes what the table is a projection of.
pub(crate) fn set_projection(connection: &Connection, state: &ProjectionState) -> Result<()> {
    let doing = "noting the state of the grants";
    let sql = "INSERT INTO acl_projection(id, covered_below, kinds) VALUES (0, ?1, ?2) \
               ON CONFLICT(id) DO UPDATE SET covered_below = excluded.covered_below, kinds = excluded.kinds";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    statement.execute((state.covered_below as i64, &state.kinds)).map(|_| ()).doing(doing)
}

/// Forgets all grants and what they were a projection of.
pub(crate) fn clear(connection: &Connection) -> Result<()> {
    let doing = "clearing the grants";
    for sql in ["DELETE FROM acl_grants", "DELETE FROM acl_projection"] {
        connection.prepare_cached(sql).doing(doing)?.execute([]).doing(doing)?;
    }
    Ok(())
}

/// Deletes the grants that count for nothing any more; answers how many.
pub(crate) fn clear_expired(connection: &Connection, now_s: i64) -> Result<u64> {
    let doing = "deleting expired grants";
    let mut statement = connection.prepare_cached("DELETE FROM acl_grants WHERE exp <= ?1").doing(doing)?;
    statement.execute([now_s]).map(|count| count as u64).doing(doing)
}
