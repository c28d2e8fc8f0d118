//! The top-level members of a payload, as rules read and complete them.

use nucleus_core::canonical::{self, string_value};
use nucleus_core::error::shortened;
use nucleus_core::oid::check_oid;
use nucleus_core::{CanonicalJson, ChainEntry, InvalidRecord, Record};

use super::{Fault, HookResult, ModuleContext};
use crate::model::LATEST_EXP;

/// The members of a payload that is an object; values are canonical texts.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    members: Vec<(String, String)>,
}

impl Fields {
    /// The members of a canonical object.
    pub(super) fn of(payload: &CanonicalJson) -> HookResult<Self> {
        let members = canonical::members(payload.as_str()).ok_or_else(|| {
            Fault::refused("$.payload: must be an object with the members that the module documents, not an array")
        })?;
        Ok(Self { members: members.into_iter().map(|(key, value)| (key, value.to_owned())).collect() })
    }

    /// The members of a record's payload.
    pub(super) fn of_record(record: &Record) -> HookResult<Self> {
        record.payload.as_ref().map_or_else(|| Err(Fault::refused("$.payload: is missing")), Self::of)
    }

    /// The members of what a record has come to; refused where that was erased.
    pub(super) fn of_state(entry: &ChainEntry) -> HookResult<Self> {
        match &entry.record.payload {
            Some(payload) => Self::of(payload),
            None => Err(Fault::refused(format!(
                "the payload of its newest version, entry {}, was redacted: nothing can follow it",
                entry.seq
            ))),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// Sets a member to a canonical value.
    pub(super) fn set(&mut self, key: &str, value: String) {
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some(member) => member.1 = value,
            None => self.members.push((key.to_owned(), value)),
        }
    }

    pub(super) fn set_string(&mut self, key: &str, value: &str) {
        let mut text = String::new();
        canonical::write_string(&mut text, value);
        self.set(key, text);
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.members.retain(|(name, _)| name != key);
    }

    /// The payload of these members.
    pub(super) fn to_payload(&self) -> CanonicalJson {
        let mut members: Vec<(String, &str)> =
            self.members.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
        let mut out = String::new();
        canonical::write_members(&mut out, &mut members);
        CanonicalJson::from_canonical(out)
    }

    /// Refuses members that are not among `known`.
    pub(super) fn only(&self, known: &[&str]) -> HookResult {
        match self.keys().find(|key| !known.contains(key)) {
            None => Ok(()),
            Some(key) => Err(at(key, &format!("is not a member here; known are {}", known.join(", ")))),
        }
    }

    /// A string, where it is given.
    pub(super) fn string(&self, key: &str) -> HookResult<Option<String>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => string_value(value).map(Some).ok_or_else(|| at(key, "must be a string")),
        }
    }

    /// A string that must be given and not be empty.
    pub(super) fn required_string(&self, key: &str) -> HookResult<String> {
        match self.string(key)? {
            None => Err(at(key, "is missing")),
            Some(text) if text.is_empty() => Err(at(key, "must not be empty")),
            Some(text) => Ok(text),
        }
    }

    /// A string that must not be empty where it is given.
    pub(super) fn optional_string(&self, key: &str) -> HookResult<Option<String>> {
        if self.has(key) { self.required_string(key).map(Some) } else { Ok(None) }
    }

    /// An OID, where it is given.
    pub(super) fn oid(&self, key: &str) -> HookResult<Option<String>> {
        let Some(text) = self.string(key)? else {
            return Ok(None);
        };
        check_oid(&text).map_err(|error| in_payload(error, key))?;
        Ok(Some(text))
    }

    /// An OID that must be given.
    pub(super) fn required_oid(&self, key: &str) -> HookResult<String> {
        self.oid(key)?.ok_or_else(|| at(key, "is missing"))
    }

    /// An integer, where it is given.
    pub(super) fn integer(&self, key: &str) -> HookResult<Option<i64>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value.parse().map(Some).map_err(|_| at(key, "must be an integer")),
        }
    }

    /// Checks `exp`: seconds since the Unix epoch.
    pub(super) fn check_exp(&self) -> HookResult {
        match self.integer("exp")? {
            None | Some(1..=LATEST_EXP) => Ok(()),
            Some(exp) => Err(at("exp", &format!("{exp} is not a time in whole seconds since the Unix epoch"))),
        }
    }
}

/// A refusal of a payload member.
pub(super) fn at(key: &str, reason: &str) -> Fault {
    in_payload(InvalidRecord::new(reason), key)
}

fn in_payload(error: InvalidRecord, key: &str) -> Fault {
    error.within_key(key).within_key("payload").into()
}

/// Who appends.
pub(super) fn requester(context: &ModuleContext) -> HookResult<&str> {
    context.requester_oid().ok_or_else(|| Fault::refused("nobody asks for it"))
}

/// Refuses a requester who is none of those who may.
pub(super) fn only_by(context: &ModuleContext, allowed: &[&str], who: &str) -> HookResult {
    let requester = requester(context)?;
    if allowed.contains(&requester) {
        return Ok(());
    }
    Err(Fault::refused(format!("only {who} may do this, and {} is not", shortened(requester))))
}

/// The newest version of the record in its own stream.
pub(super) fn state_of(record: &Record, context: &ModuleContext) -> HookResult<Option<ChainEntry>> {
    Ok(context.latest_by_id(&record.id, Some(&record.stream))?)
}

/// A later version needs an earlier one.
pub(super) fn existing_state(state: Option<&ChainEntry>, what: &str) -> HookResult<Fields> {
    match state {
        Some(entry) => Fields::of_state(entry),
        None => Err(Fault::refused(format!("there is no {what} with this id"))),
    }
}

/// A first version must be the first.
pub(super) fn no_state(state: Option<&ChainEntry>, what: &str, later_actions: &str) -> HookResult {
    match state {
        None => Ok(()),
        Some(_) => Err(Fault::refused(format!(
            "there is {what} with this id already; choose another id, or say with `action` what happens to it: \
             {later_actions}"
        ))),
    }
}
