//! What a query asks for and what it answers.

use std::fmt;
use std::str::FromStr;

use nucleus_core::{CanonicalJson, ChainEntry, canonical};

use super::{Error, Result};

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

/// A condition on top-level payload members. Of an erased payload none holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadTest {
    /// There is a payload.
    Present,
    /// The member is there and is one of these canonical values; or, where that is not `wanted`, is none of them.
    OneOf {
        /// The member.
        member: &'static str,
        /// The values.
        values: &'static [&'static str],
        /// Whether it must be one of them or must not.
        wanted: bool,
    },
    /// The member is there and an integer of at most this; or, where that is not `wanted`, is none such.
    AtMost {
        /// The member.
        member: &'static str,
        /// The largest integer.
        most: i64,
        /// Whether it must be such or must not.
        wanted: bool,
    },
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
    /// What top-level payload members must be besides.
    pub tests: Vec<PayloadTest>,
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
            tests: Vec::new(),
            limit: 100,
            offset: 0,
            cursor: None,
            order: Order::Ascending,
            with_total: false,
        }
    }
}

/// All entries with one id, oldest first, page by page.
pub fn collect_history(
    id: &str,
    stream: Option<&str>,
    mut query: impl FnMut(&QueryFilters) -> Result<QueryPage>,
) -> Result<Vec<ChainEntry>> {
    let mut filters = QueryFilters {
        id: Some(id.to_owned()),
        stream: stream.map(str::to_owned),
        limit: MAX_PAGE_ENTRIES,
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
    pub fn validate(&self) -> Result<()> {
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

/// Which values of an indexed payload member are asked for.
#[derive(Debug, Clone)]
pub struct FieldValues<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The member.
    pub field: &'a str,
    /// Members that must have exactly these canonical values; there is an index over these and then `field`.
    pub payload: &'a [(String, CanonicalJson)],
    /// Only values that sort behind this one.
    pub after: Option<&'a str>,
    /// Most values answered.
    pub limit: usize,
}

/// The newest entry with an id, if there is one; or streams of more than one kind in which the id is seen.
pub type OfOneKind = std::result::Result<Option<ChainEntry>, Vec<String>>;
