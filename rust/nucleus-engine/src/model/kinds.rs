//! From a stream to the kind of its resources.

use std::collections::{BTreeMap, BTreeSet};

use nucleus_core::canonical;
use nucleus_core::{ACL_GRANTS_STREAM, REDACTIONS_STREAM, Record};

use super::{Error, Resource, Result, Scope, Source, StoreError, StoreErrorKind, WHOLE_KIND, is_own_stream};

/// A payload member that names a principal to whom the resource's entries imply a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// What the grant is said to follow from.
    pub source: Source,
    /// The member with the principal's OID.
    pub member: &'static str,
    /// What is granted.
    pub scope: Scope,
    /// Whether the grant ends with the payload's `exp`.
    pub until_exp: bool,
}

/// A stream of a built-in module, and what holds of it in every ledger with access control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledStream {
    /// The stream.
    pub stream: String,
    /// What a record of it is called where access to it is granted.
    pub kind: String,
    /// Whom its entries name.
    pub roles: &'static [Role],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    name: String,
    roles: &'static [Role],
}

/// The resource kinds of one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kinds {
    by_stream: BTreeMap<String, Kind>,
}

impl Kinds {
    /// The kinds of streams whose modules declare them, as (stream, kind), and those of the built-in modules' streams:
    /// these hold in every ledger, so that nobody can prepare rights for the day on which a module is added.
    pub fn new(declared: impl IntoIterator<Item = (String, String)>, built_in: &[RuledStream]) -> Self {
        let roles = |stream: &str, kind: &str| {
            let ruled = built_in.iter().find(|ruled| ruled.stream == stream && ruled.kind == kind);
            ruled.map_or(&[][..], |ruled| ruled.roles)
        };
        let held_anyway = built_in.iter().map(|ruled| (ruled.stream.clone(), ruled.kind.clone()));
        let by_stream: BTreeMap<String, Kind> = declared
            .into_iter()
            .chain(held_anyway)
            .map(|(stream, name)| {
                let roles = roles(&stream, &name);
                (stream, Kind { name, roles })
            })
            .collect();
        Self { by_stream }.without_redundant()
    }

    /// Leaves out the streams of which nothing is declared that would not hold anyway.
    fn without_redundant(mut self) -> Self {
        let shared = |kind: &Kind| self.by_stream.values().filter(|other| other.name == kind.name).count() > 1;
        let redundant = |(stream, kind): (&String, &Kind)| {
            (kind.name == *stream && kind.roles.is_empty() && !shared(kind)).then(|| stream.clone())
        };
        let redundant: Vec<String> = self.by_stream.iter().filter_map(redundant).collect();
        for stream in redundant {
            self.by_stream.remove(&stream);
        }
        self
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    pub fn from_text(text: &str, built_in: &[RuledStream]) -> Result<Self> {
        let malformed = || {
            Error::Store(StoreError::new(
                StoreErrorKind::Damaged,
                "table acl_projection does not hold resource kinds; verify_on_open=False opens the ledger, and the \
                 administrator's rebuild then restores its grants",
            ))
        };
        let members = canonical::members(text).ok_or_else(malformed)?;
        let declared: Option<Vec<_>> =
            members.into_iter().map(|(stream, kind)| Some((stream, canonical::string_value(kind)?))).collect();
        Ok(Self::new(declared.ok_or_else(malformed)?, built_in))
    }

    /// A canonical object of kinds by stream.
    pub fn to_text(&self) -> String {
        let values: Vec<String> = self
            .by_stream
            .values()
            .map(|kind| {
                let mut text = String::new();
                canonical::write_string(&mut text, &kind.name);
                text
            })
            .collect();
        let mut members: Vec<(String, &str)> =
            self.by_stream.keys().cloned().zip(values.iter().map(String::as_str)).collect();
        let mut out = String::new();
        canonical::write_members(&mut out, &mut members);
        out
    }

    /// The kind of a stream's resources. None where only the administrator has a say: for the engine's own streams, and
    /// for a stream that bears the name of another stream's kind, whose records would be taken for that stream's.
    pub fn kind_of<'a>(&'a self, stream: &'a str) -> Option<&'a str> {
        match self.by_stream.get(stream) {
            Some(kind) => Some(&kind.name),
            None if is_own_stream(stream) || self.is_kind(stream) => None,
            None => Some(stream),
        }
    }

    /// The resource that access to a record goes by.
    pub fn governing(&self, record: &Record) -> Option<Resource> {
        Some(Resource { kind: self.kind_of(&record.stream)?.to_owned(), id: record.id.clone() })
    }

    /// The resource that a record implies grants on. One that was given the id that stands for all of its kind, while
    /// access control was off, implies none.
    pub fn resource_of(&self, record: &Record) -> Option<Resource> {
        self.governing(record).filter(|resource| resource.id != WHOLE_KIND)
    }

    /// The streams whose resources are of this kind; a record id is looked for in each.
    pub fn streams_of<'a>(&'a self, kind: &'a str) -> Vec<&'a str> {
        let declared = self.by_stream.iter().filter(|(_, declared)| declared.name == kind);
        let mut streams: Vec<&str> = declared.map(|(stream, _)| stream.as_str()).collect();
        if streams.is_empty() && self.kind_of(kind) == Some(kind) {
            streams.push(kind);
        }
        streams
    }

    /// Whether streams hold resources of more than one kind. A stream without resources of its own counts as a kind.
    pub fn are_several<'a>(&self, streams: impl IntoIterator<Item = &'a String>) -> bool {
        let mut kinds = streams.into_iter().map(|stream| self.kind_of(stream).ok_or(stream));
        let first = kinds.next();
        kinds.any(|kind| Some(kind) != first)
    }

    /// Who is granted what by entries of a stream.
    pub fn roles_of(&self, stream: &str) -> &'static [Role] {
        self.by_stream.get(stream).map_or(&[], |kind| kind.roles)
    }

    /// The names that mean something else here than there: of streams whose kind differs, among them those that are the
    /// name of a kind here and a stream's own name there, or the other way round.
    pub fn differences<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        let named =
            |kinds: &'a Self| kinds.by_stream.iter().flat_map(|(stream, kind)| [stream.as_str(), kind.name.as_str()]);
        let names: BTreeSet<&str> = named(self).chain(named(other)).collect();
        names.into_iter().filter(|name| self.kind_of(name) != other.kind_of(name)).collect()
    }

    /// Whether no module but built-in ones declares any.
    pub fn all_built_in(&self, built_in: &[RuledStream]) -> bool {
        *self == Self::new([], built_in)
    }

    /// The streams whose kind is not their own name, each with its kind.
    pub fn declared(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_stream.iter().map(|(stream, kind)| (stream.as_str(), kind.name.as_str()))
    }

    /// The streams that no resource is in: see [`kind_of`](Self::kind_of).
    pub fn without_resources(&self) -> BTreeSet<&str> {
        let kinds = self.by_stream.values().map(|kind| kind.name.as_str());
        kinds.chain([ACL_GRANTS_STREAM, REDACTIONS_STREAM]).filter(|name| self.kind_of(name).is_none()).collect()
    }

    fn is_kind(&self, name: &str) -> bool {
        self.by_stream.values().any(|kind| kind.name == name)
    }
}
