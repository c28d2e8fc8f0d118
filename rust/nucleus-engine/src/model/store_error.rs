//! What a storage reports.

use std::fmt;
use std::sync::Arc;

/// What kind of trouble a storage has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Others held what is needed for as long as was to be waited. Nothing was written.
    Busy,
    /// The storage undid the transaction because of what others did at the same time. Nothing was written, and it may be
    /// run again at once.
    Conflict,
    /// There is no room.
    Full,
    /// What is asked for is larger than the storage takes.
    TooLarge,
    /// What is stored cannot be read as what it should be.
    Damaged,
    /// The medium or the connection fails, or may not be used.
    Unavailable,
    /// Anything else.
    Other,
}

/// An error of a storage, in words, with what it was caused by.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error of this kind.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error that another one caused; `message` says it all.
    pub fn caused_by(
        kind: StoreErrorKind,
        message: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(Arc::new(source)) }
    }

    /// The same with more said about it.
    #[must_use]
    pub fn with_hint(mut self, hint: &str) -> Self {
        self.message.push_str(hint);
        self
    }

    /// What kind of trouble.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same transaction may be run again at once.
    pub fn retryable(&self) -> bool {
        self.kind == StoreErrorKind::Conflict
    }

    /// Whether the transaction that met it is over for everybody in it. What is too large is one caller's.
    pub fn poisons_transaction(&self) -> bool {
        self.kind != StoreErrorKind::TooLarge
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}
