//! What every storage of the Nucleus ledger must do, as one suite of tests; for development only.
//!
//! A storage's crate says how its ledgers are made ([`Subject`]) and calls [`conformance!`] from its tests. What the suite
//! compares with is a naive [`model`], written from what the ports promise. Chance and time come from a [`simulation`], so
//! that every run can be repeated; [`faults`] wraps a storage in one that fails where it is told to.
//!
//! Properties run a bounded number of cases from a fixed seed. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` make a longer
//! campaign, or another one, of them; then each prints its figures (`cargo test -- --nocapture`).
// A failure here is a failed test, and says so by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod campaign;
pub mod chain;
pub mod faults;
mod fixture;
pub mod model;
pub mod names;
mod script;
pub mod simulation;
pub mod suite;

use std::sync::Arc;

use nucleus_engine::{Environment, Storage};

/// The id of every ledger that the suite makes.
pub const LEDGER_ID: &str = "conformance";

/// A storage that is looked at: how its ledgers are made.
pub trait Subject {
    /// A new and empty ledger with the id [`LEDGER_ID`], accepted as it is.
    fn open(&self, environment: &Environment) -> Arc<dyn Storage>;

    /// The ledger that was opened last, again, after it was closed. None where it ends with its process.
    fn reopen(&self, _environment: &Environment) -> Option<Arc<dyn Storage>> {
        None
    }
}

/// A function that opens ledgers, where these end with their process.
impl<F: Fn(&Environment) -> Arc<dyn Storage>> Subject for F {
    fn open(&self, environment: &Environment) -> Arc<dyn Storage> {
        self(environment)
    }
}

/// Makes a module of tests, one for each theme of the suite, about the storage that an expression makes a [`Subject`] of.
#[macro_export]
macro_rules! conformance {
    ($name:ident, $subject:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::conformance! { @themes $subject;
                operations, pages, grants, redactions, savepoints, scans, recovery, concurrency,
                ports_agree_with_the_model, ledger_agrees_with_the_model, runs_repeat_by_their_seed,
                conflicts_are_run_again, faults_are_typed_and_lose_nothing, faults_under_threads,
                one_callers_fault_in_a_shared_commit
            }
        }
    };
    (@themes $subject:expr; $($theme:ident),+) => {
        $(
            #[test]
            fn $theme() {
                $crate::suite::$theme(&$subject);
            }
        )+
    };
}
