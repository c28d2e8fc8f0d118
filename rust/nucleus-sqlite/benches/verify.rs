//! Verification of a ledger in memory, and of its file, without Python.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a failure here is a failed test

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nucleus_core::{CanonicalJson, Record};
use nucleus_engine::module::BuiltinModules;
use nucleus_engine::{AppendOptions, Environment, LedgerConfig, LedgerEngine, NewRecord, verify_chain};
use nucleus_sqlite::{Durability, SqliteConfig, SqliteStorage};

const ENTRIES: u64 = 100_000;

fn build(path: &std::path::Path) -> LedgerEngine {
    let environment = Environment::system();
    let sqlite = SqliteConfig {
        path: path.to_owned(),
        read_only: false,
        durability: Durability::Normal,
        busy_timeout: Duration::from_secs(10),
    };
    let storage = SqliteStorage::open(&sqlite, Some("bench"), false, &environment).expect("a new file is made");
    let config = LedgerConfig::default();
    let ledger = LedgerEngine::open(Arc::new(storage), &config, &BuiltinModules, environment, &mut |_, _| Ok(()))
        .expect("a new ledger opens");
    let payload = CanonicalJson::from_text(&format!(r#"{{"text":"{}"}}"#, "x".repeat(190))).expect("valid JSON");
    for batch in 0..ENTRIES / 1000 {
        let records = (0..1000).map(|number| NewRecord {
            record: Record {
                id: format!("record-{batch}-{number}"),
                stream: "bench".to_owned(),
                timestamp: 1_700_000_000_000,
                payload: Some(payload.clone()),
                meta: None,
            },
            timestamp_given: true,
        });
        ledger
            .append(records.collect(), "oid:onoal:user:alice", AppendOptions::default())
            .expect("a valid batch is appended");
    }
    ledger
}

fn verification(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ledger = build(&directory.path().join("ledger.db"));
    let mut entries = Vec::new();
    while entries.len() < ENTRIES as usize {
        entries.extend(ledger.range(entries.len() as u64, 10_000, "oid:onoal:user:alice").expect("entries are read"));
    }
    let mut group = criterion.benchmark_group("verify 100,000 entries");
    group.throughput(Throughput::Elements(ENTRIES)).sample_size(10);
    group.bench_function("file", |bencher| {
        bencher.iter(|| ledger.verify(false, None, None, &mut |_, _| Ok(())).expect("the ledger is read"));
    });
    group.bench_function("memory", |bencher| {
        bencher.iter(|| verify_chain(black_box(&entries), "bench").expect("the ledger id is valid"));
    });
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);
