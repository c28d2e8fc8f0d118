//! `nucleus._core`: the engine as Python sees it.
//!
//! Every file here does three things: take Python arguments and make them owned Rust values, detach from the
//! interpreter for the work, answer a typed object. No rule of the ledger is decided here.

// PyO3 hands arguments over by value.
#![allow(clippy::needless_pass_by_value)]

mod access;
mod cause;
mod chain;
mod engine;
mod errors;
mod interpreter;
mod json;
mod modules;
mod numbers;
mod query;
mod records;
mod report;
mod values;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors::to_python;

/// The compiled core of Nucleus.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::access::AccessControl;
    #[pymodule_export]
    use super::chain::{ChainEntry, verify_chain};
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::interpreter::{_interpreter_ends, _interpreter_forked};
    #[pymodule_export]
    use super::modules::{ModuleContext, ModuleInfo};
    #[pymodule_export]
    use super::query::{QueryPage, query_cursor};
    #[pymodule_export]
    use super::records::Record;
    #[pymodule_export]
    use super::report::{VerificationError, VerificationReport};
    #[pymodule_export]
    use super::{canonicalize, canonicalize_json, check_oid};

    /// How the module was built.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const BUILD_PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

    #[pymodule_export]
    const MAX_SAFE_INTEGER: i64 = nucleus_core::MAX_SAFE_INTEGER;
    #[pymodule_export]
    const WHOLE_KIND: &str = nucleus_engine::model::WHOLE_KIND;
    #[pymodule_export]
    const MAX_RECORD_BYTES: u64 = super::engine::MAX_RECORD_BYTES;
    #[pymodule_export]
    const BUSY_TIMEOUT_MS: u64 = super::engine::BUSY_TIMEOUT_MS;

    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("BUILT_IN_IDS", PyTuple::new(module.py(), nucleus_engine::module::built_in_ids())?)?;
        module.add("SQLITE_VERSION", nucleus_sqlite::library_version())
    }
}

/// RFC 8785 canonical JSON of a Python value.
#[pyfunction]
fn canonicalize<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, pyo3::types::PyBytes>> {
    let mut out = String::new();
    json::write(value, &mut out).map_err(|error| to_python(py, error.into()))?;
    Ok(pyo3::types::PyBytes::new(py, out.as_bytes()))
}

/// RFC 8785 canonical JSON of a JSON text.
#[pyfunction]
fn canonicalize_json<'py>(py: Python<'py>, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, pyo3::types::PyBytes>> {
    let text = json::text_argument(text)?;
    let canonical = interpreter::detached(py, || nucleus_core::CanonicalJson::from_text(&text))
        .map_err(|error| to_python(py, error.into()))?;
    Ok(pyo3::types::PyBytes::new(py, canonical.as_str().as_bytes()))
}

/// Checks the form of an OID.
#[pyfunction]
fn check_oid(py: Python<'_>, oid: &Bound<'_, PyString>) -> PyResult<()> {
    let oid = json::utf8(oid).map_err(|error| to_python(py, error.into()))?;
    nucleus_core::oid::check_oid(oid).map_err(|error| to_python(py, error.into()))
}
