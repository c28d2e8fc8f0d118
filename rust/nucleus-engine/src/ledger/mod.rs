//! The ledger: what its users call, over a storage.

mod append;
mod config;
mod extend;
mod governing;
mod open;
mod parts;
mod prepare;
mod queue;
mod read;
mod redact;
mod stage;
mod verify;
mod writing;

use std::path::Path;
use std::sync::Arc;

use crate::access::Access;
use crate::env::Environment;
use crate::model::Result;
use crate::module::{Hooks, ModuleRegistry};
use crate::store::Storage;

use self::parts::Ledger;
use self::queue::CommitQueue;

pub use config::{DEFAULT_MAX_RECORD_BYTES, LedgerConfig, check_ledger_id};
pub use verify::{VerifyOptions, verify_storage};

/// One open ledger.
pub struct LedgerEngine {
    storage: Arc<dyn Storage>,
    environment: Environment,
    hooks: Hooks,
    /// None: every requester may do everything.
    access: Option<Access>,
    /// Streams of built-in modules that do not run, which nobody may write to: those that they ruled when the ledger was
    /// opened earlier and, where access control is on, all, for who has access to their resources follows from the rules.
    unruled: Vec<(String, &'static str)>,
    queue: CommitQueue,
    max_record_bytes: usize,
    opened_in: u32,
}

impl LedgerEngine {
    /// The modules.
    pub fn modules(&self) -> &ModuleRegistry {
        self.hooks.registry()
    }

    /// The ledger's id.
    pub fn id(&self) -> &str {
        &self.storage.described().ledger_id
    }

    /// Where it is kept, as it was given; None in memory.
    pub fn path(&self) -> Option<&Path> {
        self.storage.described().location.as_deref()
    }

    /// Whether nothing may be written.
    pub fn read_only(&self) -> bool {
        self.storage.described().read_only
    }

    /// What every write goes through.
    fn parts(&self) -> Ledger<'_> {
        Ledger {
            storage: &self.storage,
            environment: &self.environment,
            hooks: &self.hooks,
            access: self.access.as_ref(),
            unruled: &self.unruled,
            max_record_bytes: self.max_record_bytes,
        }
    }

    /// Stops the modules and closes the ledger; later calls are refused. Closing twice does nothing.
    ///
    /// # Errors
    /// `Config` where a hook of its own calls it: then the ledger stays open. Those of the storage.
    pub fn close(&self) -> Result<()> {
        // In a forked child the modules belong to the process that opened the ledger.
        if std::process::id() == self.opened_in {
            self.hooks.stop(&self.storage)?;
        }
        self.storage.close()
    }
}

impl Drop for LedgerEngine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "closing a ledger failed");
        }
    }
}
