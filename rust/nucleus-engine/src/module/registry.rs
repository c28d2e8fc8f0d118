//! The modules of one ledger and where each is in its life.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nucleus_core::CanonicalJson;
use nucleus_core::error::shortened;
use nucleus_core::record::MAX_STREAM_BYTES;

use super::{Fault, HookResult, LedgerView, Module, ModuleContext, built_in_kinds};
use crate::env::Environment;
use crate::model::{Error, FieldIndex, Request, Result, is_own_stream};

/// Where a module is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleState {
    /// Known, nothing more.
    Registered,
    /// `init` has returned.
    Initialised,
    /// `start` has returned: its hooks run.
    Started,
    /// `stop` was called.
    Stopped,
    /// `init` or `start` failed.
    Failed,
}

impl ModuleState {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Initialised => "initialised",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What is known of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Where it is in its life.
    pub state: ModuleState,
    /// When it was registered, in ms since the Unix epoch.
    pub registered_at: i64,
    /// The streams whose records it rules.
    pub streams: Vec<String>,
    /// What a record of its streams is called where access to it is granted.
    pub resource_kind: Option<String>,
    /// How often `after_append` or `stop` failed: neither can undo anything, so neither failure reaches a caller.
    pub failures: u64,
    /// What the last of them said.
    pub last_failure: Option<String>,
}

struct Registered {
    module: Box<dyn Module>,
    id: Arc<str>,
    config: Arc<CanonicalJson>,
    /// In ms since the Unix epoch.
    since: i64,
    /// Held for moments, never while a hook runs.
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    state: ModuleState,
    failures: u64,
    last_failure: Option<String>,
}

impl Registered {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn context(&self, ledger_id: &Arc<str>, view: LedgerView, request: Option<Request>) -> ModuleContext {
        ModuleContext {
            ledger_id: Arc::clone(ledger_id),
            module_id: Arc::clone(&self.id),
            config: Arc::clone(&self.config),
            view,
            request,
        }
    }
}

/// The modules of one ledger, in the order they were registered.
///
/// The contract, in order:
/// 1. [`register`](Self::register) takes modules while the engine is being opened; nothing registers later, so that
///    the list is fixed for the life of a ledger.
/// 2. [`init_all`](Self::init_all), then [`start_all`](Self::start_all), each in the order of registration. The first
///    failure ends it: modules that were started are stopped again, the last first, and the error names the module.
/// 3. Hooks of all started modules run, in the order of registration.
/// 4. [`stop_all`](Self::stop_all) stops what was started, the last first. A module that fails to stop is logged and
///    does not keep the others from being stopped.
///
/// A panic of a module counts as its failure. Nothing is shared between registries.
pub struct ModuleRegistry {
    ledger_id: Arc<str>,
    environment: Environment,
    modules: Vec<Registered>,
}

impl ModuleRegistry {
    /// A registry without modules.
    pub fn new(ledger_id: &str, environment: Environment) -> Self {
        Self { ledger_id: Arc::from(ledger_id), environment, modules: Vec::new() }
    }

    /// Takes a module and its settings.
    ///
    /// # Errors
    /// `ModuleAlreadyRegistered` where there is one with this id; `Module` where it claims a stream that another module
    /// or the engine itself rules.
    pub fn register(&mut self, module: Box<dyn Module>, config: CanonicalJson) -> Result<()> {
        let id: Arc<str> = Arc::from(module.id());
        if self.find(&id).is_some() {
            return Err(Error::ModuleAlreadyRegistered { module_id: id.to_string() });
        }
        self.check_streams(&id, &module.streams())?;
        let progress = Progress { state: ModuleState::Registered, failures: 0, last_failure: None };
        self.modules.push(Registered {
            module,
            id,
            config: Arc::new(config),
            since: self.environment.now_ms(),
            progress: Mutex::new(progress),
        });
        Ok(())
    }

    fn check_streams(&self, id: &str, streams: &[String]) -> Result<()> {
        for stream in streams {
            let ruled = self.modules.iter().find(|registered| registered.module.streams().contains(stream));
            let by = match ruled {
                Some(registered) => format!("module `{}`", registered.id),
                None if is_own_stream(stream) => "the engine".to_owned(),
                None => continue,
            };
            return Err(Error::Module {
                module_id: id.to_owned(),
                message: format!("its stream `{}` is ruled by {by} already; choose another", stream.escape_debug()),
                cause: None,
            });
        }
        Ok(())
    }

    /// Calls `init` of every module.
    ///
    /// # Errors
    /// `ModuleLifecycle` of the first that fails.
    pub fn init_all(&self, view: &LedgerView) -> Result<()> {
        self.advance("init", ModuleState::Initialised, view, |module, context| module.init(context))
    }

    /// Calls `start` of every module.
    ///
    /// # Errors
    /// `ModuleLifecycle` of the first that fails; those that were started have been stopped again.
    pub fn start_all(&self, view: &LedgerView) -> Result<()> {
        self.advance("start", ModuleState::Started, view, |module, context| module.start(context))
    }

    fn advance(
        &self,
        step: &'static str,
        reached: ModuleState,
        view: &LedgerView,
        call: impl Fn(&dyn Module, &ModuleContext) -> HookResult,
    ) -> Result<()> {
        for registered in &self.modules {
            let context = registered.context(&self.ledger_id, view.clone(), None);
            if let Err(fault) = unpanicked(|| call(registered.module.as_ref(), &context)) {
                registered.progress().state = ModuleState::Failed;
                self.stop_all(view);
                return Err(lifecycle_error(&registered.id, step, fault));
            }
            registered.progress().state = reached;
        }
        Ok(())
    }

    /// Calls `stop` of every started module, the last registered first; failures are logged and counted.
    pub fn stop_all(&self, view: &LedgerView) {
        for registered in self.modules.iter().rev() {
            {
                let mut progress = registered.progress();
                if progress.state != ModuleState::Started {
                    continue;
                }
                progress.state = ModuleState::Stopped;
            }
            let context = registered.context(&self.ledger_id, view.clone(), None);
            if let Err(fault) = unpanicked(|| registered.module.stop(&context)) {
                tracing::warn!(module = %registered.id, error = %fault, "a module could not be stopped");
                registered.note_failure(&format!("stop: {fault}"));
            }
        }
    }

    /// The module with this id, if it is a `T`.
    pub fn get<T: Any>(&self, id: &str) -> Option<&T> {
        self.find(id)?.module.as_any().downcast_ref()
    }

    /// The ids, in the order of registration.
    pub fn list_ids(&self) -> Vec<&str> {
        self.modules.iter().map(|registered| &*registered.id).collect()
    }

    /// What is known of one module.
    pub fn info(&self, id: &str) -> Option<ModuleInfo> {
        self.find(id).map(Registered::info)
    }

    /// What is known of all, in the order of registration.
    pub fn infos(&self) -> Vec<ModuleInfo> {
        self.modules.iter().map(Registered::info).collect()
    }

    /// The indexes that the modules declare.
    ///
    /// # Errors
    /// `Config` where a declaration is none that can be indexed.
    pub fn indexes(&self) -> Result<Vec<FieldIndex>> {
        let mut indexes = Vec::new();
        for registered in &self.modules {
            indexes.extend(registered.module.indexes()?);
        }
        Ok(indexes)
    }

    /// The streams whose modules name a resource kind, each with it, for access control.
    ///
    /// # Errors
    /// `Module` where a kind cannot be one, or where a module takes a stream or a kind of a built-in one: who has access
    /// to those follows from rules that only the built-in module enforces.
    pub(crate) fn kinds(&self) -> Result<Vec<(String, String)>> {
        let mut kinds = Vec::new();
        for registered in &self.modules {
            let (streams, kind) = (registered.module.streams(), registered.module.resource_kind());
            check_kind(registered, &streams, kind.as_deref())?;
            kinds.extend(kind.into_iter().flat_map(|kind| streams.iter().map(move |of| (of.clone(), kind.clone()))));
        }
        Ok(kinds)
    }

    /// Whether any hook wants records of this stream.
    pub(super) fn wanted(&self, stream: &str) -> bool {
        self.modules.iter().any(|registered| registered.module.wants(stream))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// Each started module with its context for one call.
    pub(super) fn started(&self, view: &LedgerView, request: &Request) -> Vec<Running<'_>> {
        let started = self.modules.iter().filter(|registered| registered.progress().state == ModuleState::Started);
        started
            .map(|registered| Running {
                registered,
                context: registered.context(&self.ledger_id, view.clone(), Some(request.clone())),
            })
            .collect()
    }

    /// Runs `work` inside what the modules hold around their hooks.
    pub(super) fn around(&self, work: &mut dyn FnMut()) {
        fn nest(modules: &[Registered], work: &mut dyn FnMut()) {
            match modules.split_first() {
                None => work(),
                Some((first, rest)) => first.module.around(&mut || nest(rest, work)),
            }
        }
        nest(&self.modules, work);
    }

    fn find(&self, id: &str) -> Option<&Registered> {
        self.modules.iter().find(|registered| &*registered.id == id)
    }
}

fn check_kind(registered: &Registered, streams: &[String], kind: Option<&str>) -> Result<()> {
    let refused = |message: String| Err(Error::Module { module_id: registered.id.to_string(), message, cause: None });
    if let Some(kind) = kind
        && (kind.is_empty() || kind.len() > MAX_STREAM_BYTES || is_own_stream(kind))
    {
        return refused(format!(
            "its resource kind `{}` cannot be one: it has 1 to {MAX_STREAM_BYTES} bytes and is no stream of the engine's \
             own",
            shortened(kind).escape_debug()
        ));
    }
    if !registered.module.roles().is_empty() {
        return Ok(());
    }
    let claimed = |name: &String| kind == Some(name) || streams.contains(name);
    match built_in_kinds().into_iter().flat_map(|ruled| [ruled.stream, ruled.kind]).find(claimed) {
        None => Ok(()),
        Some(name) => refused(format!(
            "`{name}` belongs to a built-in module where access control is on; choose another stream and resource kind"
        )),
    }
}

impl Registered {
    fn info(&self) -> ModuleInfo {
        let progress = self.progress();
        ModuleInfo {
            id: self.id.to_string(),
            version: self.module.version().to_owned(),
            state: progress.state,
            registered_at: self.since,
            streams: self.module.streams(),
            resource_kind: self.module.resource_kind(),
            failures: progress.failures,
            last_failure: progress.last_failure.clone(),
        }
    }

    fn note_failure(&self, message: &str) {
        let mut progress = self.progress();
        progress.failures += 1;
        progress.last_failure = Some(message.to_owned());
    }
}

/// A started module and its context for one call.
pub(super) struct Running<'a> {
    registered: &'a Registered,
    context: ModuleContext,
}

impl Running<'_> {
    pub(super) fn id(&self) -> &str {
        &self.registered.id
    }

    pub(super) fn wants(&self, stream: &str) -> bool {
        self.registered.module.wants(stream)
    }

    /// Calls one hook; a panic in it is a fault.
    pub(super) fn call(&self, hook: impl FnOnce(&dyn Module, &ModuleContext) -> HookResult) -> HookResult {
        unpanicked(|| hook(self.registered.module.as_ref(), &self.context))
    }

    pub(super) fn note_failure(&self, message: &str) {
        self.registered.note_failure(message);
    }
}

/// Turns a panic into a fault. A module that panicked is called again: its own state is its own affair.
fn unpanicked(call: impl FnOnce() -> HookResult) -> HookResult {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "without a message".to_owned());
        Err(Fault::Failed { message: format!("it panicked: {said}"), cause: None })
    })
}

fn lifecycle_error(module_id: &str, step: &'static str, fault: Fault) -> Error {
    let (message, cause) = match fault {
        Fault::Failed { message, cause } => (message, cause),
        fault => (fault.to_string(), None),
    };
    Error::ModuleLifecycle { module_id: module_id.to_owned(), step, message, cause }
}
