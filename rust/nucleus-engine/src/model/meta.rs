//! The members of a meta that the engine itself writes.

use nucleus_core::canonical::{self, string_value};
use nucleus_core::oid::check_oid;
use nucleus_core::{CanonicalJson, InvalidRecord, Record};

/// Who appended an entry, and when.
#[derive(Debug, Clone)]
pub struct Meta {
    /// Who.
    pub requester_oid: Option<String>,
    /// The engine's clock then, in ms since the Unix epoch.
    pub recorded_at: Option<i64>,
}

impl Meta {
    /// Of an entry.
    pub fn of(record: &Record) -> Self {
        let members = record.meta.as_ref().and_then(|meta| canonical::members(meta.as_str())).unwrap_or_default();
        let recorded_at =
            members.iter().find(|(key, _)| key == "recorded_at").and_then(|(_, value)| value.parse().ok());
        Self { requester_oid: named_principal(&members, "requester_oid"), recorded_at }
    }
}

/// A member that names a principal. What no module has looked at may be anything: that names nobody.
pub(crate) fn named_principal(members: &[(String, &str)], key: &str) -> Option<String> {
    let value = members.iter().find(|(name, _)| name == key).and_then(|(_, value)| string_value(value));
    value.filter(|oid| check_oid(oid).is_ok())
}

/// The caller's meta with the engine's own members.
pub fn with_engine_meta(
    caller: Option<&CanonicalJson>,
    requester_oid: &str,
    recorded_at: i64,
) -> Result<CanonicalJson, InvalidRecord> {
    let mut requester = String::new();
    canonical::write_string(&mut requester, requester_oid);
    let recorded_at = recorded_at.to_string();
    let own = [("recorded_at", recorded_at.as_str()), ("requester_oid", requester.as_str())];
    let mut members = caller.and_then(|meta| canonical::members(meta.as_str())).unwrap_or_default();
    for (key, value) in own {
        match members.iter().find(|(name, _)| name == key) {
            Some((_, given)) if *given == value => {}
            Some(_) => {
                let reason = "is written by the engine itself; leave it out";
                return Err(InvalidRecord::new(reason).within_key(key).within_key("meta"));
            }
            None => members.push((key.to_owned(), value)),
        }
    }
    let mut out = String::new();
    canonical::write_members(&mut out, &mut members);
    Ok(CanonicalJson::from_canonical(out))
}
