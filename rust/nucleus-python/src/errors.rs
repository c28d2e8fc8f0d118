//! The one place where an engine error becomes a Python exception.

use nucleus_core::InvalidRecord;
use nucleus_engine::Error;
use nucleus_engine::module::Cause;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::cause::PythonCause;
use crate::interpreter;
use crate::report::VerificationReport;

pyo3::import_exception!(nucleus.errors, AccessDeniedError);
pyo3::import_exception!(nucleus.errors, CommitInDoubtError);
pyo3::import_exception!(nucleus.errors, ConfigError);
pyo3::import_exception!(nucleus.errors, ConflictError);
pyo3::import_exception!(nucleus.errors, DatabaseError);
pyo3::import_exception!(nucleus.errors, ForkedLedgerError);
pyo3::import_exception!(nucleus.errors, IntegrityError);
pyo3::import_exception!(nucleus.errors, InvalidRecordError);
pyo3::import_exception!(nucleus.errors, LedgerClosedError);
pyo3::import_exception!(nucleus.errors, ModuleAlreadyRegisteredError);
pyo3::import_exception!(nucleus.errors, ModuleError);
pyo3::import_exception!(nucleus.errors, ModuleLifecycleError);
pyo3::import_exception!(nucleus.errors, RecordRefusedError);
pyo3::import_exception!(nucleus.errors, SchemaVersionError);
pyo3::import_exception!(nucleus.errors, StorageReplacedError);
pyo3::import_exception!(nucleus.errors, UnknownModuleError);

/// An engine error, or a Python error that a callback raised meanwhile.
pub(crate) enum Failure {
    Engine(Error),
    Python(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<InvalidRecord> for Failure {
    fn from(error: InvalidRecord) -> Self {
        Self::Engine(Error::InvalidRecord(error))
    }
}

/// The Python exception of a failure.
pub(crate) fn to_python(py: Python<'_>, failure: Failure) -> PyErr {
    match failure {
        Failure::Python(error) => error,
        Failure::Engine(error) => engine_error(py, error).unwrap_or_else(|error| error),
    }
}

fn engine_error(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    let message = error.to_string();
    Ok(match error {
        Error::InvalidRecord(error) => invalid_record(py, &error)?,
        Error::AccessDenied(_) => AccessDeniedError::new_err(message),
        Error::Config(_) => ConfigError::new_err(message),
        Error::Store(_) => DatabaseError::new_err(message),
        Error::StorageReplaced(_) => StorageReplacedError::new_err(message),
        Error::Closed => LedgerClosedError::new_err(message),
        Error::Forked { .. } => ForkedLedgerError::new_err(message),
        Error::Interrupted => PyKeyboardInterrupt::new_err(message),
        Error::Integrity { report, .. } => {
            let report = Bound::new(py, VerificationReport { inner: *report })?;
            with_attributes::<IntegrityError>(py, message, &[("report", report.into_any())])?
        }
        Error::SchemaVersion { found, supported, .. } => with_attributes::<SchemaVersionError>(
            py,
            message,
            &[("found", found.into_pyobject(py)?.into_any()), ("supported", supported.into_pyobject(py)?.into_any())],
        )?,
        Error::CommitInDoubt { first_seq, hashes, .. } => {
            let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
            with_attributes::<CommitInDoubtError>(
                py,
                message,
                &[
                    ("first_seq", first_seq.into_pyobject(py)?.into_any()),
                    ("hashes", pyo3::types::PyTuple::new(py, hashes)?.into_any()),
                ],
            )?
        }
        Error::UnknownModule { module_id, .. } => of_module::<UnknownModuleError>(py, message, &module_id, None)?,
        Error::ModuleAlreadyRegistered { module_id } => {
            of_module::<ModuleAlreadyRegisteredError>(py, message, &module_id, None)?
        }
        Error::ModuleLifecycle { module_id, cause, .. } => {
            of_module::<ModuleLifecycleError>(py, message, &module_id, cause)?
        }
        Error::RecordRefused { module_id, cause, .. } => {
            of_module::<RecordRefusedError>(py, message, &module_id, cause)?
        }
        Error::Module { module_id, cause, .. } => of_module::<ModuleError>(py, message, &module_id, cause)?,
        Error::Conflict { existing_hash, .. } => {
            let hash = existing_hash.map(|hash| hash.to_string());
            with_attributes::<ConflictError>(py, message, &[("existing_hash", hash.into_pyobject(py)?.into_any())])?
        }
    })
}

fn invalid_record(py: Python<'_>, error: &InvalidRecord) -> PyResult<PyErr> {
    let path = error.path().into_pyobject(py)?.into_any();
    with_attributes::<InvalidRecordError>(py, error.to_string(), &[("path", path)])
}

/// The exception of a module; where a Python exception is behind it, that is its `__cause__`.
fn of_module<E: pyo3::PyTypeInfo>(
    py: Python<'_>,
    message: String,
    module_id: &str,
    cause: Option<Cause>,
) -> PyResult<PyErr> {
    let id = module_id.into_pyobject(py)?.into_any();
    let exception = with_attributes::<E>(py, message, &[("module_id", id)])?;
    if let Some(PythonCause(cause)) = cause.as_deref().and_then(|cause| cause.downcast_ref::<PythonCause>()) {
        // An interrupt or an exit is no failure of the module.
        if !cause.is_instance_of::<PyException>(py) {
            return Ok(cause.clone_ref(py));
        }
        exception.set_cause(py, Some(cause.clone_ref(py)));
    }
    Ok(exception)
}

fn with_attributes<E: pyo3::PyTypeInfo>(
    py: Python<'_>,
    message: String,
    attributes: &[(&str, Bound<'_, PyAny>)],
) -> PyResult<PyErr> {
    let keywords = PyDict::new(py);
    for (name, value) in attributes {
        keywords.set_item(name, value)?;
    }
    let exception = E::type_object(py).call((message,), Some(&keywords))?;
    Ok(PyErr::from_value(exception))
}

/// Runs engine work detached from the interpreter and maps its error: the whole crossing.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> nucleus_engine::Result<T> + Send,
) -> PyResult<T> {
    interpreter::detached(py, work).map_err(|error| to_python(py, error.into()))
}
