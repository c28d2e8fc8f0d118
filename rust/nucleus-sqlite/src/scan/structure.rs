//! The database's own check of its structure.

use nucleus_core::{ErrorKind, VerificationError};
use nucleus_engine::model::Result;
use rusqlite::Connection;

use crate::connect::Doing;

/// Faults of the structure that are named.
const MOST_STRUCTURE_FAULTS: u32 = 100;

/// The database's own check of its structure: what an edited page would otherwise hide from searches. A `deep` one compares
/// the indexes with their tables in the database's own way as well.
pub(crate) fn check_structure(connection: &Connection, deep: bool) -> Result<Vec<String>> {
    let doing = "running the database's integrity check";
    let check = if deep { "integrity_check" } else { "quick_check" };
    let mut statement = connection.prepare(&format!("PRAGMA {check}({MOST_STRUCTURE_FAULTS})")).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut faults = Vec::new();
    loop {
        let message: String = match rows.next() {
            Ok(None) => break,
            Ok(Some(row)) => row.get(0).doing(doing)?,
            // What is so damaged that the check itself gives up.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                faults.push(error.to_string());
                break;
            }
            Err(error) => return Err(error).doing(doing),
        };
        // One row may hold what it says of many pages, a line each.
        let lines = message.lines().filter(|line| *line != "ok" && !line.starts_with("***"));
        faults.extend(lines.take(MOST_STRUCTURE_FAULTS as usize).map(str::to_owned));
    }
    Ok(faults)
}

/// The first thing that is wrong with the structure of a database.
pub(crate) fn structure_fault(connection: &Connection) -> Result<Option<VerificationError>> {
    Ok(check_structure(connection, false)?.into_iter().next().map(index_fault))
}

/// The fault of something that is derived from the entries.
pub(crate) fn index_fault(what: String) -> VerificationError {
    let kind = ErrorKind::IndexMismatch;
    VerificationError { kind, seq: None, record_id: None, expected: None, actual: Some(what) }
}
