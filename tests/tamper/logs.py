"""Edits of the write-ahead log and of the anchor."""

import json

from blake3 import blake3
from tests.tamper.bases import LEDGER_ID
from tests.tamper.edit import Bench, Done, Edit, pick
from tests.tamper.pages import FRAME_BYTES, LOG_HEADER_BYTES, PAGE_BYTES, EditError, frames, seal

from nucleus import canonicalize


def _log(bench: Bench) -> bytearray:
    bench.image.finish()
    if bench.image.log is None or not frames(bench.image.log):
        raise EditError("there is no log")
    return bench.image.log


def flip_log_bits(bench: Bench) -> Done:
    """Flip bits of the log; SQLite ends it there."""
    log = _log(bench)
    at = bench.chance.randrange(len(log))
    log[at] ^= 1 << bench.chance.randrange(8)
    return Done(f"log: a bit of byte {at} flipped")


def flip_sealed_log_bits(bench: Bench) -> Done:
    """Flip bits of the log and make its checksums right."""
    log = _log(bench)
    at = bench.chance.randrange(LOG_HEADER_BYTES, len(log))
    log[at] ^= 1 << bench.chance.randrange(8)
    seal(log)
    return Done(f"log: a bit of byte {at} flipped, checksums made right")


def cut_log(bench: Bench) -> Done:
    """Cut the log at a frame or inside one."""
    log = _log(bench)
    size = pick(bench, [pick(bench, frames(log)), bench.chance.randrange(len(log)), 0, 31])
    del log[size:]
    return Done(f"log: cut at {size}")


def remove_log(bench: Bench) -> Done:
    """Take the log away."""
    _log(bench)
    bench.image.log = None
    return Done("log: removed")


def lengthen_log(bench: Bench) -> Done:
    """Append to the log: anything, or frames that it had already."""
    log = _log(bench)
    at = pick(bench, frames(log))
    count = bench.chance.randint(1, 5)
    what = pick(bench, ["anything", "frames", "sealed frames"])
    log += bench.chance.randbytes(FRAME_BYTES) if what == "anything" else log[at : at + count * FRAME_BYTES]
    if what == "sealed frames":
        seal(log)
    return Done(f"log: {what} of {at} appended")


def reorder_log(bench: Bench) -> Done:
    """Exchange, drop or double frames, and make the checksums right."""
    log = _log(bench)
    parts = [bytes(log[at : at + FRAME_BYTES]) for at in frames(log)]
    one, other = bench.chance.randrange(len(parts)), bench.chance.randrange(len(parts))
    how = pick(bench, ["exchanged", "dropped", "doubled", "reversed", "shuffled"])
    if how == "exchanged":
        parts[one], parts[other] = parts[other], parts[one]
    elif how == "dropped":
        del parts[one]
    elif how == "doubled":
        parts.insert(one, parts[other])
    elif how == "reversed":
        parts.reverse()
    else:
        bench.chance.shuffle(parts)
    log[LOG_HEADER_BYTES:] = b"".join(parts)
    seal(log)
    return Done(f"log: frames {one} and {other} {how}, checksums made right")


def frame_header(bench: Bench) -> Done:
    """Let a frame be of another page, or end a commit or not, and make the checksums right."""
    log = _log(bench)
    at = pick(bench, frames(log))
    field, value = pick(
        bench,
        [(0, bench.chance.randint(1, 60)), (0, 0), (4, 0), (4, bench.chance.randint(1, 200)), (4, len(log))],
    )
    log[at + field : at + field + 4] = value.to_bytes(4, "big")
    seal(log)
    return Done(f"log: field at {field} of the frame at {at} is {value}")


def log_header(bench: Bench) -> Done:
    """Change a field of the log's header, with its checksum or without."""
    log = _log(bench)
    at = bench.chance.randrange(24)
    log[at] ^= 1 << bench.chance.randrange(8)
    if bench.chance.random() < 0.7:
        seal(log)
    return Done(f"log: byte {at} of its header changed")


def older_log(bench: Bench) -> Done:
    """Put the log of an older state beside the file."""
    bench.image.log = bytearray(bench.base.states["older_logged"].log)
    return Done("log: of an older state")


def newer_log(bench: Bench) -> Done:
    """Put the log of the second part beside a file of another moment."""
    moment = pick(bench, ["closed", "older_logged", "older"])
    bench.image.main = bytearray(bench.base.states[moment].main)
    bench.image.log = bytearray(bench.base.states["logged"].log)
    return Done(f"log: beside the file {moment}")


def older_file(bench: Bench) -> Done:
    """Put the files of an older state in the place of the newer ones; the anchor stays."""
    moment = pick(bench, ["older", "older_logged"])
    state = bench.base.states[moment]
    bench.image.main, bench.image.log = bytearray(state.main), bytearray(state.log) or None
    return Done(f"file {moment}")


def mixed_file(bench: Bench) -> Done:
    """Make a file of some pages of an older state and some of the newer one."""
    older = bench.base.states["older"].main
    border = bench.chance.randrange(1, len(older) // PAGE_BYTES) * PAGE_BYTES
    if bench.chance.random() < 0.5:
        bench.image.main[:border] = older[:border]
    else:
        bench.image.main[border : len(older)] = older[border:]
    return Done(f"file of two states, border at {border}")


# The anchor.


def spoil_anchor(bench: Bench) -> Done:
    """Change bytes of the anchor, cut it or empty it."""
    anchor = bench.image.anchor
    if not anchor:
        raise EditError("there is no anchor")
    at = bench.chance.randrange(len(anchor))
    how = pick(bench, ["flipped", "cut", "emptied", "zeroed"])
    if how == "flipped":
        anchor[at] ^= 1 << bench.chance.randrange(8)
    elif how == "cut":
        del anchor[at:]
    elif how == "emptied":
        anchor.clear()
    else:
        anchor[:] = bytes(len(anchor))
    return Done(f"anchor: {how} at {at}")


def forge_anchor(bench: Bench) -> Done:
    """Let the anchor say something else, with a right checksum."""
    if not bench.image.anchor:
        raise EditError("there is no anchor")
    members = json.loads(bench.image.anchor)
    del members["checksum"]
    name, value = pick(
        bench,
        [
            ("created_at", members["created_at"] + 1),
            ("head", "0" * 64),
            ("ledger_id", "other"),
            ("seq", members["seq"] + 1),
            ("seq", members["seq"] - 1),
            ("seq", 2**53 - 1),
        ],
    )
    members[name] = value
    context = "nucleus-ledger 2026-11-20 anchor v1"
    members["checksum"] = blake3(canonicalize(members), derive_key_context=context).hexdigest()
    bench.image.anchor = bytearray(canonicalize(members).ljust(1024))
    return Done(f"anchor of {LEDGER_ID}: {name} is {value!r}")


def older_anchor(bench: Bench) -> Done:
    """Put the anchor of an older state beside the ledger."""
    bench.image.anchor = bytearray(bench.base.states["older"].anchor)
    return Done("anchor: of an older state")


def remove_anchor(bench: Bench) -> Done:
    """Take the anchor away."""
    bench.image.anchor = None
    return Done("anchor: removed")


LOG_EDITS: dict[str, Edit] = {
    "log bit flipped": flip_log_bits,
    "log bit flipped and sealed": flip_sealed_log_bits,
    "log cut": cut_log,
    "log removed": remove_log,
    "log lengthened": lengthen_log,
    "log reordered": reorder_log,
    "log frame changed": frame_header,
    "log header changed": log_header,
}
MOMENT_EDITS: dict[str, Edit] = {
    "older log beside": older_log,
    "newer log beside": newer_log,
    "older file": older_file,
    "file of two states": mixed_file,
}
ANCHOR_EDITS: dict[str, Edit] = {
    "anchor spoilt": spoil_anchor,
    "anchor forged": forge_anchor,
    "anchor of an older state": older_anchor,
    "anchor removed": remove_anchor,
}
