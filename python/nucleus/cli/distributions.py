"""What the installed distributions declare to have installed: real records for the demonstration."""

import csv
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from nucleus._core import Record

STREAM = "files"

_LEAST_FILES = 1_000
_LONGEST_ID_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files of this Python environment as records.

    Args:
        records: one for each file.
        sources: number of distributions they come from.
        unreadable: number of distributions whose declaration is damaged.
    """

    records: list[Record]
    sources: int
    unreadable: int


def take_inventory() -> Inventory:
    """Return a record for every file that an installed distribution declares.

    Where they declare few, the files of Python's standard library come with them.
    """
    records: list[Record] = []
    sources = unreadable = 0
    for distribution in distributions():
        try:
            declared = list(_declared_files(distribution))
        except (OSError, ValueError, csv.Error):
            unreadable += 1
            continue
        records += declared
        sources += bool(declared)
    if len(records) < _LEAST_FILES:
        records += _standard_library()
        sources += 1
    return Inventory(records, sources, unreadable)


def _declared_files(distribution: Distribution) -> Iterator[Record]:
    name, version = distribution.metadata["Name"], distribution.version
    for file in distribution.files or ():
        digest = None if file.hash is None else f"{file.hash.mode}={file.hash.value}"
        yield _record(name, version, str(file), file.size, digest)


def _standard_library() -> Iterator[Record]:
    root = Path(sysconfig.get_paths()["stdlib"])
    version = ".".join(map(str, sys.version_info[:3]))
    for file in sorted(root.rglob("*.py")):
        yield _record("python", version, str(file.relative_to(root)), file.stat().st_size, None)


def _record(distribution: str, version: str, path: str, size_bytes: int | None, digest: str | None) -> Record:
    payload: dict[str, Any] = {
        "distribution": distribution,
        "version": version,
        "path": path,
        "size": size_bytes,
        "digest": digest,
    }
    # The payload has the whole path, should an id be too short for it.
    name = f"{distribution}=={version}/{path}".encode()[:_LONGEST_ID_BYTES].decode(errors="ignore")
    return Record(name, STREAM, payload)
