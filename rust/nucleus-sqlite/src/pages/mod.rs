//! Answering for somebody: pages, versions, and what they see of them.

pub(crate) mod homonyms;
mod page;
pub(crate) mod places;
pub(crate) mod versions;
pub(crate) mod visible;
