//! The themes of the suite. Each is one test of each storage.

mod faults;
mod ledger;
mod ports;

pub use faults::{
    conflicts_are_run_again, faults_are_typed_and_lose_nothing, faults_under_threads,
    one_callers_fault_in_a_shared_commit,
};
pub use ledger::ledger_agrees_with_the_model;
pub use ports::ports_agree_with_the_model;
