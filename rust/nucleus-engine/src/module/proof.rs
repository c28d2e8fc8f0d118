//! The module `proof`: statements by an issuer about a subject, which the issuer may revoke.

use std::any::Any;

use nucleus_core::Record;

use super::factory::VERSION;
use super::fields::{Fields, at, existing_state, no_state, only_by, state_of};
use super::{HookResult, Module, ModuleContext};
use crate::model::{FieldIndex, Result, Role, Scope, Source};

const STREAM: &str = "proofs";

/// Whom its entries grant access.
const ROLES: [Role; 2] = [
    Role { source: Source::Issuer, member: "issuer_oid", scope: Scope::Full, until_exp: false },
    Role { source: Source::Subject, member: "subject_oid", scope: Scope::Read, until_exp: false },
];

/// Rules the stream `proofs`; the record id is the proof's.
///
/// First version: `{action?: "issue", subject_oid, issuer_oid, type?, target?, data?, exp?}`; `exp` in seconds since the
/// Unix epoch. Then, once and by the issuer: `{action: "revoke", reason}`, which the hook completes from the first.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProofModule;

impl ProofModule {
    /// Its id.
    pub const ID: &'static str = "proof";
}

impl Module for ProofModule {
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
        Some("proof".to_owned())
    }

    fn roles(&self) -> &'static [Role] {
        &ROLES
    }

    fn indexes(&self) -> Result<Vec<FieldIndex>> {
        FieldIndex::all(STREAM, &[&["subject_oid"], &["issuer_oid"], &["type"]])
    }

    fn before_append(&self, record: &mut Record, context: &ModuleContext) -> HookResult {
        let fields = Fields::of_record(record)?;
        let state = state_of(record, context)?;
        match fields.string("action")?.as_deref() {
            None | Some("issue") => {
                no_state(state.as_ref(), "a proof", "revoke")?;
                check_issue(&fields)
            }
            Some("revoke") => {
                let mut revoked = existing_state(state.as_ref(), "proof")?;
                revoke(&fields, &mut revoked, context)?;
                record.payload = Some(revoked.to_payload());
                Ok(())
            }
            Some(_) => Err(at("action", "must be issue or revoke")),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn check_issue(fields: &Fields) -> HookResult {
    fields.only(&["action", "subject_oid", "issuer_oid", "type", "target", "data", "exp"])?;
    fields.required_oid("subject_oid")?;
    fields.required_oid("issuer_oid")?;
    fields.optional_string("type")?;
    fields.optional_string("target")?;
    fields.check_exp()
}

fn revoke(given: &Fields, state: &mut Fields, context: &ModuleContext) -> HookResult {
    given.only(&["action", "reason"])?;
    let reason = given.required_string("reason")?;
    only_by(context, &[&state.required_oid("issuer_oid")?], "the issuer")?;
    if state.string("action")?.as_deref() == Some("revoke") {
        return Err(at("action", "the proof is revoked already"));
    }
    state.set_string("action", "revoke");
    state.set_string("reason", &reason);
    Ok(())
}
