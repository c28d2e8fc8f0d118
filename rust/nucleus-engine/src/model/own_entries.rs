//! The entries of the engine's own streams: writing and reading them.

use nucleus_core::canonical::{self, string_value};
use nucleus_core::hash::resource_hash;
use nucleus_core::{ACL_GRANTS_STREAM, CanonicalJson, Record};

use super::{GrantRequest, Resource, Scope};

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantAction {
    /// It gives.
    Grant,
    /// It ends.
    Revoke,
}

/// The payload of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantEntry {
    /// What it does.
    pub action: GrantAction,
    /// To what.
    pub resource: Resource,
    /// Whom.
    pub principal_oid: String,
    /// What it allows.
    pub scope: Scope,
    /// See [`Grant::exp`](super::Grant::exp).
    pub exp: Option<i64>,
}

impl GrantEntry {
    /// Of what somebody asks for, with the end that it has.
    pub fn new(action: GrantAction, request: &GrantRequest, exp: Option<i64>) -> Self {
        let GrantRequest { resource, principal_oid, scope, .. } = request.clone();
        Self { action, resource, principal_oid, scope, exp }
    }

    /// The record that says it.
    pub fn record(&self, timestamp: i64) -> Record {
        let action = match self.action {
            GrantAction::Grant => "grant",
            GrantAction::Revoke => "revoke",
        };
        let texts = [
            ("action", action),
            ("principal_oid", &self.principal_oid),
            ("resource_id", &self.resource.id),
            ("resource_kind", &self.resource.kind),
            ("scope", self.scope.name()),
        ];
        let mut values: Vec<(&str, String)> = texts
            .into_iter()
            .map(|(key, value)| {
                let mut text = String::new();
                canonical::write_string(&mut text, value);
                (key, text)
            })
            .collect();
        values.extend(self.exp.map(|exp| ("exp", exp.to_string())));
        let mut members: Vec<(String, &str)> =
            values.iter().map(|(key, value)| ((*key).to_owned(), value.as_str())).collect();
        let mut payload = String::new();
        canonical::write_members(&mut payload, &mut members);
        Record {
            id: record_id_of(&self.resource),
            stream: ACL_GRANTS_STREAM.to_owned(),
            timestamp,
            payload: Some(CanonicalJson::from_canonical(payload)),
            meta: None,
        }
    }

    /// What an entry of the stream says; None where it is none that the engine wrote.
    pub fn read(record: &Record) -> Option<Self> {
        let members = canonical::members(record.payload.as_ref()?.as_str())?;
        let value = |key: &str| members.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
        let text = |key: &str| value(key).and_then(string_value);
        let action = match text("action")?.as_str() {
            "grant" => GrantAction::Grant,
            "revoke" => GrantAction::Revoke,
            _ => return None,
        };
        let exp = match value("exp") {
            None => None,
            Some(exp) => Some(exp.parse().ok()?),
        };
        let resource = Resource { kind: text("resource_kind")?, id: text("resource_id")? };
        // Under another id it would count without being found by whoever looks for the grants on the resource.
        if record.id != record_id_of(&resource) {
            return None;
        }
        Some(Self { action, resource, principal_oid: text("principal_oid")?, scope: text("scope")?.parse().ok()?, exp })
    }
}

/// What the record ids of the stream's entries begin with.
pub const GRANTS_ID_PREFIX: &str = "grants:";

/// The record id of all entries about one resource: of a fixed length, whatever the resource is called.
pub fn record_id_of(resource: &Resource) -> String {
    format!("{GRANTS_ID_PREFIX}{}", resource_hash(&resource.kind, &resource.id))
}

/// Whether a record of the stream `acl_grants` is one that the engine writes; those of other streams are their writers'.
pub fn is_well_formed(record: &Record) -> bool {
    record.stream != ACL_GRANTS_STREAM || GrantEntry::read(record).is_some()
}

/// The resource that a record of the stream `acl_grants` is about.
pub fn about_resource(record: &Record) -> Option<Resource> {
    GrantEntry::read(record).map(|entry| entry.resource)
}

/// Seq of the entry whose redaction a record of the stream `redactions` is about.
pub fn about_redaction(record: &Record) -> Option<u64> {
    let members = canonical::members(record.payload.as_ref()?.as_str())?;
    members.iter().find(|(name, _)| name == "seq")?.1.parse().ok()
}
