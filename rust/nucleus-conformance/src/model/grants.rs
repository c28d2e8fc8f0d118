//! The table of grants, said a second time.

use nucleus_engine::model::{Change, Grant, GrantQuery};

use super::Model;

/// What a grant is told apart by, in the order of the table: resource id, kind, principal, scope, source, granter.
pub type GrantWords<'a> = [&'a str; 6];

/// See [`GrantWords`].
pub fn words_of(grant: &Grant) -> GrantWords<'_> {
    let Grant { resource, principal_oid, scope, source, granted_by, .. } = grant;
    [&resource.id, &resource.kind, principal_oid, scope.name(), source.name(), granted_by]
}

impl Model {
    /// Takes one step.
    pub fn change(&mut self, change: &Change) {
        self.grants.retain(|grant| match change {
            Change::Put(new) => words_of(new) != words_of(grant),
            Change::EndRole { resource, source, principal_oid } => {
                (resource, source, principal_oid) != (&grant.resource, &grant.source, &grant.principal_oid)
            }
            Change::Revoke { resource, principal_oid, scope } => {
                (resource, principal_oid, scope) != (&grant.resource, &grant.principal_oid, &grant.scope)
            }
            Change::EndAll(resource) => *resource != grant.resource,
        });
        if let Change::Put(new) = change {
            self.grants.push(new.clone());
        }
    }

    /// Deletes what has expired by this second; answers how many.
    pub fn clear_expired(&mut self, now_s: i64) -> u64 {
        let before = self.grants.len();
        self.grants.retain(|grant| grant.exp.is_none_or(|exp| exp > now_s));
        (before - self.grants.len()) as u64
    }

    /// The grants that are asked for, in the order of the table.
    pub fn grants(&self, query: &GrantQuery<'_>) -> Vec<Grant> {
        let asked_for = |grant: &&Grant| {
            query.principal_oid.is_none_or(|principal| grant.principal_oid == principal)
                && query.resource.is_none_or(|resource| grant.resource == *resource)
                && query.scope.is_none_or(|scope| grant.scope == scope)
                && query.live_at.is_none_or(|now_s| grant.exp.is_none_or(|exp| exp > now_s))
        };
        let mut grants: Vec<Grant> = self.grants.iter().filter(asked_for).cloned().collect();
        grants.sort_by(|one, other| words_of(one).cmp(&words_of(other)));
        grants.truncate(query.limit);
        grants
    }
}
