//! Showing everything that is stored to whoever verifies it.

mod grants;
pub(crate) mod structure;
pub(crate) mod units;
