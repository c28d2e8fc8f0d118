"""(k) Asking whether somebody has access, (l) pages with access control and without, (m) by few and by many grants."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import cycle, islice
from time import perf_counter

from benches import plain
from benches.data import Datasets
from benches.ledgers import ADMINISTRATOR, open_ledger
from benches.measuring import Baseline, Contestant, Sampler, Scenario, Target, seconds
from benches.records import MANY, NARROW, WIDE, wide_block

from nucleus import Ledger, QueryFilters, RequestContext
from nucleus.access import ResourcePredicate

_CALLS = 5_000
_PAGES = 20


def check(entries: int) -> Scenario:
    """Return what one question takes, against one seek in the same table through sqlite3."""
    return Scenario(
        letter="k",
        title=f"check at {entries + entries // MANY:,} grants, per call",
        unit="us",
        ours=Contestant("nucleus", partial(_checking, entries=entries)),
        baselines=(
            Baseline(Contestant("sqlite3, the same table", partial(_seeking, entries=entries)), Target("value", 10e-6)),
        ),
    )


def same_page(entries: int) -> Scenario:
    """Return what a page takes that a principal may see all of, by a grant on each resource, against access off."""
    return Scenario(
        letter="l",
        title=f"page of 100 among {entries:,}, all of it granted one by one",
        unit="us",
        ours=Contestant("access on", partial(_same_pages, entries=entries, access=True)),
        baselines=(
            Baseline(
                Contestant("access off", partial(_same_pages, entries=entries, access=False)), Target("ratio", 2.0)
            ),
        ),
        rounds=15,
    )


def few_and_many(entries: int, limit: int) -> Scenario:
    """Return what a page takes of somebody with a tenth of all resources, against somebody with ten of them."""
    return Scenario(
        letter="m",
        title=f"page of {limit} among {entries:,}, per principal",
        unit="us",
        ours=Contestant(f"{entries // MANY:,} grants", partial(_pages, entries=entries, who=WIDE, limit=limit)),
        baselines=(
            Baseline(
                Contestant("10 grants", partial(_pages, entries=entries, who=NARROW, limit=limit)),
                Target("ratio", 3.0),
            ),
        ),
        rounds=15,
    )


@contextmanager
def _checking(data: Datasets, *, entries: int) -> Iterator[Sampler]:
    path = data.access(entries)
    questions = cycle(_questions(data, entries))
    with open_ledger(path, verify_on_open=False, access=True) as ledger:
        ask = ledger.access.check

        def sample() -> list[float]:
            asked = [
                (principal, ResourcePredicate(kind, record_id), allowed)
                for principal, kind, record_id, allowed in islice(questions, _CALLS)
            ]
            started = perf_counter()
            answers = [ask(principal, "read", resource) for principal, resource, _ in asked]
            elapsed = perf_counter() - started
            if answers != [allowed for _, _, allowed in asked]:
                raise RuntimeError("an answer is wrong")
            return [elapsed / _CALLS]

        yield sample


@contextmanager
def _seeking(data: Datasets, *, entries: int) -> Iterator[Sampler]:
    path = data.access(entries)
    questions = cycle(_questions(data, entries))
    select = (
        "SELECT 1 FROM acl_grants WHERE resource_kind = ? AND resource_id IN (?, '*') AND principal_oid = ? "
        "AND scope IN ('read', 'full') AND (exp IS NULL OR exp > 1)"
    )
    with closing(plain.connect_read_only(path)) as connection:

        def sample() -> list[float]:
            asked = [(kind, record_id, who) for who, kind, record_id, _ in islice(questions, _CALLS)]
            started = perf_counter()
            for question in asked:
                connection.execute(select, question).fetchone()
            return [(perf_counter() - started) / _CALLS]

        yield sample


def _questions(data: Datasets, entries: int) -> list[tuple[str, str, str, bool]]:
    """Return (principal, kind, id, answer): half of them about creators, half about somebody without grants."""
    with closing(plain.connect_read_only(data.access(entries))) as connection:
        rows = connection.execute(
            "SELECT principal_oid, resource_kind, resource_id FROM acl_grants WHERE source = 'creator' "
            f"AND seq % {max(entries // (8 * _CALLS), 1)} = 0"
        ).fetchall()
    stranger = "oid:onoal:user:stranger"
    questions = [(principal, *rest, True) for principal, *rest in rows[::2]]
    questions += [(stranger, *rest, False) for _, *rest in rows[1::2]]
    random.Random(1).shuffle(questions)
    return questions


@contextmanager
def _same_pages(data: Datasets, *, entries: int, access: bool) -> Iterator[Sampler]:
    with open_ledger(data.access(entries), verify_on_open=False, access=access) as ledger:
        block = wide_block(entries)
        start = _cursor_behind(ledger, block.start - 1)
        who = RequestContext.local(WIDE)

        def sample() -> list[float]:
            times: list[float] = []
            pages = len(block) // 100
            cursor = start
            for number in range(1, _PAGES * pages + 1):
                filters = QueryFilters(limit=100, cursor=cursor)
                started = perf_counter()
                page = ledger.query(filters, context=who)
                times.append(perf_counter() - started)
                if len(page.entries) != 100:
                    raise RuntimeError(f"a page of {len(page.entries)} instead of 100")
                cursor = start if number % pages == 0 else page.next_cursor
            return times

        yield sample


def _cursor_behind(ledger: Ledger, seq: int) -> str | None:
    """Return the cursor of a page that ends in the entry ``seq``."""
    cursor, done = None, 0
    while done <= seq:
        limit = min(10_000, seq + 1 - done)
        cursor = ledger.query(QueryFilters(limit=limit, cursor=cursor), context=ADMINISTRATOR).next_cursor
        done += limit
    return cursor


@contextmanager
def _pages(data: Datasets, *, entries: int, who: str, limit: int) -> Iterator[Sampler]:
    context = RequestContext.local(who)
    pages = cycle([QueryFilters(limit=limit, order="asc"), QueryFilters(limit=limit, order="desc")])
    with open_ledger(data.access(entries), verify_on_open=False, access=True) as ledger:

        def page() -> None:
            found = ledger.query(next(pages), context=context).entries
            if len(found) != limit:
                raise RuntimeError(f"{len(found)} entries on the page instead of {limit}")

        yield lambda: [seconds(page) for _ in range(2 * _PAGES)]
