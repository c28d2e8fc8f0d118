//! A clock and a source of chance that a test holds in its hands.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nucleus_core::MAX_SAFE_INTEGER;
use nucleus_engine::Environment;
use nucleus_engine::env::{Clock, Entropy};
use nucleus_engine::model::Result;

/// What a simulated clock shows at first, in ms since the Unix epoch.
pub const BEGINNING_MS: i64 = 1_000_000;

/// A clock that shows what it was set to. It may jump in either direction.
#[derive(Debug)]
pub struct SimulatedClock {
    now_ms: AtomicI64,
}

impl SimulatedClock {
    /// Moves it, backwards where `by_ms` is negative.
    pub fn jump(&self, by_ms: i64) {
        self.set(self.now_ms().saturating_add(by_ms));
    }

    /// Sets it to this time, in ms since the Unix epoch; what no record can hold becomes the nearest that it can.
    pub fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms.clamp(1, MAX_SAFE_INTEGER), Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }
}

/// Bytes that follow from a seed: `SplitMix64`. They are anything but secret.
#[derive(Debug)]
pub struct SeededEntropy {
    /// Held for the time of filling one buffer.
    state: Mutex<u64>,
}

impl SeededEntropy {
    /// Of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// An environment of which a test moves the clock, and of which all chance follows from a seed.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The clock of the environment.
    pub clock: Arc<SimulatedClock>,
    /// What storages and ledgers are given.
    pub environment: Environment,
}

impl Simulation {
    /// Of this seed; the clock shows [`BEGINNING_MS`].
    pub fn new(seed: u64) -> Self {
        let clock = Arc::new(SimulatedClock { now_ms: AtomicI64::new(BEGINNING_MS) });
        let environment = Environment { clock: Arc::clone(&clock) as _, entropy: Arc::new(SeededEntropy::new(seed)) };
        Self { clock, environment }
    }
}
