//! What an entry changes among the grants: a pure function of the entry and of the version before it.

use nucleus_core::{ACL_GRANTS_STREAM, Record, canonical};

use crate::model::{
    Change, Grant, GrantAction, GrantEntry, Kinds, Meta, Resource, Role, Scope, Source, about_resource, named_principal,
};

/// What is known of a resource before an entry of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Before {
    /// Whether there is any earlier entry of it.
    pub(crate) exists: bool,
    /// Whether anything was ever granted on exactly it: then whoever creates it has what they were granted, no more.
    pub(crate) reserved: bool,
    /// What the version before in the same stream says.
    pub(crate) version: Version,
}

/// What the entries about one resource have said so far, taken in the order of the chain.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    exists: bool,
    reserved: bool,
    /// Of streams with roles: what their newest version says.
    versions: Vec<(String, Version)>,
}

impl Seen {
    /// What is known before the next entry, which is of this stream.
    pub(crate) fn before(&self, stream: &str) -> Before {
        let version = self.versions.iter().find(|(known, _)| known == stream).map(|(_, version)| version.clone());
        Before { exists: self.exists, reserved: self.reserved, version: version.unwrap_or_default() }
    }

    /// What is known of a resource of which an entry came first in a stream without roles.
    pub(crate) fn begun() -> Self {
        Self { exists: true, ..Self::default() }
    }

    /// Takes the first entry in a stream without roles; whether it makes its requester the creator.
    pub(crate) fn take_plain(&mut self) -> bool {
        let creates = !self.exists && !self.reserved;
        self.exists = true;
        creates
    }

    /// Takes an entry about the resource.
    pub(crate) fn take(&mut self, kinds: &Kinds, record: &Record) {
        if record.stream == ACL_GRANTS_STREAM {
            self.reserved = true;
            return;
        }
        self.exists = true;
        let roles = kinds.roles_of(&record.stream);
        if roles.is_empty() {
            return;
        }
        let version = Version::of(roles, record);
        match self.versions.iter_mut().find(|(known, _)| *known == record.stream) {
            Some((_, known)) => *known = version,
            None => self.versions.push((record.stream.clone(), version)),
        }
    }
}

/// Who has which role by one version of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Version {
    /// There is none.
    #[default]
    Absent,
    /// Its payload was erased, or says nothing that can be read.
    Unknown,
    /// A holder for each role of the stream, in the order of [`Kinds::roles_of`].
    Known(Vec<Option<String>>),
}

impl Version {
    /// What an entry says of its stream's roles.
    pub(crate) fn of(roles: &[Role], record: &Record) -> Self {
        let Some(members) = record.payload.as_ref().and_then(|payload| canonical::members(payload.as_str())) else {
            return Self::Unknown;
        };
        Self::Known(roles.iter().map(|role| named_principal(&members, role.member)).collect())
    }
}

/// What an entry changes. The record of a redaction changes nothing by itself: what it erased is not there to imply
/// anything.
pub(crate) fn changes(kinds: &Kinds, seq: u64, record: &Record, before: &Before) -> Vec<Change> {
    match record.stream.as_str() {
        ACL_GRANTS_STREAM => explicit(seq, record).into_iter().collect(),
        stream => match kinds.resource_of(record) {
            Some(resource) => implied(kinds.roles_of(stream), &resource, seq, record, before),
            None => Vec::new(),
        },
    }
}

fn explicit(seq: u64, record: &Record) -> Option<Change> {
    let GrantEntry { action, resource, principal_oid, scope, exp } = GrantEntry::read(record)?;
    let meta = Meta::of(record);
    Some(match action {
        GrantAction::Revoke => Change::Revoke { resource, principal_oid, scope },
        GrantAction::Grant => Change::Put(Grant {
            resource,
            principal_oid,
            scope,
            source: Source::Grant,
            granted_by: meta.requester_oid.unwrap_or_default(),
            exp,
            created_at: meta.recorded_at.unwrap_or(record.timestamp),
            seq,
        }),
    })
}

fn implied(roles: &[Role], resource: &Resource, seq: u64, record: &Record, before: &Before) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.exists && roles.is_empty() {
        return changes;
    }
    let meta = Meta::of(record);
    let grant = |principal_oid: String, scope, source, exp| Grant {
        resource: resource.clone(),
        granted_by: meta.requester_oid.clone().unwrap_or_else(|| principal_oid.clone()),
        principal_oid,
        scope,
        source,
        exp,
        created_at: meta.recorded_at.unwrap_or(record.timestamp),
        seq,
    };
    if let (false, false, Some(creator)) = (before.exists, before.reserved, &meta.requester_oid) {
        changes.push(Change::Put(grant(creator.clone(), Scope::Full, Source::Creator, None)));
    }
    let Version::Known(holders) = Version::of(roles, record) else {
        return changes;
    };
    let earlier = match &before.version {
        Version::Absent => None,
        Version::Known(earlier) => Some(earlier),
        // Whether a role has moved cannot be told: it stays where it was.
        Version::Unknown => return changes,
    };
    for (position, (role, holder)) in roles.iter().zip(holders).enumerate() {
        let held = earlier.and_then(|earlier| earlier.get(position)).and_then(Option::as_ref);
        if held == holder.as_ref() {
            continue;
        }
        if let Some(held) = held {
            // Whoever gives away what they created themselves keeps no hold on it as its creator.
            for source in [role.source, Source::Creator] {
                let (resource, principal_oid) = (resource.clone(), held.clone());
                changes.push(Change::EndRole { resource, source, principal_oid });
            }
        }
        let exp = if role.until_exp { exp_of(record) } else { Ok(None) };
        // A grant whose end cannot be read is none.
        if let (Some(holder), Ok(exp)) = (holder, exp) {
            changes.push(Change::Put(grant(holder, role.scope, role.source, exp)));
        }
    }
    changes
}

fn exp_of(record: &Record) -> std::result::Result<Option<i64>, std::num::ParseIntError> {
    let members = record.payload.as_ref().and_then(|payload| canonical::members(payload.as_str())).unwrap_or_default();
    members.iter().find(|(key, _)| key == "exp").map(|(_, value)| value.parse()).transpose()
}

/// The resource whose grants a record changes, if any.
pub(crate) fn governed_resource(kinds: &Kinds, record: &Record) -> Option<Resource> {
    if record.stream == ACL_GRANTS_STREAM { about_resource(record) } else { kinds.resource_of(record) }
}
