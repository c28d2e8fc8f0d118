//! Modules: business rules that plug into a ledger.
//!
//! A module comes from the ledger's configuration, is built by a [`ModuleFactory`] and lives in the one
//! [`ModuleRegistry`] of its engine. Its hooks see every record before it is appended and every entry after it is
//! durable.

mod asset;
mod connect;
mod context;
mod factory;
mod fields;
mod gate;
mod hooks;
mod proof;
mod registry;
mod status;
mod token;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use nucleus_core::{ChainEntry, Hash, InvalidRecord, Record};

use crate::model::{Error, FieldIndex, Result, Role};

pub use asset::AssetModule;
pub use connect::ConnectModule;
pub use context::{LedgerView, ModuleContext};
pub(crate) use factory::built_in_streams;
pub use factory::{BuiltinModules, ModuleConfig, ModuleFactory, built_in_ids, built_in_kinds};
pub(crate) use hooks::{AppendHooks, Hooks, Verdict};
pub use proof::ProofModule;
pub use registry::{ModuleInfo, ModuleRegistry, ModuleState};
pub use status::Status;
pub use token::TokenModule;

pub use crate::model::Cause;

/// Why a hook or a step of a module's life did not go through.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The record breaks a rule; the text says which, where, and what to do.
    Refused(String),
    /// The record says again what this entry says already: the entry is answered and nothing is appended.
    Existing(Box<ChainEntry>),
    /// The record contradicts an entry that is there.
    Conflict {
        /// What stands against what.
        message: String,
        /// The entry.
        existing_hash: Hash,
    },
    /// The module itself failed.
    Failed {
        /// What failed.
        message: String,
        /// What it was caused by.
        cause: Option<Cause>,
    },
    /// The ledger could not be read.
    Ledger(Arc<Error>),
}

impl Fault {
    /// A refusal.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}

impl From<InvalidRecord> for Fault {
    fn from(error: InvalidRecord) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ledger(Arc::new(error))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) | Self::Conflict { message, .. } | Self::Failed { message, .. } => {
                f.write_str(message)
            }
            Self::Existing(entry) => write!(f, "entry {} says the same already", entry.seq),
            Self::Ledger(error) => error.fmt(f),
        }
    }
}

/// Shorthand for results of hooks.
pub type HookResult<T = ()> = std::result::Result<T, Fault>;

/// A business rule that a ledger runs.
///
/// Hooks may be called from any thread, several at once except for `before_append` and `before_redact`, which run in
/// the ledger's one write transaction. No hook runs before `start` has returned or after `stop` was called. A panic in
/// any of them is caught and becomes an error that names the module.
pub trait Module: Send + Sync {
    /// Its id, unique in its ledger.
    fn id(&self) -> &str;

    /// Its version.
    fn version(&self) -> &str;

    /// The streams whose records it rules.
    fn streams(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether its hooks want records of this stream; of others they are never told.
    fn wants(&self, stream: &str) -> bool {
        let _ = stream;
        true
    }

    /// What a record of its streams is called where access to it is granted.
    fn resource_kind(&self) -> Option<String> {
        None
    }

    /// The payload members that name principals to whom access is granted by an entry of its streams.
    fn roles(&self) -> &'static [Role] {
        &[]
    }

    /// The payload members that it looks records up by.
    fn indexes(&self) -> Result<Vec<FieldIndex>> {
        Ok(Vec::new())
    }

    /// The chain is loaded and verified: prepare. Nothing may be appended yet.
    fn init(&self, _context: &ModuleContext) -> HookResult {
        Ok(())
    }

    /// All modules are initialised: begin.
    fn start(&self, _context: &ModuleContext) -> HookResult {
        Ok(())
    }

    /// The ledger is being closed: end. Called once for every module that was started.
    fn stop(&self, _context: &ModuleContext) -> HookResult {
        Ok(())
    }

    /// Runs around the hooks of all records of one commit; a module may hold for that time what each hook needs.
    fn around(&self, work: &mut dyn FnMut()) {
        work();
    }

    /// A record is about to be appended: complete it or refuse it.
    ///
    /// `record.meta` is the caller's own. Payload and meta may be changed; id, stream and timestamp stay. What a hook
    /// writes is validated like a caller's record.
    fn before_append(&self, _record: &mut Record, _context: &ModuleContext) -> HookResult {
        Ok(())
    }

    /// An entry is durable. Its fate is settled: an error is counted and logged.
    fn after_append(&self, _entry: &ChainEntry, _context: &ModuleContext) -> HookResult {
        Ok(())
    }

    /// An entry's payload is about to be erased: refuse it where the module's state depends on it.
    fn before_redact(&self, _entry: &ChainEntry, _context: &ModuleContext) -> HookResult {
        Ok(())
    }

    /// The module itself, for [`ModuleRegistry::get`].
    fn as_any(&self) -> &dyn Any;
}
