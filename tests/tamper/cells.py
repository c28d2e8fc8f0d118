"""Edits of the cells of a page: their order, their number, their content, their place."""

from collections.abc import Callable

from tests.tamper.edit import Bench, Done, Edit, pick, pick_tree, seqs_of
from tests.tamper.pages import TABLE_INTERIOR, TABLE_LEAF, EditError, Page, read_varint, write_varint


def _pointers(name: str, change: Callable[[Bench, list[int]], list[int]]) -> Edit:
    """Return an edit of the cell pointers of a page."""

    def edit(bench: Bench) -> Done:
        tree, page = _page(bench, least=2)
        near = seqs_of(tree, page)
        pointers = page.pointers
        changed = change(bench, list(pointers))
        if changed == pointers:
            raise EditError("nothing changed")
        page.set_pointers(changed)
        bench.image.keep(page)
        return Done(f"{tree}, page {page.number}: cell pointers {name}", near)

    return edit


def _reversed(_: Bench, pointers: list[int]) -> list[int]:
    return pointers[::-1]


def _rotated(bench: Bench, pointers: list[int]) -> list[int]:
    by = bench.chance.randrange(1, len(pointers))
    return pointers[by:] + pointers[:by]


def _shuffled(bench: Bench, pointers: list[int]) -> list[int]:
    bench.chance.shuffle(pointers)
    return pointers


def _two_exchanged(bench: Bench, pointers: list[int]) -> list[int]:
    one, other = bench.chance.sample(range(len(pointers)), 2)
    pointers[one], pointers[other] = pointers[other], pointers[one]
    return pointers


def _neighbours_exchanged(bench: Bench, pointers: list[int]) -> list[int]:
    at = bench.chance.randrange(len(pointers) - 1)
    pointers[at], pointers[at + 1] = pointers[at + 1], pointers[at]
    return pointers


def _one_dropped(bench: Bench, pointers: list[int]) -> list[int]:
    del pointers[bench.chance.randrange(len(pointers))]
    return pointers


def _one_doubled(bench: Bench, pointers: list[int]) -> list[int]:
    one, other = bench.chance.sample(range(len(pointers)), 2)
    pointers[one] = pointers[other]
    return pointers


def _one_astray(bench: Bench, pointers: list[int]) -> list[int]:
    at = bench.chance.randrange(len(pointers))
    pointers[at] = max(0, min(65_535, pointers[at] + bench.chance.choice([-1, 1, -4, 4, -100, 5_000, 60_000])))
    return pointers


def change_count(bench: Bench) -> Done:
    """Say that a page has more cells, or fewer."""
    tree, page = _page(bench, least=1)
    near = seqs_of(tree, page)
    count = pick(bench, [0, page.count - 1, page.count + 1, page.count // 2, 65_535])
    page.set_count(count)
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: {count} cells", near)


def drop_cell(bench: Bench) -> Done:
    """Take a cell out of a page, and leave the page sound."""
    return _rebuilt(bench, "a cell dropped", lambda cells, at: cells[:at] + cells[at + 1 :])


def double_cell(bench: Bench) -> Done:
    """Put a cell in twice, and leave the page sound."""
    return _rebuilt(bench, "a cell doubled", lambda cells, at: [*cells[: at + 1], *cells[at:]])


def copy_cell(bench: Bench) -> Done:
    """Put a cell in another's place."""
    other = bench.chance.random()

    def change(cells: list[bytes], at: int) -> list[bytes]:
        return [*cells[:at], cells[int(other * len(cells))], *cells[at + 1 :]]

    return _rebuilt(bench, "a cell in another's place", change)


def exchange_with_sibling(bench: Bench) -> Done:
    """Exchange a cell with one of another leaf of the same B-tree."""
    tree, pages = pick_tree(bench, levels=2)
    leaves = [page for page in pages if not page.interior and page.count]
    if len(leaves) < 2:
        raise EditError("one leaf")
    one, other = bench.chance.sample(leaves, 2)
    at, there = bench.chance.randrange(one.count), bench.chance.randrange(other.count)
    near = seqs_of(tree, one, other)
    left, right = one.cells(), other.cells()
    left[at], right[there] = right[there], left[at]
    one.rebuild(left)
    other.rebuild(right)
    bench.image.keep(one, other)
    return Done(f"{tree}: a cell of page {one.number} exchanged with one of page {other.number}", near)


def exchange_between_indexes(bench: Bench) -> Done:
    """Put a cell of one index into another."""
    tree, page = _page(bench, least=1, indexes_only=True)
    other_tree, other = _page(bench, least=1, indexes_only=True)
    if tree == other_tree or page.kind != other.kind:
        raise EditError("the same index, or another kind of page")
    near = seqs_of(tree, page)
    cells = page.cells()
    cells[bench.chance.randrange(len(cells))] = other.cell(bench.chance.randrange(other.count))
    page.rebuild(cells)
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: a cell of {other_tree}", near)


def edit_key(bench: Bench) -> Done:
    """Change one field of a record in place, in a leaf or in an interior page, and no field's type or size."""
    tree, page = _page(bench, least=1)
    if page.kind == TABLE_INTERIOR:
        raise EditError("no records")
    near = seqs_of(tree, page)
    position = bench.chance.randrange(page.count)
    fields = [field for field in page.fields(position) if field.size]
    field = pick(bench, fields)
    old = bytes(page.data[field.start : field.start + field.size])
    if isinstance(field.value, int):
        new = (int.from_bytes(old, "big") + bench.chance.choice([1, -1, 2, 256])) % 256**field.size
        page.data[field.start : field.start + field.size] = new.to_bytes(field.size, "big")
    else:
        page.data[field.start + bench.chance.randrange(field.size)] ^= bench.chance.choice([1, 2, 3, 0x20])
    bench.image.keep(page)
    what = f"{tree}, page {page.number}, cell {position}: field {field.value!r:.40} changed"
    return Done(what, near | seqs_of(tree, page))


def edit_rowid(bench: Bench) -> Done:
    """Change the rowid of a row."""
    tree, page = _page(bench, least=1)
    if page.kind != TABLE_LEAF:
        raise EditError("no rowids")
    near = seqs_of(tree, page)
    position = bench.chance.randrange(page.count)
    _, at = read_varint(page.data, page.pointers[position])
    key, end = read_varint(page.data, at)
    new = max(0, key + bench.chance.choice([-1, 1, 2, 50])) % 128 ** (end - at)
    page.data[at:end] = write_varint(new, end - at)
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: row {key} is row {new}", near | {new})


def _page(bench: Bench, *, least: int, indexes_only: bool = False) -> tuple[str, Page]:
    tree, pages = pick_tree(bench, indexes_only=indexes_only)
    return tree, pick(bench, [page for page in pages if page.count >= least])


def _rebuilt(bench: Bench, what: str, change: Callable[[list[bytes], int], list[bytes]]) -> Done:
    tree, page = _page(bench, least=2)
    near = seqs_of(tree, page)
    at = bench.chance.randrange(page.count)
    page.rebuild(change(page.cells(), at))
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}, cell {at}: {what}", near)


EDITS: dict[str, Edit] = {
    "cell pointers reversed": _pointers("reversed", _reversed),
    "cell pointers rotated": _pointers("rotated", _rotated),
    "cell pointers shuffled": _pointers("shuffled", _shuffled),
    "two cell pointers exchanged": _pointers("exchanged", _two_exchanged),
    "neighbouring cell pointers exchanged": _pointers("exchanged with neighbour", _neighbours_exchanged),
    "cell pointer dropped": _pointers("without one", _one_dropped),
    "cell pointer doubled": _pointers("with one twice", _one_doubled),
    "cell pointer astray": _pointers("with one astray", _one_astray),
    "number of cells changed": change_count,
    "cell dropped": drop_cell,
    "cell doubled": double_cell,
    "cell in another's place": copy_cell,
    "cells of two leaves exchanged": exchange_with_sibling,
    "cell of another index": exchange_between_indexes,
    "key edited": edit_key,
    "rowid edited": edit_rowid,
}
