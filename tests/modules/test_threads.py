"""No mix of threads and Python hooks hangs: each program runs by itself, and has a minute."""

import subprocess
import sys
import textwrap
from pathlib import Path

PROGRAM = """
    import sys, threading
    from nucleus import *

    alice = RequestContext.local("oid:onoal:user:alice")

    class Refuses(Module):
        def before_append(self, record, context):
            context.get_by_id(record.id)
            if record.payload.get("bad"):
                raise ValueError("bad")

    class Reads(Module):
        def init(self, context):
            self.seen = 0

        def before_append(self, record, context):
            context.query(stream="notes", order="desc", limit=1)
            return Record(record.id, record.stream, {**record.payload, "seen": True}, record.timestamp)

        def after_append(self, entry, context):
            context.get_by_id(entry.record.id)
            self.seen += 1

    modules = [ModuleConfig("refuses", "1", implementation=Refuses), ModuleConfig("reads", "1", implementation=Reads)]
    stop = threading.Event()
    kept, failed = [], []

    def spin():
        n = 0
        while not stop.is_set():
            n += 1

    def write(number):
        try:
            for n in range(60):
                bad = (number + n) % 5 == 0
                batch = [{"id": f"{number}-{n}-{k}", "stream": "notes", "payload": {"n": n}} for k in range(n % 4 + 1)]
                if bad:
                    batch[-1]["payload"] = {"bad": 1}
                try:
                    entries = ledger.append_batch(batch, context=alice) if n % 2 else [ledger.append(batch[-1], alice)]
                    assert not bad and all(entry.record.payload["seen"] for entry in entries)
                    kept.extend(entry.hash for entry in entries)
                except RecordRefusedError:
                    assert bad
        except BaseException as error:
            failed.append(error)

    def read():
        try:
            while not stop.is_set():
                ledger.query(QueryFilters(stream="notes", order="desc", limit=5, latest_only=True), context=alice)
                ledger.verify()
        except BaseException as error:
            failed.append(error)

    with create_ledger("threads", storage=sqlite_storage(sys.argv[1]), modules=modules) as ledger:
        writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        others = [threading.Thread(target=spin), threading.Thread(target=read)]
        for thread in writers + others:
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in others:
            thread.join()
        assert not failed, failed
        assert len(ledger) == len(kept) == ledger.modules.get("reads").seen
        assert ledger.verify(deep=True).valid
        closers = [threading.Thread(target=ledger.close) for _ in range(4)]
        for thread in closers:
            thread.start()
        for thread in closers:
            thread.join()
    print("kept", len(kept))
"""


def test_appends_reads_and_a_busy_interpreter(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path / "ledger.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kept ")


CLOSING = """
    import sys, threading
    from nucleus import *

    alice = RequestContext.local("oid:onoal:user:alice")

    class Slow(Module):
        stopped = False

        def before_append(self, record, context):
            assert not self.stopped

        def after_append(self, entry, context):
            assert not self.stopped

        def stop(self, context):
            self.stopped = True

    for round_number in range(20):
        ledger = create_ledger("closing", modules=[ModuleConfig("slow", "1", implementation=Slow)])
        started = threading.Barrier(5)

        def write():
            started.wait()
            try:
                while True:
                    ledger.append({"id": "r", "stream": "notes", "payload": {}}, context=alice)
            except LedgerClosedError:
                pass

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        ledger.close()
        for thread in threads:
            thread.join()
        info = ledger.modules.info("slow")
        assert (info.state, info.failures) == ("stopped", 0), info.last_failure
    print("closed")
"""


def test_closing_waits_for_the_hooks_that_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLOSING)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "closed\n"
