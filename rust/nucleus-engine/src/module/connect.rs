//! The module `connect`: what a subject allows an application.

use std::any::Any;

use nucleus_core::Record;
use nucleus_core::json::{NumberRule, Reader, Token};

use super::factory::VERSION;
use super::fields::{Fields, at, existing_state, no_state, only_by, state_of};
use super::{HookResult, Module, ModuleContext};
use crate::model::{FieldIndex, Result, Role, Scope, Source};

const STREAM: &str = "connect_grants";

/// Whom its entries grant access.
const ROLES: [Role; 2] = [
    Role { source: Source::Subject, member: "subject_oid", scope: Scope::Full, until_exp: false },
    Role { source: Source::App, member: "app_oid", scope: Scope::Read, until_exp: true },
];

/// Rules the stream `connect_grants`; the record id is the grant's.
///
/// First version: `{action?: "grant", subject_oid, app_oid, scopes, controller_oid?, resource?, policy?, lawful_basis?,
/// exp?}`; `scopes` is a non-empty list of distinct strings, `exp` in seconds since the Unix epoch. Then, once and by the
/// subject or the application: `{action: "revoke", reason?}`, which the hook completes from the first.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectModule;

impl ConnectModule {
    /// Its id.
    pub const ID: &'static str = "connect";
}

impl Module for ConnectModule {
    fn id(&self) -> &str {
        Self::ID
    }

    fn version(&self) -> &str {
        VERSION
    }

    fn streams(&self) -> Vec<String> {
        vec![STREAM.to_owned()]
    }

    fn wants(&self, stream: &str) -> bool {
        stream == STREAM
    }

    fn resource_kind(&self) -> Option<String> {
        Some("connect_grant".to_owned())
    }

    fn roles(&self) -> &'static [Role] {
        &ROLES
    }

    fn indexes(&self) -> Result<Vec<FieldIndex>> {
        FieldIndex::all(STREAM, &[&["subject_oid"], &["app_oid"], &["subject_oid", "app_oid"]])
    }

    fn before_append(&self, record: &mut Record, context: &ModuleContext) -> HookResult {
        let fields = Fields::of_record(record)?;
        let state = state_of(record, context)?;
        match fields.string("action")?.as_deref() {
            None | Some("grant") => {
                no_state(state.as_ref(), "a grant", "revoke")?;
                check_grant(&fields)
            }
            Some("revoke") => {
                let mut revoked = existing_state(state.as_ref(), "grant")?;
                revoke(&fields, &mut revoked, context)?;
                record.payload = Some(revoked.to_payload());
                Ok(())
            }
            Some(_) => Err(at("action", "must be grant or revoke")),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn check_grant(fields: &Fields) -> HookResult {
    fields.only(&[
        "action",
        "subject_oid",
        "app_oid",
        "scopes",
        "controller_oid",
        "resource",
        "policy",
        "lawful_basis",
        "exp",
    ])?;
    fields.required_oid("subject_oid")?;
    fields.required_oid("app_oid")?;
    fields.oid("controller_oid")?;
    fields.optional_string("resource")?;
    fields.optional_string("lawful_basis")?;
    if fields.get("policy").is_some_and(|policy| !policy.starts_with(['"', '{'])) {
        return Err(at("policy", "must be a string or an object"));
    }
    check_scopes(fields.get("scopes"))?;
    fields.check_exp()
}

fn check_scopes(scopes: Option<&str>) -> HookResult {
    let Some(text) = scopes else {
        return Err(at("scopes", "is missing"));
    };
    let refuse = || at("scopes", "must be a non-empty list of distinct, non-empty strings");
    let mut reader = Reader::new(text, NumberRule::Stored);
    if !matches!(reader.token(), Ok(Token::ArrayStart)) {
        return Err(refuse());
    }
    let mut seen: Vec<String> = Vec::new();
    while reader.next_element(seen.is_empty())? {
        match reader.token()? {
            Token::String(scope) if !scope.is_empty() && !seen.iter().any(|known| *known == scope) => {
                seen.push(scope.into_owned());
            }
            _ => return Err(refuse()),
        }
    }
    if seen.is_empty() { Err(refuse()) } else { Ok(()) }
}

fn revoke(given: &Fields, state: &mut Fields, context: &ModuleContext) -> HookResult {
    given.only(&["action", "reason"])?;
    let reason = given.optional_string("reason")?;
    let (subject, app) = (state.required_oid("subject_oid")?, state.required_oid("app_oid")?);
    only_by(context, &[&subject, &app], "the subject or the application of the grant")?;
    if state.string("action")?.as_deref() == Some("revoke") {
        return Err(at("action", "the grant is revoked already"));
    }
    state.set_string("action", "revoke");
    if let Some(reason) = reason {
        state.set_string("reason", &reason);
    }
    Ok(())
}
