//! Deciding who may do what.

use std::sync::Arc;

use nucleus_core::error::shortened;
use nucleus_core::oid::check_oid;
use nucleus_core::{
    ACL_GRANTS_STREAM, ChainEntry, Hash, InvalidRecord, REDACTION_ID_PREFIX, REDACTIONS_STREAM, Record,
};

use super::{AccessConfig, Creation};
use crate::env::Environment;
use crate::model::{
    Authority, Error, Kinds, Meta, ProjectionState, Question, Request, Resource, Result, Rule, RuledStream, Scope,
    Sight, WHOLE_KIND, is_own_stream, record_id_of,
};
use crate::store::Write;

/// What decisions are made by.
const EVERYTHING: Sight = Sight::Everything(Authority::Rules);

/// Most streams whose kind is not just their own name: every page of a viewer is cut by all of them.
const MOST_DECLARED_STREAMS: usize = 1_000;

/// No chain is longer.
const MAX_SEQ: u64 = (1 << 53) - 1;

/// Access control of one open ledger.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    administrator_oid: String,
    creation: Creation,
    kinds: Arc<Kinds>,
    kinds_text: String,
    /// What holds of the streams of built-in modules in every ledger.
    built_in: Arc<[RuledStream]>,
    environment: Environment,
    /// Whether the kinds are those that the file says, and no module's.
    kinds_as_stored: bool,
}

impl Access {
    pub(crate) fn new(
        config: &AccessConfig,
        kinds: Kinds,
        built_in: Arc<[RuledStream]>,
        environment: Environment,
    ) -> Result<Self> {
        check_oid(&config.administrator_oid)
            .map_err(|error| Error::Config(format!("the administrator of access control: {error}")))?;
        let declared = kinds.declared().count();
        if declared > MOST_DECLARED_STREAMS {
            return Err(Error::Config(format!(
                "with access control, modules name the kind of the resources of at most {MOST_DECLARED_STREAMS} streams, and \
                 these name that of {declared}; give streams the kind that is their own name, or records of several kinds \
                 one stream"
            )));
        }
        let administrator_oid = config.administrator_oid.clone();
        let kinds_text = kinds.to_text();
        let AccessConfig { creation, kinds_as_stored, .. } = *config;
        let kinds = Arc::new(kinds);
        Ok(Self { administrator_oid, creation, kinds, kinds_text, built_in, environment, kinds_as_stored })
    }

    /// The same with the resource kinds that a projection was made with.
    pub(super) fn as_stored(&self, state: &ProjectionState) -> Result<Self> {
        let kinds = Arc::new(Kinds::from_text(&state.kinds, &self.built_in)?);
        Ok(Self { kinds, kinds_text: state.kinds.clone(), ..self.clone() })
    }

    /// Whether the kinds were taken from the file.
    pub(crate) fn kinds_as_stored(&self) -> bool {
        self.kinds_as_stored
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

    /// Whether no module but built-in ones declares any of the kinds.
    pub(crate) fn kinds_are_built_in(&self) -> bool {
        self.kinds.all_built_in(&self.built_in)
    }

    /// What a requester sees.
    pub(crate) fn sight(&self, requester_oid: &str, now_ms: i64) -> Sight {
        if self.is_administrator(requester_oid) {
            return Sight::Everything(Authority::Administrator);
        }
        let (principal_oid, kinds) = (Arc::from(requester_oid), Arc::clone(&self.kinds));
        Sight::Granted(Rule { principal_oid, now_s: now_ms / 1000, kinds })
    }

    /// Whether the requester of a write may read what a record is of.
    pub(crate) fn may_read(&self, transaction: &mut dyn Write, request: &Request, record: &Record) -> Result<bool> {
        let sight = self.sight_now(request);
        let Sight::Granted(rule) = &sight else {
            return Ok(true);
        };
        if is_own_stream(&record.stream) {
            // Whoever sees the newest of the entries about one resource sees all of them.
            return Ok(transaction.latest_by_id(&record.id, Some(&record.stream), &sight)?.is_some());
        }
        rule.admits_resource(&record.id, &record.stream, &mut |question| transaction.allows(question))
    }

    /// The newest entry of the resource that a record is of, and whether the requester may read it.
    pub(crate) fn newest_of_resource(
        &self,
        transaction: &mut dyn Write,
        request: &Request,
        record: &Record,
    ) -> Result<Option<(ChainEntry, bool)>> {
        let mut newest: Option<ChainEntry> = None;
        let streams =
            self.kinds.kind_of(&record.stream).map_or(vec![&*record.stream], |kind| self.kinds.streams_of(kind));
        for stream in streams {
            let found = transaction.latest_by_id(&record.id, Some(stream), &EVERYTHING)?;
            newest = found.into_iter().chain(newest).max_by_key(|entry| entry.seq);
        }
        let Some(entry) = newest else { return Ok(None) };
        let seen = self.may_read(transaction, request, &entry.record)?;
        Ok(Some((entry, seen)))
    }

    /// How the requester of a write sees the ledger at the moment of the decision.
    pub(crate) fn sight_now(&self, request: &Request) -> Sight {
        self.sight(&request.requester_oid, self.second_of(request) * 1000)
    }

    fn question<'a>(&self, request: &'a Request, resource: &'a Resource, scope: Scope) -> Question<'a> {
        Question { principal_oid: &request.requester_oid, resource, scope, now_s: self.second_of(request) }
    }

    /// The second by which a request is decided: that of the decision, not that of the call, which may have waited for
    /// others.
    pub(super) fn second_of(&self, request: &Request) -> i64 {
        request.recorded_at.max(self.environment.now_ms()) / 1000
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
        transaction: &mut dyn Write,
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
        if transaction.allows(&self.question(request, &resource, Scope::Write))? {
            return Ok(());
        }
        if self.creation == Creation::Anyone && self.is_new(transaction, &resource)? {
            return Ok(());
        }
        Err(denied(&request.requester_oid, "append to", &resource, "`write` or `full`"))
    }

    /// Refuses the redaction of an entry by somebody without `full` on its resource. What they may not read looks like
    /// what is not there; whoever redacted it may ask again, to finish what a reader held up.
    pub(crate) fn authorise_redaction(
        &self,
        transaction: &mut dyn Write,
        request: &Request,
        hash: &Hash,
    ) -> Result<()> {
        if self.is_administrator(&request.requester_oid) || recorded_redaction(transaction, request, hash)? {
            return Ok(());
        }
        let entry = transaction.get(hash, &self.sight_now(request))?;
        let record = entry.ok_or_else(|| Error::no_entry(hash))?.record;
        let resource = match self.kinds.governing(&record) {
            Some(resource) if transaction.allows(&self.question(request, &resource, Scope::Full))? => return Ok(()),
            Some(resource) => resource,
            None => Resource { kind: record.stream, id: record.id },
        };
        Err(denied(&request.requester_oid, "redact entries of", &resource, "`full`"))
    }

    /// Whether nothing was ever appended under this resource, nor granted on exactly it.
    fn is_new(&self, transaction: &mut dyn Write, resource: &Resource) -> Result<bool> {
        if transaction.latest_by_id(&record_id_of(resource), Some(ACL_GRANTS_STREAM), &EVERYTHING)?.is_some() {
            return Ok(false);
        }
        let streams = self.kinds.streams_of(&resource.kind);
        Ok(!transaction.any_version_before(&resource.id, &streams, MAX_SEQ)?)
    }

    /// Refuses to tell about resources of what is no kind.
    pub(crate) fn check_kind(&self, kind: &str) -> Result<()> {
        self.no_kind(kind).map_or(Ok(()), |reason| Err(Error::Config(reason)))
    }

    /// Why resources cannot be of this kind, if they cannot.
    pub(super) fn no_kind(&self, kind: &str) -> Option<String> {
        if !is_own_stream(kind) && !self.kinds.streams_of(kind).is_empty() {
            return None;
        }
        let shown = shortened(kind).escape_debug().to_string();
        Some(match self.kinds.kind_of(kind) {
            Some(other) => format!("the resources of stream `{shown}` are of kind `{}`", shortened(other)),
            None => format!("`{shown}` is the engine's own stream, whose entries go with the resources they are about"),
        })
    }
}

/// Whether the requester is who redacted an entry.
fn recorded_redaction(transaction: &mut dyn Write, request: &Request, hash: &Hash) -> Result<bool> {
    let id = format!("{REDACTION_ID_PREFIX}{hash}");
    let redaction = transaction.latest_by_id(&id, Some(REDACTIONS_STREAM), &EVERYTHING)?;
    let by = redaction.and_then(|redaction| Meta::of(&redaction.record).requester_oid);
    Ok(by.as_deref() == Some(&*request.requester_oid))
}

/// The refusal of one who is not granted what it takes.
pub(super) fn denied(requester_oid: &str, what: &str, resource: &Resource, takes: &str) -> Error {
    Error::AccessDenied(format!(
        "{} may not {what} {resource}: it takes {takes} there; whoever has `full` on it, or the administrator, can \
         grant that",
        shortened(requester_oid)
    ))
}
