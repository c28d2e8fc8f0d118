//! Which threads are inside hooks: closing waits for them, and a hook cannot wait for itself.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use crate::model::{Error, Result};

/// What a thread is inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// Hooks that run in the write transaction, or while the ledger is opened or closed: writing from there would wait
    /// for itself.
    Exclusive,
    /// Hooks that run after a commit.
    Shared,
}

#[derive(Debug, Default)]
struct State {
    inside: Vec<(ThreadId, Inside)>,
    closing: bool,
}

/// Counts the threads inside hooks of one ledger.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Held for moments.
    state: Mutex<State>,
    /// Signalled when a thread leaves.
    left: Condvar,
}

/// A thread's stay inside; it ends when this is dropped.
pub(super) struct Stay<'a> {
    gate: &'a Gate,
    inside: Inside,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters.
    ///
    /// # Errors
    /// `Closed` once closing has begun.
    pub(super) fn enter(&self, inside: Inside) -> Result<Stay<'_>> {
        let mut state = self.state();
        let this = std::thread::current().id();
        // Who is inside already has to come to an end before the ledger closes.
        if state.closing && !state.inside.iter().any(|(thread, _)| *thread == this) {
            return Err(Error::Closed);
        }
        state.inside.push((this, inside));
        Ok(Stay { gate: self, inside })
    }

    /// Whether this thread is inside a hook, of the given kind where one is asked for.
    pub(super) fn is_inside(&self, kind: Option<Inside>) -> bool {
        let this = std::thread::current().id();
        let matches = |inside: &Inside| kind.is_none_or(|kind| kind == *inside);
        self.state().inside.iter().any(|(thread, inside)| *thread == this && matches(inside))
    }

    /// Lets nobody in any more and waits until all have left; true for the first caller.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state();
        let first = !state.closing;
        state.closing = true;
        while !state.inside.is_empty() {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        first
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        let this = (std::thread::current().id(), self.inside);
        if let Some(position) = state.inside.iter().rposition(|stay| *stay == this) {
            state.inside.remove(position);
        }
        self.gate.left.notify_all();
    }
}
