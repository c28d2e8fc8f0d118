//! The schema of a ledger's database: creating it, and refusing a file whose schema is not exactly that.

use std::path::Path;

use nucleus_core::FORMAT;
use nucleus_engine::check_ledger_id;
use nucleus_engine::model::{Error, FieldIndex, Result};
use rusqlite::{Connection, TransactionBehavior};

use crate::connect::Doing;
use crate::faults::damaged;
use crate::lookup::field_index;

/// `NUCL`, in the header of every ledger file.
pub(crate) const APPLICATION_ID: i64 = 0x4E55_434C;
/// The newest schema this version reads and writes.
pub(crate) const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;
/// What makes each version of the one before it, a statement a paragraph: only ever added to, never changed.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/sqlite_0001.sql"), include_str!("migrations/sqlite_0002.sql")];
/// The version from which on there is a table of grants.
const GRANTS_VERSION: i64 = 2;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// A database without any content.
    Empty,
    /// A ledger of this schema version.
    Ledger { version: i64 },
}

impl Contents {
    /// Whether there is a table of grants.
    pub(crate) fn has_grants(self) -> bool {
        matches!(self, Self::Ledger { version } if version >= GRANTS_VERSION)
    }
}

/// The one row of `ledger_info`.
#[derive(Debug, Clone)]
pub(crate) struct LedgerInfo {
    pub(crate) id: String,
    pub(crate) created_at: i64,
}

/// Tells what a database is; anything that is not ours is refused before it is touched.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<Contents> {
    let doing = format!("reading {}", path.display());
    // One snapshot: another process may be creating the ledger at this moment.
    let connection = &connection.unchecked_transaction().doing(&doing)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).doing(&doing);
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).doing(&doing)?;
    let (application_id, version) = (number("application_id")?, number("user_version")?);
    if application_id == 0 && version == 0 && objects == 0 {
        return Ok(Contents::Empty);
    }
    if application_id != APPLICATION_ID {
        return Err(damaged(format!(
            "{} is an SQLite database of another application, not a Nucleus ledger; nothing was changed",
            path.display()
        )));
    }
    if version > SCHEMA_VERSION {
        return Err(Error::SchemaVersion { path: path.to_owned(), found: version, supported: SCHEMA_VERSION });
    }
    if version < 1 {
        return Err(damaged(format!(
            "{}: schema version {version} was never written by any version of this library; restore a backup",
            path.display()
        )));
    }
    let encoding: String = connection.pragma_query_value(None, "encoding", |row| row.get(0)).doing(&doing)?;
    if encoding != "UTF-8" {
        let place = path.display();
        return Err(damaged(format!("{place}: its texts are in {encoding}; the file was altered: restore a backup")));
    }
    compare_schema(connection, path, version)?;
    Ok(Contents::Ledger { version })
}

/// Creates the schema and the ledger's own row, unless another process did so first.
pub(crate) fn create(connection: &mut Connection, id: &str, now_ms: i64) -> Result<()> {
    let doing = "creating the ledger";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).doing(doing)?;
    if version != 0 {
        return Ok(());
    }
    transaction.execute_batch(&MIGRATIONS.concat()).doing(doing)?;
    transaction
        .execute("INSERT INTO ledger_info(id, format, created_at) VALUES (?1, ?2, ?3)", (id, FORMAT, now_ms))
        .doing(doing)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).doing(doing)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION).doing(doing)?;
    transaction.commit().doing(doing)
}

/// The bytes of the file of a new, empty ledger, for a database that uses a write-ahead log.
pub(crate) fn image(id: &str, now_ms: i64) -> Result<Vec<u8>> {
    let doing = "creating the ledger";
    let mut connection = Connection::open_in_memory().doing(doing)?;
    create(&mut connection, id, now_ms)?;
    let mut bytes = connection.serialize("main").doing(doing)?.to_vec();
    // The versions that a program must know to write and to read the file: 2 stands for a write-ahead log (SQLite file
    // format, section 1.3.3). A database in memory cannot be told to use one.
    for version in bytes.iter_mut().skip(18).take(2) {
        *version = 2;
    }
    Ok(bytes)
}

/// Brings a ledger of an older schema version up to the current one, unless another process did so first.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let doing = format!("bringing {} up to schema version {SCHEMA_VERSION}", path.display());
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(&doing)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).doing(&doing)?;
    for migration in MIGRATIONS.iter().skip(version.max(0) as usize) {
        transaction.execute_batch(migration).doing(&doing)?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION).doing(&doing)?;
    transaction.commit().doing(&doing)
}

/// Reads the ledger's own row.
pub(crate) fn ledger_info(connection: &Connection, path: &Path) -> Result<LedgerInfo> {
    let doing = format!("reading the ledger's id from {}", path.display());
    let malformed = || {
        let place = path.display();
        damaged(format!("{place}: table ledger_info does not hold exactly one valid row; restore a backup"))
    };
    let mut statement = connection.prepare("SELECT id, format, created_at FROM ledger_info LIMIT 2").doing(&doing)?;
    let rows: Vec<(String, i64, i64)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect)
        .map_err(|_| malformed())?;
    let [(id, format, created_at)] = rows.as_slice() else {
        return Err(malformed());
    };
    if *format != i64::from(FORMAT) || check_ledger_id(id).is_err() {
        return Err(malformed());
    }
    Ok(LedgerInfo { id: id.clone(), created_at: *created_at })
}

/// The indexes over payload members that a database has.
pub(crate) fn field_indexes(connection: &Connection) -> Result<Vec<FieldIndex>> {
    let doing = "reading the declared indexes";
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE 'field:%'")
        .doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut indexes = Vec::new();
    while let Some(row) = rows.next().doing(doing)? {
        let name: String = row.get(0).doing(doing)?;
        indexes.extend(field_index::from_name(&name));
    }
    Ok(indexes)
}

/// Compares the schema with the expected one, statement by statement: a view in place of a table, a dropped trigger or
/// a changed index would answer falsely without any row being wrong.
fn compare_schema(connection: &Connection, path: &Path, version: i64) -> Result<()> {
    let doing = format!("reading the schema of {}", path.display());
    let mut statement = connection
        .prepare(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL OR name NOT LIKE 'sqlite_autoindex_%'",
        )
        .doing(&doing)?;
    let found: Vec<(String, String, Option<String>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .and_then(Iterator::collect)
        .doing(&doing)?;
    let applied = MIGRATIONS.iter().take(version.max(0) as usize);
    let expected: Vec<&str> = applied
        .flat_map(|migration| migration.trim_end().split(";\n\n").map(|sql| sql.trim_end_matches(';')))
        .collect();
    let refuse =
        |what: String| Err(damaged(format!("{}: {what}; the file was altered: restore a backup", path.display())));
    // An index that a module once declared stays, whoever opens the file.
    let declared = |name: &str, sql: Option<&str>| {
        field_index::from_name(name).map(|index| field_index::sql(&index)).as_deref() == sql
    };
    let (_, found): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|(kind, name, sql)| kind == "index" && sql.is_some() && declared(name, sql.as_deref()));
    for (kind, name, sql) in &found {
        if !sql.as_deref().is_some_and(|sql| expected.contains(&sql) && is_named(sql, kind, name)) {
            return refuse(format!("the schema's {kind} `{}` is not the expected one", name.escape_debug()));
        }
    }
    for sql in &expected {
        if !found.iter().any(|(_, _, found)| found.as_deref() == Some(sql)) {
            let title = sql.lines().next().unwrap_or_default();
            return refuse(format!("`{title}` is missing from the schema"));
        }
    }
    if found.len() == expected.len() { Ok(()) } else { refuse("the schema has an object twice".to_owned()) }
}

/// Whether a statement makes an object of this kind and name.
fn is_named(sql: &str, kind: &str, name: &str) -> bool {
    let made = sql.strip_prefix("CREATE ").and_then(|rest| rest.split_once(' '));
    made.is_some_and(|(made_kind, rest)| {
        let rest_of_name = rest.strip_prefix(name).unwrap_or("x");
        made_kind.eq_ignore_ascii_case(kind) && rest_of_name.starts_with(['(', ' ', '\n'])
    })
}
