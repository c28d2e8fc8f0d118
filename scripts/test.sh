#!/bin/sh
# All set-up on a machine with Python 3.11 or newer and a Rust toolchain, then every test, Rust's and Python's. The tests
# of what PostgreSQL will hold start a server of their own, which is installed with them.
# Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
cargo test --locked --release --quiet
exec .venv/bin/python -m pytest "$@"
