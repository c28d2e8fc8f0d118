//! What a record of a module's stream has come to, by its newest entry.

use std::str::FromStr;

use crate::model::{Error, PayloadTest, Result};

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

/// What a newest entry says that ends its record.
const ENDS: &[&str] = &["\"revoke\"", "\"retire\""];

impl Status {
    /// The conditions on the payload of an entry that says it of its record at this second. An `exp` that is no integer says
    /// nothing about time.
    pub fn tests(self, now_s: i64) -> Vec<PayloadTest> {
        let is = |value: &'static [&'static str]| PayloadTest::OneOf { member: "action", values: value, wanted: true };
        let not_ended = PayloadTest::OneOf { member: "action", values: ENDS, wanted: false };
        let expired = |wanted| PayloadTest::AtMost { member: "exp", most: now_s, wanted };
        match self {
            Self::Revoked => vec![PayloadTest::Present, is(&ENDS[..1])],
            Self::Retired => vec![PayloadTest::Present, is(&ENDS[1..])],
            Self::Active => vec![PayloadTest::Present, not_ended, expired(false)],
            Self::Expired => vec![PayloadTest::Present, not_ended, expired(true)],
        }
    }
}
