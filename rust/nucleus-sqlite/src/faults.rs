//! Errors of this storage, by their kind.

use nucleus_engine::Error;
use nucleus_engine::model::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;

/// What is stored cannot be read as what it should be.
pub(crate) fn damaged(message: impl Into<String>) -> Error {
    StoreError::new(StoreErrorKind::Damaged, message).into()
}

/// The medium fails, or may not be used.
pub(crate) fn unavailable(message: impl Into<String>) -> Error {
    StoreError::new(StoreErrorKind::Unavailable, message).into()
}

/// Others hold what is needed.
pub(crate) fn busy(message: impl Into<String>) -> Error {
    StoreError::new(StoreErrorKind::Busy, message).into()
}

/// The error of a file operation.
pub(crate) fn failed_io(message: String, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, message).into()
}

/// The error of a database call, with what was being done.
pub(crate) fn database_error(doing: &str, error: &rusqlite::Error) -> Error {
    let (kind, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (StoreErrorKind::Busy, "; another process holds the lock: try again, or raise busy_timeout_ms")
        }
        Some(ErrorCode::OperationInterrupted) => {
            (StoreErrorKind::Damaged, "; it took longer than any ledger needs: the file was altered, restore a backup")
        }
        Some(ErrorCode::SystemIoFailure) => (StoreErrorKind::Unavailable, "; look whether the disk is full or failing"),
        Some(ErrorCode::DiskFull) => (StoreErrorKind::Full, "; free space on the disk, then try again"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (StoreErrorKind::Damaged, "; the file is damaged or is not a ledger: restore a backup")
        }
        Some(ErrorCode::TooBig) => (StoreErrorKind::TooLarge, ""),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            (StoreErrorKind::Unavailable, "")
        }
        _ => (StoreErrorKind::Other, ""),
    };
    StoreError::new(kind, format!("{doing}: {error}{hint}")).into()
}
