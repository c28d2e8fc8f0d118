//! What access is granted to, and what a grant allows.

use std::fmt;
use std::str::FromStr;

use nucleus_core::error::shortened;
use nucleus_core::{ACL_GRANTS_STREAM, REDACTIONS_STREAM};

use super::{Error, Result};

/// The id that stands for every resource of a kind.
pub const WHOLE_KIND: &str = "*";

/// Whether a stream is the engine's own.
pub fn is_own_stream(stream: &str) -> bool {
    [REDACTIONS_STREAM, ACL_GRANTS_STREAM].contains(&stream)
}

/// What a grant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Reading entries of the resource.
    Read,
    /// Appending entries of the resource.
    Write,
    /// Both, redacting, and granting.
    Full,
}

impl Scope {
    /// The name in entries and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Full => "full",
        }
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Read, Self::Write, Self::Full].into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            Error::Config(format!(
                "scope must be \"read\", \"write\" or \"full\", not \"{}\"",
                shortened(text).escape_debug()
            ))
        })
    }
}

/// What access is granted to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The resource kind of the module that rules the stream, else the stream's own name.
    pub kind: String,
    /// The record id, or [`WHOLE_KIND`].
    pub id: String,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id) = (shortened(&self.kind), shortened(&self.id));
        write!(f, "{} `{}`", kind.escape_debug(), id.escape_debug())
    }
}

/// The resource of a kind and an id; without an id, all of the kind.
impl From<(String, Option<String>)> for Resource {
    fn from((kind, id): (String, Option<String>)) -> Self {
        Self { kind, id: id.unwrap_or_else(|| WHOLE_KIND.to_owned()) }
    }
}
