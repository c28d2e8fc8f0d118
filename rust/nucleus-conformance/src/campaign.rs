//! How many cases of a property are run, and from which seed.

use std::fmt::Debug;
use std::time::Instant;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner, contextualize_config};

/// From which a run begins where nobody says otherwise: so a failure is seen again by whoever runs the same code.
const SEED: u64 = 1;

/// Runs a property on so many cases, or on as many as the environment says; prints its figures where the environment said
/// anything.
pub(crate) fn run<S: Strategy>(what: &str, cases: u32, strategy: &S, property: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let usual = Config { cases, rng_seed: RngSeed::Fixed(SEED), failure_persistence: None, ..Config::default() };
    // `Config::default()` has looked at the environment too, and is overwritten here.
    let config = contextualize_config(usual.clone());
    let asked_for = config.cases != usual.cases || config.rng_seed != usual.rng_seed;
    let (cases, seed) = (config.cases, config.rng_seed);
    let began = Instant::now();
    let outcome = TestRunner::new(config).run(strategy, |case| {
        property(case);
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = outcome {
        panic!("{what}, seed {seed}: {failure}");
    }
    if asked_for {
        println!("{what}: {cases} cases from seed {seed} in {:.1} s", began.elapsed().as_secs_f64());
    }
}
