//! The module `token`: amounts that accounts hold, double entry.

use std::any::Any;

use nucleus_core::{ChainEntry, Record};

use super::factory::VERSION;
use super::fields::{Fields, at, existing_state, no_state, only_by, requester, state_of};
use super::{Fault, HookResult, Module, ModuleContext};
use crate::model::{FieldIndex, Order, QueryFilters, Result, Role, Scope, Source};

const STREAM: &str = "tokens";
/// Largest amount, supply and cap: 2^127.
const MOST: u128 = 1 << 127;
const MAX_DECIMALS: i64 = 38;
const MAX_SYMBOL_BYTES: usize = 64;
const MAX_TX_ID_BYTES: usize = 128;

/// Whom its entries grant access.
const ROLES: [Role; 1] = [Role { source: Source::Issuer, member: "issuer_oid", scope: Scope::Full, until_exp: false }];

/// Rules the stream `tokens`; the record id is the token's symbol, so that all that happens to a token is its history.
///
/// - `{action: "create", symbol, decimals, cap?, issuer_oid, name?}`
/// - `{action: "mint", symbol, to_oid, amount, tx_id, memo?}` and `{action: "burn", symbol, from_oid, ...}` by the issuer
/// - `{action: "transfer", symbol, from_oid, to_oid, amount, tx_id, memo?}` by the account that gives
///
/// Amounts are integers of the minor unit, as decimal strings. Both postings of an operation stand in one entry, which
/// the hook completes with the balances and the supply after it: at every seq of the chain the balances sum up to the
/// supply. The same `tx_id` again answers the entry that it made before.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenModule;

impl TokenModule {
    /// Its id.
    pub const ID: &'static str = "token";
}

impl Module for TokenModule {
    fn id(&self) -> &str {
        Self::ID
    }

    fn version(&self) -> &str {
        VERSION
    }

    fn streams(&self) -> Vec<String> {
        vec![STREAM.to_owned()]
    }

    fn wants(&self, stream: &str) -> bool {
        stream == STREAM
    }

    fn resource_kind(&self) -> Option<String> {
        Some("token".to_owned())
    }

    fn roles(&self) -> &'static [Role] {
        &ROLES
    }

    fn indexes(&self) -> Result<Vec<FieldIndex>> {
        FieldIndex::all(
            STREAM,
            &[&["symbol", "from_oid"], &["symbol", "to_oid"], &["symbol", "tx_id"], &["issuer_oid"]],
        )
    }

    fn before_append(&self, record: &mut Record, context: &ModuleContext) -> HookResult {
        let given = Fields::of_record(record)?;
        if given.required_string("symbol")? != record.id {
            return Err(at("symbol", "must be the record's id"));
        }
        let state = state_of(record, context)?;
        let completed = match given.required_string("action")?.as_str() {
            "create" => {
                no_state(state.as_ref(), "a token", "mint, burn or transfer")?;
                create(given)?
            }
            action @ ("mint" | "burn" | "transfer") => {
                let operation = Operation::read(action, &given)?;
                let token = Token::of(&existing_state(state.as_ref(), "token")?)?;
                operation.check_repetition(record, context)?;
                operation.post(given, &token, context)?
            }
            _ => return Err(at("action", "must be create, mint, burn or transfer")),
        };
        record.payload = Some(completed.to_payload());
        Ok(())
    }

    fn before_redact(&self, _entry: &ChainEntry, _context: &ModuleContext) -> HookResult {
        Err(Fault::refused("balances follow from a token's entries: they are not redacted"))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn create(mut given: Fields) -> HookResult<Fields> {
    given.only(&["action", "symbol", "decimals", "cap", "issuer_oid", "name", "supply"])?;
    let symbol = given.required_string("symbol")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if symbol.len() > MAX_SYMBOL_BYTES || !symbol.bytes().all(plain) {
        return Err(at("symbol", "must have 1 to 64 letters, digits, `.`, `_` and `-`"));
    }
    match given.integer("decimals")? {
        Some(0..=MAX_DECIMALS) => {}
        Some(_) => return Err(at("decimals", "must be 0 to 38")),
        None => return Err(at("decimals", "is missing")),
    }
    if given.has("cap") {
        amount(&given, "cap")?;
    }
    given.required_oid("issuer_oid")?;
    given.optional_string("name")?;
    state_figure(&mut given, "supply", 0)?;
    Ok(given)
}

/// A positive amount, up to 2^127.
fn amount(fields: &Fields, key: &str) -> HookResult<u128> {
    let text = fields.required_string(key)?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let value = text.parse().ok().filter(|value| digits && (1..=MOST).contains(value));
    value.ok_or_else(|| {
        at(key, "must be a string with an integer of the minor unit from 1 to 2^127, in decimal, without leading zeros")
    })
}

/// A figure that a hook wrote before.
fn figure(fields: &Fields, key: &str) -> HookResult<u128> {
    let text = fields.required_string(key)?;
    text.parse().map_err(|_| at(key, "is not a figure; the token's entries were not written under its rules"))
}

/// Writes a figure that follows from the chain; a caller who gives one must be right, and is not told what would be.
fn state_figure(fields: &mut Fields, key: &str, value: u128) -> HookResult {
    if fields.string(key)?.is_some_and(|given| given != value.to_string()) {
        return Err(at(key, "is not what follows from the entries before; leave it out"));
    }
    fields.set_string(key, &value.to_string());
    Ok(())
}

/// What a token has come to.
struct Token {
    issuer_oid: String,
    cap: u128,
    supply: u128,
    decimals: String,
    has_cap: bool,
}

impl Token {
    fn of(state: &Fields) -> HookResult<Self> {
        let has_cap = state.has("cap");
        Ok(Self {
            issuer_oid: state.required_oid("issuer_oid")?,
            cap: if has_cap { figure(state, "cap")? } else { MOST },
            supply: figure(state, "supply")?,
            decimals: state.get("decimals").unwrap_or("0").to_owned(),
            has_cap,
        })
    }
}

/// A mint, burn or transfer as it was asked for.
struct Operation {
    action: String,
    symbol: String,
    from_oid: Option<String>,
    to_oid: Option<String>,
    amount: u128,
    tx_id: String,
    memo: Option<String>,
}

impl Operation {
    fn read(action: &str, given: &Fields) -> HookResult<Self> {
        let known = ["action", "symbol", "amount", "tx_id", "memo", "supply", "issuer_oid", "decimals", "cap"];
        let (from, to) = (["from_oid", "from_balance"], ["to_oid", "to_balance"]);
        let mut allowed = known.to_vec();
        if action != "mint" {
            allowed.extend(from);
        }
        if action != "burn" {
            allowed.extend(to);
        }
        given.only(&allowed)?;
        let tx_id = given.required_string("tx_id")?;
        if tx_id.len() > MAX_TX_ID_BYTES {
            return Err(at("tx_id", "must have 1 to 128 bytes"));
        }
        let operation = Self {
            action: action.to_owned(),
            symbol: given.required_string("symbol")?,
            from_oid: if action == "mint" { None } else { Some(given.required_oid("from_oid")?) },
            to_oid: if action == "burn" { None } else { Some(given.required_oid("to_oid")?) },
            amount: amount(given, "amount")?,
            tx_id,
            memo: given.optional_string("memo")?,
        };
        if operation.from_oid.is_some() && operation.from_oid == operation.to_oid {
            return Err(at("to_oid", "must be another account than from_oid"));
        }
        Ok(operation)
    }

    /// The same `tx_id` says the same, or contradicts.
    fn check_repetition(&self, record: &Record, context: &ModuleContext) -> HookResult {
        let Some(entry) = newest(context, &self.symbol, ("tx_id", &self.tx_id))? else {
            return Ok(());
        };
        let earlier = Fields::of_state(&entry)?;
        let same = |key: &str, value: Option<&str>| Ok::<_, Fault>(earlier.string(key)?.as_deref() == value);
        let amount = self.amount.to_string();
        let requester_then = entry.record.meta.as_ref().map(Fields::of).transpose()?;
        let requester_then = requester_then.map(|meta| meta.string("requester_oid")).transpose()?.flatten();
        let repeats = same("action", Some(&self.action))?
            && same("from_oid", self.from_oid.as_deref())?
            && same("to_oid", self.to_oid.as_deref())?
            && same("amount", Some(&amount))?
            && same("memo", self.memo.as_deref())?
            && requester_then.as_deref() == Some(requester(context)?)
            && entry.record.id == record.id;
        if repeats {
            return Err(Fault::Existing(Box::new(entry)));
        }
        Err(Fault::Conflict {
            // Who may write need not be one who may read: a refusal shows nothing of the entry.
            message: "tx_id names an operation already, which says something else; choose another tx_id".to_owned(),
            existing_hash: entry.hash,
        })
    }

    /// Completes the record with what follows from it.
    fn post(&self, mut given: Fields, token: &Token, context: &ModuleContext) -> HookResult<Fields> {
        match (&self.from_oid, self.action.as_str()) {
            (Some(from), "transfer") => only_by(context, &[from], "the account that gives")?,
            _ => only_by(context, &[&token.issuer_oid], "the token's issuer")?,
        }
        let supply = match self.action.as_str() {
            "mint" => self.minted(token)?,
            // No account holds more than there is.
            "burn" => token.supply.saturating_sub(self.amount),
            _ => token.supply,
        };
        if let Some(from) = &self.from_oid {
            let balance = balance(context, &self.symbol, from)?;
            let Some(left) = balance.checked_sub(self.amount) else {
                return Err(at("amount", &format!("{} is more than the account holds, {balance}", self.amount)));
            };
            state_figure(&mut given, "from_balance", left)?;
        }
        if let Some(to) = &self.to_oid {
            // No sum exceeds the supply, which is at most 2^127.
            let after = balance(context, &self.symbol, to)?.saturating_add(self.amount);
            state_figure(&mut given, "to_balance", after)?;
        }
        state_figure(&mut given, "supply", supply)?;
        same_definition(&mut given, token)?;
        Ok(given)
    }

    fn minted(&self, token: &Token) -> HookResult<u128> {
        let after = token.supply.checked_add(self.amount).filter(|after| *after <= token.cap);
        after.ok_or_else(|| {
            let room = token.cap.saturating_sub(token.supply);
            at("amount", &format!("{} is more than the cap leaves room for, {room}", self.amount))
        })
    }
}

/// Every version carries the token's definition, so that the newest one alone says what holds.
fn same_definition(given: &mut Fields, token: &Token) -> HookResult {
    if given.string("issuer_oid")?.is_some_and(|issuer| issuer != token.issuer_oid) {
        return Err(at("issuer_oid", "a token keeps its issuer; leave it out"));
    }
    given.set_string("issuer_oid", &token.issuer_oid);
    if given.get("decimals").is_some_and(|decimals| decimals != token.decimals) {
        return Err(at("decimals", "a token keeps its decimals; leave them out"));
    }
    given.set("decimals", token.decimals.clone());
    if !token.has_cap && given.has("cap") {
        return Err(at("cap", "a token keeps its cap, and this one has none; leave it out"));
    }
    if token.has_cap {
        state_figure(given, "cap", token.cap)?;
    }
    Ok(())
}

/// What an account holds: the balance after the newest entry that names it on either side.
fn balance(context: &ModuleContext, symbol: &str, account_oid: &str) -> HookResult<u128> {
    let gave = newest(context, symbol, ("from_oid", account_oid))?;
    let got = newest(context, symbol, ("to_oid", account_oid))?;
    let (entry, key) = match (gave, got) {
        (None, None) => return Ok(0),
        (Some(gave), Some(got)) if gave.seq > got.seq => (gave, "from_balance"),
        (Some(gave), None) => (gave, "from_balance"),
        (_, Some(got)) => (got, "to_balance"),
    };
    figure(&Fields::of_state(&entry)?, key)
}

/// The newest entry of a token with this member.
fn newest(context: &ModuleContext, symbol: &str, member: (&str, &str)) -> HookResult<Option<ChainEntry>> {
    let filters = QueryFilters {
        stream: Some(STREAM.to_owned()),
        payload: [("symbol", symbol), member].map(QueryFilters::text_member).to_vec(),
        limit: 1,
        order: Order::Descending,
        ..QueryFilters::default()
    };
    Ok(context.query(&filters)?.entries.into_iter().next())
}
