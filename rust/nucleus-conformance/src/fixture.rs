//! Ledgers over the storage that is looked at, and the modules that they run.

use std::any::Any;
use std::sync::Arc;

use nucleus_core::{CanonicalJson, Record};
use nucleus_engine::module::{BuiltinModules, Fault, HookResult};
use nucleus_engine::{
    AccessConfig, AppendOptions, Creation, Environment, Error, LedgerConfig, LedgerEngine, Module, ModuleConfig,
    ModuleContext, ModuleFactory, NewRecord, Storage,
};

use crate::names::DECLARED;

/// Who may do everything, where access control is on.
pub(crate) const ADMINISTRATOR: &str = "oid:test:user:admin";

/// The stream of which records are completed.
pub(crate) const STAMPED: &str = "stamped";

/// How a ledger is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) access: bool,
    /// Whether it runs the module that completes records.
    pub(crate) stamp: bool,
}

/// Opens a ledger; with access control, it runs the modules that say of what kinds [`DECLARED`] streams are.
pub(crate) fn open_ledger(storage: Arc<dyn Storage>, environment: &Environment, wanted: Wanted) -> LedgerEngine {
    try_open_ledger(storage, environment, wanted).unwrap()
}

pub(crate) fn try_open_ledger(
    storage: Arc<dyn Storage>,
    environment: &Environment,
    wanted: Wanted,
) -> Result<LedgerEngine, Error> {
    let named = |id: &&str| match *id {
        "stamp" => wanted.stamp,
        _ => wanted.access,
    };
    let module = |id: &str| ModuleConfig {
        id: id.to_owned(),
        version: "1".to_owned(),
        config: CanonicalJson::from_canonical("{}"),
    };
    let modules = ["shelf", "crowd", "stamp"].iter().filter(|id| named(id)).map(|id| module(id)).collect();
    let access = wanted.access.then(|| AccessConfig {
        administrator_oid: ADMINISTRATOR.to_owned(),
        creation: Creation::Anyone,
        kinds_as_stored: false,
    });
    let config = LedgerConfig { modules, access, ..LedgerConfig::default() };
    LedgerEngine::open(storage, &config, &SuiteModules, environment.clone(), &mut |_, _| Ok(()))
}

/// Whatever the caller says, with the timestamp that the record has.
pub(crate) fn new(record: Record) -> NewRecord {
    NewRecord { record, timestamp_given: true }
}

/// An append of a batch.
pub(crate) const BATCH: AppendOptions = AppendOptions { unique: false, expected_head: None, batch: true };

/// Verifies a ledger that must be sound and have so many entries.
pub(crate) fn assert_sound(ledger: &LedgerEngine, length: u64) {
    let report = ledger.verify(true, None, Some(length), &mut |_, _| Ok(())).unwrap();
    assert!(report.valid(), "{}", report.summary());
}

struct SuiteModules;

impl ModuleFactory for SuiteModules {
    fn build(&self, config: &ModuleConfig) -> Result<Box<dyn Module>, Error> {
        match config.id.as_str() {
            "shelf" => Ok(Box::new(Shelf { id: "shelf", kind: "work" })),
            "crowd" => Ok(Box::new(Shelf { id: "crowd", kind: "mass" })),
            "stamp" => Ok(Box::new(Stamp)),
            _ => BuiltinModules.build(config),
        }
    }
}

/// Says that some streams are of one kind, and rules nothing.
struct Shelf {
    id: &'static str,
    kind: &'static str,
}

impl Module for Shelf {
    fn id(&self) -> &str {
        self.id
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn streams(&self) -> Vec<String> {
        DECLARED.iter().filter(|(_, kind)| *kind == self.kind).map(|(stream, _)| (*stream).to_owned()).collect()
    }

    fn wants(&self, _stream: &str) -> bool {
        false
    }

    fn resource_kind(&self) -> Option<String> {
        Some(self.kind.to_owned())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Completes records of one stream: adds a mark to their text, and the number of their version. Run on its own result, it
/// would add a second mark.
struct Stamp;

impl Module for Stamp {
    fn id(&self) -> &'static str {
        "stamp"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn wants(&self, stream: &str) -> bool {
        stream == STAMPED
    }

    fn before_append(&self, record: &mut Record, context: &ModuleContext) -> HookResult {
        let payload: serde_json::Value = serde_json::from_str(record.payload.as_ref().unwrap().as_str()).unwrap();
        let Some(text) = payload["text"].as_str() else { return Err(Fault::refused("it has no text")) };
        let version = context.history(&record.id, Some(STAMPED))?.len();
        record.payload = Some(CanonicalJson::from_text(&stamped(text, version)).unwrap());
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What a text becomes that is the version with this number, counted from 0.
pub(crate) fn stamped(text: &str, version: usize) -> String {
    format!(r#"{{"text":{},"version":{version}}}"#, serde_json::Value::from(format!("{text}!")))
}
