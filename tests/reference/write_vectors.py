"""Write the golden vectors of tests/vectors, once: ``python -m tests.reference.write_vectors``.

An existing file is never overwritten: the vectors are what makes a later change of the format visible.
"""

import itertools
import json
import sys
from typing import Any

from tests.reference import chain, golden_inputs
from tests.reference.building import line
from tests.reference.canonical import canonicalize, format_number
from tests.reference.reading import parse
from tests.reference.tampering import Tampering, tamperings
from tests.reference.vectors import VECTORS


def documents() -> dict[str, Any]:
    """Return JSON texts and their canonical forms."""
    cases = golden_inputs.DOCUMENTS.items()
    rows = [{"name": name, "input": text, "canonical": canonicalize(parse(text)).decode()} for name, text in cases]
    return {"documents": rows}


def numbers() -> dict[str, Any]:
    """Return doubles by their IEEE 754 bits, and number literals, with their canonical forms."""
    doubles = [{"ieee754": golden_inputs.bits(x), "canonical": format_number(x)} for x in golden_inputs.doubles()]
    literals = [{"literal": x, "canonical": canonicalize(parse(x)).decode()} for x in golden_inputs.literals()]
    return {"doubles": doubles, "literals": literals}


def ledger() -> dict[str, Any]:
    """Return a valid ledger with every edge case, and each step from record to hash."""
    ledger_id, content = golden_inputs.GOLDEN_LEDGER_ID, golden_inputs.golden_entries()
    entries = golden_inputs.build(ledger_id, content)
    steps = [(item.name, item.record, item.salt.hex()) for item in content]
    steps += [("redaction record", entry["record"], entry["salt"]) for entry in entries[len(content) :]]
    genesis = chain.genesis(ledger_id).hex()
    return {
        "ledger_id": ledger_id,
        "genesis": genesis,
        "head": entries[-1]["hash"],
        "timestamp_regressions": _timestamp_regressions(entries),
        "entries": [
            {
                "name": name,
                "record": json.dumps(record),
                "salt": salt,
                "payload": canonicalize(record["payload"]).decode(),
                "payload_hash": chain.payload_hash(bytes.fromhex(salt), record["payload"]),
                "header": chain.header(record, entry["payload_hash"], entry["seq"]).decode(),
                "prev": entry["prev_hash"] or genesis,
                "hash": entry["hash"],
                "redacted": entry["redacted"],
                "line": line(entry),
            }
            for (name, record, salt), entry in zip(steps, entries, strict=True)
        ],
    }


def tampered() -> dict[str, Any]:
    """Return a small valid ledger, chains made from it that must not verify, and their faults."""
    ledger_id = golden_inputs.SMALL_LEDGER_ID
    entries = golden_inputs.build(ledger_id, golden_inputs.small_entries())
    lines: dict[str, int] = {}  # each distinct line once, in the order of its first use

    def row(case: Tampering) -> dict[str, Any]:
        return {
            "name": case.name,
            "ledger_id": case.ledger_id,
            "expected_head": case.expected_head,
            "expected_length": case.expected_length,
            "chain": [lines.setdefault(line(entry), len(lines)) for entry in case.entries],
            "faults": [[fault.kind, fault.seq] for fault in case.faults()],
        }

    untouched = Tampering("untouched", entries, ledger_id, entries[-1]["hash"], len(entries))
    cases = [row(case) for case in (untouched, *tamperings(entries, ledger_id))]
    return {"lines": list(lines), "cases": cases}


def _timestamp_regressions(entries: list[chain.Entry]) -> int:
    stamps = [entry["record"]["timestamp"] for entry in entries]
    return sum(later < earlier for earlier, later in itertools.pairwise(stamps))


def rendered(vectors: dict[str, Any]) -> str:
    """Return the text of a vector file: ASCII JSON with one case a line."""
    members = []
    for key, value in vectors.items():
        rows = ",\n".join(json.dumps(row) for row in value) if isinstance(value, list) else ""
        members.append(f"{json.dumps(key)}: " + (f"[\n{rows}\n]" if isinstance(value, list) else json.dumps(value)))
    return "{\n" + ",\n".join(members) + "\n}\n"


FILES = {"documents.json": documents, "numbers.json": numbers, "ledger.json": ledger, "tampered.json": tampered}


def main() -> int:
    """Write every vector file that does not exist; exit 1 when one exists."""
    existing = [name for name in FILES if (VECTORS / name).exists()]
    if existing:
        print(f"not overwritten, vectors are written once: {', '.join(existing)}", file=sys.stderr)
        return 1
    for name, make in FILES.items():
        (VECTORS / name).write_text(rendered(make()), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
