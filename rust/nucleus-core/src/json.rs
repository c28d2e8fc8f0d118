//! A strict pull reader for JSON text (RFC 8259): what other readers let through in silence is an error here.

use std::borrow::Cow;

use crate::MAX_SAFE_INTEGER;
use crate::error::{InvalidRecord, too_deep, unsafe_integer};

/// Which integers a reader accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberRule {
    /// For texts from callers: an integer beyond ±(2^53-1) is refused, since another reader may round it.
    Strict,
    /// For texts that were canonical when they were stored: such an integer is the canonical form of a double
    /// (`1e20` prints as `100000000000000000000`) and reads back as that double.
    Stored,
}

/// The next piece of a JSON text: a whole scalar, or the opening of a container.
#[derive(Debug, PartialEq)]
pub enum Token<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number written without fraction and exponent, within ±(2^53-1).
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// `[`; continue with [`Reader::next_element`].
    ArrayStart,
    /// `{`; continue with [`Reader::next_key`].
    ObjectStart,
}

/// Reads one JSON text from left to right.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    position: usize,
    rule: NumberRule,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `text`.
    pub fn new(text: &'a str, rule: NumberRule) -> Self {
        Self { text, position: 0, rule }
    }

    /// Byte offset of the next unread byte.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Reads a scalar or the opening of a container.
    pub fn token(&mut self) -> Result<Token<'a>, InvalidRecord> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => {
                self.position += 1;
                Ok(Token::ObjectStart)
            }
            Some(b'[') => {
                self.position += 1;
                Ok(Token::ArrayStart)
            }
            Some(b'"') => self.string().map(Token::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true").map(|()| Token::Bool(true)),
            Some(b'f') => self.literal("false").map(|()| Token::Bool(false)),
            Some(b'n') => self.literal("null").map(|()| Token::Null),
            _ => Err(self.unexpected("a JSON value")),
        }
    }

    /// Inside an array: true when an element follows, false when the array has been closed.
    pub fn next_element(&mut self, first: bool) -> Result<bool, InvalidRecord> {
        self.skip_space();
        match self.peek() {
            Some(b']') => {
                self.position += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.position += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(self.unexpected("`,` or `]`")),
        }
    }

    /// Inside an object: the next key, its colon read, or None when the object has been closed.
    pub fn next_key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, InvalidRecord> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => {
                self.position += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.position += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return Err(self.unexpected("`,` or `}`")),
        }
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in double quotes"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.position += 1;
        Ok(Some(key))
    }

    /// Reads over one value.
    pub fn skip_value(&mut self) -> Result<(), InvalidRecord> {
        self.skip_nested(1)
    }

    fn skip_nested(&mut self, depth: usize) -> Result<(), InvalidRecord> {
        match self.token()? {
            Token::ArrayStart | Token::ObjectStart if depth > crate::MAX_DEPTH => {
                return Err(self.located(too_deep()));
            }
            Token::ArrayStart => {
                let mut first = true;
                while self.next_element(first)? {
                    self.skip_nested(depth + 1)?;
                    first = false;
                }
            }
            Token::ObjectStart => {
                let mut first = true;
                while self.next_key(first)?.is_some() {
                    self.skip_nested(depth + 1)?;
                    first = false;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks that nothing but white space is left.
    pub fn finish(&mut self) -> Result<(), InvalidRecord> {
        self.skip_space();
        if self.position == self.text.len() { Ok(()) } else { Err(self.unexpected("the end of the text")) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), InvalidRecord> {
        if self.text[self.position..].starts_with(word) {
            self.position += word.len();
            Ok(())
        } else {
            Err(self.unexpected("`true`, `false` or `null`"))
        }
    }

    fn unexpected(&self, wanted: &str) -> InvalidRecord {
        match self.text.get(self.position..).and_then(|rest| rest.chars().next()) {
            Some(found) => {
                self.error(format!("expected {wanted}, found `{}`", found.escape_debug().collect::<String>()))
            }
            None => self.error(format!("expected {wanted}, but the text ends")),
        }
    }

    fn error(&self, reason: impl Into<String>) -> InvalidRecord {
        self.located(InvalidRecord::new(reason))
    }

    /// The same refusal, with the place in the text.
    pub fn located(&self, error: InvalidRecord) -> InvalidRecord {
        error.noting(&format!(" (at byte {} of the JSON text)", self.position))
    }

    fn number(&mut self) -> Result<Token<'a>, InvalidRecord> {
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        match self.peek() {
            Some(b'0') => self.position += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("a digit")),
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.error("a number may not begin with 0"));
        }
        let integer_end = self.position;
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.required_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.required_digits()?;
        }
        let text = &self.text[start..self.position];
        if self.position == integer_end { self.integer(text) } else { self.float(text) }
    }

    fn integer(&self, text: &str) -> Result<Token<'a>, InvalidRecord> {
        match text.parse::<i64>() {
            Ok(value) if value.unsigned_abs() <= MAX_SAFE_INTEGER as u64 => Ok(Token::Integer(value)),
            _ if self.rule == NumberRule::Strict => Err(self.located(unsafe_integer())),
            _ => {
                let token = self.float(text)?;
                match token {
                    Token::Float(value) if ryu_js::Buffer::new().format_finite(value) == text => Ok(token),
                    _ => Err(self.located(unsafe_integer())),
                }
            }
        }
    }

    fn float(&self, text: &str) -> Result<Token<'a>, InvalidRecord> {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Float(value)),
            _ => Err(self.error("a number beyond the range of an IEEE 754 double; write it as a string")),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
    }

    fn required_digits(&mut self) -> Result<(), InvalidRecord> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, InvalidRecord> {
        self.position += 1;
        let start = self.position;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = &self.text[start..self.position];
                    self.position += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => break,
                Some(byte) if byte >= 0x20 => self.position += 1,
                _ => return Err(self.bad_string_byte()),
            }
        }
        let mut unescaped = String::from(&self.text[start..self.position]);
        self.unescape_rest(&mut unescaped)?;
        Ok(Cow::Owned(unescaped))
    }

    fn bad_string_byte(&self) -> InvalidRecord {
        match self.peek() {
            Some(byte) => self.error(format!("a control character (U+{byte:04X}) in a string must be escaped")),
            None => self.error("the text ends inside a string"),
        }
    }

    fn unescape_rest(&mut self, out: &mut String) -> Result<(), InvalidRecord> {
        loop {
            let start = self.position;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.position += 1;
            }
            out.push_str(&self.text[start..self.position]);
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.position += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(self.bad_string_byte()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, InvalidRecord> {
        let Some(byte) = self.peek() else {
            return Err(self.bad_string_byte());
        };
        self.position += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => {
                self.position -= 1;
                return Err(self.unexpected("one of `\"\\/bfnrtu` after a backslash"));
            }
        })
    }

    fn unicode_escape(&mut self) -> Result<char, InvalidRecord> {
        let first = self.four_hex_digits()?;
        let code = match first {
            0xD800..=0xDBFF if self.text[self.position..].starts_with("\\u") => {
                self.position += 2;
                match self.four_hex_digits()? {
                    low @ 0xDC00..=0xDFFF => 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00),
                    _ => return Err(self.lone_surrogate()),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.lone_surrogate())
    }

    fn lone_surrogate(&self) -> InvalidRecord {
        self.error("a lone surrogate is not a Unicode character and has no UTF-8 form")
    }

    fn four_hex_digits(&mut self) -> Result<u32, InvalidRecord> {
        let digits = self.text.get(self.position..self.position + 4);
        let Some(digits) = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) else {
            return Err(self.error("expected four hexadecimal digits after `\\u`"));
        };
        self.position += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.error("expected four hexadecimal digits after `\\u`"))
    }
}
