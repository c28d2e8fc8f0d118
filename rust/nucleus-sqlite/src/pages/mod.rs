//! Answering for somebody: pages, versions, and what they see of them.

mod homonyms;
pub(crate) mod memory;
mod page;
pub(crate) mod places;
pub(crate) mod versions;
pub(crate) mod visible;
