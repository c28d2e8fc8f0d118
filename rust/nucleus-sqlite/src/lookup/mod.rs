//! What finds entries without reading them all, and what it must hold.

mod declared;
pub(crate) mod derived;
pub(crate) mod field_index;
pub(crate) mod index_faults;
pub(crate) mod index_sum;
pub(crate) mod runs;
