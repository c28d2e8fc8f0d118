//! Verification of grants in any number of passes: each finds its share, and together they find all.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a failure here is a failed test

mod common;

use std::path::Path;
use std::time::Duration;

use nucleus_conformance::simulation::Simulation;
use nucleus_core::{CanonicalJson, ErrorKind, Record, VerificationReport};
use nucleus_engine::model::{GrantRequest, Resource, Scope};
use nucleus_engine::module::BuiltinModules;
use nucleus_engine::{
    AccessConfig, AppendOptions, Creation, Environment, LedgerConfig, NewRecord, VerifyOptions, verify_storage,
};
use nucleus_sqlite::{Durability, SqliteConfig, SqliteStorage};

const ADMINISTRATOR: &str = "oid:test:org:admin";
const ALICE: &str = "oid:test:user:alice";
const BOB: &str = "oid:test:user:bob";
const RESOURCES: u64 = 60;

/// A closed ledger with as many resources, of which every third is granted to somebody else, and every sixth no more.
fn build(path: &Path) {
    let access = AccessConfig {
        administrator_oid: ADMINISTRATOR.to_owned(),
        creation: Creation::Anyone,
        kinds_as_stored: false,
    };
    let config = LedgerConfig { access: Some(access), ..LedgerConfig::default() };
    let ledger = common::open_file(path, &config, &BuiltinModules).unwrap();
    for number in 0..RESOURCES {
        let payload = Some(CanonicalJson::from_canonical("{}"));
        let record =
            Record { id: format!("r-{number}"), stream: "notes".to_owned(), timestamp: 1, payload, meta: None };
        let new = NewRecord { record, timestamp_given: true };
        ledger.append(vec![new.clone(), new], ALICE, AppendOptions::default()).unwrap();
        let grant = GrantRequest {
            resource: Resource { kind: "notes".to_owned(), id: format!("r-{number}") },
            principal_oid: BOB.to_owned(),
            scope: Scope::Read,
            exp: None,
        };
        if number % 3 == 0 {
            ledger.grant(std::slice::from_ref(&grant), ALICE).unwrap();
        }
        if number % 6 == 0 {
            ledger.revoke(&[grant], ALICE, false).unwrap();
        }
    }
    ledger.close().unwrap();
}

fn verified(path: &Path, entries_per_pass: u64) -> VerificationReport {
    let sqlite = SqliteConfig {
        path: path.to_owned(),
        read_only: true,
        durability: Durability::Normal,
        busy_timeout: Duration::from_secs(10),
    };
    let storage = SqliteStorage::open(&sqlite, None, false, &Environment::system()).unwrap();
    let options = VerifyOptions { grants_at: Some(1_000), entries_per_pass, ..VerifyOptions::default() };
    verify_storage(&storage, options, &mut |_, _| Ok(())).unwrap()
}

#[test]
fn grants_are_compared_in_any_number_of_passes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    build(&path);
    for entries_per_pass in [1, 7, 50, 1_000_000] {
        assert!(verified(&path, entries_per_pass).valid(), "{entries_per_pass}");
    }
    let edited = rusqlite::Connection::open(&path).unwrap();
    // A creator's grant that is gone, an explicit one that was widened, and one that was revoked and is there again.
    let edits = [
        "DELETE FROM acl_grants WHERE resource_id = 'r-7' AND source = 'creator'",
        "UPDATE acl_grants SET scope = 'full' WHERE resource_id = 'r-9' AND source = 'grant'",
        "INSERT INTO acl_grants SELECT resource_kind, 'r-12', principal_oid, scope, source, granted_by, exp, created_at, seq \
         FROM acl_grants WHERE resource_id = 'r-3' AND source = 'grant'",
    ];
    for edit in edits {
        assert_eq!(edited.execute(edit, ()).unwrap(), 1);
    }
    drop(edited);
    for entries_per_pass in [1, 7, 50, 1_000_000] {
        let report = verified(&path, entries_per_pass);
        let faults: Vec<ErrorKind> = report.errors.iter().map(|error| error.kind).collect();
        // The widened one is one that is not implied, and one that is missing.
        assert_eq!(faults, [ErrorKind::GrantMismatch; 4], "{entries_per_pass}: {:?}", report.errors);
    }
}

#[test]
fn a_clock_that_goes_back_behind_a_cleaning_up_refuses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let simulation = Simulation::new(1);
    let access = AccessConfig {
        administrator_oid: ADMINISTRATOR.to_owned(),
        creation: Creation::Anyone,
        kinds_as_stored: false,
    };
    let config = LedgerConfig { access: Some(access), ..LedgerConfig::default() };
    let open = || common::open_in(&path, &config, &BuiltinModules, simulation.environment.clone());
    let note = |id: &str| {
        let payload = Some(CanonicalJson::from_canonical("{}"));
        let record = Record { id: id.to_owned(), stream: "notes".to_owned(), timestamp: 1, payload, meta: None };
        vec![NewRecord { record, timestamp_given: true }]
    };
    let granted = |id: &str, exp| GrantRequest {
        resource: Resource { kind: "notes".to_owned(), id: id.to_owned() },
        principal_oid: BOB.to_owned(),
        scope: Scope::Read,
        exp,
    };
    {
        let ledger = open().unwrap();
        simulation.clock.set(1_000_000);
        ledger.append(note("a"), ALICE, AppendOptions::default()).unwrap();
        ledger.grant(&[granted("a", Some(1_500)), granted("a", Some(9_000))], ALICE).unwrap();
        ledger.grant(&[granted("b", Some(1_500))], ADMINISTRATOR).unwrap();
        simulation.clock.set(2_000_000);
        ledger.append(note("b"), ALICE, AppendOptions::default()).unwrap_err();
        ledger.append(note("c"), ALICE, AppendOptions::default()).unwrap();
        assert_eq!(ledger.cleanup_expired(ADMINISTRATOR).unwrap(), 1);
        simulation.clock.set(1_200_000);
        assert!(ledger.verify(false, None, None, &mut |_, _| Ok(())).unwrap().valid());
    }
    assert_eq!(open().unwrap().length().unwrap(), 5);
}
