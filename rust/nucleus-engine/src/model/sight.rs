//! By what right somebody reads, and what they see by it.
//!
//! The rule is written once, here, as data and as a function of one entry. A storage renders the data in its own words
//! for whole pages; what it answers one by one goes through [`Rule::admits`].

use std::sync::Arc;

use nucleus_core::{ACL_GRANTS_STREAM, REDACTIONS_STREAM, Record};

use super::{Kinds, Question, Resource, Result, Scope, about_redaction, about_resource};

/// What whoever reads sees. There is no default: whoever reads says by what right.
#[derive(Debug, Clone)]
pub enum Sight {
    /// Everything, by this authority.
    Everything(Authority),
    /// What this rule admits.
    Granted(Rule),
}

/// Why somebody sees everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The ledger was opened without access control.
    NoAccessControl,
    /// They are the ledger's administrator.
    Administrator,
    /// The engine's own rules and modules decide by everything that is there.
    Rules,
    /// The service that opened the ledger asks for itself.
    Service,
}

impl Sight {
    /// The rule, where not everything is seen.
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Everything(_) => None,
            Self::Granted(rule) => Some(rule),
        }
    }
}

/// What somebody sees who sees what they are granted.
///
/// An entry of an ordinary stream takes `read` or `full` on its resource: the kind of the stream, and the record's id, or
/// the whole kind. The engine's own streams are in [`OWN_STREAMS`]. A stream that has no kind is the administrator's.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Who reads.
    pub principal_oid: Arc<str>,
    /// The second by which grants count, since the Unix epoch.
    pub now_s: i64,
    /// From a stream to the kind of its resources.
    pub kinds: Arc<Kinds>,
}

/// The scope that an entry of an ordinary stream takes.
const TO_READ: Scope = Scope::Read;

/// Whose resource an entry of the engine's own is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// That which its payload names, `resource_kind` and `resource_id`.
    Named,
    /// That of the entry whose seq its payload names.
    Redacted,
}

/// A stream of the engine's own, and what its entries take.
#[derive(Debug, Clone, Copy)]
pub struct OwnStream {
    /// Its name.
    pub name: &'static str,
    /// What its entries are about.
    pub about: About,
    /// What it takes on that resource, or on the whole of its kind, to see them.
    pub takes: Scope,
}

/// The engine's own streams.
pub const OWN_STREAMS: [OwnStream; 2] = [
    OwnStream { name: ACL_GRANTS_STREAM, about: About::Named, takes: Scope::Full },
    OwnStream { name: REDACTIONS_STREAM, about: About::Redacted, takes: Scope::Full },
];

impl Rule {
    /// The question whether they have a scope on a resource.
    pub fn question<'a>(&'a self, resource: &'a Resource, scope: Scope) -> Question<'a> {
        Question { principal_oid: &self.principal_oid, resource, scope, now_s: self.now_s }
    }

    /// Whether they see a record. `at` reads the record at a seq, `allows` asks whether there is a grant.
    ///
    /// # Errors
    /// Those of `at` and `allows`.
    pub fn admits(
        &self,
        record: &Record,
        at: &mut dyn FnMut(u64) -> Result<Option<Record>>,
        allows: &mut dyn FnMut(&Question<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let (resource, takes) = match OWN_STREAMS.iter().find(|own| own.name == record.stream) {
            None => (self.kinds.governing(record), TO_READ),
            Some(OwnStream { about: About::Named, takes, .. }) => (about_resource(record), *takes),
            Some(OwnStream { about: About::Redacted, takes, .. }) => {
                let redacted = about_redaction(record).map_or(Ok(None), at)?;
                (redacted.and_then(|redacted| self.kinds.governing(&redacted)), *takes)
            }
        };
        resource.map_or(Ok(false), |resource| allows(&self.question(&resource, takes)))
    }

    /// Whether they see what is said of the resource of this id in a stream, which is none of the engine's own.
    ///
    /// # Errors
    /// Those of `allows`.
    pub fn admits_resource(
        &self,
        id: &str,
        stream: &str,
        allows: &mut dyn FnMut(&Question<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let Some(kind) = self.kinds.kind_of(stream) else {
            return Ok(false);
        };
        let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
        allows(&self.question(&resource, TO_READ))
    }
}
