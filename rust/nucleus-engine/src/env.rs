//! What the engine takes from outside besides a storage: the time, and chance. Both are ports, so that a run can be
//! repeated by its seed.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nucleus_core::{MAX_SAFE_INTEGER, Salt};

use crate::model::{Error, Result, StoreError, StoreErrorKind};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, kept within what a record can hold even where the clock is wrong.
    fn now_ms(&self) -> i64;
}

/// A source of unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// Fills the buffer.
    ///
    /// # Errors
    /// `Store` where the system has none to give.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;
}

/// A clock and a source of chance. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where salts come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Environment {
    /// That of the system.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }

    /// The time, in ms since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Fresh salts.
    ///
    /// # Errors
    /// Those of the source of chance.
    pub fn salts(&self, count: usize) -> Result<Vec<Salt>> {
        let mut salts = vec![[0; 16]; count];
        self.entropy.fill(salts.as_flattened_mut())?;
        Ok(salts)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(MAX_SAFE_INTEGER).clamp(1, MAX_SAFE_INTEGER)
    }
}

/// The operating system's source of chance.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer).map_err(|error| {
            let message = format!("no randomness from the system: {error}");
            Error::Store(StoreError::new(StoreErrorKind::Unavailable, message))
        })
    }
}
