"""A throw-away PostgreSQL server: a temporary directory, a Unix socket, no network, driven through ``psql``."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.storage.postgresql_builds import Build

TIMEOUT_S = 60.0

# What a user's surroundings say of other servers (PGHOST, PGPORT, ~/.psqlrc, ...) must not reach this one.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# The server ends with its guard's input, and so with this process, however that ends.
_GUARD = '"$@" & read -r _; kill -QUIT $!; wait'


class PostgresqlServer:
    """A running server; its databases are in UTF-8 and compare text byte for byte unless created otherwise."""

    def __init__(self, build: Build) -> None:
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        # Not pytest's own directory: another user must reach it, and the path of a socket has at most 107 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix="nucleus-postgresql-", dir="/tmp"))
        self._build = build
        self._binaries = build.binaries
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PostgresqlServer":
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def psql(self, database: str, script: str, *options: str) -> str:
        """Run a script up to its first error and return what it prints, rows without headings, columns by tab."""
        done = self._run_psql(database, script, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, database: str, script: str, *options: str) -> str:
        """Run a script that must fail and return the messages."""
        done = self._run_psql(database, script, *options)
        assert done.returncode != 0, f"nothing was refused: {done.stdout}"
        return done.stderr

    def create_database(self, name: str, options: str = "") -> str:
        """Create an empty database, with options of ``CREATE DATABASE``, and return its name."""
        self.psql("postgres", f"CREATE DATABASE {name} TEMPLATE template0 {options};")
        return name

    def _start(self) -> None:
        if self._user is not None:
            self._binaries = self._build.binaries_for_others(self._directory / "build")
            os.chown(self._directory, self._user.pw_uid, self._user.pw_gid)
        data, log = self._directory / "data", self._directory / "log"
        initialise = ["--locale=C", "--encoding=UTF8", "--auth=trust", "--username=nucleus", "--no-sync"]
        settings = ["listen_addresses=", f"unix_socket_directories={self._directory}", "fsync=off"]
        arguments = [argument for setting in settings for argument in ("-c", setting)]
        with log.open("w") as messages:
            initdb = self._popen([str(self._binaries / "initdb"), f"--pgdata={data}", *initialise], messages)
            initdb.communicate(timeout=TIMEOUT_S)
            assert initdb.returncode == 0, log.read_text()
            server = [str(self._binaries / "postgres"), "-D", str(data), *arguments]
            self._guard = self._popen(["/bin/sh", "-c", _GUARD, "sh", *server], messages)
        deadline = time.monotonic() + TIMEOUT_S
        while self._run_psql("postgres", "SELECT 1;").returncode != 0:
            assert time.monotonic() < deadline, f"the server does not answer: {log.read_text()}"
            time.sleep(0.02)

    def _popen(self, command: list[str], messages: IO[str]) -> subprocess.Popen[bytes]:
        """Start a command of the server's, out of reach of the keyboard's signals."""
        return subprocess.Popen(
            command,
            cwd=self._directory,
            env=_ENVIRONMENT,
            user=self._user.pw_uid if self._user else None,
            group=self._user.pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
            stdin=subprocess.PIPE,
            stdout=messages,
            stderr=messages,
            start_new_session=True,
        )

    def _stop(self) -> None:
        if self._guard is not None:
            self._guard.communicate(timeout=TIMEOUT_S)
        shutil.rmtree(self._directory)

    def _run_psql(self, database: str, script: str, *options: str) -> subprocess.CompletedProcess[str]:
        where = [f"--host={self._directory}", "--username=nucleus", f"--dbname={database}"]
        how = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--no-align", "--tuples-only", "--field-separator=\t"]
        return subprocess.run(
            [self._binaries / "psql", *where, *how, *options, "--file=-"],
            input=script,
            env=_ENVIRONMENT,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=TIMEOUT_S,
        )
