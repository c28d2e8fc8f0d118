"""Hypothesis strategies for JSON values, records and chains."""

from typing import Any

from hypothesis import strategies as st
from tests.reference.building import append, erase, redaction_record
from tests.reference.canonical import MAX_SAFE_INTEGER
from tests.reference.chain import Entry, Record

# Characters around the borders where UTF-8, UTF-16 and code point order differ, and those that JSON escapes.
_EDGE_CHARACTERS = '\x00\x1f\n\r\t\b\f"\\/\x7f\x80\u07ff\u0800\u2028\ud7ff\ue000\ufb33\ufeff\uffff\U00010000\U0010ffff'

texts = st.text(
    st.one_of(st.sampled_from(_EDGE_CHARACTERS), st.characters(exclude_categories=["Cs"])),
    max_size=12,
)
integers = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(st.none(), st.booleans(), integers, floats, texts)
values = st.recursive(
    scalars,
    lambda children: st.one_of(st.lists(children, max_size=4), st.dictionaries(texts, children, max_size=4)),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=4)
arrays = st.lists(values, max_size=4)
salts = st.binary(min_size=16, max_size=16)


def _bounded_text(max_bytes: int) -> st.SearchStrategy[str]:
    return texts.filter(lambda text: 0 < len(text.encode()) <= max_bytes)


records: st.SearchStrategy[Record] = st.fixed_dictionaries(
    {
        "id": _bounded_text(1024),
        "stream": _bounded_text(255),
        "timestamp": st.integers(1, MAX_SAFE_INTEGER),
        "payload": st.one_of(objects, arrays),
    },
    optional={"meta": objects},
)


@st.composite
def chains(draw: st.DrawFn, ledger_id: str, max_records: int) -> list[Entry]:
    """Draw a valid chain; where it is drawn so, one entry is erased and the last entry records that."""
    entries: list[Entry] = []
    for record in draw(st.lists(records, min_size=2, max_size=max_records)):
        append(entries, ledger_id, record, draw(salts))
    erased: int | None = draw(st.one_of(st.none(), st.integers(0, len(entries) - 1)))
    if erased is not None:
        meta: dict[str, Any] = draw(objects)
        append(entries, ledger_id, redaction_record(entries[erased], "request", 1, meta), draw(salts))
        entries[erased] = erase(entries[erased])
    return entries
