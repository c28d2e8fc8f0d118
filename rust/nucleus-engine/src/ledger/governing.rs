//! Access control as the ledger's users call it: granting, revoking, asking.

use std::sync::Arc;

use nucleus_core::ChainEntry;
use nucleus_core::error::shortened;
use nucleus_core::oid::check_oid;

use super::LedgerEngine;
use super::parts::access_is_off;
use super::queue::transact;
use super::stage::Work;
use crate::access::{Access, AccessConfig, At, Explanation, Moment, Period, other_kinds};
use crate::env::Environment;
use crate::model::{
    Authority, Error, Grant, GrantQuery, GrantRequest, Kinds, Meta, Question, Request, Resource, Result, RuledStream,
    Scope, Sight, collect_history,
};
use crate::module::{ModuleRegistry, built_in_kinds};
use crate::store::{OpenTransaction, Read, Storage};

/// What the history of access is made out from.
const EVERYTHING: Sight = Sight::Everything(Authority::Rules);

/// Makes the access control that an opener wants.
pub(super) fn open_access(
    config: &AccessConfig,
    registry: &ModuleRegistry,
    storage: &dyn Storage,
    environment: &Environment,
) -> Result<Access> {
    let built_in: Arc<[RuledStream]> = built_in_kinds().into();
    let mut kinds = Kinds::new(registry.kinds()?, &built_in);
    if config.kinds_as_stored
        // What cannot be read is reported by the verification of the grants.
        && let Some(stored) = storage.read()?.projection()?.and_then(|state| Kinds::from_text(&state.kinds, &built_in).ok())
    {
        kinds = stored;
    }
    Access::new(config, kinds, built_in, environment.clone())
}

impl LedgerEngine {
    /// Brings what is stored of grants up to date.
    ///
    /// Where that was not verified, what cannot be brought up to date is let through: for whoever is going to rebuild it.
    pub(super) fn begin_access(&self, access: &Access, verified: bool) -> Result<()> {
        match self.keep_grants(access) {
            Err(error) if !verified => {
                tracing::warn!(%error, "the grants of a ledger were not brought up to date");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Keeps the grants under the resource kinds of this opener, and up to date, where it may write.
    fn keep_grants(&self, access: &Access) -> Result<()> {
        let state = self.storage.read()?.projection()?;
        if state.is_none() && access.kinds_as_stored() && !self.read_only() {
            return Err(kinds_unknown());
        }
        let differs = state.is_some_and(|state| state.kinds != access.kinds_text());
        match (differs, self.read_only()) {
            (true, true) => Err(other_kinds()),
            (true, false) => self.rewrite_grants(&mut |open| open.with(|transaction| access.adopt_kinds(transaction))),
            (false, true) => Ok(()),
            (false, false) => self.bring_grants_up_to_date(),
        }
    }

    /// Makes sure that the grants are up to date, where access control is on.
    pub(super) fn bring_grants_up_to_date(&self) -> Result<()> {
        match &self.access {
            None => Ok(()),
            Some(access) if self.storage.read()?.projection_is_current(access.kinds_text())? => Ok(()),
            Some(access) => self.catch_up_grants(access),
        }
    }

    /// Takes into the grants what was appended by a process without access control.
    pub(super) fn catch_up_grants(&self, access: &Access) -> Result<()> {
        // A hook runs inside the transaction that this would wait for.
        self.hooks.refuse_inside_hook("a read while the grants are behind the chain")?;
        if self.read_only() {
            return Err(Error::Config(
                "the ledger's grants are not up to date, and it was opened read-only; open it for writing with access \
                 control once"
                    .to_owned(),
            ));
        }
        self.rewrite_grants(&mut |open| open.with(|transaction| access.catch_up(transaction)))
    }

    fn rewrite_grants(&self, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
        transact(&self.storage, work)
    }

    /// Who may do everything; None where access control is off.
    pub fn administrator_oid(&self) -> Option<&str> {
        self.access.as_ref().map(Access::administrator_oid)
    }

    /// Access control, where it is on.
    fn access(&self) -> Result<&Access> {
        self.access.as_ref().ok_or_else(access_is_off)
    }

    /// Refuses whoever is not the administrator, where access control is on.
    pub(super) fn only_administrator(&self, requester_oid: &str, what: &str) -> Result<()> {
        self.access.as_ref().map_or(Ok(()), |access| access.only_administrator(requester_oid, what))
    }

    /// Refuses an export by anybody but the administrator, where access control is on: it shows the whole chain.
    pub fn authorise_export(&self, requester_oid: &str) -> Result<()> {
        self.only_administrator(requester_oid, "export the ledger")
    }

    /// Grants access, all or nothing; answers an entry for each grant.
    ///
    /// The requester has `full` on each resource, or is the administrator. A grant ends at the latest when the `full` does
    /// that it was made under.
    pub fn grant(&self, grants: &[GrantRequest], requester_oid: &str) -> Result<Vec<ChainEntry>> {
        self.govern(requester_oid, "grant", |request| Work::Grant(grants.to_vec(), request))
    }

    /// Ends whatever gives principals these scopes, all or nothing; answers an entry for each that had any.
    ///
    /// The last `full` on a resource is only revoked where `allow_last_full` says so.
    pub fn revoke(
        &self,
        grants: &[GrantRequest],
        requester_oid: &str,
        allow_last_full: bool,
    ) -> Result<Vec<ChainEntry>> {
        self.govern(requester_oid, "revoke", |request| Work::Revoke(grants.to_vec(), request, allow_last_full))
    }

    fn govern(&self, requester_oid: &str, call: &str, work: impl FnOnce(Request) -> Work) -> Result<Vec<ChainEntry>> {
        self.access()?;
        check_oid(requester_oid)?;
        self.hooks.refuse_inside_hook(call)?;
        let request = Request { requester_oid: Arc::from(requester_oid), recorded_at: self.environment.now_ms() };
        Ok(self.queue.submit(self.parts(), work(request))?.entries)
    }

    /// Whether a principal may do something with a resource now.
    pub fn check(&self, principal_oid: &str, scope: Scope, resource: &Resource) -> Result<bool> {
        let access = self.access()?;
        if access.is_administrator(principal_oid) {
            // A closed ledger answers nobody.
            self.head()?;
            return Ok(true);
        }
        self.decide(access, &Question { principal_oid, resource, scope, now_s: self.environment.now_ms() / 1000 })
    }

    /// The grants that count now: of a principal, on exactly this resource, or both.
    pub fn grants(&self, principal_oid: Option<&str>, resource: Option<&Resource>) -> Result<Vec<Grant>> {
        let access = self.access()?;
        resource.map_or(Ok(()), |resource| access.check_kind(&resource.kind))?;
        let mut read = self.read_with_grants()?;
        let live_at = Some(self.environment.now_ms() / 1000);
        read.grants(&GrantQuery { principal_oid, resource, live_at, ..GrantQuery::default() })
    }

    /// Refuses a requester who may not see who has access: to be told of a principal takes being that principal, to be
    /// told of a resource `full` on it; the administrator is told everything.
    pub fn authorise_inquiry(
        &self,
        requester_oid: &str,
        principal_oid: Option<&str>,
        resource: Option<&Resource>,
    ) -> Result<()> {
        let access = self.access()?;
        if access.is_administrator(requester_oid) || principal_oid == Some(requester_oid) {
            return Ok(());
        }
        if let Some(resource) = resource
            && self.check(requester_oid, Scope::Full, resource)?
        {
            return Ok(());
        }
        let whom = principal_oid.map_or_else(String::new, |principal| format!(" of {}", shortened(principal)));
        let what = resource.map_or_else(String::new, |resource| format!(" to {resource}"));
        Err(Error::AccessDenied(format!(
            "{} may not see the access{whom}{what}: it takes `full` there, or the ledger's administrator",
            shortened(requester_oid)
        )))
    }

    /// Every grant there ever was on exactly this resource, from the chain.
    pub fn access_history(&self, resource: &Resource) -> Result<Vec<Period>> {
        let access = self.access()?;
        access.check_kind(&resource.kind)?;
        let mut read = self.readable()?.read()?;
        access.periods(resource, &mut |id, stream| {
            collect_history(id, Some(stream), |filters| read.page(filters, &EVERYTHING))
        })
    }

    /// Why a principal may do something with a resource, or may not, now or then; from the chain.
    ///
    /// `requester_oid` is who is told; None where the service asks for itself. For anybody but the administrator a seq is a
    /// moment only where it is that of an entry that they may read, or one that the explanation names: of other entries
    /// they are not told whether there are any, nor when they were recorded.
    pub fn explain(
        &self,
        principal_oid: &str,
        scope: Scope,
        resource: &Resource,
        at: Option<Moment>,
        requester_oid: Option<&str>,
    ) -> Result<Explanation> {
        let access = self.access()?;
        access.check_kind(&resource.kind)?;
        let service = Sight::Everything(Authority::Service);
        let sight = requester_oid.map_or(service, |requester_oid| self.sight(requester_oid));
        let mut read = self.begin_read(&sight)?;
        let at = match at {
            None => None,
            Some(Moment::Time(clock_ms)) => Some(At { moment: Moment::Time(clock_ms), clock_ms, told_of: true }),
            Some(Moment::Seq(seq)) => Some(at_entry(&mut *read, seq, &sight)?),
        };
        let mut histories =
            |id: &str, stream: &str| collect_history(id, Some(stream), |filters| read.page(filters, &EVERYTHING));
        access.explain(principal_oid, scope, resource, at, self.environment.now_ms(), &mut histories)
    }

    /// The streams whose resources are of this kind.
    pub fn streams_of_kind(&self, kind: &str) -> Result<Vec<String>> {
        let access = self.access()?;
        access.check_kind(kind)?;
        Ok(access.kinds().streams_of(kind).iter().map(ToString::to_string).collect())
    }

    /// Deletes grants that have expired, to save space: they count for nothing as it is. The administrator alone may.
    pub fn cleanup_expired(&self, requester_oid: &str) -> Result<u64> {
        let access = self.access()?;
        self.only_administrator(requester_oid, "delete expired grants")?;
        check_oid(requester_oid)?;
        self.hooks.refuse_inside_hook("cleanup_expired")?;
        let now_s = self.environment.now_ms() / 1000;
        let mut cleared = 0;
        self.hooks.exclusively(|| {
            self.rewrite_grants(&mut |open| {
                cleared = access.in_step(open, || open.with(|transaction| transaction.clear_expired_grants(now_s)))?;
                Ok(())
            })
        })?;
        Ok(cleared)
    }

    /// Makes the grants anew from the chain. The administrator alone may.
    pub fn rebuild_grants(&self, requester_oid: &str) -> Result<()> {
        let access = self.access()?;
        self.only_administrator(requester_oid, "rebuild the grants")?;
        if access.kinds_as_stored() && self.storage.read()?.projection()?.is_none() {
            return Err(kinds_unknown());
        }
        if access.kinds_as_stored() && !access.kinds_are_built_in() {
            // The column that says so is what may have been altered.
            return Err(Error::Config(
                "the grants were kept with resource kinds of modules that do not run here, which would be taken on trust; \
                 let the service that runs the modules rebuild them"
                    .to_owned(),
            ));
        }
        self.hooks.refuse_inside_hook("rebuild")?;
        self.hooks.exclusively(|| self.rewrite_grants(&mut |open| open.with(|transaction| access.rebuild(transaction))))
    }
}

fn kinds_unknown() -> Error {
    Error::Config(
        "nobody has opened the ledger with access control yet, so that it does not say of what kind its resources are; \
         open it once from the service, with its modules"
            .to_owned(),
    )
}

/// The moment after an entry. Of what somebody may not read it is a moment like what is not there: only where the
/// explanation names it.
fn at_entry(read: &mut dyn Read, seq: u64, sight: &Sight) -> Result<At> {
    let moment = Moment::Seq(seq);
    let entry = read.range(seq, 1)?.pop().filter(|entry| entry.seq == seq);
    let Some(entry) = entry else {
        return match sight {
            Sight::Everything(_) => {
                Err(Error::Config(format!("there is no entry {seq} to tell the state of access after")))
            }
            Sight::Granted(_) => Ok(At { moment, clock_ms: 0, told_of: false }),
        };
    };
    let told_of = match sight {
        Sight::Everything(_) => true,
        Sight::Granted(_) => read.get(&entry.hash, sight)?.is_some(),
    };
    let clock_ms = Meta::of(&entry.record).recorded_at.unwrap_or(entry.record.timestamp);
    Ok(At { moment, clock_ms, told_of })
}
