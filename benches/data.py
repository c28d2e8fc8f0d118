"""The files the benchmarks work on: built once, kept in a directory of their own, never appended to in place."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benches import plain
from benches.ledgers import ADMINISTRATOR, ALICE, BUILT_IN, open_ledger
from benches.records import BATCH, MANY, NARROW, WIDE, IdKind, asset, creator, records, wide_block

from nucleus import RequestContext
from nucleus.access import AclGrant

_DATABASE = "ledger.db"


class Datasets:
    """Ledgers and plain tables of given sizes; each is built when it is first asked for.

    Args:
        directory: where they are kept; what is there already is used as it is.
        say: told what is being built.
    """

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._say = say
        directory.mkdir(parents=True, exist_ok=True)

    def ledger(self, entries: int, ids: IdKind) -> Path:
        """Return the database file of a ledger of that size."""
        return self._built(f"ledger-{entries}-{ids}", lambda path: _build_ledger(path, entries, ids))

    def assets(self, entries: int) -> Path:
        """Return the database file of a ledger of that many assets; see :func:`benches.records.asset`."""
        return self._built(f"assets-{entries}", lambda path: _build_assets(path, entries))

    def access(self, entries: int) -> Path:
        """Return the database file of a ledger of that many entries, and some more, with access control.

        Every resource has one entry, but ten that have ten more; see :func:`_build_access` for who may read what.
        """
        return self._built(f"access-{entries}", lambda path: _build_access(path, entries))

    def table(self, entries: int, ids: IdKind, kind: plain.TableKind) -> Path:
        """Return a plain table with the rows of :meth:`ledger`."""
        source = self.ledger(entries, ids)
        return self._built(f"{kind}-{entries}-{ids}", lambda path: _build_table(path, source, kind))

    @contextmanager
    def copy(self, database: Path) -> Iterator[Path]:
        """Lend a copy of a database to append to, with the files beside it, written back to the disk."""
        with self.scratch() as directory:
            copied = shutil.copytree(database.parent, directory / "copy")
            # Or the kernel writes it back later, in the middle of somebody's commit.
            os.sync()
            yield copied / database.name

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Lend an empty directory on the same file system."""
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=self._directory) as directory:
            yield Path(directory)

    def _built(self, name: str, build: Callable[[Path], None]) -> Path:
        finished = self._directory / name
        if not finished.is_dir():
            self._say(f"building {name}")
            with self.scratch() as directory:
                unfinished = directory / name
                unfinished.mkdir()
                build(unfinished / _DATABASE)
                unfinished.rename(finished)
            os.sync()
        return finished / _DATABASE


def _build_ledger(path: Path, entries: int, ids: IdKind) -> None:
    with open_ledger(path, verify_on_open=False) as ledger:
        for first in range(0, entries, BATCH):
            ledger.append_batch(records(ids, first, min(BATCH, entries - first)), context=ALICE)


def _build_assets(path: Path, entries: int) -> None:
    with open_ledger(path, verify_on_open=False, modules=BUILT_IN) as ledger:
        for first in range(0, entries, BATCH):
            ledger.append_batch(
                [asset(number, entries) for number in range(first, min(first + BATCH, entries))], context=ALICE
            )


def _build_access(path: Path, entries: int) -> None:
    """Every batch has a creator; WIDE may read a tenth of all resources, NARROW ten, whose entries lie far apart."""
    named: list[tuple[str, str]] = []

    def read(place: int, principal_oid: str) -> AclGrant:
        kind, record_id = named[place]
        return AclGrant(kind, record_id, principal_oid, "read")

    with open_ledger(path, verify_on_open=False, access=True) as ledger:
        for number in range(entries // BATCH):
            batch = records("random", number * BATCH, BATCH)
            named += [(record["stream"], record["id"]) for record in batch]
            ledger.append_batch(batch, context=RequestContext.local(creator(number)))
        block = wide_block(entries)
        others = random.Random(MANY).sample(range(entries), entries // MANY - len(block))
        wide = sorted({*others, *block})
        narrow = [entries // 10 * tenth for tenth in range(10)]
        grants = [*(read(place, WIDE) for place in wide), *(read(place, NARROW) for place in narrow)]
        for first in range(0, len(grants), BATCH):
            ledger.access.grant(grants[first : first + BATCH], context=ADMINISTRATOR)
        for version in range(10 * len(narrow)):
            stream, record_id = named[narrow[version % len(narrow)]]
            ledger.append({"stream": stream, "id": record_id, "payload": {"n": version}}, context=ADMINISTRATOR)


def _build_table(path: Path, source: Path, kind: plain.TableKind) -> None:
    """Copy the rows of a ledger in chain order, as appends would have written them."""
    with closing(plain.connect(path)) as connection:
        # How full an index's pages are depends on the order it was filled in; a look-up index only has to exist.
        plain.create(connection, "lean" if kind == "searchable" else kind)
        connection.execute("ATTACH ? AS source", (str(source),))
        connection.execute(
            f"INSERT INTO entries({plain.COLUMNS}) SELECT {plain.COLUMNS} FROM source.entries ORDER BY seq"
        )
        connection.commit()
        if kind == "searchable":
            for index in plain.INDEXES[kind]:
                connection.execute(index)
