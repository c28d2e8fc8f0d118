//! An open write transaction where several can reach it, until it is taken out.

use std::sync::{Arc, Mutex, PoisonError};

use super::Write;
use crate::model::{Error, Result};

/// Runs `work` in a transaction that hooks may hold copies of; afterwards nobody but the caller has it.
///
/// None in place of the transaction where a panic in another thread has lost it.
pub fn share<T: Write + 'static>(
    transaction: T,
    work: &mut dyn FnMut(&OpenTransaction) -> Result<()>,
) -> (Option<T>, Result<()>) {
    let shared = Arc::new(Mutex::new(Some(transaction)));
    let result = work(&OpenTransaction { shared: Arc::clone(&shared) as Arc<dyn SharedTransaction> });
    let transaction = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    (transaction, result)
}

/// Gives access to whatever transaction it is.
trait SharedTransaction: Send + Sync {
    fn run(&self, work: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()>;
    fn ended(&self) -> bool;
}

/// Locked for one operation at a time. A panic in an operation unwinds through the write that the transaction belongs
/// to, which then rolls it back.
impl<T: Write> SharedTransaction for Mutex<Option<T>> {
    fn run(&self, work: &mut dyn FnMut(&mut dyn Write) -> Result<()>) -> Result<()> {
        match &mut *self.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(transaction) => work(transaction),
            None => Err(Error::Closed),
        }
    }

    fn ended(&self) -> bool {
        self.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// An open write transaction, shared with the hooks that run in it. It ends with the call of
/// [`Storage::write`](super::Storage::write) that it was made for, whoever still holds a copy.
#[derive(Clone)]
pub struct OpenTransaction {
    shared: Arc<dyn SharedTransaction>,
}

impl OpenTransaction {
    /// Does one thing in the transaction.
    ///
    /// # Errors
    /// Those of `work`; `Closed` where the transaction has ended.
    pub fn with<T>(&self, work: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
        let mut work = Some(work);
        let mut answer = None;
        self.shared.run(&mut |transaction| {
            if let Some(work) = work.take() {
                answer = Some(work(transaction)?);
            }
            Ok(())
        })?;
        answer.ok_or(Error::Closed)
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.shared.ended()
    }
}

impl std::fmt::Debug for OpenTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenTransaction").field("ended", &self.ended()).finish()
    }
}
