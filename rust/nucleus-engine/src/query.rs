//! What a query asks for and what it answers.

use std::fmt;
use std::str::FromStr;

use nucleus_core::{CanonicalJson, ChainEntry, canonical};

use crate::access::Viewer;
use crate::error::{Error, Result};

/// Most entries on one page.
pub const MAX_PAGE_ENTRIES: usize = 10_000;

/// Most payload members that a query compares.
pub const MAX_PAYLOAD_MEMBERS: usize = 256;

/// Direction in `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest entry first.
    #[default]
    Ascending,
    /// Newest entry first.
    Descending,
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "asc" => Ok(Self::Ascending),
            "desc" => Ok(Self::Descending),
            _ => Err(Error::Config(format!("order must be \"asc\" or \"desc\", not \"{}\"", text.escape_debug()))),
        }
    }
}

/// Where the next page begins: the last seq of the page before, and the direction it was read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Seq of the last entry answered.
    pub after_seq: i64,
    /// Direction of the query that made the cursor.
    pub order: Order,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::Ascending => 'a',
            Order::Descending => 'd',
        };
        write!(f, "{order}{}", self.after_seq)
    }
}

/// No chain is longer: what is beyond cannot have been answered.
const LARGEST_SEQ: i64 = (1 << 53) - 1;

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let order = match text.as_bytes().first()? {
                b'a' => Order::Ascending,
                b'd' => Order::Descending,
                _ => return None,
            };
            let digits = &text[1..];
            let after_seq: i64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            if after_seq > LARGEST_SEQ {
                return None;
            }
            Some(Self { after_seq, order })
        };
        parse().ok_or_else(|| Error::Config("the cursor is not one that a query answered".to_owned()))
    }
}

/// What a record of a module's stream has come to, by its newest entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Neither ended nor past its `exp`.
    Active,
    /// Its newest action is `revoke`.
    Revoked,
    /// Its newest action is `retire`.
    Retired,
    /// Past its `exp`, and not ended otherwise.
    Expired,
}

impl Status {
    /// The name in filters and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
            Self::Expired => "expired",
        }
    }
}

impl FromStr for Status {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Active, Self::Revoked, Self::Retired, Self::Expired];
        all.into_iter().find(|status| status.name() == text).ok_or_else(|| {
            let given = nucleus_core::error::shortened(text);
            Error::Config(format!(
                "status must be \"active\", \"revoked\", \"retired\" or \"expired\", not \"{}\"",
                given.escape_debug()
            ))
        })
    }
}

/// What a query asks for; absent filters match everything.
#[derive(Debug, Clone)]
pub struct QueryFilters {
    /// Exactly this stream.
    pub stream: Option<String>,
    /// Exactly this record id.
    pub id: Option<String>,
    /// Timestamp at least this, in ms.
    pub since: Option<i64>,
    /// Timestamp below this, in ms.
    pub until: Option<i64>,
    /// Top-level payload members that must have exactly these canonical values.
    pub payload: Vec<(String, CanonicalJson)>,
    /// Only entries that no newer one of the same id and stream supersedes.
    pub latest_only: bool,
    /// Only entries that say this of their record, and the time in ms that it is asked for.
    pub status: Option<(Status, i64)>,
    /// Most entries on the page, 1 to [`MAX_PAGE_ENTRIES`].
    pub limit: usize,
    /// Matching entries to pass over.
    pub offset: u64,
    /// Where to go on.
    pub cursor: Option<Cursor>,
    /// Direction in `seq`.
    pub order: Order,
    /// Whether to count all matching entries.
    pub with_total: bool,
    /// Who reads, and sees only what they are granted; None sees everything.
    pub viewer: Option<Viewer>,
}

impl Default for QueryFilters {
    fn default() -> Self {
        Self {
            stream: None,
            id: None,
            since: None,
            until: None,
            payload: Vec::new(),
            latest_only: false,
            status: None,
            limit: 100,
            offset: 0,
            cursor: None,
            order: Order::Ascending,
            with_total: false,
            viewer: None,
        }
    }
}

/// All entries with one id, oldest first, page by page.
pub(crate) fn collect_history(
    id: &str,
    stream: Option<&str>,
    viewer: Option<Viewer>,
    mut query: impl FnMut(&QueryFilters) -> Result<QueryPage>,
) -> Result<Vec<ChainEntry>> {
    let mut filters = QueryFilters {
        id: Some(id.to_owned()),
        stream: stream.map(str::to_owned),
        limit: MAX_PAGE_ENTRIES,
        viewer,
        ..QueryFilters::default()
    };
    let mut entries = Vec::new();
    loop {
        let page = query(&filters)?;
        entries.extend(page.entries);
        match page.next_cursor {
            Some(cursor) => filters.cursor = Some(cursor),
            None => return Ok(entries),
        }
    }
}

impl QueryFilters {
    /// The filter for a payload member that is this string.
    pub fn text_member((field, value): (&str, &str)) -> (String, CanonicalJson) {
        let mut text = String::new();
        canonical::write_string(&mut text, value);
        (field.to_owned(), CanonicalJson::from_canonical(text))
    }

    /// Checks the bounds of limit, offset, cursor and payload members.
    pub(crate) fn validate(&self) -> Result<()> {
        if !(1..=MAX_PAGE_ENTRIES).contains(&self.limit) {
            return Err(Error::Config(format!("limit must be 1 to {MAX_PAGE_ENTRIES}, not {}", self.limit)));
        }
        if self.payload.len() > MAX_PAYLOAD_MEMBERS {
            return Err(Error::Config(format!(
                "payload must name at most {MAX_PAYLOAD_MEMBERS} members, not {}; compare the others in what is answered",
                self.payload.len()
            )));
        }
        if i64::try_from(self.offset).is_err() {
            return Err(Error::Config("offset is too large".to_owned()));
        }
        if self.cursor.is_some_and(|cursor| cursor.order != self.order) {
            return Err(Error::Config("the cursor comes from a query in the other order".to_owned()));
        }
        Ok(())
    }
}

/// One page of a query.
#[derive(Debug, Clone)]
pub struct QueryPage {
    /// The entries, in the order asked for.
    pub entries: Vec<ChainEntry>,
    /// Where the next page begins; None on the last page.
    pub next_cursor: Option<Cursor>,
    /// Number of all matching entries, when it was asked for.
    pub total: Option<u64>,
}
