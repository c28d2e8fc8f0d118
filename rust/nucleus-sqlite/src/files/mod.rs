//! The files of a ledger: what lies beside the database, and what becomes of all of them.

pub(crate) mod anchor;
mod backup;
pub(crate) mod file_watch;
pub(crate) mod lock_guard;
pub(crate) mod log_scan;
pub(crate) mod names;
pub(crate) mod recovery;
pub(crate) mod why_unsound;
