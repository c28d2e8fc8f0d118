//! The floor under verification: how long one thread takes to read every column of every entry and do nothing else.
//!
//! `bare_scan PATH REPEATS` prints one line per repetition: nanoseconds from opening to closing the file,
//! nanoseconds of the `SELECT` alone, and the number of rows. `python -m benches` compares verification with it.

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

const SELECT: &str = "SELECT seq, format, hash, prev_hash, record_id, stream, timestamp, payload, salt, payload_hash, \
                      meta FROM entries ORDER BY seq";

struct Scan {
    total: Duration,
    select: Duration,
    rows: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, repeats] = arguments.as_slice() else {
        eprintln!("usage: bare_scan PATH REPEATS");
        return ExitCode::from(2);
    };
    match print_scans(path, repeats) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare_scan: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_scans(path: &str, repeats: &str) -> Result<(), Box<dyn Error>> {
    for _ in 0..repeats.parse::<u32>()? {
        let scan = scan(path)?;
        println!("{} {} {}", scan.total.as_nanos(), scan.select.as_nanos(), scan.rows);
    }
    Ok(())
}

fn scan(path: &str) -> rusqlite::Result<Scan> {
    let opened = Instant::now();
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let (select, rows) = read_all(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(Scan { total: opened.elapsed(), select, rows })
}

fn read_all(connection: &Connection) -> rusqlite::Result<(Duration, u64)> {
    let started = Instant::now();
    let mut statement = connection.prepare(SELECT)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            black_box(row.get_ref(column)?);
        }
        count += 1;
    }
    Ok((started.elapsed(), count))
}
