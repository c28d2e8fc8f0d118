//! The engine's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use nucleus_core::MAX_SAFE_INTEGER;

/// Milliseconds since the Unix epoch, kept within what a record can hold even where the machine's clock is wrong.
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(MAX_SAFE_INTEGER).clamp(1, MAX_SAFE_INTEGER)
}
