//! How the engine runs the hooks of its modules.

use std::sync::Arc;

use nucleus_core::error::shortened;
use nucleus_core::{ChainEntry, InvalidRecord, Record, canonical};

use super::gate::{Gate, Inside};
use super::registry::Running;
use super::{Fault, LedgerView, ModuleRegistry};
use crate::model::{Error, Request, Result};
use crate::store::{OpenTransaction, Storage};

/// What the hooks made of a record.
pub(crate) enum Verdict {
    /// It is appended, as it is now.
    Append {
        /// The record as the caller gave it, where it is no longer that.
        given: Option<Record>,
    },
    /// This entry says the same already.
    Existing(Box<ChainEntry>),
}

/// The modules of one ledger as its engine uses them.
pub(crate) struct Hooks {
    registry: ModuleRegistry,
    gate: Gate,
}

/// The hooks of one call of append.
pub(crate) struct AppendHooks<'a> {
    running: Vec<Running<'a>>,
}

impl Hooks {
    pub(crate) fn new(registry: ModuleRegistry) -> Self {
        Self { registry, gate: Gate::default() }
    }

    pub(crate) fn registry(&self) -> &ModuleRegistry {
        &self.registry
    }

    pub(crate) fn none(&self) -> bool {
        self.registry.is_empty()
    }

    /// Whether no hook wants records of this stream.
    pub(crate) fn indifferent_to(&self, stream: &str) -> bool {
        !self.registry.wanted(stream)
    }

    /// Initialises and starts all modules.
    pub(crate) fn start(&self, storage: &Arc<dyn Storage>) -> Result<()> {
        if self.none() {
            return Ok(());
        }
        let _stay = self.gate.enter(Inside::Exclusive)?;
        storage.upkeep().declare_indexes(&self.registry.indexes()?)?;
        let view = LedgerView::Committed(Arc::clone(storage));
        self.registry.init_all(&view)?;
        self.registry.start_all(&view)
    }

    /// Waits for the hooks that run, lets no more begin, and stops all modules. The second time it does nothing.
    pub(crate) fn stop(&self, storage: &Arc<dyn Storage>) -> Result<()> {
        if self.none() {
            return Ok(());
        }
        self.refuse_inside(None, "close")?;
        if self.gate.close() {
            self.registry.stop_all(&LedgerView::Committed(Arc::clone(storage)));
        }
        Ok(())
    }

    /// Refuses a call that would wait for the hook that makes it.
    pub(crate) fn refuse_inside_hook(&self, call: &str) -> Result<()> {
        if self.none() { Ok(()) } else { self.refuse_inside(Some(Inside::Exclusive), call) }
    }

    fn refuse_inside(&self, kind: Option<Inside>, call: &str) -> Result<()> {
        if !self.gate.is_inside(kind) {
            return Ok(());
        }
        Err(Error::Config(format!(
            "{call} was called from inside a module's hook, which it would wait for without end; read through the \
             hook's context, write outside of hooks or in after_append"
        )))
    }

    /// Runs `work`, in which hooks are called inside a write transaction.
    pub(crate) fn exclusively<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _stay = if self.none() { None } else { Some(self.gate.enter(Inside::Exclusive)?) };
        work()
    }

    /// Runs `work` inside what the modules hold around their hooks.
    pub(crate) fn around<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.none() {
            return work();
        }
        let mut work = Some(work);
        let mut answer = Err(Error::Closed);
        self.registry.around(&mut || {
            if let Some(work) = work.take() {
                answer = work();
            }
        });
        answer
    }

    /// The hooks for the records of one append.
    pub(crate) fn for_append(&self, open: &OpenTransaction, request: &Request) -> AppendHooks<'_> {
        AppendHooks { running: self.registry.started(&LedgerView::Transaction(open.clone()), request) }
    }

    /// Tells the modules of durable entries.
    pub(crate) fn after_append(&self, storage: &Arc<dyn Storage>, request: &Request, entries: &[&ChainEntry]) {
        if entries.iter().all(|entry| self.indifferent_to(&entry.record.stream)) {
            return;
        }
        // Once the ledger is being closed, the modules have stopped.
        let Ok(_stay) = self.gate.enter(Inside::Shared) else {
            return;
        };
        let running = self.registry.started(&LedgerView::Committed(Arc::clone(storage)), request);
        self.registry.around(&mut || {
            for entry in entries {
                for module in running.iter().filter(|module| module.wants(&entry.record.stream)) {
                    if let Err(fault) = module.call(|module, context| module.after_append(entry, context)) {
                        tracing::warn!(module = module.id(), seq = entry.seq, error = %fault, "after_append failed");
                        module.note_failure(&format!("after_append of entry {}: {fault}", entry.seq));
                    }
                }
            }
        });
    }

    /// Asks the modules whether an entry's payload may be erased.
    pub(crate) fn before_redact(&self, open: &OpenTransaction, request: &Request, entry: &ChainEntry) -> Result<()> {
        let mut running = self.registry.started(&LedgerView::Transaction(open.clone()), request);
        running.retain(|module| module.wants(&entry.record.stream));
        for module in running {
            let asked = module.call(|module, context| module.before_redact(entry, context));
            asked.map_err(|fault| {
                let what = format!("the redaction of entry {}", entry.seq);
                refusal(module.id(), &what, fault)
            })?;
        }
        Ok(())
    }
}

impl AppendHooks<'_> {
    /// Runs `before_append` of every module on one record. One that is not to be appended is left as it was given.
    pub(crate) fn before_append(&self, record: &mut Record) -> Result<Verdict> {
        let given = record.clone();
        let verdict = self.run(record, &given);
        match verdict {
            Ok(None) if record.payload == given.payload && record.meta == given.meta => {
                Ok(Verdict::Append { given: None })
            }
            Ok(None) => match validate(record) {
                Ok(()) => Ok(Verdict::Append { given: Some(given) }),
                Err(error) => {
                    *record = given;
                    Err(error.into())
                }
            },
            Ok(Some(existing)) => {
                *record = given;
                Ok(Verdict::Existing(existing))
            }
            Err(error) => {
                *record = given;
                Err(error)
            }
        }
    }

    /// Runs them; the entry that says the same already, if there is one.
    fn run(&self, record: &mut Record, given: &Record) -> Result<Option<Box<ChainEntry>>> {
        for module in self.running.iter().filter(|module| module.wants(&given.stream)) {
            match module.call(|module, context| module.before_append(record, context)) {
                Ok(()) => {}
                Err(Fault::Existing(entry)) => return Ok(Some(entry)),
                Err(fault) => {
                    let what = format!("record `{}`", shortened(&given.id).escape_debug());
                    return Err(refusal(module.id(), &what, fault));
                }
            }
            if record.id != given.id || record.stream != given.stream || record.timestamp != given.timestamp {
                return Err(Error::Module {
                    module_id: module.id().to_owned(),
                    message: "its before_append changed the id, stream or timestamp of a record; \
                              it may change payload and meta only"
                        .to_owned(),
                    cause: None,
                });
            }
        }
        Ok(None)
    }
}

/// What a hook wrote is as little trusted as what a caller wrote.
fn validate(record: &Record) -> std::result::Result<(), InvalidRecord> {
    record.validate()?;
    for (key, part) in [("payload", &record.payload), ("meta", &record.meta)] {
        if part.as_ref().is_some_and(|json| !canonical::is_canonical(json.as_str())) {
            return Err(InvalidRecord::new("a module's hook left this in no canonical form").within_key(key));
        }
    }
    Ok(())
}

/// The error of a hook that does not let something through.
fn refusal(module_id: &str, what: &str, fault: Fault) -> Error {
    let module_id = module_id.to_owned();
    match fault {
        Fault::Refused(reason) => Error::RecordRefused { module_id, message: format!("{what}: {reason}"), cause: None },
        Fault::Failed { message, cause: cause @ Some(_) } => {
            Error::RecordRefused { module_id, message: format!("{what}: {message}"), cause }
        }
        Fault::Failed { message, cause: None } => {
            Error::Module { module_id, message: format!("{what}: {message}"), cause: None }
        }
        Fault::Conflict { message, existing_hash } => {
            Error::Conflict { message: format!("{what}: {message}"), existing_hash: Some(existing_hash) }
        }
        Fault::Existing(entry) => Error::Conflict {
            message: format!("{what}: entry {} says the same", entry.seq),
            existing_hash: Some(entry.hash),
        },
        Fault::Ledger(error) => Error::clone(&error),
    }
}
