//! From a module's configuration to the module.

use nucleus_core::CanonicalJson;
use nucleus_core::error::shortened;

use super::{AssetModule, ConnectModule, Module, ProofModule, TokenModule};
use crate::model::{Error, Result, RuledStream};

/// A module that a ledger is to run.
#[derive(Debug, Clone)]
pub struct ModuleConfig {
    /// The module's id.
    pub id: String,
    /// The version that the configuration was written for.
    pub version: String,
    /// The module's own settings: a JSON object.
    pub config: CanonicalJson,
}

/// Makes modules of configurations.
pub trait ModuleFactory {
    /// Makes one module.
    ///
    /// # Errors
    /// `UnknownModule` where there is no such module, `Module` where there is not in this version, or its settings do
    /// not suit it.
    fn build(&self, config: &ModuleConfig) -> Result<Box<dyn Module>>;
}

/// The version of all built-in modules.
pub(super) const VERSION: &str = "1.0.0";

/// Ids of the built-in modules.
pub fn built_in_ids() -> [&'static str; 4] {
    [ProofModule::ID, AssetModule::ID, TokenModule::ID, ConnectModule::ID]
}

const BUILT_IN: [&dyn Module; 4] = [&ProofModule, &AssetModule, &TokenModule, &ConnectModule];

/// The streams that built-in modules rule, each with the module's id.
pub(crate) fn built_in_streams() -> Vec<(String, &'static str)> {
    let modules = BUILT_IN.iter().zip(built_in_ids());
    modules.flat_map(|(module, id)| module.streams().into_iter().map(move |stream| (stream, id))).collect()
}

/// The streams that built-in modules rule, with what holds of them in every ledger with access control.
pub fn built_in_kinds() -> Vec<RuledStream> {
    let kinds = BUILT_IN.iter().filter_map(|module| module.resource_kind().map(|kind| (module, kind)));
    kinds
        .flat_map(|(module, kind)| {
            let ruled = move |stream| RuledStream { stream, kind: kind.clone(), roles: module.roles() };
            module.streams().into_iter().map(ruled)
        })
        .collect()
}

/// The factory of the built-in modules.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuiltinModules;

impl ModuleFactory for BuiltinModules {
    fn build(&self, config: &ModuleConfig) -> Result<Box<dyn Module>> {
        let module: Box<dyn Module> = match config.id.as_str() {
            ProofModule::ID => Box::new(ProofModule),
            AssetModule::ID => Box::new(AssetModule),
            TokenModule::ID => Box::new(TokenModule),
            ConnectModule::ID => Box::new(ConnectModule),
            _ => {
                let (id, known) = (shortened(&config.id), built_in_ids().join(", "));
                return Err(Error::UnknownModule {
                    message: format!("there is no module `{}`; built in are {known}", id.escape_debug()),
                    module_id: config.id.clone(),
                });
            }
        };
        if config.version != VERSION {
            return Err(Error::Module {
                module_id: config.id.clone(),
                message: format!(
                    "there is no version {} of it; this release has {VERSION}",
                    shortened(&config.version).escape_debug()
                ),
                cause: None,
            });
        }
        if config.config.as_str() != "{}" {
            return Err(Error::Module {
                module_id: config.id.clone(),
                message: "it takes no settings; leave config out".to_owned(),
                cause: None,
            });
        }
        Ok(module)
    }
}
