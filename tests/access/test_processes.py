"""Access control across threads and processes: what one of them grants or ends holds for the next call of any."""

import faulthandler
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

import pytest
from tests.access.conftest import ADMIN, ALICE, BOB, BUILT_IN, CAROL, STRANGER, access_of, open_ledger
from tests.access.notes import NOTE, note
from tests.storage.children import Child, run, say, wait_until

from nucleus import (
    AccessDeniedError,
    ConfigError,
    DatabaseError,
    Ledger,
    Module,
    ModuleConfig,
    ModuleContext,
    NucleusError,
    QueryFilters,
    Record,
    RequestContext,
    create_ledger,
    sqlite_storage,
)
from nucleus.access import AccessConfig, AclGrant, ResourceFilters, ResourcePredicate

BOB_READS = AclGrant("notes", "n-1", BOB.oid, "read")
BOB_WRITES = AclGrant("notes", "n-1", BOB.oid, "write")


def open_read_only(path: Path, *, access: bool = True) -> Ledger:
    config = AccessConfig(ADMIN.oid) if access else None
    return create_ledger(storage=sqlite_storage(path, read_only=True), modules=BUILT_IN, access=config)


def open_without_access(path: Path) -> Ledger:
    return create_ledger("access", storage=sqlite_storage(path, durability="normal"), modules=BUILT_IN)


def in_threads(calls: list[Callable[[], None]]) -> None:
    """Run all at the same time; what any of them raises comes through."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(calls))

    def guarded(call: Callable[[], None]) -> None:
        try:
            barrier.wait(60)
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# What children do; each says a line for every answer.


def answer_questions(path: Path, read_only: bool, questions: Connection, pipe: Connection) -> None:
    """Answer what Bob sees of the note, each time it is asked, with the ledger open all the time."""
    with open_read_only(path) if read_only else open_ledger(path) as ledger:
        say(pipe, "open")
        while questions.recv():
            say(pipe, seen_by_bob(ledger))


def seen_by_bob(ledger: Ledger) -> str:
    """What Bob may do with the note, by every way to ask; they agree."""
    access = access_of(ledger)
    shown = {
        access.check(BOB.oid, "read", NOTE),
        ledger.get_by_id("n-1", BOB) is not None,
        bool(ledger.history("n-1", BOB)),
        ledger.query(QueryFilters(stream="notes", with_total=True), BOB).total != 0,
        len(list(ledger.entries(BOB))) == 1,
        len(list(access.list(BOB.oid, ResourceFilters("notes"), context=ADMIN))) == 1,
        len(access.grants_of(BOB.oid, context=ADMIN)) == 1,
        access.explain(BOB.oid, "read", NOTE, context=ADMIN).allowed,
    }
    return " ".join(sorted(map(str, shown)))


def append_for_bob(path: Path, questions: Connection, pipe: Connection) -> None:
    """Append as Bob each time it is asked."""
    with open_ledger(path) as ledger:
        say(pipe, "open")
        while questions.recv():
            try:
                ledger.append(note(), BOB)
                say(pipe, "done")
            except AccessDeniedError:
                say(pipe, "denied")


def create_each(path: Path, name: str, threads: int, ids: list[str], pipe: Connection) -> None:
    """Try to create each of the resources from several threads, each as a requester of its own."""
    with open_ledger(path) as ledger:
        say(pipe, "open")

        def create(requester: RequestContext) -> None:
            for note_id in ids:
                try:
                    entry = ledger.append(note(note_id), requester)
                except AccessDeniedError:
                    continue
                say(pipe, f"{note_id} {requester.oid} {entry.hash}")

        requesters = [RequestContext.local(f"oid:onoal:user:{name}-{number}") for number in range(threads)]
        in_threads([lambda requester=requester: create(requester) for requester in requesters])  # type: ignore[misc]


def append_without_access(path: Path, pipe: Connection) -> None:
    """Append with access control off: nobody is asked for a right."""
    with open_without_access(path) as ledger:
        ledger.append(note("n-2"), CAROL)
        ledger.append(note("n-1", by="carol"), CAROL)
        ledger.modules.get("asset").register("a-1", owner_oid=CAROL.oid, context=ALICE)
        ledger.modules.get("asset").transfer("a-1", to_oid=BOB.oid, context=CAROL)
    say(pipe, "done")


def grant_and_revoke(path: Path, name: str, count: int, pipe: Connection) -> None:
    """Grant and revoke as the administrator, to somebody of its own."""
    with open_ledger(path) as ledger:
        access = access_of(ledger)
        grant = AclGrant("notes", "n-1", f"oid:onoal:user:{name}", "read")
        for _ in range(count):
            access.grant(grant, ADMIN)
            assert access.check(grant.principal_oid, "read", NOTE)
            access.revoke(grant, ADMIN)
            assert not access.check(grant.principal_oid, "read", NOTE)
        access.grant(grant, ADMIN)
    say(pipe, "done")


def hold_the_write_lock(path: Path, until: int, pipe: Connection) -> None:
    """Hold the database's write lock with another library until a second has come."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say(pipe, "held")
    while time.time() < until:
        time.sleep(0.02)
    connection.execute("ROLLBACK")
    connection.close()


class Curious(Module):
    """Asks the ledger itself, not its context, about what is being appended."""

    ledger: ClassVar[Ledger | None] = None
    answers: ClassVar[list[str]] = []

    def before_append(self, record: Record, context: ModuleContext) -> None:
        if self.ledger is not None:
            self.answers.extend(answer_of(question, self.ledger) for question in QUESTIONS)


QUESTIONS: list[Callable[[Ledger], object]] = [
    lambda ledger: access_of(ledger).explain(ALICE.oid, "full", NOTE, context=ADMIN).allowed,
    lambda ledger: access_of(ledger).check(ALICE.oid, "full", NOTE),
    lambda ledger: len(access_of(ledger).grants_on(NOTE, context=ADMIN)) == 1,
    lambda ledger: ledger.get_by_id("n-1", ALICE) is not None,
    lambda ledger: ledger.query(QueryFilters(stream="notes", with_total=True), ALICE).total == 2,
]


def answer_of(question: Callable[[Ledger], object], ledger: Ledger) -> str:
    try:
        return str(question(ledger))
    except ConfigError:
        return "refused"


def append_and_be_asked(path: Path, pipe: Connection) -> None:
    """Append through a hook that asks, while the grants are behind the chain."""
    # Whoever hangs ends with an error instead.
    faulthandler.dump_traceback_later(15, exit=True)
    curious = ModuleConfig("curious", "1.0.0", implementation=Curious)
    storage = sqlite_storage(path, durability="normal")
    with create_ledger(
        "access", storage=storage, modules=[*BUILT_IN, curious], access=AccessConfig(ADMIN.oid)
    ) as ledger:
        run(append_without_access, path)
        Curious.ledger = ledger
        ledger.append(Record("l-1", "lists", {}), ALICE)
        Curious.ledger = None
    faulthandler.cancel_dump_traceback_later()
    say(pipe, " ".join(Curious.answers))


class Asked:
    """A child that answers when it is asked."""

    def __init__(self, target: Callable[..., None], *args: object) -> None:
        questions, self._asking = multiprocessing.Pipe(duplex=False)
        self._child = Child(target, *args, questions)
        questions.close()
        assert self._child.wait_for_line() == "open"

    def ask(self) -> str:
        self._asking.send(True)
        return self._child.wait_for_line()

    def finish(self) -> None:
        self._asking.send(False)
        assert self._child.finish() == []


# Revoking.


@pytest.mark.parametrize("read_only", [False, True])
def test_revoking_holds_for_the_next_call_of_another_process(database: Path, read_only: bool) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        child = Asked(answer_questions, database, read_only)
        access = access_of(ledger)
        for _ in range(10):
            assert child.ask() == seen_by_bob(ledger) == "False"
            access.grant(BOB_READS, ALICE)
            assert child.ask() == seen_by_bob(ledger) == "True"
            access.revoke(BOB_READS, ALICE)
        assert child.ask() == "False"
        child.finish()


def test_revoking_holds_for_the_next_append_of_another_process(database: Path) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        child = Asked(append_for_bob, database)
        access = access_of(ledger)
        for _ in range(10):
            assert child.ask() == "denied"
            access.grant(BOB_WRITES, ALICE)
            assert child.ask() == "done"
            access.revoke(BOB_WRITES, ALICE)
        assert child.ask() == "denied"
        child.finish()
        assert len(ledger.history("n-1", ADMIN)) == 11


def test_revoking_holds_for_the_next_call_of_every_thread(ledger: Ledger) -> None:
    """Between two barriers nothing changes: every thread sees what was settled before the first."""
    threads = 6
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    settled, asked = threading.Barrier(threads + 1), threading.Barrier(threads + 1)
    expected = ["False"]
    answers: list[tuple[str, str]] = []

    def ask() -> None:
        for _ in range(20):
            settled.wait(60)
            answers.append((seen_by_bob(ledger), expected[0]))
            asked.wait(60)

    def change() -> None:
        for number in range(20):
            if number % 2:
                access.grant(BOB_READS, ALICE)
            else:
                access.revoke(BOB_READS, ALICE)
            expected[0] = str(bool(number % 2))
            settled.wait(60)
            asked.wait(60)

    in_threads([change, *[ask] * threads])
    assert len(answers) == 20 * threads
    assert {answer == wanted for answer, wanted in answers} == {True}
    assert {wanted for _, wanted in answers} == {"True", "False"}


def test_two_ledgers_of_one_process_on_one_file(database: Path) -> None:
    with open_ledger(database) as first, open_ledger(database) as second:
        first.append(note(), ALICE)
        access_of(first).grant(BOB_READS, ALICE)
        assert seen_by_bob(second) == "True"
        access_of(second).revoke(BOB_READS, ALICE)
        assert seen_by_bob(first) == "False"


def test_an_iteration_under_way_shows_nothing_after_its_page(ledger: Ledger) -> None:
    """What was read already was allowed then; the next page is decided anew."""
    ledger.append_batch([note(f"n-{number}") for number in range(2_500)], ALICE)
    grant = AclGrant("notes", "*", BOB.oid, "read")
    access_of(ledger).grant(grant, ADMIN)
    pages = ledger.pages(BOB)
    assert len(next(pages)) == 1_000
    access_of(ledger).revoke(grant, ADMIN)
    assert [page for page in pages if page] == []


def test_a_query_cursor_carries_no_right(ledger: Ledger) -> None:
    ledger.append_batch([note(f"n-{number}") for number in range(10)], ALICE)
    grant = AclGrant("notes", "*", BOB.oid, "read")
    access_of(ledger).grant(grant, ADMIN)
    filters = QueryFilters(stream="notes", limit=3)
    page = ledger.query(filters, BOB)
    assert page.next_cursor is not None
    after = QueryFilters(stream="notes", limit=3, cursor=page.next_cursor)
    assert ledger.query(after, STRANGER).entries == []
    access_of(ledger).revoke(grant, ADMIN)
    assert ledger.query(after, BOB).entries == []


def test_writes_that_waited_are_decided_by_the_clock_of_their_transactions(database: Path) -> None:
    """Asked for in time, they get their turn when the right has expired; and so has what was to be revoked."""
    with open_ledger(database) as ledger:
        access = access_of(ledger)
        entry = ledger.append(note(), ALICE)
        exp = int(time.time()) + 2
        access.grant(AclGrant("notes", "n-1", BOB.oid, "full", exp=exp), ALICE)
        access.grant([BOB_READS, AclGrant("notes", "n-1", CAROL.oid, "read", exp=exp)], ALICE)
        calls: dict[str, Callable[[], object]] = {
            "append": lambda: ledger.append(note(n=2), BOB),
            "append_batch": lambda: ledger.append_batch([note("n-2"), note(n=2)], BOB),
            "unique": lambda: ledger.append(note(n=2), BOB, unique=True),
            "grant": lambda: access.grant(AclGrant("notes", "n-1", STRANGER.oid, "read"), BOB),
            "revoke": lambda: access.revoke(AclGrant("notes", "n-1", ALICE.oid, "full"), BOB),
            "redact": lambda: ledger.redact(entry.hash, "asked for", BOB),
            "revoke what expired": lambda: access.revoke(AclGrant("notes", "n-1", CAROL.oid, "read"), ALICE),
        }
        outcomes: dict[str, object] = {}

        def attempt(name: str) -> None:
            try:
                outcomes[name] = calls[name]()
            except NucleusError as error:
                outcomes[name] = type(error)

        holder = Child(hold_the_write_lock, database, exp)
        assert holder.wait_for_line() == "held"
        in_threads([lambda name=name: attempt(name) for name in calls])  # type: ignore[misc]
        assert holder.finish() == []
        assert outcomes == dict.fromkeys(calls, AccessDeniedError) | {"revoke what expired": []}
        assert len(ledger) == 4


# Creating.


def test_several_processes_and_threads_create_one_resource_once(database: Path) -> None:
    open_ledger(database).close()
    ids = [f"n-{number}" for number in range(40)]
    children = [Child(create_each, database, f"p{number}", 3, ids) for number in range(3)]
    said = [line for child in children for line in child.finish() if line != "open"]
    creators = dict(line.split()[:2] for line in said)
    assert len(said) == len(creators) == len(ids), "each was created by exactly one"
    with open_ledger(database) as ledger:
        for name, creator in creators.items():
            (entry,) = ledger.history(name, ADMIN)
            assert entry.record.meta is not None
            assert entry.record.meta["requester_oid"] == creator
            grants = access_of(ledger).grants_on(ResourcePredicate("notes", name), context=ADMIN)
            assert [(grant.principal_oid, grant.source) for grant in grants] == [(creator, "creator")]
        assert len(ledger) == len(ids)
        assert ledger.verify().valid


def test_several_threads_create_one_resource_once(ledger: Ledger) -> None:
    created: list[tuple[str, str]] = []

    def create(number: int) -> None:
        who = RequestContext.local(f"oid:onoal:user:t{number}")
        for shared in range(50):
            try:
                ledger.append_batch([note(f"own-{number}-{shared}"), note(f"n-{shared}")], who)
            except AccessDeniedError:
                continue
            created.append((f"n-{shared}", who.oid))

    in_threads([lambda number=number: create(number) for number in range(6)])  # type: ignore[misc]
    assert len(created) == len(dict(created)) == 50
    for name, who in created:
        assert access_of(ledger).check(who, "full", ResourcePredicate("notes", name))
    assert len(ledger) == 100, "a batch that was refused left nothing"


def test_several_processes_grant_at_once(database: Path) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        children = [Child(grant_and_revoke, database, f"p{number}", 20) for number in range(3)]
        for child in children:
            assert child.finish() == ["done"]
        assert len(ledger) == 1 + 3 * 41
        principals = {grant.principal_oid for grant in access_of(ledger).grants_on(NOTE, context=ADMIN)}
        assert principals == {ALICE.oid, *(f"oid:onoal:user:p{number}" for number in range(3))}
        assert ledger.verify().valid


# Processes with access control off.


def test_appends_of_a_process_without_access_control_are_taken_into_the_grants(database: Path) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        assert run(append_without_access, database) == ["done"]
        assert_taken_in(ledger)
        ledger.append(note("n-2"), CAROL)
        assert ledger.verify().valid
    with open_ledger(database) as ledger:
        assert_taken_in(ledger)


def test_appends_before_access_control_was_on_are_taken_into_the_grants(database: Path) -> None:
    with open_without_access(database) as ledger:
        ledger.append(note(), ALICE)
    assert run(append_without_access, database) == ["done"]
    with open_ledger(database) as ledger:
        assert_taken_in(ledger)
        assert ledger.verify().valid


@pytest.mark.parametrize("first", ["append", "read", "grant", "query", "grants_on", "verify"])
def test_whatever_is_asked_first_knows_of_them(database: Path, first: str) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        run(append_without_access, database)
        access = access_of(ledger)
        if first == "append":
            with pytest.raises(AccessDeniedError):
                ledger.append(note("n-2"), STRANGER)
        elif first == "read":
            assert ledger.get_by_id("n-2", CAROL) is not None
        elif first == "grant":
            access.grant(AclGrant("notes", "n-2", BOB.oid, "read"), CAROL)
        elif first == "query":
            assert ledger.query(QueryFilters(stream="assets", with_total=True), BOB).total == 2
        elif first == "grants_on":
            assert len(access.grants_on(ResourcePredicate("notes", "n-2"), context=ADMIN)) == 1
        else:
            assert ledger.verify().valid
        assert_taken_in(ledger)


def test_a_hook_that_asks_the_ledger_does_not_wait_for_itself(database: Path) -> None:
    """Whatever it asks is answered, or refused, also where grants have to be taken in first."""
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
    (said,) = run(append_and_be_asked, database)
    assert len(said.split()) == len(QUESTIONS)
    assert set(said.split()) <= {"True", "refused"}


def assert_taken_in(ledger: Ledger) -> None:
    access = access_of(ledger)
    assert access.check(CAROL.oid, "full", ResourcePredicate("notes", "n-2")), "its creator"
    assert not access.check(CAROL.oid, "read", NOTE), "a later version of somebody else's creates nothing"
    asset = ResourcePredicate("asset", "a-1")
    answers = [access.check(who.oid, "full", asset) for who in (ALICE, BOB, CAROL)]
    assert answers == [True, True, False], "the registrar, the new owner, the old one"
    for who, stream, name in ((CAROL, "notes", "n-2"), (BOB, "assets", "a-1")):
        assert ledger.get_by_id(name, who, stream=stream) is not None
        assert ledger.get_by_id(name, STRANGER, stream=stream) is None


def test_a_record_called_like_the_whole_kind_gives_its_creator_nothing(database: Path) -> None:
    """It can be appended with access control off alone."""
    with open_without_access(database) as ledger:
        ledger.append(note("*"), CAROL)
        ledger.append(note("n-1"), ALICE)
    with open_ledger(database) as ledger:
        assert access_of(ledger).grants_of(CAROL.oid, context=ADMIN) == []
        assert not access_of(ledger).check(CAROL.oid, "read", NOTE)
        assert not access_of(ledger).check(CAROL.oid, "read", ResourcePredicate("notes"))
        assert [entry.record.id for entry in ledger.entries(ALICE)] == ["n-1"]
        assert ledger.get_by_id("*", ADMIN) is not None


# Reading only.


def test_a_read_only_opener_obeys_the_grants(database: Path) -> None:
    with open_ledger(database) as ledger:
        entry = ledger.append(note(), ALICE)
        access_of(ledger).grant(BOB_READS, ALICE)
    with open_read_only(database) as reader:
        assert reader.get(entry.hash, BOB) == entry
        assert reader.get(entry.hash, STRANGER) is None
        assert access_of(reader).explain(BOB.oid, "read", NOTE, context=ADMIN).allowed
        assert reader.verify().valid
        calls: list[Callable[[], object]] = [
            lambda: reader.append(note(), ALICE),
            lambda: access_of(reader).grant(BOB_WRITES, ALICE),
            lambda: access_of(reader).revoke(BOB_READS, ALICE),
            lambda: access_of(reader).cleanup_expired(ADMIN),
            lambda: access_of(reader).rebuild(ADMIN),
        ]
        for call in calls:
            with pytest.raises((ConfigError, DatabaseError)):
                call()
        assert access_of(reader).check(BOB.oid, "read", NOTE)


def test_a_read_only_opener_sees_what_a_writer_grants_meanwhile(database: Path) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        with open_read_only(database) as reader:
            assert seen_by_bob(reader) == "False"
            access_of(ledger).grant(BOB_READS, ALICE)
            assert seen_by_bob(reader) == "True"


def assert_all_refused(reader: Ledger) -> None:
    calls: list[Callable[[], object]] = [
        lambda: reader.get_by_id("n-1", ALICE),
        lambda: reader.history("n-1", ALICE),
        lambda: reader.query(QueryFilters(), ALICE),
        lambda: list(reader.entries(ALICE)),
        lambda: access_of(reader).check(ALICE.oid, "read", NOTE),
        lambda: access_of(reader).grants_of(ALICE.oid, context=ADMIN),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="read-only"):
            call()


def test_a_read_only_opener_shows_nothing_by_grants_that_are_behind(database: Path) -> None:
    """It cannot bring them up to date and says so, whether they were behind when it opened the file or are later."""
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
    early = open_read_only(database)
    run(append_without_access, database)
    for reader in (early, open_read_only(database)):
        with reader:
            assert_all_refused(reader)
            assert access_of(reader).explain(ALICE.oid, "read", NOTE, context=ADMIN).allowed, (
                "it is told from the chain"
            )
    open_ledger(database).close()
    with open_read_only(database) as reader:
        assert_taken_in(reader)


def test_a_file_that_never_had_access_control_is_opened_for_writing_first(database: Path) -> None:
    with open_without_access(database) as ledger:
        ledger.append(note(), ALICE)
    with open_read_only(database) as reader:
        assert_all_refused(reader)
    with open_read_only(database, access=False) as reader:
        assert reader.get_by_id("n-1", STRANGER) is not None


def test_a_reader_waits_for_a_grant_of_another_process(database: Path) -> None:
    with open_ledger(database) as ledger:
        ledger.append(note(), ALICE)
        child = Child(grant_and_revoke, database, "bob", 0)
        wait_until(lambda: access_of(ledger).check(BOB.oid, "read", NOTE), "the grant of another process")
        assert child.finish() == ["done"]


def test_a_closed_ledger_answers_nothing(database: Path) -> None:
    ledger = open_ledger(database)
    ledger.append(note(), ALICE)
    access = access_of(ledger)
    ledger.close()
    calls: list[Callable[[], object]] = [
        lambda: access.check(ALICE.oid, "read", NOTE),
        lambda: access.check(ADMIN.oid, "read", NOTE),
        lambda: access.explain(ALICE.oid, "read", NOTE, context=ADMIN),
        lambda: access.grant(BOB_READS, ALICE),
        lambda: access.rebuild(ADMIN),
    ]
    for call in calls:
        with pytest.raises(NucleusError, match="closed"):
            call()
