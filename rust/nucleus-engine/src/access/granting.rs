//! Granting and revoking: what somebody asks for becomes an entry.

use nucleus_core::entry::{Linker, commit_payload};
use nucleus_core::error::shortened;
use nucleus_core::oid::check_oid;
use nucleus_core::record::{MAX_ID_BYTES, MAX_STREAM_BYTES};
use nucleus_core::{ChainEntry, InvalidRecord};

use super::control::{denied, second_of};
use super::entries::{GrantAction, GrantEntry};
use super::{Access, Grant, GrantQuery, GrantRequest, Resource, Scope, WHOLE_KIND};
use crate::error::{Error, Result};
use crate::module::{LATEST_EXP, Request};
use crate::prepare::{random_salts, with_engine_meta};
use crate::storage::WriteTransaction;

impl Access {
    /// Appends entries that grant what is asked for.
    pub(crate) fn grant(
        &self,
        transaction: &mut dyn WriteTransaction,
        ledger_id: &str,
        request: &Request,
        grants: &[GrantRequest],
    ) -> Result<Vec<ChainEntry>> {
        let mut entries = Vec::with_capacity(grants.len());
        for (position, wanted) in grants.iter().enumerate() {
            self.check(wanted).map_err(|error| error.within_index(position))?;
            let latest = self.authority(transaction, request, &wanted.resource, "grant access to")?;
            // Who may govern a resource for a time gives nothing away for longer.
            let exp = match (wanted.exp, latest) {
                (Some(exp), Some(latest)) => Some(exp.min(latest)),
                (exp, latest) => exp.or(latest),
            };
            let entry = GrantEntry::new(GrantAction::Grant, wanted, exp);
            entries.push(self.write(transaction, ledger_id, request, &entry)?);
        }
        Ok(entries)
    }

    /// Appends entries that end whatever gives a principal a scope on a resource; none where nothing does.
    pub(crate) fn revoke(
        &self,
        transaction: &mut dyn WriteTransaction,
        ledger_id: &str,
        request: &Request,
        grants: &[GrantRequest],
        allow_last_full: bool,
    ) -> Result<Vec<ChainEntry>> {
        let mut entries = Vec::with_capacity(grants.len());
        for (position, wanted) in grants.iter().enumerate() {
            self.check(wanted).map_err(|error| error.within_index(position))?;
            self.authority(transaction, request, &wanted.resource, "revoke access to")?;
            let given = GrantQuery {
                principal_oid: Some(&wanted.principal_oid),
                resource: Some(&wanted.resource),
                scope: Some(wanted.scope),
                live_at: Some(second_of(request)),
                limit: 1,
            };
            if transaction.grants(&given)?.is_empty() {
                continue;
            }
            if wanted.scope == Scope::Full && !allow_last_full {
                refuse_last_full(transaction, request, wanted)?;
            }
            let entry = GrantEntry::new(GrantAction::Revoke, wanted, None);
            entries.push(self.write(transaction, ledger_id, request, &entry)?);
        }
        Ok(entries)
    }

    /// Checks the form of what is granted or revoked.
    fn check(&self, wanted: &GrantRequest) -> std::result::Result<(), InvalidRecord> {
        let GrantRequest { resource, principal_oid, exp, .. } = wanted;
        let bounds = [("resource_kind", &resource.kind, MAX_STREAM_BYTES), ("resource_id", &resource.id, MAX_ID_BYTES)];
        for (key, text, most) in bounds {
            if text.is_empty() || text.len() > most {
                let reason = format!("must have 1 to {most} bytes, not {}", text.len());
                return Err(InvalidRecord::new(reason).within_key(key));
            }
        }
        if let Some(reason) = self.no_kind(&resource.kind) {
            return Err(InvalidRecord::new(reason).within_key("resource_kind"));
        }
        check_oid(principal_oid).map_err(|error| error.within_key("principal_oid"))?;
        match exp {
            None => Ok(()),
            Some(exp) if (1..=LATEST_EXP).contains(exp) => Ok(()),
            Some(exp) => {
                let reason = format!("{exp} is not a time in whole seconds since the Unix epoch");
                Err(InvalidRecord::new(reason).within_key("exp"))
            }
        }
    }

    /// Until when the requester may grant on a resource; None: without end.
    fn authority(
        &self,
        transaction: &mut dyn WriteTransaction,
        request: &Request,
        resource: &Resource,
        what: &str,
    ) -> Result<Option<i64>> {
        if self.is_administrator(&request.requester_oid) {
            return Ok(None);
        }
        let whole = Resource { kind: resource.kind.clone(), id: WHOLE_KIND.to_owned() };
        let mut latest = None;
        for resource in [resource, &whole] {
            for grant in transaction.grants(&GrantQuery {
                principal_oid: Some(&request.requester_oid),
                resource: Some(resource),
                scope: Some(Scope::Full),
                live_at: Some(second_of(request)),
                ..GrantQuery::default()
            })? {
                match grant.exp {
                    None => return Ok(None),
                    exp => latest = latest.max(exp),
                }
            }
        }
        match latest {
            Some(exp) => Ok(Some(exp)),
            None => Err(denied(&request.requester_oid, what, resource, "`full`")),
        }
    }

    fn write(
        &self,
        transaction: &mut dyn WriteTransaction,
        ledger_id: &str,
        request: &Request,
        entry: &GrantEntry,
    ) -> Result<ChainEntry> {
        let mut record = entry.record(request.recorded_at);
        record.meta = Some(with_engine_meta(None, &request.requester_oid, request.recorded_at)?);
        let salt = random_salts(1)?[0];
        let payload_hash = commit_payload(&record, &salt);
        let entry = Linker::new(ledger_id, transaction.head()?).link(record, salt, payload_hash);
        transaction.insert(std::slice::from_ref(&entry))?;
        self.project(transaction, &entry)?;
        Ok(entry)
    }
}

/// Refuses to leave a resource without anybody who may govern it.
fn refuse_last_full(transaction: &mut dyn WriteTransaction, request: &Request, wanted: &GrantRequest) -> Result<()> {
    let full: Vec<Grant> = transaction.grants(&GrantQuery {
        resource: Some(&wanted.resource),
        scope: Some(Scope::Full),
        live_at: Some(second_of(request)),
        ..GrantQuery::default()
    })?;
    let theirs = full.iter().any(|grant| grant.principal_oid == wanted.principal_oid);
    if theirs && full.iter().all(|grant| grant.principal_oid == wanted.principal_oid) {
        return Err(Error::Conflict {
            message: format!(
                "nobody but {} has `full` on {}; grant it to somebody else first, or revoke with allow_last_full=True: \
                 then only the administrator can grant access to it",
                shortened(&wanted.principal_oid),
                wanted.resource
            ),
            existing_hash: None,
        });
    }
    Ok(())
}
