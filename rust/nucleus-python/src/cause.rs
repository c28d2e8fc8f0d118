//! A Python exception as the cause of an engine error.

use std::fmt;

use pyo3::prelude::*;

#[derive(Debug)]
pub(crate) struct PythonCause(pub(crate) PyErr);

impl fmt::Display for PythonCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for PythonCause {}
