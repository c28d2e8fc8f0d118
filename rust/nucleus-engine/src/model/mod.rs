//! What everything else speaks of: plain types, without a database, a clock or a lock. Nothing here depends on the rest of
//! the crate.

mod error;
mod field_index;
mod grant;
mod kinds;
mod meta;
mod own_entries;
mod query;
mod request;
mod resource;
mod sight;
mod store_error;

pub use error::{Cause, Error, Result};
pub use field_index::FieldIndex;
pub use grant::{Change, Grant, GrantQuery, GrantRequest, LATEST_EXP, ProjectionState, Question, Source};
pub use kinds::{Kinds, Role, RuledStream};
pub(crate) use meta::named_principal;
pub use meta::{Meta, with_engine_meta};
pub use own_entries::{
    GRANTS_ID_PREFIX, GrantAction, GrantEntry, about_redaction, about_resource, is_well_formed, record_id_of,
};
pub use query::{
    Cursor, FieldValues, MAX_PAGE_ENTRIES, OfOneKind, Order, PayloadTest, QueryFilters, QueryPage, collect_history,
};
pub use request::{AppendOptions, NewRecord, Request};
pub use resource::{Resource, Scope, WHOLE_KIND, is_own_stream};
pub use sight::{About, Authority, OWN_STREAMS, OwnStream, Rule, Sight};
pub use store_error::{StoreError, StoreErrorKind};

/// Called now and then during long work as `progress(done, total)`; an error stops the work.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> Result<()>;
