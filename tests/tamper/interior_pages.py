"""Edits of the way down a B-tree: children, separators, roots."""

from tests.tamper.edit import Bench, Done, Edit, pick, pick_tree, seqs_of
from tests.tamper.pages import TABLE_INTERIOR, EditError, Page, write_varint


def exchange_children(bench: Bench) -> Done:
    """Exchange two children of one page."""
    tree, page = _interior(bench)
    one, other = bench.chance.sample(range(len(page.children)), 2)
    left, right = page.children[one], page.children[other]
    near = _near(bench, tree, left, right)
    page.set_child(one, right)
    page.set_child(other, left)
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: children {one} and {other} exchanged", near)


def child_twice(bench: Bench) -> Done:
    """Point to one child twice, and to another no more."""
    tree, page = _interior(bench)
    one, other = bench.chance.sample(range(len(page.children)), 2)
    near = _near(bench, tree, page.children[one], page.children[other])
    page.set_child(one, page.children[other])
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: child {other} also as child {one}", near)


def cycle(bench: Bench) -> Done:
    """Point to the page itself, or to the root of its B-tree."""
    tree, page = _interior(bench)
    root = bench.image.roots()[tree]
    position = bench.chance.randrange(len(page.children))
    near = _near(bench, tree, page.children[position])
    page.set_child(position, pick(bench, [root, page.number]))
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: child {position} is an ancestor", near)


def foreign_child(bench: Bench) -> Done:
    """Point to a page of another B-tree, to any page at all, or to none."""
    tree, page = _interior(bench)
    position = bench.chance.randrange(len(page.children))
    near = _near(bench, tree, page.children[position])
    _, others = pick_tree(bench)
    any_page = bench.chance.randint(1, bench.image.page_count)
    child = pick(bench, [pick(bench, others).number, any_page, 0, bench.image.page_count + 1, 2**31])
    page.set_child(position, child)
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: child {position} is page {child}", near)


def rightmost_changed(bench: Bench) -> Done:
    """Make another child the right-most one as well, or exchange it with the first."""
    tree, page = _interior(bench)
    last = len(page.children) - 1
    other = bench.chance.randrange(last)
    left, right = page.children[other], page.children[last]
    near = _near(bench, tree, left, right)
    page.set_rightmost(left)
    if bench.chance.random() < 0.5:
        page.set_child(other, right)
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: the right-most child is child {other}", near)


def drop_child(bench: Bench) -> Done:
    """Take a child with its separator out of a page, and leave the page sound."""
    tree, page = _interior(bench)
    cells = page.cells()
    at = bench.chance.randrange(len(cells) + 1)
    near = _near(bench, tree, page.children[at]) | seqs_of(tree, page)
    if at == len(cells):
        page.set_rightmost(page.children[at - 1])
        at -= 1
    page.rebuild(cells[:at] + cells[at + 1 :])
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: child {at} dropped", near)


def separator_moved(bench: Bench) -> Done:
    """Say that a child of a table ends earlier, or later, than it does."""
    tree, page = _interior(bench)
    if page.kind != TABLE_INTERIOR:
        raise EditError("no rowids in it")
    position = bench.chance.randrange(page.count)
    key, at, size = page.separator(position)
    new = key + bench.chance.choice([-1, 1, -2, 2, 5, -5, 50, -50])
    if not 0 <= new < 128**size:
        raise EditError("it does not fit")
    page.data[at : at + size] = write_varint(new, size)
    bench.image.keep(page)
    near = frozenset(range(max(0, min(key, new) - 1), max(key, new) + 2))
    return Done(f"{tree}, page {page.number}: separator {key} is {new}", near)


def separators_of_children_exchanged(bench: Bench) -> Done:
    """Exchange the keys of two cells of an interior page, and leave their children in place."""
    tree, page = _interior(bench)
    if page.count < 2:
        raise EditError("one separator")
    near = _near(bench, tree, *page.children[:40]) | seqs_of(tree, page)
    one, other = bench.chance.sample(range(page.count), 2)
    cells = page.cells()
    left, right = cells[one], cells[other]
    cells[one], cells[other] = left[:4] + right[4:], right[:4] + left[4:]
    page.rebuild(cells)
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: separators {one} and {other} exchanged", near)


def separator_of_a_leaf(bench: Bench) -> Done:
    """Exchange the key of an interior page of an index with one of a leaf."""
    tree, page = _interior(bench)
    if page.kind == TABLE_INTERIOR:
        raise EditError("a table's separators are no rows")
    position = bench.chance.randrange(page.count)
    leaf = bench.image.page(pick(bench, page.children))
    if leaf.interior or not leaf.count:
        raise EditError("no leaf")
    near = seqs_of(tree, page, leaf)
    at = bench.chance.randrange(leaf.count)
    above, below = page.cells(), leaf.cells()
    above[position], below[at] = above[position][:4] + below[at], above[position][4:]
    page.rebuild(above)
    leaf.rebuild(below)
    bench.image.keep(page, leaf)
    return Done(f"{tree}, page {page.number}: separator {position} exchanged with cell {at} of {leaf.number}", near)


def exchange_roots(bench: Bench) -> Done:
    """Exchange the roots of two B-trees, pages and all, so that each is found under the other's name."""
    tree, pages = pick_tree(bench)
    other_tree, others = pick_tree(bench)
    one, other = pages[0], others[0]
    if one.number == other.number:
        raise EditError("the same tree")
    near = seqs_of(tree, one) | seqs_of(other_tree, other)
    bench.image.put(one.number, other.data)
    bench.image.put(other.number, one.data)
    return Done(f"the roots of {tree} and {other_tree} exchanged", near)


def root_is_a_child(bench: Bench) -> Done:
    """Put a child's content in the place of its root."""
    tree, pages = pick_tree(bench, levels=2)
    child = pick(bench, pages[1:])
    near = seqs_of(tree, *pages[:20])
    bench.image.put(pages[0].number, child.data)
    return Done(f"{tree}: its root is page {child.number}", near)


def emptied(bench: Bench) -> Done:
    """Take all cells out of a leaf, or out of a whole B-tree."""
    tree, pages = pick_tree(bench)
    page = pick(bench, [page for page in pages if not page.interior and page.count])
    near = seqs_of(tree, page)
    page.rebuild([])
    bench.image.keep(page)
    return Done(f"{tree}, page {page.number}: no cells", near)


def _interior(bench: Bench) -> tuple[str, Page]:
    tree, pages = pick_tree(bench, levels=2)
    return tree, pick(bench, [page for page in pages if page.interior and page.count])


def _near(bench: Bench, tree: str, *children: int) -> frozenset[int]:
    return seqs_of(tree, *(bench.image.page(child) for child in children))


EDITS: dict[str, Edit] = {
    "children exchanged": exchange_children,
    "child twice": child_twice,
    "child is an ancestor": cycle,
    "child of elsewhere": foreign_child,
    "right-most child changed": rightmost_changed,
    "child dropped": drop_child,
    "separator moved": separator_moved,
    "separators exchanged": separators_of_children_exchanged,
    "separator exchanged with a leaf's key": separator_of_a_leaf,
    "roots exchanged": exchange_roots,
    "root is a child": root_is_a_child,
    "leaf emptied": emptied,
}
