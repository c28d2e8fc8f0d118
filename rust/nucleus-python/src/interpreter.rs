//! Crossing into the interpreter and out of it, also while it ends.
//!
//! An interpreter that ends kills each thread that wants it, by unwinding its stack. Frames of this library cannot be unwound
//! so: the process would abort. So no thread goes back to the interpreter once it is about to end: it waits for the end of
//! the process. Those that run Python code inside work of this library then are waited for, for a while.
//!
//! There is one interpreter in a process, and hence one count of the threads that are inside.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Set once the interpreter is about to end; the lower bits count the threads that are going back, or are inside.
const ENDING: usize = 1 << (usize::BITS - 1);
static STATE: AtomicUsize = AtomicUsize::new(0);

/// How long Python code that runs inside work of this library is waited for when the interpreter ends.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(1);

thread_local! {
    /// How many passes this thread holds; the thread that ends the interpreter holds one for good.
    static PASSES: Cell<usize> = const { Cell::new(0) };
}

/// The right to go back to the interpreter; it keeps the interpreter from ending.
struct Pass;

impl Pass {
    /// Waits without end where the interpreter is about to end, unless this thread is inside already.
    fn take() -> Self {
        let before = STATE.fetch_add(1, Ordering::AcqRel);
        if before & ENDING != 0 && PASSES.get() == 0 {
            STATE.fetch_sub(1, Ordering::AcqRel);
            loop {
                std::thread::park();
            }
        }
        PASSES.set(PASSES.get() + 1);
        Self
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        PASSES.set(PASSES.get() - 1);
        STATE.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs work detached from the interpreter.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    let (answer, _pass) = py.detach(|| SendPass::around(work)).into_parts();
    answer
}

/// Runs Python code from detached work.
pub(crate) fn attached<T>(work: impl FnOnce(Python<'_>) -> T) -> T {
    let _pass = Pass::take();
    Python::attach(work)
}

/// An answer with the pass that brings it back. It never leaves its thread.
struct SendPass<T> {
    answer: T,
    pass: Pass,
}

impl<T> SendPass<T> {
    fn around(work: impl FnOnce() -> T) -> Self {
        let answer = work();
        Self { answer, pass: Pass::take() }
    }

    fn into_parts(self) -> (T, Pass) {
        (self.answer, self.pass)
    }
}

/// To be called when the interpreter is about to end, by the thread that ends it: afterwards no other thread goes back to it.
#[pyfunction]
pub(crate) fn _interpreter_ends(py: Python<'_>) {
    PASSES.set(PASSES.get() + 1);
    STATE.fetch_or(ENDING, Ordering::AcqRel);
    py.detach(|| {
        let deadline = Instant::now() + LONGEST_WAIT;
        while STATE.load(Ordering::Acquire) & !ENDING > 0 && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    });
}

/// To be called in a forked child: the other threads are the parent's.
#[pyfunction]
pub(crate) fn _interpreter_forked() {
    STATE.store(PASSES.get(), Ordering::Release);
}
