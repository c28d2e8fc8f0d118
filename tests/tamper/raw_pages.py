"""Edits that know nothing but pages and bytes."""

from tests.tamper.edit import Bench, Done, Edit, pick
from tests.tamper.image import Image
from tests.tamper.pages import FILE_HEADER_BYTES, PAGE_BYTES, EditError

SECTOR_BYTES = 512


def flip_bits(bench: Bench) -> Done:
    """Flip one bit, or a few of one page."""
    number = _any_page(bench)
    page = bench.image.raw(number)
    bits = [bench.chance.randrange(8 * PAGE_BYTES) for _ in range(bench.chance.choice([1, 1, 1, 2, 8]))]
    for bit in bits:
        page[bit // 8] ^= 1 << bit % 8
    bench.image.put(number, page)
    return Done(f"bits {bits} of page {number} flipped")


def flip_a_used_bit(bench: Bench) -> Done:
    """Flip a bit of a byte that is not zero: content, as a rule."""
    number = _any_page(bench)
    page = bench.image.raw(number)
    at = pick(bench, [offset for offset in range(PAGE_BYTES) if page[offset]])
    page[at] ^= 1 << bench.chance.randrange(8)
    bench.image.put(number, page)
    return Done(f"a bit of byte {at} of page {number} flipped")


def overwrite_bytes(bench: Bench) -> Done:
    """Overwrite a run of bytes by chance, zeros, or bytes of elsewhere."""
    number, chance = _any_page(bench), bench.chance
    page, size = bench.image.raw(number), chance.choice([1, 2, 4, 8, 16, 64, 512])
    at = chance.randrange(PAGE_BYTES - size)
    run = pick(bench, [chance.randbytes(size), bytes(size), bytes(bench.image.raw(_any_page(bench))[at : at + size])])
    page[at : at + size] = run
    bench.image.put(number, page)
    return Done(f"{size} bytes at {at} of page {number} overwritten")


def zero_page(bench: Bench) -> Done:
    """Make a page all zeros."""
    number = _any_page(bench)
    bench.image.put(number, bytes(PAGE_BYTES))
    return Done(f"page {number} zeroed")


def swap_pages(bench: Bench) -> Done:
    """Exchange two pages."""
    one, other = _two_pages(bench)
    left, right = bench.image.raw(one), bench.image.raw(other)
    bench.image.put(one, right)
    bench.image.put(other, left)
    return Done(f"pages {one} and {other} exchanged")


def copy_page(bench: Bench) -> Done:
    """Copy a page over another."""
    one, other = _two_pages(bench)
    bench.image.put(other, bench.image.raw(one))
    return Done(f"page {one} copied over page {other}")


def older_page(bench: Bench) -> Done:
    """Put a page back as it was in an older state of the ledger."""
    number, old = _older(bench)
    bench.image.put(number, old)
    return Done(f"page {number} as it was before")


def torn_page(bench: Bench) -> Done:
    """Put some sectors of a page back as they were in an older state of the ledger."""
    number, old = _older(bench)
    page = bench.image.raw(number)
    at = bench.chance.randrange(PAGE_BYTES // SECTOR_BYTES) * SECTOR_BYTES
    page[at : at + SECTOR_BYTES] = old[at : at + SECTOR_BYTES]
    bench.image.put(number, page)
    return Done(f"sector at {at} of page {number} as it was before")


def _any_page(bench: Bench) -> int:
    return bench.chance.randint(1, bench.image.page_count)


def _two_pages(bench: Bench) -> tuple[int, int]:
    one, other = bench.chance.sample(range(1, bench.image.page_count + 1), 2)
    return one, other


def _older(bench: Bench) -> tuple[int, bytearray]:
    before = Image.of(bench.base.states["older"])
    for _ in range(20):
        number = bench.chance.randint(1, before.page_count)
        old, new = before.raw(number), bench.image.raw(number)
        skip = FILE_HEADER_BYTES if number == 1 else 0
        if old[skip:] != new[skip:]:
            return number, old
    raise EditError("no page has changed")


EDITS: dict[str, Edit] = {
    "bits flipped": flip_bits,
    "a used bit flipped": flip_a_used_bit,
    "bytes overwritten": overwrite_bytes,
    "page zeroed": zero_page,
    "pages exchanged": swap_pages,
    "page copied over another": copy_page,
    "page of an older state": older_page,
    "sector of an older state": torn_page,
}
