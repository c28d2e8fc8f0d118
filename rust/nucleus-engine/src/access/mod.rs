//! Access control: who may read, write and govern which resource.
//!
//! A resource is a kind and an id. What is granted stands in the ledger itself: explicit grants and revocations are
//! entries of the stream `acl_grants`, and an entry that creates a resource, or names its owner, implies grants. The
//! table of grants is a projection of those entries, kept in the same transaction and compared by every verification.

mod audit;
mod control;
mod granting;
mod keeping;
mod projection;
pub mod routes;
mod verification;

use std::str::FromStr;

use nucleus_core::error::shortened;

use crate::model::{Error, Result};

pub(crate) use audit::At;
pub use audit::{End, Explanation, Moment, Period};
pub(crate) use control::Access;
pub(crate) use granting::RecordWriter;
pub(crate) use keeping::other_kinds;
pub(crate) use verification::{Findings, GrantsCheck, GrantsWatcher, Pass, Secrets};

/// Who may append the first entry of a resource on which nobody has been granted anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Creation {
    /// Every requester.
    #[default]
    Anyone,
    /// Whoever has `write` or `full` on the whole kind, and the administrator.
    Granted,
}

impl FromStr for Creation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "anyone" => Ok(Self::Anyone),
            "granted" => Ok(Self::Granted),
            _ => Err(Error::Config(format!(
                "creation must be \"anyone\" or \"granted\", not \"{}\"",
                shortened(text).escape_debug()
            ))),
        }
    }
}

/// Access control of one ledger, as its opener wants it.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    /// Who may do everything.
    pub administrator_oid: String,
    /// Who may create resources.
    pub creation: Creation,
    /// Take the resource kinds from the file, where the opener does not run the modules that declare them.
    pub kinds_as_stored: bool,
}
