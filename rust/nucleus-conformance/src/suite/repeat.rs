//! A run is repeated by its seed.

use std::sync::Arc;

use nucleus_core::ChainEntry;
use nucleus_engine::AppendOptions;
use nucleus_engine::env::Entropy;
use nucleus_engine::model::{GrantRequest, Resource, Scope};

use crate::Subject;
use crate::chain::record;
use crate::fixture::{ADMINISTRATOR, STAMPED, Wanted, new, open_ledger};
use crate::names::PRINCIPALS;
use crate::simulation::{SeededEntropy, Simulation};

/// Two runs of one seed make the same chain, byte by byte; another seed makes another.
pub fn runs_repeat_by_their_seed(subject: &dyn Subject) {
    let first = run(subject, 42);
    assert_eq!(first, run(subject, 42));
    assert_ne!(first, run(subject, 43));
}

fn run(subject: &dyn Subject, seed: u64) -> Vec<ChainEntry> {
    let simulation = Simulation::new(seed);
    let storage = subject.open(&simulation.environment);
    let wanted = Wanted { access: true, stamp: true };
    let ledger = open_ledger(Arc::clone(&storage), &simulation.environment, wanted);
    let choices = SeededEntropy::new(seed);
    for number in 0..30 {
        let mut choice = [0; 2];
        choices.fill(&mut choice).unwrap();
        let id = format!("r-{}", choice[0] % 7);
        let (stream, payload) = if choice[1] % 2 == 0 { ("notes", "{}") } else { (STAMPED, r#"{"text":"t"}"#) };
        let made = vec![new(record(stream, &id, number + 1, payload))];
        let entry = ledger.append(made, ADMINISTRATOR, AppendOptions::default()).unwrap().remove(0);
        if choice[0] % 4 == 0 {
            ledger.redact(&entry.hash, "a reason", ADMINISTRATOR).unwrap();
        }
        let resource = Resource { kind: stream.to_owned(), id };
        let principal_oid = PRINCIPALS[usize::from(choice[1]) % PRINCIPALS.len()].to_owned();
        let granted = GrantRequest { resource, principal_oid, scope: Scope::Read, exp: None };
        ledger.grant(&[granted], ADMINISTRATOR).unwrap();
        simulation.clock.jump(i64::from(choice[0]) - 60);
    }
    storage.read().unwrap().range(0, 1_000).unwrap()
}
