//! Granting and revoking: what somebody asks for becomes an entry.

use nucleus_core::error::shortened;
use nucleus_core::oid::check_oid;
use nucleus_core::record::{MAX_ID_BYTES, MAX_STREAM_BYTES};
use nucleus_core::{ChainEntry, InvalidRecord, Record};

use super::Access;
use super::control::denied;
use crate::model::{
    Error, Grant, GrantAction, GrantEntry, GrantQuery, GrantRequest, LATEST_EXP, Request, Resource, Result, Scope,
    WHOLE_KIND,
};
use crate::store::Write;

/// Appends a record of the engine's own, and what it implies.
pub(crate) type RecordWriter<'a> = &'a mut dyn FnMut(&mut dyn Write, Record) -> Result<ChainEntry>;

impl Access {
    /// Appends entries that grant what is asked for.
    pub(crate) fn grant(
        &self,
        transaction: &mut dyn Write,
        request: &Request,
        grants: &[GrantRequest],
        write: RecordWriter<'_>,
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
            entries.push(write(transaction, entry.record(request.recorded_at))?);
        }
        Ok(entries)
    }

    /// Appends entries that end whatever gives a principal a scope on a resource; none where nothing does.
    pub(crate) fn revoke(
        &self,
        transaction: &mut dyn Write,
        request: &Request,
        grants: &[GrantRequest],
        allow_last_full: bool,
        write: RecordWriter<'_>,
    ) -> Result<Vec<ChainEntry>> {
        let mut entries = Vec::with_capacity(grants.len());
        for (position, wanted) in grants.iter().enumerate() {
            self.check(wanted).map_err(|error| error.within_index(position))?;
            self.authority(transaction, request, &wanted.resource, "revoke access to")?;
            let given = GrantQuery {
                principal_oid: Some(&wanted.principal_oid),
                resource: Some(&wanted.resource),
                scope: Some(wanted.scope),
                live_at: Some(self.second_of(request)),
                limit: 1,
            };
            if transaction.grants(&given)?.is_empty() {
                continue;
            }
            if wanted.scope == Scope::Full && !allow_last_full {
                refuse_last_full(transaction, self.second_of(request), wanted)?;
            }
            let entry = GrantEntry::new(GrantAction::Revoke, wanted, None);
            entries.push(write(transaction, entry.record(request.recorded_at))?);
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
        transaction: &mut dyn Write,
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
                live_at: Some(self.second_of(request)),
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
}

/// Refuses to leave a resource without anybody who may govern it.
fn refuse_last_full(transaction: &mut dyn Write, now_s: i64, wanted: &GrantRequest) -> Result<()> {
    let full: Vec<Grant> = transaction.grants(&GrantQuery {
        resource: Some(&wanted.resource),
        scope: Some(Scope::Full),
        live_at: Some(now_s),
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
