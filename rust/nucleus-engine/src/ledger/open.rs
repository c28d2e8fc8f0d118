//! Opening: the verification of everything, then the modules and access control.

use std::sync::Arc;

use nucleus_core::{EndCheck, ErrorKind, VerificationError, VerificationReport};

use super::queue::CommitQueue;
use super::verify::{VerifyOptions, look_at_everything};
use super::{LedgerConfig, LedgerEngine, governing};
use crate::env::Environment;
use crate::model::{Error, Progress, Result};
use crate::module::{Hooks, ModuleFactory, ModuleRegistry, built_in_streams};
use crate::store::{EndOfChain, Storage};

impl LedgerEngine {
    /// Opens a ledger over its storage: anchor, then, unless told otherwise, the verification of everything; then its modules
    /// are made by `factory`, initialised and started.
    ///
    /// # Errors
    /// `Integrity` where the ledger does not add up; `Config`, `Module` and `ModuleLifecycle` where the configuration does
    /// not suit it; those of the storage.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: &LedgerConfig,
        factory: &dyn ModuleFactory,
        environment: Environment,
        progress: Progress<'_>,
    ) -> Result<Self> {
        config.validate()?;
        verify_opened(storage.as_ref(), config, &environment, progress)?;
        let mut registry = ModuleRegistry::new(&storage.described().ledger_id, environment.clone());
        for module in &config.modules {
            registry.register(factory.build(module)?, module.config.clone())?;
        }
        let wanted = config.access.as_ref();
        let access = wanted
            .map(|wanted| governing::open_access(wanted, &registry, storage.as_ref(), &environment))
            .transpose()?;
        let ruled_earlier = storage.upkeep().indexed_streams();
        let mut unruled = built_in_streams();
        unruled
            .retain(|(stream, id)| registry.info(id).is_none() && (access.is_some() || ruled_earlier.contains(stream)));
        let engine = Self {
            storage,
            environment,
            access,
            unruled,
            hooks: Hooks::new(registry),
            queue: CommitQueue::default(),
            max_record_bytes: config.max_record_bytes,
            opened_in: std::process::id(),
        };
        if let Some(access) = &engine.access {
            engine.begin_access(access, config.verify_on_open)?;
        }
        engine.hooks.start(&engine.storage)?;
        Ok(engine)
    }
}

/// Verifies what is opened. Where access control is wanted, the grants are, too.
fn verify_opened(
    storage: &dyn Storage,
    config: &LedgerConfig,
    environment: &Environment,
    progress: Progress<'_>,
) -> Result<()> {
    let upkeep = storage.upkeep();
    let looked = if config.verify_on_open {
        let grants_at = config.access.is_some().then(|| environment.now_ms() / 1000);
        let wanted = VerifyOptions { grants_at, ..VerifyOptions::default() };
        look_at_everything(storage, wanted, progress).map(|looked| (looked.report, looked.grant_faults))
    } else {
        report_unverified(storage, config).map(|report| (report, Vec::new()))
    };
    let (mut report, grant_faults) = looked.map_err(|error| match error {
        Error::Store(error) => Error::Store(error.with_hint(&upkeep.why_unsound())),
        other => other,
    })?;
    let elsewhere = config.expected_head.is_some() || config.expected_length.is_some();
    let mut hint = "";
    match upkeep.end_of_chain()? {
        _ if config.accept_rollback => {}
        EndOfChain::NotAnchored(_) if elsewhere => {}
        EndOfChain::NotAnchored(missing) => {
            report.add(missing);
            hint =
                " (put the file back, name the end with expected_head, or open it as it is with accept_rollback=True)";
        }
        end @ EndOfChain::Mismatch(_) => {
            note_end(&mut report, end);
            hint = " (it was cut, rolled back or damaged; accept_rollback=True opens it as it is)";
        }
        end => note_end(&mut report, end),
    }
    report.expect_end(config.expected_head.as_ref(), config.expected_length);
    let id = &storage.described().ledger_id;
    if report.valid() && grant_faults.is_empty() {
        return upkeep.accept();
    }
    if report.valid() {
        return Err(altered_grants(id, grant_faults));
    }
    // What else is wrong is not accepted by name.
    let only_the_end = report.counts.keys().all(|kind| *kind == ErrorKind::HeadMismatch);
    let (hint, why) = if only_the_end { (hint, String::new()) } else { ("", upkeep.why_unsound()) };
    Err(Error::integrity(&format!("ledger `{id}` does not add up and was not opened{hint}{why}"), report))
}

/// The refusal of a ledger whose chain is sound and whose grants are not.
fn altered_grants(id: &str, faults: Vec<VerificationError>) -> Error {
    let mut report = VerificationReport::default();
    for fault in faults {
        report.add(fault);
    }
    let what = format!(
        "the grants of ledger `{id}` are not those that its chain implies; verify_on_open=False opens it, and rebuild then \
         restores them"
    );
    Error::integrity(&what, report)
}

/// Notes by what the end of the chain was checked, and whether it is there.
pub(super) fn note_end(report: &mut VerificationReport, end: EndOfChain) {
    match end {
        EndOfChain::Anchored => report.end_checked_by = Some(EndCheck::Anchor),
        EndOfChain::Mismatch(fault) => {
            report.end_checked_by = Some(EndCheck::Anchor);
            report.add(fault);
        }
        EndOfChain::NotAnchored(_) | EndOfChain::InMemory => {}
    }
}

/// What can be said without verifying the whole chain: whether what was recovered after a crash is sound.
fn report_unverified(storage: &dyn Storage, config: &LedgerConfig) -> Result<VerificationReport> {
    let mut report = VerificationReport::default();
    if config.expected_head.is_some() || config.expected_length.is_some() {
        report.head = storage.read()?.head()?;
        report.entries_checked = report.head.map_or(0, |head| head.seq + 1);
    }
    if let Some(fault) = storage.upkeep().recovery_fault()? {
        report.add(fault);
    }
    Ok(report)
}
