//! Access control: who may read, write and govern which resource.
//!
//! A resource is a kind and an id. What is granted stands in the ledger itself: explicit grants and revocations are
//! entries of the stream `acl_grants`, and an entry that creates a resource, or names its owner, implies grants. The
//! table of grants is a projection of those entries, kept in the same transaction and compared by every verification.

mod audit;
mod control;
mod entries;
mod granting;
mod keeping;
mod kinds;
mod projection;
mod recompute;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use nucleus_core::error::shortened;

use crate::error::{Error, Result};

pub(crate) use audit::At;
pub use audit::{End, Explanation, Moment, Period};
pub(crate) use control::Access;
pub(crate) use entries::{GRANTS_ID_PREFIX, about_redaction, about_resource, is_well_formed, record_id_of};
pub(crate) use keeping::other_kinds;
pub use kinds::Role;
pub(crate) use kinds::{Kinds, is_own_stream};
pub use projection::Change;
pub(crate) use projection::Meta;
pub(crate) use recompute::{Governed, PassKeys, Recomputed, passes};

/// The id that stands for every resource of a kind.
pub const WHOLE_KIND: &str = "*";

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

/// What a grant follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// An entry of the stream `acl_grants`.
    Grant,
    /// The principal appended the first entry of the resource.
    Creator,
    /// The resource's payload names the principal as its owner.
    Owner,
    /// It names the principal as its issuer.
    Issuer,
    /// It names the principal as its subject.
    Subject,
    /// It names the principal as the application that may use it.
    App,
}

impl Source {
    const ALL: [Self; 6] = [Self::Grant, Self::Creator, Self::Owner, Self::Issuer, Self::Subject, Self::App];

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Creator => "creator",
            Self::Owner => "owner",
            Self::Issuer => "issuer",
            Self::Subject => "subject",
            Self::App => "app",
        }
    }

    /// The source with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
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

/// One grant, as the projection holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// To what.
    pub resource: Resource,
    /// Whom.
    pub principal_oid: String,
    /// What it allows.
    pub scope: Scope,
    /// What it follows from.
    pub source: Source,
    /// Who granted it, or appended the entry that implies it.
    pub granted_by: String,
    /// It counts for nothing from this second on, since the Unix epoch; None: it does not expire.
    pub exp: Option<i64>,
    /// The engine's clock at the entry that it comes from, in ms since the Unix epoch.
    pub created_at: i64,
    /// Seq of the entry that it comes from.
    pub seq: u64,
}

impl Grant {
    /// Whether it counts at this second.
    pub(crate) fn live_at(&self, now_s: i64) -> bool {
        self.exp.is_none_or(|exp| now_s < exp)
    }

    /// Whether it allows this.
    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.scope == Scope::Full || self.scope == scope
    }
}

/// A grant that somebody asks for, or asks to end.
#[derive(Debug, Clone)]
pub struct GrantRequest {
    /// To what.
    pub resource: Resource,
    /// Whom.
    pub principal_oid: String,
    /// What it allows.
    pub scope: Scope,
    /// See [`Grant::exp`]; of no meaning where a grant is ended.
    pub exp: Option<i64>,
}

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

/// Which grants are asked for; absent members match everything.
#[derive(Debug, Clone)]
pub struct GrantQuery<'a> {
    /// Of this principal.
    pub principal_oid: Option<&'a str>,
    /// On exactly this resource.
    pub resource: Option<&'a Resource>,
    /// Of exactly this scope.
    pub scope: Option<Scope>,
    /// Only those that count at this second.
    pub live_at: Option<i64>,
    /// Most grants answered.
    pub limit: usize,
}

impl Default for GrantQuery<'_> {
    fn default() -> Self {
        Self { principal_oid: None, resource: None, scope: None, live_at: None, limit: usize::MAX }
    }
}

/// Whether somebody has something on a resource, or on the whole of its kind, at some second.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Whom.
    pub principal_oid: &'a str,
    /// What it is about.
    pub resource: &'a Resource,
    /// What it is for.
    pub scope: Scope,
    /// When.
    pub now_s: i64,
}

/// Somebody who reads, and sees only what they are granted.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub(crate) principal_oid: Arc<str>,
    pub(crate) now_s: i64,
    pub(crate) kinds: Arc<Kinds>,
}

/// Somebody who asks for an id without naming a stream, where access control is on.
#[derive(Debug, Clone)]
pub struct Asker {
    pub(crate) kinds: Arc<Kinds>,
    /// What they see; None: everything.
    pub(crate) viewer: Option<Viewer>,
}

/// What the table of grants is a projection of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionState {
    /// Entries below this seq are in it.
    pub covered_below: u64,
    /// The resource kinds that it was made with, as [`Kinds::to_text`] writes them.
    pub kinds: String,
}
