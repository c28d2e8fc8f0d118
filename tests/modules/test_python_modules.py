"""Modules written in Python, run by the same registry."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.modules.conftest import ALICE, BOB, BUILT_IN

from nucleus import (
    AsyncLedger,
    ChainEntry,
    ConfigError,
    InvalidRecordError,
    Ledger,
    LedgerClosedError,
    Module,
    ModuleAlreadyRegisteredError,
    ModuleConfig,
    ModuleContext,
    ModuleError,
    ModuleLifecycleError,
    QueryFilters,
    Record,
    RecordRefusedError,
    UnknownModuleError,
    create_ledger,
    sqlite_storage,
)


def note(id: str = "r", **payload: Any) -> Record:
    return Record(id, "notes", payload)


class Steps(Module):
    """Notes the steps of its life in the list that its settings name."""

    log: ClassVar[list[str]] = []

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._step("construct")

    def _step(self, step: str) -> None:
        Steps.log.append(f"{self.config['name']} {step}")
        if self.config.get("fails") == step:
            raise RuntimeError(f"no {step} today")

    def init(self, context: ModuleContext) -> None:
        assert context.config == self.config
        assert context.requester_oid is None
        self._step("init")

    def start(self, context: ModuleContext) -> None:
        self._step("start")

    def stop(self, context: ModuleContext) -> None:
        self._step("stop")


def steps(*names: str, **fails: str) -> list[ModuleConfig]:
    return [
        ModuleConfig(name, "1", {"name": name, **({"fails": fails[name]} if name in fails else {})}, Steps)
        for name in names
    ]


def run(implementation: Any, **config: Any) -> Ledger:
    return create_ledger("python-modules", modules=[ModuleConfig("mine", "1", config, implementation)])


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    Steps.log.clear()


def test_life_in_order_and_reverse() -> None:
    with create_ledger("t", modules=steps("a", "b")):
        assert Steps.log == ["a construct", "b construct", "a init", "b init", "a start", "b start"]
        Steps.log.clear()
    assert Steps.log == ["b stop", "a stop"]


def test_a_dropped_ledger_stops_its_modules() -> None:
    ledger = create_ledger("t", modules=steps("a"))
    del ledger
    assert Steps.log[-1] == "a stop"


@pytest.mark.parametrize("step", ["construct", "init", "start"])
def test_a_failing_step_keeps_the_ledger_closed(step: str) -> None:
    with pytest.raises(ModuleLifecycleError, match=f"no {step} today") as failure:
        create_ledger("t", modules=steps("a", "b", b=step))
    assert failure.value.module_id == "b"
    assert isinstance(failure.value.__cause__, RuntimeError)
    assert ("a stop" in Steps.log) == (step == "start")


def test_a_failing_stop_is_counted() -> None:
    ledger = create_ledger("t", modules=steps("a", "b", b="stop"))
    ledger.close()
    assert Steps.log[-2:] == ["b stop", "a stop"]
    info = ledger.modules.info("b")
    assert (info.state, info.failures) == ("stopped", 1)
    assert "no stop today" in str(info.last_failure)


def test_configurations_are_checked(tmp_path: Path) -> None:
    class Second(Module):
        version = "2"

    cases: list[tuple[list[Any], type[Exception]]] = [
        ([ModuleConfig("nope", "1")], UnknownModuleError),
        ([ModuleConfig("proof", "0.9")], ModuleError),
        ([ModuleConfig("proof", "1.0.0", {"x": 1})], ModuleError),
        ([ModuleConfig("proof", "1.0.0", implementation=Steps)], ModuleError),
        ([ModuleConfig("mine", "1", implementation=Second)], ModuleError),
        ([ModuleConfig("mine", "1", {"x": object()}, Module)], ModuleError),
        ([BUILT_IN[0], BUILT_IN[0]], ModuleAlreadyRegisteredError),
        (["proof"], ConfigError),
    ]
    for modules, expected in cases:
        with pytest.raises(expected):
            create_ledger("t", storage=sqlite_storage(tmp_path / "l.db"), modules=modules)
    with create_ledger("t", modules=[ModuleConfig("mine", "2", implementation=Second)]) as ledger:
        assert isinstance(ledger.modules.get("mine"), Second)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"streams": "audit"}, ModuleLifecycleError),
        ({"streams": ("a",), "indexed_fields": "kind"}, ModuleLifecycleError),
        ({"streams": ("a",), "indexed_fields": ("no-name",)}, ModuleLifecycleError),
        ({"streams": ("redactions",)}, ModuleError),
        ({"streams": ("assets",)}, ModuleError),
    ],
)
def test_declarations_are_checked(declared: dict[str, Any], expected: type[ModuleError]) -> None:
    mine = ModuleConfig("mine", "1", implementation=type("Mine", (Module,), declared))
    with pytest.raises(expected) as refusal:
        create_ledger("t", modules=[*BUILT_IN, mine])
    assert refusal.value.module_id == "mine"


def test_an_implementation_makes_something() -> None:
    with pytest.raises(ModuleLifecycleError, match="made None"):
        run(lambda config: None)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_stays_what_it_is(raised: type[BaseException]) -> None:
    class Interrupted(Module):
        def before_append(self, record: Record, context: ModuleContext) -> None:
            raise raised

    with run(Interrupted) as ledger:
        with pytest.raises(raised):
            ledger.append(note(), context=ALICE)
        assert len(ledger) == 0


def test_payload_and_meta_may_change() -> None:
    class Stamps(Module):
        def before_append(self, record: Record, context: ModuleContext) -> Record:
            assert record.meta == {"own": 1}
            payload = {**record.payload, "by": context.requester_oid}
            return Record(record.id, record.stream, payload, record.timestamp, {"own": 2})

    with run(Stamps) as ledger:
        entry = ledger.append(Record("r", "notes", {"n": 1}, meta={"own": 1}), context=ALICE)
        assert entry.record.payload == {"n": 1, "by": ALICE.oid}
        assert entry.record.meta is not None
        assert (entry.record.meta["own"], entry.record.meta["requester_oid"]) == (2, ALICE.oid)
        assert ledger.verify(deep=True).valid


def test_a_refusal_carries_its_cause() -> None:
    class Refuses(Module):
        def before_append(self, record: Record, context: ModuleContext) -> Record | None:
            if record.payload.get("how") == "own":
                raise RecordRefusedError("not on a Sunday")
            if record.payload.get("how"):
                raise LookupError("nothing there")
            return None

    with run(Refuses) as ledger:
        for how, cause in (("own", RecordRefusedError), ("any", LookupError)):
            with pytest.raises(RecordRefusedError, match=r"`mine`.*`r`.*(Sunday|nothing there)") as refusal:
                ledger.append(note(how=how), context=ALICE)
            assert refusal.value.module_id == "mine"
            assert isinstance(refusal.value.__cause__, cause)
        with pytest.raises(RecordRefusedError, match=r"\$\[1\] of the batch"):
            ledger.append_batch([note(), note(how="any"), note()], context=ALICE)
        assert len(ledger) == 0
        ledger.append(note(), context=ALICE)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (lambda record: Record("other", record.stream, {}, record.timestamp), ModuleError),
        (lambda record: Record(record.id, "other", {}, record.timestamp), ModuleError),
        (lambda record: Record(record.id, record.stream, {}, record.timestamp + 1), ModuleError),
        (lambda record: {"payload": {}}, RecordRefusedError),
        (lambda record: Record(record.id, record.stream, {"x": float("inf")}, record.timestamp), RecordRefusedError),
        (
            lambda record: Record(record.id, record.stream, {}, record.timestamp, {"requester_oid": BOB.oid}),
            InvalidRecordError,
        ),
        (lambda record: Record(record.id, record.stream, {"x": "y" * 2_000}, record.timestamp), InvalidRecordError),
    ],
)
def test_what_a_hook_answers_is_validated(changed: Any, expected: type[Exception]) -> None:
    class Changes(Module):
        def before_append(self, record: Record, context: ModuleContext) -> Any:
            return changed(record)

    modules = [ModuleConfig("mine", "1", implementation=Changes)]
    with create_ledger("t", modules=modules, max_record_bytes=1_000) as ledger:
        with pytest.raises(expected):
            ledger.append(note(), context=ALICE)
        assert len(ledger) == 0


def test_a_hook_sees_the_ledger_and_the_earlier_records_of_its_batch() -> None:
    class Counts(Module):
        streams = ("notes",)
        indexed_fields = ("kind",)

        def before_append(self, record: Record, context: ModuleContext) -> Record:
            newest = context.get_by_id(record.id)
            elsewhere = context.get_by_id(record.id, stream="other")
            kinds = context.query(stream="notes", payload={"kind": "k"}, with_total=True).total
            seen = [len(context.history(record.id)), newest.seq if newest else None, elsewhere is None, kinds]
            return Record(record.id, record.stream, {"kind": "k", "seen": seen}, record.timestamp)

    with run(Counts) as ledger:
        entries = ledger.append_batch([note(), note(), note("s")], context=ALICE)
        entries.append(ledger.append(note(), context=ALICE))
        seen = [entry.record.payload["seen"] for entry in entries]
        assert seen == [[0, None, True, 0], [1, 0, True, 1], [0, None, True, 2], [2, 1, True, 3]]


def test_a_context_is_of_no_use_after_its_hook() -> None:
    class Keeps(Module):
        kept: ModuleContext | None = None

        def before_append(self, record: Record, context: ModuleContext) -> None:
            self.kept = context

    with run(Keeps) as ledger:
        ledger.append(note(), context=ALICE)
        kept = ledger.modules.get("mine").kept
        with pytest.raises(ModuleError, match="after the hook had ended"):
            kept.get_by_id("r")
        with pytest.raises(ModuleError, match="after the hook had ended"):
            kept.query()


def test_after_append_cannot_fail_an_append(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Module):
        def after_append(self, entry: ChainEntry, context: ModuleContext) -> None:
            assert context.get_by_id(entry.record.id) == entry
            raise OSError("no more paper")

    with run(Fails) as ledger, caplog.at_level(logging.ERROR, "nucleus.modules"):
        assert ledger.append(note(), context=ALICE).seq == 0
        assert len(ledger.append_batch([note(), note()], context=ALICE)) == 2
        assert len(ledger) == 3
        info = ledger.modules.info("mine")
        assert info.failures == len(caplog.records) == 3
        assert "no more paper" in str(info.last_failure)


def test_a_unique_retry_is_no_second_append() -> None:
    class Listens(Module):
        def __init__(self, config: Mapping[str, Any]) -> None:
            super().__init__(config)
            self.heard: list[int] = []

        def after_append(self, entry: ChainEntry, context: ModuleContext) -> None:
            self.heard.append(entry.seq)

    with run(Listens) as ledger:
        for _ in range(2):
            ledger.append(note(), context=ALICE, unique=True)
        assert ledger.modules.get("mine").heard == [0]


def test_before_redact_may_refuse() -> None:
    class Keeps(Module):
        def before_redact(self, entry: ChainEntry, context: ModuleContext) -> None:
            if entry.record.payload.get("keep"):
                raise ValueError("it is needed")

    with run(Keeps) as ledger:
        kept, gone = ledger.append_batch([note(keep=1), note()], context=ALICE)
        with pytest.raises(RecordRefusedError, match="it is needed"):
            ledger.redact(kept.hash, "asked for", context=ALICE)
        ledger.redact(gone.hash, "asked for", context=ALICE)
        assert [entry.redacted for entry in ledger.entries(ALICE)] == [False, True, False]


class Writes(Module):
    """Calls its own ledger from inside its hooks."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.ledger: Ledger | None = None
        self.refused = 0

    def before_append(self, record: Record, context: ModuleContext) -> None:
        if self.ledger is None or record.id == "echo":
            return
        calls: list[Callable[[Ledger], object]] = [
            lambda ledger: ledger.append(note(), context=ALICE),
            lambda ledger: ledger.append_batch([note()], context=ALICE),
            lambda ledger: ledger.redact("0" * 64, "x", context=ALICE),
            lambda ledger: ledger.import_entries([], context=ALICE),
            lambda ledger: ledger.close(),
        ]
        if self.ledger.has_storage():
            assert self.ledger.query(QueryFilters(id=record.id), context=ALICE).entries == []
        else:
            calls += [
                lambda ledger: ledger.query(QueryFilters(), context=ALICE),
                lambda ledger: ledger.get_by_id("r", context=ALICE),
                lambda ledger: ledger.head(),
                lambda ledger: ledger.verify(),
            ]
        for call in calls:
            with pytest.raises(ConfigError, match="inside a module's hook"):
                call(self.ledger)
            self.refused += 1

    def after_append(self, entry: ChainEntry, context: ModuleContext) -> None:
        if self.ledger is not None and entry.record.id != "echo":
            self.ledger.append(note("echo"), context=ALICE)


@pytest.mark.parametrize("in_file", [True, False])
def test_calls_that_would_wait_for_their_own_hook_are_refused(tmp_path: Path, in_file: bool) -> None:
    storage = sqlite_storage(tmp_path / "l.db") if in_file else None
    with create_ledger("t", storage=storage, modules=[ModuleConfig("w", "1", implementation=Writes)]) as ledger:
        module = ledger.modules.get("w")
        module.ledger = ledger
        ledger.append(note(), context=ALICE)
        assert module.refused == (5 if in_file else 9)
        assert [entry.record.id for entry in ledger.entries(ALICE)] == ["r", "echo"]
        assert ledger.modules.info("w").failures == 0
        module.ledger = None


class Closes(Module):
    """Closes its own ledger from inside its hooks."""

    close: Callable[[], object] | None = None

    def after_append(self, entry: ChainEntry, context: ModuleContext) -> None:
        if self.close is not None:
            with pytest.raises(ConfigError, match="would wait for"):
                self.close()


def test_a_ledger_whose_closing_was_refused_is_not_closed() -> None:
    with create_ledger("t", modules=[ModuleConfig("c", "1", implementation=Closes)]) as ledger:
        module = ledger.modules.get("c")
        module.close = ledger.close
        ledger.append(note(), context=ALICE)
        assert ledger.modules.info("c").failures == 0
        assert not ledger.closed
        module.close = None
        ledger.append(note(), context=ALICE)
    assert ledger.closed


def test_an_asynchronous_ledger_is_not_closed_by_a_call_that_it_would_wait_for() -> None:
    async def use() -> None:
        async with await AsyncLedger.open("t", modules=[ModuleConfig("c", "1", implementation=Closes)]) as ledger:
            module = await ledger.run(lambda own: own.modules.get("c"))
            module.close = lambda: asyncio.run(ledger.close())
            await asyncio.wait_for(ledger.append(note(), context=ALICE), 60)
            assert (await ledger.run(lambda own: own.modules.info("c"))).failures == 0
            assert not ledger.closed
            module.close = None
            assert await ledger.length() == 1
        assert ledger.closed

    asyncio.run(use())


def test_hooks_end_with_the_ledger() -> None:
    ledger = create_ledger("t", modules=steps("a"))
    ledger.close()
    with pytest.raises(LedgerClosedError):
        ledger.append(note(), context=ALICE)
    ledger.close()
    assert Steps.log.count("a stop") == 1


def test_two_ledgers_share_nothing() -> None:
    with run(Module, n=1) as first, run(Module, n=2) as second:
        assert first.modules.get("mine") is not second.modules.get("mine")
        assert [ledger.modules.get("mine").config["n"] for ledger in (first, second)] == [1, 2]
        first.close()
        assert second.modules.info("mine").state == "started"


def test_the_asynchronous_ledger_runs_modules() -> None:
    async def use() -> tuple[str | None, int]:
        async with await AsyncLedger.open("t", modules=BUILT_IN) as ledger:
            await ledger.run(lambda own: own.modules.get("asset").register("a-1", owner_oid=ALICE.oid, context=ALICE))
            owner = await ledger.run(lambda own: own.modules.get("asset").owner("a-1", context=BOB))
            newest = await ledger.get_by_id("a-1", BOB, stream="assets")
            assert newest is not None
            assert await ledger.get_by_id("a-1", BOB, stream="notes") is None
            return owner, len(await ledger.history("a-1", BOB, stream="assets"))

    assert asyncio.run(use()) == (ALICE.oid, 1)


def test_a_forked_child_stops_no_module(tmp_path: Path) -> None:
    ledger = create_ledger("t", storage=sqlite_storage(tmp_path / "l.db"), modules=steps("a"))
    child = os.fork()
    if child == 0:
        ledger.close()
        os._exit(Steps.log.count("a stop"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ledger.append(note(), context=ALICE)
    ledger.close()
    assert Steps.log[-1] == "a stop"
