//! The few names that cases are made of, so that they meet. Among them are those that a storage could take for something else.

/// Streams. Eleven are of one kind, and `work` is the name of a kind that two others have.
pub const STREAMS: [&str; 16] = [
    "notes", "books", "scrolls", "work", "Notes", "no'tes %", "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
    "mass",
];

/// The kinds of streams that have another than their own name, or share it.
pub const DECLARED: [(&str, &str); 12] = [
    ("books", "work"),
    ("scrolls", "work"),
    ("m0", "mass"),
    ("m1", "mass"),
    ("m2", "mass"),
    ("m3", "mass"),
    ("m4", "mass"),
    ("m5", "mass"),
    ("m6", "mass"),
    ("m7", "mass"),
    ("m8", "mass"),
    ("mass", "mass"),
];

/// Record ids. `*` stands for a whole kind where it is granted, and the last ones begin like those of the engine's own.
pub const IDS: [&str; 8] = ["a", "b", "A", "it's \"\u{1F600}\"%", "*", "a\u{0}b", "grants:x", "redaction:x"];

/// Principals.
pub const PRINCIPALS: [&str; 3] = ["oid:test:user:p", "oid:test:user:q", "oid:test:user:r"];

/// Payload members.
pub const MEMBERS: [&str; 6] = ["k", "n", "a.b", "q\"[0]", "", "\u{fc}$"];

/// Canonical values of payload members.
pub const VALUES: [&str; 12] =
    ["1", "2", "-3", "1.5", "\"1\"", "\"x\"", "\"x!\"", "\"\\\"\\n\u{1F600}\"", "true", "null", "[1]", "{\"z\":\"x\"}"];

/// Of two streams, the payload members that there are indexes over.
pub const INDEXED: [(&str, &[&str]); 3] = [("books", &["k"]), ("books", &["k", "n"]), ("notes", &["n"])];
