"""Edits of the fields of a database's header."""

from tests.tamper.edit import Bench, Done, Edit, pick, pick_tree, seqs_of
from tests.tamper.pages import FILE_HEADER_BYTES, PAGE_BYTES

# Name, offset, size in bytes.
FIELDS = {
    "magic": (0, 16),
    "page size": (16, 2),
    "write version": (18, 1),
    "read version": (19, 1),
    "reserved bytes": (20, 1),
    "largest payload fraction": (21, 1),
    "smallest payload fraction": (22, 1),
    "leaf payload fraction": (23, 1),
    "change counter": (24, 4),
    "page count": (28, 4),
    "first free page": (32, 4),
    "free pages": (36, 4),
    "schema cookie": (40, 4),
    "schema format": (44, 4),
    "cache size": (48, 4),
    "largest root page": (52, 4),
    "encoding": (56, 4),
    "user version": (60, 4),
    "incremental vacuum": (64, 4),
    "application id": (68, 4),
    "reserved": (72, 20),
    "version valid for": (92, 4),
    "SQLite version": (96, 4),
}


def edit_field(bench: Bench) -> Done:
    """Change one field, to something near what it is or to anything."""
    name = pick(bench, sorted(FIELDS))
    start, size = FIELDS[name]
    page = bench.image.raw(1)
    old = int.from_bytes(page[start : start + size], "big")
    chance = bench.chance
    choices = [old + 1, old - 1, old * 2, 0, 1, 2, 3, chance.randrange(256**size), 256**size - 1]
    new = pick(bench, choices) % 256**size
    page[start : start + size] = new.to_bytes(size, "big")
    bench.image.put(1, page)
    return Done(f"header: {name} {old:#x} is {new:#x}")


def free_page_in_use(bench: Bench) -> Done:
    """Name a page in use in the list of free pages, so that the next write takes it."""
    tree, pages = pick_tree(bench)
    victim = pick(bench, pages)
    page = bench.image.raw(1)
    count = pick(bench, [1, 1, 2, 50])
    page[32:40] = victim.number.to_bytes(4, "big") + count.to_bytes(4, "big")
    bench.image.put(1, page)
    return Done(f"header: page {victim.number} of {tree} is free", seqs_of(tree, victim))


def free_list_of_pages_in_use(bench: Bench) -> Done:
    """Append a trunk page to the free list that names pages in use."""
    tree, pages = pick_tree(bench)
    victims = [page.number for page in bench.chance.sample(pages, min(len(pages), 10))]
    trunk = bench.image.page_count + 1
    content = b"".join(number.to_bytes(4, "big") for number in (0, len(victims), *victims))
    at = (trunk - 1) * PAGE_BYTES
    bench.image.main[len(bench.image.main) :] = bytes(at + PAGE_BYTES - len(bench.image.main))
    bench.image.main[at:] = content.ljust(PAGE_BYTES, b"\0")
    page = bench.image.raw(1)
    page[28:40] = b"".join(number.to_bytes(4, "big") for number in (trunk, trunk, 1 + len(victims)))
    page[92:96] = page[24:28]
    bench.image.put(1, page)
    return Done(f"header: pages {victims} of {tree} are free")


def cut_file(bench: Bench) -> Done:
    """Cut the file, at a page or inside one, or make it longer."""
    pages = len(bench.image.main) // PAGE_BYTES
    size = pick(
        bench,
        [
            bench.chance.randrange(pages) * PAGE_BYTES,
            bench.chance.randrange(pages * PAGE_BYTES),
            (pages - 1) * PAGE_BYTES,
            FILE_HEADER_BYTES,
            (pages + 3) * PAGE_BYTES,
        ],
    )
    bench.image.main[size:] = bytes(max(0, size - len(bench.image.main)))
    return Done(f"file of {size} bytes")


def rollback_journal(bench: Bench) -> Done:
    """Put a journal of a crash that never was beside the file: SQLite rolls it back into the file."""
    older = bench.base.states["older"].main
    number = bench.chance.randint(1, len(older) // PAGE_BYTES)
    content = older[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]
    nonce = bench.chance.randrange(2**32)
    sum_ = (nonce + sum(content[at] for at in range(PAGE_BYTES - 200, 0, -200))) % 2**32
    header = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"".join(
        n.to_bytes(4, "big") for n in (1, nonce, len(bench.image.main) // PAGE_BYTES, 512, PAGE_BYTES)
    )
    record = number.to_bytes(4, "big") + content + sum_.to_bytes(4, "big")
    bench.image.beside["-journal"] = header.ljust(512, b"\0") + record
    return Done(f"a rollback journal with page {number} as it was before")


def shared_memory(bench: Bench) -> Done:
    """Leave a file of shared memory that says anything."""
    bench.image.beside["-shm"] = pick(bench, [bytes(32_768), bench.chance.randbytes(32_768), b"", b"x"])
    return Done("shared memory with anything in it")


EDITS: dict[str, Edit] = {
    "header field": edit_field,
    "free list of a page in use": free_page_in_use,
    "free list of pages in use": free_list_of_pages_in_use,
    "file cut": cut_file,
    "rollback journal beside": rollback_journal,
    "shared memory beside": shared_memory,
}
