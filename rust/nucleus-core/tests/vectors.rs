//! The golden vectors, written by an independent implementation, read with `serde_json`'s `preserve_order` and
//! `arbitrary_precision` switched on: the canonical form depends on neither.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a failure here is a failed test

use nucleus_core::{CanonicalJson, ChainEntry, verify_chain};
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

#[test]
fn documents_have_their_canonical_form() {
    let documents = vectors("documents.json");
    for document in documents["documents"].as_array().unwrap() {
        let canonical = CanonicalJson::from_text(text(document, "input")).unwrap();
        assert_eq!(canonical.as_str(), text(document, "canonical"), "{}", document["name"]);
    }
}

#[test]
fn doubles_print_as_ecmascript_prints_them() {
    let numbers = vectors("numbers.json");
    for number in numbers["doubles"].as_array().unwrap() {
        let bits = u64::from_str_radix(text(number, "ieee754"), 16).unwrap();
        let mut out = String::new();
        nucleus_core::canonical::write_float(&mut out, f64::from_bits(bits)).unwrap();
        assert_eq!(out, text(number, "canonical"));
    }
}

#[test]
fn the_golden_ledger_verifies_and_reads_back() {
    let ledger = vectors("ledger.json");
    let entries: Vec<ChainEntry> = ledger["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let line = text(entry, "line");
            let read = ChainEntry::from_json(line).unwrap();
            assert_eq!(read.to_json(), line);
            assert_eq!(read.hash.to_string(), text(entry, "hash"));
            read
        })
        .collect();
    let report = verify_chain(&entries, text(&ledger, "ledger_id"));
    assert!(report.valid(), "{}", report.summary());
    assert_eq!(report.head.unwrap().hash, entries.last().unwrap().hash);
}

#[test]
fn a_chain_of_another_ledger_is_refused_at_its_first_entry() {
    let ledger = vectors("ledger.json");
    let lines = ledger["entries"].as_array().unwrap().iter();
    let entries: Vec<ChainEntry> = lines.map(|entry| ChainEntry::from_json(text(entry, "line")).unwrap()).collect();
    let report = verify_chain(&entries, "another-ledger");
    assert_eq!(report.errors.len(), 1);
    assert_eq!((report.errors[0].kind.name(), report.errors[0].seq), ("hash_mismatch", Some(0)));
}
