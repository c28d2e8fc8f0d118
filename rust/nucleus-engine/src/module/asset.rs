//! The module `asset`: things with one owner at a time.

use std::any::Any;

use nucleus_core::{ChainEntry, Record};

use super::factory::VERSION;
use super::fields::{Fields, at, existing_state, no_state, only_by, requester, state_of};
use super::{Fault, HookResult, Module, ModuleContext};
use crate::model::{FieldIndex, Result, Role, Scope, Source};

const STREAM: &str = "assets";
/// Members that only the rules themselves write.
const RESERVED: [&str; 6] = ["action", "status", "reason", "owner_oid", "issuer_oid", "exp"];

/// Whom its entries grant access.
const ROLES: [Role; 2] = [
    Role { source: Source::Owner, member: "owner_oid", scope: Scope::Full, until_exp: false },
    Role { source: Source::Issuer, member: "issuer_oid", scope: Scope::Full, until_exp: false },
];

/// Rules the stream `assets`; the record id is the asset's.
///
/// First version: `{action?: "register", owner_oid, issuer_oid?, ...}` with any further members. Then
/// `{action: "transfer", owner_oid, reason?}` by the current owner, `{action: "update", ...}` by owner or issuer, which
/// replaces the members that it names and removes those that it sets to null (RFC 7396, at the top level), and
/// `{action: "retire", reason?}` by owner or issuer, which is final. Each later version is completed from the one before.
#[derive(Debug, Clone, Copy, Default)]
pub struct AssetModule;

impl AssetModule {
    /// Its id.
    pub const ID: &'static str = "asset";
}

impl Module for AssetModule {
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
        Some("asset".to_owned())
    }

    fn roles(&self) -> &'static [Role] {
        &ROLES
    }

    fn indexes(&self) -> Result<Vec<FieldIndex>> {
        FieldIndex::all(STREAM, &[&["owner_oid"], &["issuer_oid"]])
    }

    fn before_append(&self, record: &mut Record, context: &ModuleContext) -> HookResult {
        let given = Fields::of_record(record)?;
        let state = state_of(record, context)?;
        let action = given.string("action")?;
        if matches!(action.as_deref(), None | Some("register")) {
            no_state(state.as_ref(), "an asset", "transfer, update or retire")?;
            return check_register(&given);
        }
        let mut asset = existing_state(state.as_ref(), "asset")?;
        if asset.string("action")?.as_deref() == Some("retire") {
            return Err(Fault::refused("the asset is retired: nothing can happen to it any more"));
        }
        match action.as_deref() {
            Some("transfer") => transfer(&given, &mut asset, context)?,
            Some("update") => update(&given, &mut asset, context)?,
            Some("retire") => retire(&given, &mut asset, context)?,
            _ => return Err(at("action", "must be register, transfer, update or retire")),
        }
        record.payload = Some(asset.to_payload());
        Ok(())
    }

    fn before_redact(&self, _entry: &ChainEntry, _context: &ModuleContext) -> HookResult {
        Err(Fault::refused("who owns an asset follows from its entries: they are not redacted"))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn check_register(given: &Fields) -> HookResult {
    given.required_oid("owner_oid")?;
    given.oid("issuer_oid")?;
    match ["status", "reason", "exp"].iter().find(|key| given.has(key)) {
        Some(key) => Err(at(key, "is reserved among assets, which do not expire; choose another name")),
        None => Ok(()),
    }
}

/// Begins the next version: what the last one said of its own action is gone.
fn next_version(asset: &mut Fields, action: &str, given: &Fields) -> HookResult {
    let reason = given.optional_string("reason")?;
    asset.set_string("action", action);
    match reason {
        Some(reason) => asset.set_string("reason", &reason),
        None => asset.remove("reason"),
    }
    Ok(())
}

fn transfer(given: &Fields, asset: &mut Fields, context: &ModuleContext) -> HookResult {
    given.only(&["action", "owner_oid", "reason"])?;
    let new_owner = given.required_oid("owner_oid")?;
    let owner = asset.required_oid("owner_oid")?;
    if requester(context)? != owner {
        return Err(Fault::refused("only its current owner may transfer an asset"));
    }
    if new_owner == owner {
        return Err(at("owner_oid", "is its owner already"));
    }
    next_version(asset, "transfer", given)?;
    asset.set_string("owner_oid", &new_owner);
    Ok(())
}

fn by_owner_or_issuer(asset: &Fields, context: &ModuleContext) -> HookResult {
    let owner = asset.required_oid("owner_oid")?;
    let issuer = asset.oid("issuer_oid")?;
    only_by(context, &[&owner, issuer.as_deref().unwrap_or(&owner)], "the asset's current owner or its issuer")
}

fn update(given: &Fields, asset: &mut Fields, context: &ModuleContext) -> HookResult {
    by_owner_or_issuer(asset, context)?;
    let changes: Vec<&str> = given.keys().filter(|key| *key != "action").collect();
    if let Some(key) = changes.iter().find(|key| RESERVED.contains(key)) {
        return Err(at(key, "is reserved and not changed by an update; transfer changes the owner"));
    }
    if changes.is_empty() {
        return Err(Fault::refused("an update names at least one member"));
    }
    asset.remove("reason");
    asset.set_string("action", "update");
    for key in changes {
        match given.get(key) {
            None | Some("null") => asset.remove(key),
            Some(value) => asset.set(key, value.to_owned()),
        }
    }
    Ok(())
}

fn retire(given: &Fields, asset: &mut Fields, context: &ModuleContext) -> HookResult {
    given.only(&["action", "reason"])?;
    by_owner_or_issuer(asset, context)?;
    next_version(asset, "retire", given)
}
