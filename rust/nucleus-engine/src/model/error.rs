//! Everything that can go wrong, one variant for each thing a caller can do about it.

use std::path::PathBuf;
use std::sync::Arc;

use nucleus_core::{Hash, InvalidRecord, VerificationReport};

use super::StoreError;

/// What a module's own failure was caused by.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the engine refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A record is out of bounds; nothing was written.
    #[error("{0}")]
    InvalidRecord(#[from] InvalidRecord),
    /// The ledger cannot be opened or used the way it was asked for.
    #[error("{0}")]
    Config(String),
    /// The chain, or something derived from it, does not add up.
    #[error("{message}")]
    Integrity {
        /// What is wrong first, and where.
        message: String,
        /// Everything that was found.
        report: Box<VerificationReport>,
    },
    /// The storage reported an error; what was being written has not been committed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file was written by a newer version of this library.
    #[error("{}: schema version {found} is newer than {supported}, the newest this version knows; upgrade nucleus-ledger", path.display())]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest schema version known here.
        supported: i64,
    },
    /// A commit failed and it could not be found out whether it is durable.
    #[error(
        "{message}; whether the entries from seq {first_seq} on are in the ledger is not known: \
         look the hashes up once the storage works again, before appending them anew"
    )]
    CommitInDoubt {
        /// What failed.
        message: String,
        /// Seq of the first entry in doubt.
        first_seq: u64,
        /// Hashes of the entries in doubt.
        hashes: Vec<Hash>,
    },
    /// The file was moved, replaced or truncated while the ledger was open.
    #[error("{0}")]
    StorageReplaced(String),
    /// What the caller expected of the ledger's state does not hold; nothing was written.
    #[error("{message}")]
    Conflict {
        /// What was expected and what is.
        message: String,
        /// The entry that stands in the way.
        existing_hash: Option<Hash>,
    },
    /// There is no module with this id.
    #[error("{message}")]
    UnknownModule {
        /// The id.
        module_id: String,
        /// What there is instead.
        message: String,
    },
    /// A configuration names one module twice.
    #[error("module `{module_id}` is registered already; name it once")]
    ModuleAlreadyRegistered {
        /// The id.
        module_id: String,
    },
    /// A module could not be made, initialised or started.
    #[error("module `{module_id}`, {step}: {message}")]
    ModuleLifecycle {
        /// The module.
        module_id: String,
        /// Which step.
        step: &'static str,
        /// What failed.
        message: String,
        /// What it was caused by.
        cause: Option<Cause>,
    },
    /// A module refused a record, or a redaction; nothing was written.
    #[error("module `{module_id}` refused {message}")]
    RecordRefused {
        /// The module.
        module_id: String,
        /// What was refused and why.
        message: String,
        /// What it was caused by.
        cause: Option<Cause>,
    },
    /// A module failed, or was used wrongly.
    #[error("module `{module_id}`: {message}")]
    Module {
        /// The module.
        module_id: String,
        /// What is wrong.
        message: String,
        /// What it was caused by.
        cause: Option<Cause>,
    },
    /// The requester may not do this; nothing was written.
    #[error("{0}")]
    AccessDenied(String),
    /// The ledger has been closed.
    #[error("the ledger is closed; open it again")]
    Closed,
    /// The ledger was opened in another process.
    #[error(
        "the ledger was opened in process {opened_in} and this is process {here}, forked from it; \
         open the ledger again in this process"
    )]
    Forked {
        /// Process id of the opener.
        opened_in: u32,
        /// This process's id.
        here: u32,
    },
    /// The progress callback asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The error of a report that is not valid.
    pub fn integrity(what: &str, report: VerificationReport) -> Self {
        Self::Integrity { message: format!("{what}: {}", report.summary()), report: Box::new(report) }
    }

    /// There is no entry with this hash, or none that the requester may read.
    pub fn no_entry(hash: &Hash) -> Self {
        Self::Conflict { message: format!("no entry has the hash {hash}"), existing_hash: None }
    }

    /// The same error, of one record of a batch.
    pub(crate) fn of_record(self, position: usize) -> Self {
        match self {
            Self::InvalidRecord(error) => Self::InvalidRecord(error.within_index(position)),
            Self::RecordRefused { module_id, message, cause } => {
                Self::RecordRefused { module_id, message: format!("{message} ($[{position}] of the batch)"), cause }
            }
            Self::Module { module_id, message, cause } => {
                Self::Module { module_id, message: format!("{message} ($[{position}] of the batch)"), cause }
            }
            Self::Conflict { message, existing_hash } => {
                Self::Conflict { message: format!("{message} ($[{position}] of the batch)"), existing_hash }
            }
            Self::AccessDenied(message) => Self::AccessDenied(format!("{message} ($[{position}] of the batch)")),
            other => other,
        }
    }

    /// Whether a transaction that met it is over for everybody in it; else it concerns one caller alone.
    pub fn poisons_transaction(&self) -> bool {
        match self {
            Self::Store(error) => error.poisons_transaction(),
            Self::StorageReplaced(_) | Self::CommitInDoubt { .. } | Self::Forked { .. } => true,
            _ => false,
        }
    }

    /// Whether the same transaction may be run again at once: nothing of it was written.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.retryable())
    }
}
