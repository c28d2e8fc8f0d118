//! Long work on threads, attended by the thread that asked for it: it alone runs the caller's code, which may want to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Error, Progress, Result, StoreError, StoreErrorKind};

/// How often the caller is told how far the work has come, and asked whether it should go on.
const POLL: Duration = Duration::from_millis(20);

/// How far the work has come, and whether it should stop.
#[derive(Debug)]
pub struct Course {
    done: AtomicU64,
    total: AtomicU64,
    stop: Arc<AtomicBool>,
}

impl Course {
    /// Of work that has so many steps.
    pub fn of(total: u64) -> Self {
        Self { done: AtomicU64::new(0), total: AtomicU64::new(total), stop: Arc::default() }
    }

    /// Says how many steps there are.
    pub fn extend_to(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// So many more were done.
    pub fn advance(&self, steps: u64) {
        self.done.fetch_add(steps, Ordering::Relaxed);
    }

    /// How many were done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed).min(self.total())
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether it should stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The wish to stop, for whoever waits inside a statement.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}

/// Work that tells how far it has come.
pub type Work<'a, T> = &'a (dyn Fn(Progress<'_>) -> Result<T> + Sync);

/// Runs `work` on so many threads at once; with none, on this one. An error of `progress` stops all and is the answer.
pub fn attended<T: Send>(course: &Course, workers: usize, progress: Progress<'_>, work: Work<'_, T>) -> Result<Vec<T>> {
    progress(0, course.total())?;
    if workers == 0 {
        return Ok(vec![work(progress)?]);
    }
    let (working, ended) = (Mutex::new(workers), Condvar::new());
    let lock = || working.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    let _leaving = Leaving { working: &working, ended: &ended };
                    let answer = work(&mut |_, _| Ok(()));
                    if answer.is_err() {
                        course.stop.store(true, Ordering::Relaxed);
                    }
                    answer
                })
            })
            .collect();
        let mut attending = Ok(());
        let mut still_working = lock();
        while *still_working > 0 {
            still_working = ended.wait_timeout(still_working, POLL).unwrap_or_else(PoisonError::into_inner).0;
            if attending.is_ok() {
                drop(still_working);
                attending = progress(course.done(), course.total());
                if attending.is_err() {
                    course.stop.store(true, Ordering::Relaxed);
                }
                still_working = lock();
            }
        }
        drop(still_working);
        let died = |_| Err(Error::Store(StoreError::new(StoreErrorKind::Other, "a working thread died")));
        let answers: Vec<Result<T>> = threads.into_iter().map(|thread| thread.join().unwrap_or_else(died)).collect();
        attending?;
        // The first to fail stops the others, whose answers are then of no interest.
        answers.into_iter().collect()
    })
}

/// Counts a thread out, also when it panics.
struct Leaving<'a> {
    working: &'a Mutex<usize>,
    ended: &'a Condvar,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        *self.working.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.ended.notify_all();
    }
}
