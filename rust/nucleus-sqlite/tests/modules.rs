//! Modules through the engine's public surface: their life, their hooks, their failures.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a failure here is a failed test

mod common;

use std::any::Any;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nucleus_core::{CanonicalJson, ChainEntry, Record};
use nucleus_engine::module::{AssetModule, BuiltinModules, Fault, HookResult, LedgerView, ModuleState};
use nucleus_engine::{
    AppendOptions, Environment, Error, LedgerConfig, LedgerEngine, Module, ModuleConfig, ModuleContext, ModuleFactory,
    ModuleRegistry, NewRecord,
};
use nucleus_sqlite::SqliteStorage;

const ALICE: &str = "oid:onoal:user:alice";
const BOB: &str = "oid:onoal:user:bob";

type Log = Arc<Mutex<Vec<String>>>;

/// Notes every call, and fails, panics or refuses where its settings say so.
struct Probe {
    id: String,
    log: Log,
    settings: String,
}

impl Probe {
    fn note(&self, step: &str) -> HookResult {
        self.log.lock().unwrap().push(format!("{} {step}", self.id));
        assert!(!self.settings.contains(&format!("panic-{step}")), "{step} of {} went wrong", self.id);
        if self.settings.contains(&format!("fail-{step}")) {
            return Err(Fault::Failed { message: format!("{step} does not work"), cause: None });
        }
        Ok(())
    }
}

impl Module for Probe {
    fn id(&self) -> &str {
        &self.id
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn init(&self, context: &ModuleContext) -> HookResult {
        assert_eq!(context.module_id(), self.id);
        self.note("init")
    }

    fn start(&self, _context: &ModuleContext) -> HookResult {
        self.note("start")
    }

    fn stop(&self, _context: &ModuleContext) -> HookResult {
        self.note("stop")
    }

    fn before_append(&self, record: &mut Record, context: &ModuleContext) -> HookResult {
        self.note("before")?;
        if self.settings.contains("rename") {
            record.id.push('!');
        }
        if self.settings.contains("garbage") {
            record.payload = Some(CanonicalJson::from_canonical("{ not canonical }"));
        }
        let payload = record.payload.as_ref().unwrap().as_str();
        if payload.contains("refuse") {
            return Err(Fault::refused("it says refuse"));
        }
        if self.settings.contains("count") {
            let earlier = context.history(&record.id, None)?.len();
            record.payload = Some(CanonicalJson::from_text(&format!("{{\"earlier\":{earlier}}}")).unwrap());
        }
        Ok(())
    }

    fn after_append(&self, entry: &ChainEntry, _context: &ModuleContext) -> HookResult {
        self.note(&format!("after-{}", entry.seq))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Probes {
    log: Log,
}

impl ModuleFactory for Probes {
    fn build(&self, config: &ModuleConfig) -> Result<Box<dyn Module>, Error> {
        Ok(Box::new(Probe {
            id: config.id.clone(),
            log: Arc::clone(&self.log),
            settings: config.config.as_str().to_owned(),
        }))
    }
}

fn module(id: &str, settings: &str) -> ModuleConfig {
    let config = CanonicalJson::from_text(&format!("{{\"do\":\"{settings}\"}}")).unwrap();
    ModuleConfig { id: id.to_owned(), version: "1".to_owned(), config }
}

fn open_with(modules: &[(&str, &str)], log: &Log) -> Result<LedgerEngine, Error> {
    let modules = modules.iter().map(|(id, settings)| module(id, settings)).collect();
    common::open_memory(&LedgerConfig { modules, ..LedgerConfig::default() }, &Probes { log: Arc::clone(log) })
}

fn record(id: &str, stream: &str, payload: &str) -> NewRecord {
    let payload = Some(CanonicalJson::from_text(payload).unwrap());
    let record = Record { id: id.to_owned(), stream: stream.to_owned(), timestamp: 1, payload, meta: None };
    NewRecord { record, timestamp_given: true }
}

fn note(id: &str, payload: &str) -> Vec<NewRecord> {
    vec![record(id, "notes", payload)]
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

#[test]
fn modules_live_in_the_order_of_registration_and_stop_in_reverse() {
    let log = Log::default();
    let ledger = open_with(&[("a", ""), ("b", "")], &log).unwrap();
    assert_eq!(taken(&log), ["a init", "b init", "a start", "b start"]);
    assert_eq!(ledger.modules().list_ids(), ["a", "b"]);
    ledger.append(note("r", "{}"), ALICE, AppendOptions::default()).unwrap();
    assert_eq!(taken(&log), ["a before", "b before", "a after-0", "b after-0"]);
    ledger.close().unwrap();
    assert_eq!(taken(&log), ["b stop", "a stop"]);
    ledger.close().unwrap();
    drop(ledger);
    assert_eq!(taken(&log), Vec::<String>::new());
}

#[test]
fn dropping_a_ledger_stops_its_modules() {
    let log = Log::default();
    drop(open_with(&[("a", ""), ("b", "")], &log).unwrap());
    assert_eq!(taken(&log)[4..], ["b stop", "a stop"]);
}

#[test]
fn a_failing_init_names_the_module_and_starts_nothing() {
    let log = Log::default();
    let Err(error) = open_with(&[("a", ""), ("b", "fail-init"), ("c", "")], &log) else { panic!("it opened") };
    assert!(matches!(&error, Error::ModuleLifecycle { module_id, step: "init", .. } if module_id == "b"), "{error}");
    assert_eq!(taken(&log), ["a init", "b init"]);
}

#[test]
fn a_failing_start_stops_what_was_started() {
    for settings in ["fail-start", "panic-start"] {
        let log = Log::default();
        let Err(error) = open_with(&[("a", ""), ("b", ""), ("c", settings), ("d", "")], &log) else {
            panic!("it opened")
        };
        assert!(matches!(&error, Error::ModuleLifecycle { module_id, step: "start", .. } if module_id == "c"));
        assert_eq!(taken(&log)[4..], ["a start", "b start", "c start", "b stop", "a stop"]);
    }
}

#[test]
fn a_failing_stop_is_counted_and_stops_the_others_all_the_same() {
    for settings in ["fail-stop", "panic-stop"] {
        let log = Log::default();
        let ledger = open_with(&[("a", ""), ("b", settings)], &log).unwrap();
        ledger.close().unwrap();
        assert_eq!(taken(&log)[4..], ["b stop", "a stop"]);
        let info = ledger.modules().info("b").unwrap();
        assert_eq!((info.state, info.failures), (ModuleState::Stopped, 1));
    }
}

#[test]
fn one_id_registers_once() {
    let log = Log::default();
    let Err(error) = open_with(&[("a", ""), ("a", "")], &log) else { panic!("it opened") };
    assert!(matches!(error, Error::ModuleAlreadyRegistered { module_id } if module_id == "a"));
    assert_eq!(taken(&log), Vec::<String>::new());
}

#[test]
fn a_module_is_found_by_its_id_and_type() {
    let log = Log::default();
    let ledger = open_with(&[("a", "x")], &log).unwrap();
    let modules = ledger.modules();
    assert!(modules.get::<Probe>("a").unwrap().settings.contains('x'));
    assert!(modules.get::<AssetModule>("a").is_none());
    assert!(modules.get::<Probe>("b").is_none());
    let info = modules.info("a").unwrap();
    assert_eq!((info.version.as_str(), info.state), ("1", ModuleState::Started));
    assert!(info.registered_at > 0);
}

#[test]
fn a_registry_alone_keeps_its_states() {
    let storage = Arc::new(SqliteStorage::in_memory("alone", &Environment::system()).unwrap());
    let view = LedgerView::Committed(storage);
    let mut registry = ModuleRegistry::new("alone", Environment::system());
    let probe = Probe { id: "a".to_owned(), log: Log::default(), settings: "fail-init".to_owned() };
    registry.register(Box::new(probe), CanonicalJson::from_canonical("{}")).unwrap();
    assert_eq!(registry.info("a").unwrap().state, ModuleState::Registered);
    assert!(registry.init_all(&view).is_err());
    assert_eq!(registry.info("a").unwrap().state, ModuleState::Failed);
    registry.stop_all(&view);
    assert_eq!(registry.info("a").unwrap().state, ModuleState::Failed);
}

#[test]
fn a_panic_in_a_hook_is_an_error_and_the_ledger_stays_usable() {
    let log = Log::default();
    let ledger = open_with(&[("a", "panic-before")], &log).unwrap();
    for _ in 0..2 {
        let error = ledger.append(note("r", "{}"), ALICE, AppendOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::Module { module_id, .. } if module_id == "a"), "{error}");
        assert_eq!(ledger.length().unwrap(), 0);
    }
    let ledger = open_with(&[("a", "panic-after-0")], &log).unwrap();
    ledger.append(note("r", "{}"), ALICE, AppendOptions::default()).unwrap();
    ledger.append(note("r", "{}"), ALICE, AppendOptions::default()).unwrap();
    assert_eq!(ledger.length().unwrap(), 2);
    assert_eq!(ledger.modules().info("a").unwrap().failures, 1);
}

#[test]
fn what_a_hook_writes_is_validated() {
    for settings in ["rename", "garbage"] {
        let log = Log::default();
        let ledger = open_with(&[("a", settings)], &log).unwrap();
        ledger.append(note("r", "{}"), ALICE, AppendOptions::default()).unwrap_err();
        assert_eq!(ledger.length().unwrap(), 0);
    }
}

#[test]
fn in_a_batch_a_hook_sees_the_earlier_records_and_one_refusal_refuses_all() {
    let log = Log::default();
    let ledger = open_with(&[("a", "count")], &log).unwrap();
    let options = AppendOptions { batch: true, ..AppendOptions::default() };
    let three = || ["{}", "{}", "{}"].map(|payload| record("r", "notes", payload)).to_vec();
    let entries = ledger.append(three(), ALICE, options).unwrap();
    let payloads: Vec<&str> = entries.iter().map(|entry| entry.record.payload.as_ref().unwrap().as_str()).collect();
    assert_eq!(payloads, [r#"{"earlier":0}"#, r#"{"earlier":1}"#, r#"{"earlier":2}"#]);

    let mut refused = three();
    refused.push(record("r", "notes", r#"{"refuse":1}"#));
    let error = ledger.append(refused, ALICE, options).unwrap_err();
    assert!(matches!(&error, Error::RecordRefused { message, .. } if message.contains("$[3] of the batch")));
    assert_eq!(ledger.length().unwrap(), 3);
    let entries = ledger.append(three(), ALICE, options).unwrap();
    assert_eq!(entries[0].record.payload.as_ref().unwrap().as_str(), r#"{"earlier":3}"#);
    assert!(ledger.verify(true, None, None, &mut |_, _| Ok(())).unwrap().valid());
}

#[test]
fn in_a_shared_commit_a_refusal_reaches_its_own_caller_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::default();
    let config = LedgerConfig { modules: vec![module("a", "")], ..LedgerConfig::default() };
    let ledger = common::open_file(&directory.path().join("ledger.db"), &config, &Probes { log }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || {
                for number in 0..50 {
                    let refused = (thread + number) % 3 == 0;
                    let payload = if refused { r#"{"refuse":1}"# } else { "{}" };
                    let result = ledger.append(note("r", payload), ALICE, AppendOptions::default());
                    assert_eq!(result.is_err(), refused);
                }
            });
        }
    });
    let kept = (0..8).flat_map(|thread| (0..50).map(move |number| (thread + number) % 3)).filter(|rest| *rest != 0);
    assert_eq!(ledger.length().unwrap(), kept.count() as u64);
}

#[test]
fn two_ledgers_share_nothing() {
    let (first_log, second_log) = (Log::default(), Log::default());
    let first = open_with(&[("a", "")], &first_log).unwrap();
    let second = open_with(&[("a", "count")], &second_log).unwrap();
    drop(first);
    assert!(!taken(&second_log).contains(&"a stop".to_owned()));
    second.append(note("r", "{}"), ALICE, AppendOptions::default()).unwrap();
    assert!(!taken(&first_log).contains(&"a before".to_owned()));
}

fn open_built_in(path: &Path) -> LedgerEngine {
    let asset = ModuleConfig {
        id: "asset".to_owned(),
        version: "1.0.0".to_owned(),
        config: CanonicalJson::from_canonical("{}"),
    };
    common::open_file(path, &LedgerConfig { modules: vec![asset], ..LedgerConfig::default() }, &BuiltinModules).unwrap()
}

#[test]
fn an_asset_has_one_owner_across_openings() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let asset = |payload: &str| vec![record("a-1", "assets", payload)];
    let ledger = open_built_in(&path);
    let register = format!(r#"{{"owner_oid":"{ALICE}","color":"red"}}"#);
    ledger.append(asset(&register), BOB, AppendOptions::default()).unwrap();
    drop(ledger);

    let ledger = open_built_in(&path);
    let transfer = format!(r#"{{"action":"transfer","owner_oid":"{BOB}"}}"#);
    let error = ledger.append(asset(&transfer), BOB, AppendOptions::default()).unwrap_err();
    assert!(matches!(error, Error::RecordRefused { module_id, .. } if module_id == "asset"));
    let entry = ledger.append(asset(&transfer), ALICE, AppendOptions::default()).unwrap().remove(0);
    assert_eq!(
        entry.record.payload.unwrap().as_str(),
        format!(r#"{{"action":"transfer","color":"red","owner_oid":"{BOB}"}}"#)
    );
    let error = ledger.redact(&entry.hash, "no reason", ALICE).unwrap_err();
    assert!(matches!(error, Error::RecordRefused { .. }));
}

#[test]
fn unknown_modules_versions_and_settings_are_refused() {
    let build = |id: &str, version: &str, settings: &str| {
        let config = CanonicalJson::from_text(settings).unwrap();
        BuiltinModules.build(&ModuleConfig { id: id.to_owned(), version: version.to_owned(), config })
    };
    assert!(matches!(build("nope", "1.0.0", "{}"), Err(Error::UnknownModule { module_id, .. }) if module_id == "nope"));
    assert!(matches!(build("proof", "9.0.0", "{}"), Err(Error::Module { .. })));
    assert!(matches!(build("proof", "1.0.0", r#"{"x":1}"#), Err(Error::Module { .. })));
    assert!(build("proof", "1.0.0", "{}").is_ok());
}
