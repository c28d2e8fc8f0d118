//! Deciding who may do what, and keeping the projection in step with the chain.

use std::sync::Arc;

use nucleus_core::entry::{Linker, commit_payload};
use nucleus_core::error::shortened;
use nucleus_core::oid::check_oid;
use nucleus_core::record::{MAX_ID_BYTES, MAX_STREAM_BYTES};
use nucleus_core::{ACL_GRANTS_STREAM, ChainEntry, Hash, InvalidRecord, REDACTIONS_STREAM, Record};

use super::entries::{GrantAction, GrantEntry, about_redaction, record_id_of};
use super::kinds::is_own_stream;
use super::projection::{Before, Change, Version, changes};
use super::{
    AccessConfig, Creation, Grant, GrantQuery, GrantRequest, Kinds, ProjectionState, Question, Resource, Scope, Viewer,
    WHOLE_KIND,
};
use crate::clock::now_ms;
use crate::error::{Error, Result};
use crate::module::{LATEST_EXP, Request};
use crate::prepare::{random_salts, with_engine_meta};
use crate::query::{QueryFilters, collect_history};
use crate::storage::{OpenTransaction, WriteTransaction};

/// Entries of one page while the projection catches up.
const PAGE_ENTRIES: usize = 1_000;

/// Access control of one open ledger.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    administrator_oid: String,
    creation: Creation,
    kinds: Arc<Kinds>,
    kinds_text: String,
}

impl Access {
    pub(crate) fn new(config: &AccessConfig, kinds: Kinds) -> Result<Self> {
        check_oid(&config.administrator_oid)
            .map_err(|error| Error::Config(format!("the administrator of access control: {error}")))?;
        let administrator_oid = config.administrator_oid.clone();
        let kinds_text = kinds.to_text();
        Ok(Self { administrator_oid, creation: config.creation, kinds: Arc::new(kinds), kinds_text })
    }

    /// The resource kinds, as the projection notes them.
    pub(crate) fn kinds_text(&self) -> &str {
        &self.kinds_text
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    pub(crate) fn administrator_oid(&self) -> &str {
        &self.administrator_oid
    }

    pub(crate) fn is_administrator(&self, principal_oid: &str) -> bool {
        self.administrator_oid == principal_oid
    }

    /// How a requester sees the ledger; None: as it is.
    pub(crate) fn viewer(&self, requester_oid: &str, now_ms: i64) -> Option<Viewer> {
        (!self.is_administrator(requester_oid)).then(|| Viewer {
            principal_oid: Arc::from(requester_oid),
            now_s: now_ms / 1000,
            kinds: Arc::clone(&self.kinds),
        })
    }

    /// Refuses whoever is not the administrator.
    pub(crate) fn only_administrator(&self, requester_oid: &str, what: &str) -> Result<()> {
        if self.is_administrator(requester_oid) {
            return Ok(());
        }
        Err(Error::AccessDenied(format!(
            "{} may not {what}: it takes the ledger's administrator",
            shortened(requester_oid)
        )))
    }

    /// Refuses a record that its requester may not append.
    pub(crate) fn authorise_append(
        &self,
        transaction: &mut dyn WriteTransaction,
        request: &Request,
        record: &Record,
    ) -> Result<()> {
        if record.id == WHOLE_KIND {
            let reason = "`*` stands for all resources of a kind where access control is on; choose another id";
            return Err(InvalidRecord::new(reason).within_key("id").into());
        }
        if self.is_administrator(&request.requester_oid) {
            return Ok(());
        }
        let Some(kind) = self.kinds.kind_of(&record.stream) else {
            return Err(Error::AccessDenied(format!(
                "{} may not append to stream `{}`: it bears the name of a kind of resources of another stream, so only \
                 the administrator may",
                shortened(&request.requester_oid),
                shortened(&record.stream).escape_debug()
            )));
        };
        let resource = Resource { kind: kind.to_owned(), id: record.id.clone() };
        if transaction.allows(&question(request, &resource, Scope::Write))? {
            return Ok(());
        }
        if self.creation == Creation::Anyone && self.is_new(transaction, &resource)? {
            return Ok(());
        }
        Err(denied(&request.requester_oid, "append to", &resource, "`write` or `full`"))
    }

    /// The entry with this hash, if the requester may read it.
    pub(crate) fn visible(
        &self,
        transaction: &mut dyn WriteTransaction,
        request: &Request,
        hash: &Hash,
    ) -> Result<Option<ChainEntry>> {
        transaction.get(hash, self.viewer(&request.requester_oid, request.recorded_at).as_ref())
    }

    /// Refuses the redaction of an entry by somebody without `full` on its resource.
    pub(crate) fn authorise_redaction(
        &self,
        transaction: &mut dyn WriteTransaction,
        request: &Request,
        entry: &ChainEntry,
    ) -> Result<()> {
        if self.is_administrator(&request.requester_oid) {
            return Ok(());
        }
        let record = &entry.record;
        let named = || Resource { kind: record.stream.clone(), id: record.id.clone() };
        let resource = match self.kinds.governing(record) {
            Some(resource) if transaction.allows(&question(request, &resource, Scope::Full))? => return Ok(()),
            resource => resource.unwrap_or_else(named),
        };
        Err(denied(&request.requester_oid, "redact entries of", &resource, "`full`"))
    }

    /// Whether nothing was ever appended under this resource, nor granted on exactly it.
    fn is_new(&self, transaction: &mut dyn WriteTransaction, resource: &Resource) -> Result<bool> {
        if transaction.latest_by_id(&record_id_of(resource), Some(ACL_GRANTS_STREAM), None)?.is_some() {
            return Ok(false);
        }
        for stream in self.kinds.streams_of(&resource.kind) {
            if transaction.latest_by_id(&resource.id, Some(stream), None)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs `work` in a transaction whose projection is up to date before it and after it.
    pub(crate) fn in_step<T>(&self, open: &OpenTransaction, work: impl FnOnce() -> Result<T>) -> Result<T> {
        open.with(|transaction| self.catch_up(transaction))?;
        let answer = work()?;
        open.with(|transaction| self.note_covered(transaction))?;
        Ok(answer)
    }

    /// Brings the projection up to the head.
    pub(crate) fn catch_up(&self, transaction: &mut dyn WriteTransaction) -> Result<()> {
        let state = transaction.projection()?;
        match &state {
            Some(state) if state.kinds != self.kinds_text => return Err(other_kinds()),
            Some(_) => {}
            // Whatever the table holds is of nothing that is known.
            None => transaction.clear_grants()?,
        }
        let length = transaction.head()?.map_or(0, |head| head.seq + 1);
        let mut covered_below = state.map_or(0, |state| state.covered_below);
        while covered_below < length {
            let entries = transaction.range(covered_below, PAGE_ENTRIES)?;
            for entry in &entries {
                self.project(transaction, entry)?;
            }
            covered_below = entries.last().map_or(length, |last| last.seq + 1);
        }
        self.note_covered(transaction)
    }

    /// Makes the projection anew from the whole chain.
    pub(crate) fn rebuild(&self, transaction: &mut dyn WriteTransaction) -> Result<()> {
        transaction.clear_grants()?;
        self.catch_up(transaction)
    }

    fn note_covered(&self, transaction: &mut dyn WriteTransaction) -> Result<()> {
        let covered_below = transaction.head()?.map_or(0, |head| head.seq + 1);
        let state = ProjectionState { covered_below, kinds: self.kinds_text.clone() };
        if transaction.projection()?.as_ref() == Some(&state) {
            return Ok(());
        }
        transaction.set_projection(&state)
    }

    /// Keeps the projection under the resource kinds of this opener from now on, if nothing it is made of is touched by
    /// the difference. Else that would give rights to whoever prepared them under a name that meant nothing, or take some
    /// away: the administrator's rebuild alone does it.
    pub(crate) fn adopt_kinds(&self, transaction: &mut dyn WriteTransaction) -> Result<()> {
        let Some(state) = transaction.projection()? else {
            return self.catch_up(transaction);
        };
        let stored = Arc::new(Kinds::from_text(&state.kinds)?);
        let as_stored = Self { kinds: Arc::clone(&stored), kinds_text: state.kinds.clone(), ..self.clone() };
        as_stored.catch_up(transaction)?;
        for name in self.kinds.differences(&stored) {
            let filters = QueryFilters { stream: Some(name.to_owned()), limit: 1, ..QueryFilters::default() };
            let granted = GrantQuery { kind: Some(name), limit: 1, ..GrantQuery::default() };
            if !transaction.query(&filters)?.entries.is_empty() || !transaction.grants(&granted)?.is_empty() {
                return Err(other_kinds());
            }
        }
        self.note_covered(transaction)
    }

    /// Writes what an entry changes among the grants.
    pub(crate) fn project(&self, transaction: &mut dyn WriteTransaction, entry: &ChainEntry) -> Result<()> {
        if entry.record.stream == REDACTIONS_STREAM {
            return self.project_redaction(transaction, &entry.record);
        }
        let before = self.before(transaction, entry)?;
        transaction.apply(&changes(&self.kinds, entry.seq, &entry.record, &before))
    }

    /// Makes out anew who has what on a resource of which an entry was erased: an erased payload names nobody.
    fn project_redaction(&self, transaction: &mut dyn WriteTransaction, redaction: &Record) -> Result<()> {
        let Some(seq) = about_redaction(redaction) else {
            return Ok(());
        };
        let Some(redacted) = transaction.range(seq, 1)?.pop().filter(|redacted| redacted.seq == seq) else {
            return Ok(());
        };
        let Some(resource) = self.kinds.resource_of(&redacted.record) else {
            return Ok(());
        };
        if self.kinds.roles_of(&redacted.record.stream).is_empty() {
            return Ok(());
        }
        let periods = self.periods(&resource, &mut |id, stream| history(transaction, id, stream))?;
        let held = periods.into_iter().filter(|period| period.end.is_none()).map(|period| Change::Put(period.grant));
        let changes: Vec<Change> = std::iter::once(Change::EndAll(resource)).chain(held).collect();
        transaction.apply(&changes)
    }

    fn before(&self, transaction: &mut dyn WriteTransaction, entry: &ChainEntry) -> Result<Before> {
        let record = &entry.record;
        let mut before = Before::default();
        let Some(resource) = self.kinds.resource_of(record) else {
            return Ok(before);
        };
        for stream in self.kinds.streams_of(&resource.kind) {
            if let Some(version) = transaction.version_before(&record.id, stream, entry.seq)? {
                before.exists = true;
                if stream == record.stream {
                    before.version = Version::of(self.kinds.roles_of(stream), &version.record);
                }
            }
        }
        if !before.exists {
            let grants = transaction.version_before(&record_id_of(&resource), ACL_GRANTS_STREAM, entry.seq)?;
            before.reserved = grants.is_some();
        }
        Ok(before)
    }

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
                ..GrantQuery::default()
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

    /// Refuses to tell about resources of what is no kind.
    pub(crate) fn check_kind(&self, kind: &str) -> Result<()> {
        self.no_kind(kind).map_or(Ok(()), |reason| Err(Error::Config(reason)))
    }

    /// Why resources cannot be of this kind, if they cannot.
    fn no_kind(&self, kind: &str) -> Option<String> {
        if !is_own_stream(kind) && !self.kinds.streams_of(kind).is_empty() {
            return None;
        }
        let shown = shortened(kind).escape_debug().to_string();
        Some(match self.kinds.kind_of(kind) {
            Some(other) => format!("the resources of stream `{shown}` are of kind `{}`", shortened(other)),
            None => format!("`{shown}` is the engine's own stream, whose entries go with the resources they are about"),
        })
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

fn question<'a>(request: &'a Request, resource: &'a Resource, scope: Scope) -> Question<'a> {
    Question { principal_oid: &request.requester_oid, resource, scope, now_s: second_of(request) }
}

/// The second by which a request is decided: that of the decision, not that of the call, which may have waited for others.
fn second_of(request: &Request) -> i64 {
    request.recorded_at.max(now_ms()) / 1000
}

/// All versions of a record id in a stream, oldest first.
fn history(transaction: &mut dyn WriteTransaction, id: &str, stream: &str) -> Result<Vec<ChainEntry>> {
    collect_history(id, Some(stream), None, |filters| transaction.query(filters))
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

/// The refusal of one who is not granted what it takes.
pub(super) fn denied(requester_oid: &str, what: &str, resource: &Resource, takes: &str) -> Error {
    Error::AccessDenied(format!(
        "{} may not {what} {resource}: it takes {takes} there; whoever has `full` on it, or the administrator, can \
         grant that",
        shortened(requester_oid)
    ))
}

/// The refusal of a file whose projection was made with other resource kinds.
pub(crate) fn other_kinds() -> Error {
    Error::Config(
        "the ledger's grants were kept with other resource kinds than the modules of this opener declare, and that makes \
         a difference to who has access to what; open it with the same modules, or open it with verify_on_open=False and \
         let the administrator rebuild the grants, who looks through them first"
            .to_owned(),
    )
}
