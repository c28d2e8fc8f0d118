"""Child processes that have imported nucleus and opened nothing.

They are forked from one warm server (multiprocessing's ``forkserver``), so that hundreds of them cost little; the
test process itself is never forked.
"""

import fcntl
import multiprocessing
import os
import select
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["nucleus", "pytest"])

TIMEOUT_S = 120.0


class Child:
    """A running child: ``target(*args, pipe)`` with the writing end of a pipe, read here."""

    def __init__(self, target: Callable[..., None], *args: object) -> None:
        self._reader, writer = _CONTEXT.Pipe(duplex=False)
        # So that a child which is read late is not slowed down.
        fcntl.fcntl(writer.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
        self._received = b""
        self._process: BaseProcess = _CONTEXT.Process(target=target, args=(*args, writer))
        self._process.start()
        writer.close()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process.pid is not None
        return self._process.pid

    def wait_for_line(self) -> str:
        """Return the next line; the child must not end before."""
        while b"\n" not in self._received:
            assert self._receive(TIMEOUT_S), f"the child ended with {self.exit_code()} before it said anything"
        line, self._received = self._received.split(b"\n", 1)
        return line.decode()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def lines(self) -> list[str]:
        """Return the remaining whole lines, once the child has ended."""
        while self._receive(TIMEOUT_S):
            pass
        *lines, _ = self._received.split(b"\n")
        self._received = b""
        return [line.decode() for line in lines]

    def exit_code(self) -> int:
        """Wait for the end; a negative number is the signal that ended the child."""
        self._process.join(TIMEOUT_S)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            raise AssertionError(f"the child hangs: no end within {TIMEOUT_S} s")
        return code

    def finish(self) -> list[str]:
        """Return the remaining lines of a child that must end by itself and without an error."""
        lines = self.lines()
        assert self.exit_code() == 0, (self.exit_code(), lines[-1:])
        return lines

    def _receive(self, timeout_s: float) -> bool:
        """Read what is there; False at the end of the pipe."""
        if not select.select([self._reader], [], [], timeout_s)[0]:
            self._process.kill()
            raise AssertionError(f"the child hangs: not a byte within {timeout_s} s")
        chunk = os.read(self._reader.fileno(), 1 << 20)
        self._received += chunk
        return bool(chunk)


def say(pipe: Connection, line: str) -> None:
    """Write one line to the parent, unbuffered: it is out before this returns."""
    os.write(pipe.fileno(), line.encode() + b"\n")


def run(target: Callable[..., None], *args: object) -> list[str]:
    """Run a child to its end, which must be a good one, and return its lines."""
    return Child(target, *args).finish()


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {TIMEOUT_S} s"
        time.sleep(0.005)
