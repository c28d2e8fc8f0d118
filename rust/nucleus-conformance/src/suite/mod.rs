//! The themes of the suite. Each is one test of each storage.

mod concurrency;
mod faults;
mod ledger;
mod operations;
mod pages;
mod ports;
mod recovery;
mod repeat;
mod scans;

pub use concurrency::concurrency;
pub use faults::{
    conflicts_are_run_again, faults_are_typed_and_lose_nothing, faults_under_threads,
    one_callers_fault_in_a_shared_commit,
};
pub use ledger::ledger_agrees_with_the_model;
pub use operations::{grants, operations, redactions, savepoints};
pub use pages::pages;
pub use ports::ports_agree_with_the_model;
pub use recovery::recovery;
pub use repeat::runs_repeat_by_their_seed;
pub use scans::scans;
