//! Grants, what changes them, and what is asked about them.

use super::{Resource, Scope};

/// Largest `exp`: the last second of the year 9999. Beyond it a time in milliseconds was meant.
pub const LATEST_EXP: i64 = 253_402_300_799;

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
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
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
    pub fn live_at(&self, now_s: i64) -> bool {
        self.exp.is_none_or(|exp| now_s < exp)
    }

    /// Whether it allows this.
    pub fn allows(&self, scope: Scope) -> bool {
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

/// One step of the projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The grant counts from here on, in place of an earlier one of the same resource, principal, scope, source and
    /// granter.
    Put(Grant),
    /// A principal has a role no more.
    EndRole {
        /// On this resource.
        resource: Resource,
        /// The role.
        source: Source,
        /// The principal.
        principal_oid: String,
    },
    /// Nothing gives a principal a scope any more.
    Revoke {
        /// On this resource.
        resource: Resource,
        /// The principal.
        principal_oid: String,
        /// The scope.
        scope: Scope,
    },
    /// Nothing is granted on a resource any more: before it is made out anew.
    EndAll(Resource),
}

impl Change {
    /// Whether a grant that counted before counts no more.
    pub fn ends(&self, grant: &Grant) -> bool {
        match self {
            Self::Put(new) => {
                new.resource == grant.resource
                    && new.principal_oid == grant.principal_oid
                    && new.scope == grant.scope
                    && new.source == grant.source
                    && new.granted_by == grant.granted_by
            }
            Self::EndRole { resource, source, principal_oid } => {
                *resource == grant.resource && *source == grant.source && *principal_oid == grant.principal_oid
            }
            Self::Revoke { resource, principal_oid, scope } => {
                *resource == grant.resource && *principal_oid == grant.principal_oid && *scope == grant.scope
            }
            Self::EndAll(resource) => *resource == grant.resource,
        }
    }
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

/// What the table of grants is a projection of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionState {
    /// Entries below this seq are in it.
    pub covered_below: u64,
    /// The resource kinds that it was made with, as [`Kinds::to_text`](super::Kinds::to_text) writes them.
    pub kinds: String,
}
