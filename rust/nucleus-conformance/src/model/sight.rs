//! Who sees what, said a second time.

use std::sync::Arc;

use nucleus_core::{ACL_GRANTS_STREAM, ChainEntry, REDACTIONS_STREAM};
use nucleus_engine::model::{Authority, Kinds, Rule, Scope, Sight};

use super::{Model, member_of};

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eyes {
    /// Somebody who sees everything.
    Everything,
    /// Somebody who sees what they are granted.
    Of {
        /// Who.
        principal_oid: String,
        /// The second by which grants count.
        now_s: i64,
    },
}

impl Eyes {
    /// Of a principal at some second.
    pub fn of(principal_oid: &str, now_s: i64) -> Self {
        Self::Of { principal_oid: principal_oid.to_owned(), now_s }
    }

    /// The same in the engine's words.
    pub fn sight(&self, kinds: &Arc<Kinds>) -> Sight {
        match self {
            Self::Everything => Sight::Everything(Authority::Service),
            Self::Of { principal_oid, now_s } => Sight::Granted(Rule {
                principal_oid: Arc::from(principal_oid.as_str()),
                now_s: *now_s,
                kinds: Arc::clone(kinds),
            }),
        }
    }
}

impl Model {
    /// The kind of a stream's resources: what is declared, else its own name. None where only an administrator has a say.
    pub fn kind_of<'a>(&'a self, stream: &'a str) -> Option<&'a str> {
        if let Some(kind) = self.declared.get(stream) {
            return Some(kind);
        }
        let of_the_engine = stream == ACL_GRANTS_STREAM || stream == REDACTIONS_STREAM;
        let another_streams_kind = self.declared.values().any(|kind| kind == stream);
        (!of_the_engine && !another_streams_kind).then_some(stream)
    }

    /// Whether somebody has a scope on a resource, or on the whole of its kind: that scope, or `full`.
    pub fn may(&self, principal_oid: &str, scope: Scope, (kind, id): (&str, &str), now_s: i64) -> bool {
        self.grants.iter().any(|grant| {
            let there = grant.resource.kind == kind && (grant.resource.id == id || grant.resource.id == "*");
            let enough = grant.scope == scope || grant.scope == Scope::Full;
            let counts = grant.exp.is_none_or(|exp| exp > now_s);
            there && enough && counts && grant.principal_oid == principal_oid
        })
    }

    /// Whether an entry is seen.
    pub fn sees(&self, eyes: &Eyes, entry: &ChainEntry) -> bool {
        let Eyes::Of { principal_oid, now_s } = eyes else { return true };
        let may = |scope, kind: &str, id: &str| self.may(principal_oid, scope, (kind, id), *now_s);
        let member = |name| member_of(entry, name);
        match entry.record.stream.as_str() {
            ACL_GRANTS_STREAM => match (member("resource_kind"), member("resource_id")) {
                (Some(kind), Some(id)) => may(Scope::Full, kind.as_str().unwrap_or(""), id.as_str().unwrap_or("")),
                _ => false,
            },
            REDACTIONS_STREAM => {
                let seq = member("seq").and_then(|seq| seq.as_u64());
                let about = seq.and_then(|seq| self.entries.get(usize::try_from(seq).ok()?));
                about.is_some_and(|about| {
                    let kind = self.kind_of(&about.record.stream);
                    kind.is_some_and(|kind| may(Scope::Full, kind, &about.record.id))
                })
            }
            stream => self.kind_of(stream).is_some_and(|kind| may(Scope::Read, kind, &entry.record.id)),
        }
    }
}
