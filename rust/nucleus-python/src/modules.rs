//! Modules written in Python, as the engine's registry runs them, and what Python sees of modules.

use std::any::Any;
use std::sync::Arc;

use nucleus_core::{CanonicalJson, Record as CoreRecord};
use nucleus_engine::module::{BuiltinModules, Fault, HookResult, LedgerView};
use nucleus_engine::{Error, FieldIndex, Module, ModuleConfig, ModuleFactory};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::cause::PythonCause;
use crate::chain::{ChainEntry, wrap, wrap_all};
use crate::errors::{RecordRefusedError, to_python};
use crate::interpreter::attached;
use crate::json;
use crate::numbers::{Count, Milliseconds};
use crate::query::{QueryArguments, QueryPage};
use crate::records::Record;
use crate::values::member;

fn fault(error: PyErr) -> Fault {
    // A refusal in the library's own words needs no name of its class before it.
    let message = attached(|py| {
        if error.is_instance_of::<RecordRefusedError>(py) { error.value(py).to_string() } else { error.to_string() }
    });
    Fault::Failed { message, cause: Some(Arc::new(PythonCause(error))) }
}

/// A module of which the hooks are methods of a Python object.
///
/// Lock order: the ledger's write transaction, then the interpreter. No thread waits for the former while it holds
/// the latter: every call into the engine detaches first.
pub(crate) struct PythonModule {
    id: String,
    version: String,
    object: Py<PyAny>,
    streams: Vec<String>,
    resource_kind: Option<String>,
    indexes: Vec<FieldIndex>,
    overridden: Overridden,
}

/// Which hooks do anything: those inherited from the base class need no call.
#[derive(Debug, Clone, Copy)]
struct Overridden {
    before_append: bool,
    after_append: bool,
    before_redact: bool,
}

impl PythonModule {
    pub(crate) fn object(&self, py: Python<'_>) -> Py<PyAny> {
        self.object.clone_ref(py)
    }

    /// Constructs the object and reads what it declares.
    fn construct(py: Python<'_>, config: &ModuleConfig, offer: &Offer) -> PyResult<Self> {
        let object = offer.implementation.bind(py).call1((offer.settings.bind(py),))?;
        if object.is_none() {
            return Err(pyo3::exceptions::PyTypeError::new_err("the implementation made None, not a module"));
        }
        let streams: Vec<String> = declared(&object, "streams")?;
        let mut indexes = Vec::new();
        for group in declared::<Vec<Bound<'_, PyAny>>>(&object, "indexed_fields")? {
            let fields: Vec<String> = match group.cast::<PyString>() {
                Ok(name) => vec![name.to_string()],
                Err(_) => group.extract()?,
            };
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            for stream in &streams {
                indexes.push(FieldIndex::new(stream, &fields).map_err(|error| to_python(py, error.into()))?);
            }
        }
        let resource_kind = match object.getattr_opt("resource_kind")? {
            Some(kind) => kind.extract()?,
            None => None,
        };
        let base = py.import("nucleus.modules.module")?.getattr("Module")?;
        let class = object.get_type();
        let overrides = |name: &str| -> PyResult<bool> {
            let own = class.getattr_opt(name)?;
            Ok(own.is_some_and(|own| base.getattr(name).is_ok_and(|inherited| !own.is(&inherited))))
        };
        let overridden = Overridden {
            before_append: overrides("before_append")?,
            after_append: overrides("after_append")?,
            before_redact: overrides("before_redact")?,
        };
        Ok(Self {
            id: config.id.clone(),
            version: config.version.clone(),
            object: object.unbind(),
            streams,
            resource_kind,
            indexes,
            overridden,
        })
    }

    /// Calls a hook of the module's life, where it has one.
    fn live(&self, step: &str, context: &nucleus_engine::ModuleContext) -> HookResult {
        attached(|py| {
            let call = || -> PyResult<()> {
                if let Some(method) = self.object.bind(py).getattr_opt(step)? {
                    method.call1((ModuleContext { inner: context.clone() },))?;
                }
                Ok(())
            };
            call().map_err(fault)
        })
    }
}

/// A sequence that a class declares; absent is empty.
fn declared<'py, T: for<'a> FromPyObject<'a, 'py, Error = PyErr> + Default>(
    object: &Bound<'py, PyAny>,
    name: &str,
) -> PyResult<T> {
    match object.getattr_opt(name)? {
        None => Ok(T::default()),
        // It would pass for a sequence of its letters.
        Some(value) if value.is_instance_of::<PyString>() => {
            Err(pyo3::exceptions::PyTypeError::new_err(format!("{name} must be a tuple of names, not one string")))
        }
        Some(value) => object.py().get_type::<PyTuple>().call1((value,))?.extract(),
    }
}

impl Module for PythonModule {
    fn id(&self) -> &str {
        &self.id
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn streams(&self) -> Vec<String> {
        self.streams.clone()
    }

    fn resource_kind(&self) -> Option<String> {
        self.resource_kind.clone()
    }

    fn indexes(&self) -> nucleus_engine::Result<Vec<FieldIndex>> {
        Ok(self.indexes.clone())
    }

    fn init(&self, context: &nucleus_engine::ModuleContext) -> HookResult {
        self.live("init", context)
    }

    fn start(&self, context: &nucleus_engine::ModuleContext) -> HookResult {
        self.live("start", context)
    }

    fn stop(&self, context: &nucleus_engine::ModuleContext) -> HookResult {
        self.live("stop", context)
    }

    /// Attached once for all records of a commit: another thread that wants the interpreter would otherwise cost its
    /// switching interval for each of them.
    fn around(&self, work: &mut dyn FnMut()) {
        attached(|_| work());
    }

    fn before_append(&self, record: &mut CoreRecord, context: &nucleus_engine::ModuleContext) -> HookResult {
        if !self.overridden.before_append {
            return Ok(());
        }
        attached(|py| {
            let call = || -> PyResult<Option<CoreRecord>> {
                let arguments = (Record::of(record), ModuleContext { inner: context.clone() });
                let answer = self.object.bind(py).call_method1(pyo3::intern!(py, "before_append"), arguments)?;
                if answer.is_none() {
                    return Ok(None);
                }
                let given = answer.cast::<Record>().map_err(|_| {
                    pyo3::exceptions::PyTypeError::new_err(format!(
                        "before_append must answer a Record or None, not {}",
                        answer.get_type()
                    ))
                })?;
                Ok(Some(given.get().inner.record.clone()))
            };
            if let Some(changed) = call().map_err(fault)? {
                *record = changed;
            }
            Ok(())
        })
    }

    fn after_append(&self, entry: &nucleus_core::ChainEntry, context: &nucleus_engine::ModuleContext) -> HookResult {
        if !self.overridden.after_append {
            return Ok(());
        }
        attached(|py| {
            let arguments = (ChainEntry { inner: entry.clone() }, ModuleContext { inner: context.clone() });
            let called = self.object.bind(py).call_method1(pyo3::intern!(py, "after_append"), arguments);
            called.map(|_| ()).map_err(|error| {
                if let Err(second) = self.log_failure(py, entry.seq, &error) {
                    second.write_unraisable(py, None);
                }
                fault(error)
            })
        })
    }

    fn before_redact(&self, entry: &nucleus_core::ChainEntry, context: &nucleus_engine::ModuleContext) -> HookResult {
        if !self.overridden.before_redact {
            return Ok(());
        }
        attached(|py| {
            let arguments = (ChainEntry { inner: entry.clone() }, ModuleContext { inner: context.clone() });
            let called = self.object.bind(py).call_method1(pyo3::intern!(py, "before_redact"), arguments);
            called.map(|_| ()).map_err(fault)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl PythonModule {
    fn log_failure(&self, py: Python<'_>, seq: u64, error: &PyErr) -> PyResult<()> {
        let logger = py.import("logging")?.call_method1("getLogger", ("nucleus.modules",))?;
        let keywords = PyDict::new(py);
        keywords.set_item("exc_info", error.value(py))?;
        let arguments = ("module %s: after_append of entry %d failed; the entry is durable", &self.id, seq);
        logger.call_method("error", arguments, Some(&keywords)).map(|_| ())
    }
}

/// An implementation that Python hands over for one module id.
struct Offer {
    id: String,
    implementation: Py<PyAny>,
    settings: Py<PyAny>,
}

/// Makes the modules that Python hands over, and the built-in ones.
pub(crate) struct PythonFactory {
    offers: Vec<Offer>,
}

impl ModuleFactory for PythonFactory {
    fn build(&self, config: &ModuleConfig) -> nucleus_engine::Result<Box<dyn Module>> {
        let Some(offer) = self.offers.iter().find(|offer| offer.id == config.id) else {
            return BuiltinModules.build(config);
        };
        attached(|py| {
            let failed = |error: PyErr| Error::ModuleLifecycle {
                module_id: config.id.clone(),
                step: "construction",
                message: error.to_string(),
                cause: Some(Arc::new(PythonCause(error))),
            };
            offer.check_version(py, config).map_err(failed)??;
            Ok(Box::new(PythonModule::construct(py, config, offer).map_err(failed)?) as Box<dyn Module>)
        })
    }
}

impl Offer {
    /// An implementation that declares a version is of that version only.
    fn check_version(&self, py: Python<'_>, config: &ModuleConfig) -> PyResult<nucleus_engine::Result<()>> {
        let Some(version) = self.implementation.bind(py).getattr_opt("version")? else {
            return Ok(Ok(()));
        };
        if version.is_none() || version.extract::<String>().is_ok_and(|version| version == config.version) {
            return Ok(Ok(()));
        }
        Ok(Err(Error::Module {
            module_id: config.id.clone(),
            message: format!("there is no version {} of it; its implementation is version {version}", config.version),
            cause: None,
        }))
    }
}

/// The module configurations of a Python sequence of `nucleus.ModuleConfig`.
pub(crate) fn module_arguments(
    py: Python<'_>,
    modules: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Vec<ModuleConfig>, PythonFactory)> {
    let mut configs = Vec::new();
    let mut offers = Vec::new();
    let Some(modules) = modules else {
        return Ok((configs, PythonFactory { offers }));
    };
    for module in modules.try_iter()? {
        let module = module?;
        let id: String = member!(&module, "id")?;
        let implementation: Option<Bound<'_, PyAny>> = member!(&module, "implementation")?;
        let mut text = String::new();
        let settings = py.get_type::<PyDict>().call1((module.getattr("config")?,))?;
        json::write(&settings, &mut text).map_err(|error| {
            let message = format!("its config must be JSON: {error}");
            to_python(py, Error::Module { module_id: id.clone(), message, cause: None }.into())
        })?;
        let config = CanonicalJson::from_canonical(text);
        configs.push(ModuleConfig { id: id.clone(), version: member!(&module, "version")?, config });
        if let Some(implementation) = implementation {
            offers.push(Offer { id, implementation: implementation.unbind(), settings: settings.unbind() });
        }
    }
    Ok((configs, PythonFactory { offers }))
}

/// What is known of one module.
#[pyclass(frozen, eq, module = "nucleus._core")]
#[derive(PartialEq)]
pub(crate) struct ModuleInfo {
    pub(crate) inner: nucleus_engine::ModuleInfo,
}

#[pymethods]
impl ModuleInfo {
    #[getter]
    fn id(&self) -> &str {
        &self.inner.id
    }

    #[getter]
    fn version(&self) -> &str {
        &self.inner.version
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.inner.state.name()
    }

    #[getter]
    fn registered_at(&self) -> i64 {
        self.inner.registered_at
    }

    #[getter]
    fn streams<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.inner.streams)
    }

    #[getter]
    fn resource_kind(&self) -> Option<&str> {
        self.inner.resource_kind.as_deref()
    }

    #[getter]
    fn failures(&self) -> u64 {
        self.inner.failures
    }

    #[getter]
    fn last_failure(&self) -> Option<&str> {
        self.inner.last_failure.as_deref()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let repr = |text: &str| PyString::new(py, text).repr().map(|repr| repr.to_string());
        Ok(format!(
            "ModuleInfo(id={}, version={}, state={})",
            repr(&self.inner.id)?,
            repr(&self.inner.version)?,
            repr(self.state())?
        ))
    }
}

/// A module's access to its ledger during one hook.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct ModuleContext {
    inner: nucleus_engine::ModuleContext,
}

impl ModuleContext {
    /// Reads; in a write transaction attached, because a read from memory takes less than coming back would.
    fn read<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&nucleus_engine::ModuleContext) -> nucleus_engine::Result<T> + Send,
    ) -> PyResult<T> {
        let answer = match self.inner.view() {
            LedgerView::Transaction(_) => work(&self.inner),
            LedgerView::Committed(_) => py.detach(|| work(&self.inner)),
        };
        answer.map_err(|error| to_python(py, error.into()))
    }
}

#[pymethods]
impl ModuleContext {
    #[getter]
    fn ledger_id(&self) -> &str {
        self.inner.ledger_id()
    }

    #[getter]
    fn module_id(&self) -> &str {
        self.inner.module_id()
    }

    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        json::read(py, self.inner.config().as_str())
    }

    #[getter]
    fn requester_oid(&self) -> Option<&str> {
        self.inner.requester_oid()
    }

    #[getter]
    fn recorded_at(&self) -> Option<i64> {
        self.inner.recorded_at()
    }

    #[pyo3(signature = (id, *, stream=None))]
    fn get_by_id(&self, py: Python<'_>, id: &str, stream: Option<&str>) -> PyResult<Option<Py<ChainEntry>>> {
        self.read(py, |context| context.latest_by_id(id, stream))?.map(|entry| wrap(py, entry)).transpose()
    }

    #[pyo3(signature = (id, *, stream=None))]
    fn history(&self, py: Python<'_>, id: &str, stream: Option<&str>) -> PyResult<Vec<Py<ChainEntry>>> {
        let entries = self.read(py, |context| context.history(id, stream))?;
        wrap_all(py, entries)
    }

    #[pyo3(signature = (
        *, stream=None, id=None, since=None, until=None, payload=None, limit=Count(100), offset=Count(0), cursor=None, order="asc",
        with_total=false, latest_only=false, status=None
    ))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    fn query(
        &self,
        py: Python<'_>,
        stream: Option<String>,
        id: Option<String>,
        since: Option<Milliseconds>,
        until: Option<Milliseconds>,
        payload: Option<Bound<'_, PyDict>>,
        limit: Count,
        offset: Count,
        cursor: Option<String>,
        order: &str,
        with_total: bool,
        latest_only: bool,
        status: Option<String>,
    ) -> PyResult<QueryPage> {
        let arguments = QueryArguments {
            stream,
            id,
            since,
            until,
            payload: payload.map(Bound::into_any),
            limit,
            offset,
            cursor,
            order: order.to_owned(),
            with_total,
            latest_only,
            status,
        };
        let filters = arguments.filters().map_err(|failure| to_python(py, failure))?;
        let page = self.read(py, |context| context.query(&filters))?;
        QueryPage::wrap(py, page)
    }

    fn __repr__(&self) -> String {
        format!("<ModuleContext of {} in ledger {}>", self.inner.module_id(), self.inner.ledger_id())
    }
}
