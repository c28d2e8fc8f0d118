#!/bin/sh
# All set-up on a machine with Python 3.11 or newer and a Rust toolchain, then `nucleus demo`.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check .
exec .venv/bin/nucleus demo "$@"
