"""The model of the disk, and what a power cut leaves of it, by small examples and by properties."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.powercut.disk import Disk, File, Resize, Write, apply
from tests.powercut.log import Kind, Operation
from tests.powercut.survival import SECTOR_BYTES, Choice, Image, Laws, Pattern, Shape, image_of, sectors
from tests.powercut.survival import surviving_content as surviving

A, B = 11, 12
CREATE_A = Operation(Kind.CREATE, A, path="a")
CREATE_B = Operation(Kind.CREATE, B, path="b")
WRITE_A = Operation(Kind.WRITE, A, data=b"new")
SYNC_A = Operation(Kind.SYNC, A)
SYNC_FOLDER = Operation(Kind.SYNC_DIRECTORY)
DRAWS = 300


def _disk(*operations: Operation, beginning: dict[str, tuple[int, bytes]] | None = None) -> Disk:
    disk = Disk(beginning or {})
    for operation in operations:
        disk.apply(operation)
    return disk


def _images(disk: Disk, laws: Laws, shape: Shape = Shape.ANYTHING) -> list[Image]:
    return [image_of(disk, Choice(laws, shape), Random(seed)) for seed in range(DRAWS)]


def _name_sets(disk: Disk, laws: Laws) -> set[frozenset[str]]:
    return {frozenset(image) for image in _images(disk, laws)}


@pytest.mark.parametrize("laws", Laws)
def test_what_is_synced_is_there(laws: Laws) -> None:
    disk = _disk(CREATE_A, WRITE_A, SYNC_A, SYNC_FOLDER)
    for shape in Shape:
        assert all(image == {"a": b"new"} for image in _images(disk, laws, shape))


@pytest.mark.parametrize("laws", Laws)
def test_what_is_not_synced_may_be_there(laws: Laws) -> None:
    disk = _disk(WRITE_A, beginning={"a": (A, b"old")})
    assert {image["a"] for image in _images(disk, laws)} == {b"old", b"new"}


def test_a_sync_covers_what_came_before_it_only() -> None:
    later = Operation(Kind.WRITE, A, offset=3, data=b"er")
    disk = _disk(CREATE_A, WRITE_A, SYNC_A, SYNC_FOLDER, later)
    assert {image["a"] for image in _images(disk, Laws.UNORDERED)} == {b"new", b"new\0\0", b"newer"}


@pytest.mark.parametrize(("laws", "sets"), [(Laws.JOURNALED, {"a"}), (Laws.ORDERED, {"", "a"})])
def test_a_synced_file_has_its_name_where_there_is_a_journal(laws: Laws, sets: set[str]) -> None:
    disk = _disk(CREATE_A, WRITE_A, SYNC_A)
    assert _name_sets(disk, laws) == {frozenset(names) for names in sets}


def test_names_come_in_order_or_not() -> None:
    disk = _disk(CREATE_A, CREATE_B)
    in_order = {frozenset(names) for names in ("", "a", "ab")}
    assert _name_sets(disk, Laws.ORDERED) == in_order
    assert _name_sets(disk, Laws.JOURNALED) == in_order
    assert _name_sets(disk, Laws.UNORDERED) == in_order | {frozenset("b")}


def test_a_journal_keeps_the_names_before_that_of_a_synced_file() -> None:
    disk = _disk(CREATE_A, CREATE_B, Operation(Kind.SYNC, B))
    assert _name_sets(disk, Laws.JOURNALED) == {frozenset("ab")}


@pytest.mark.parametrize("laws", Laws)
def test_a_name_may_come_before_its_content(laws: Laws) -> None:
    disk = _disk(CREATE_A, WRITE_A, SYNC_FOLDER)
    assert {image["a"] for image in _images(disk, laws)} == {b"", b"\0\0\0", b"new"}
    assert all(image == {"a": b""} for image in _images(disk, laws, Shape.NAMES_WITHOUT_CONTENT))
    assert all(image == {"a": b"\0\0\0"} for image in _images(disk, laws, Shape.NAMES_WITH_ZEROS))


@pytest.mark.parametrize("laws", Laws)
def test_a_rename_leaves_the_old_or_the_new(laws: Laws) -> None:
    rename = Operation(Kind.RENAME, path="b", other="a")
    disk = _disk(rename, beginning={"a": (A, b"old"), "b": (B, b"new")})
    images = _images(disk, laws)
    assert {"a": b"old", "b": b"new"} in images
    assert {"a": b"new"} in images
    assert all(image in ({"a": b"old", "b": b"new"}, {"a": b"new"}) for image in images)


@pytest.mark.parametrize("laws", Laws)
def test_links_and_unlinks(laws: Laws) -> None:
    disk = _disk(
        Operation(Kind.LINK, path="a", other="b"), Operation(Kind.UNLINK, path="a"), beginning={"a": (A, b"content")}
    )
    assert disk.current() == {"b": b"content"}
    names = _name_sets(disk, laws)
    assert {frozenset("a"), frozenset("ab"), frozenset("b")} <= names
    assert (frozenset() in names) == (laws is Laws.UNORDERED)
    disk.apply(SYNC_FOLDER)
    assert _name_sets(disk, laws) == {frozenset("b")}


def test_an_inode_is_used_again() -> None:
    disk = _disk(CREATE_A, WRITE_A, Operation(Kind.UNLINK, path="a"), Operation(Kind.CREATE, A, path="b"))
    assert disk.current() == {"b": b""}


def test_shared_memory_takes_no_part() -> None:
    shared = Operation(Kind.CREATE, A, path="a-shm")
    assert _disk(shared, WRITE_A, Operation(Kind.UNLINK, path="a-shm")).current() == {}
    assert Disk({"a-shm": (A, b"content")}).current() == {}


def test_folders_are_not_in_the_model() -> None:
    with pytest.raises(AssertionError, match="no folders"):
        _disk(Operation(Kind.CREATE, A, path="folder/a"))


def test_ignored_syncs_do_nothing() -> None:
    disk = Disk({"a": (A, b"old")}, ignores_sync=lambda name: name == "a")
    disk.apply(WRITE_A)
    disk.apply(SYNC_A)
    assert {"a": b"old"} in _images(disk, Laws.JOURNALED)


def test_a_write_is_torn_at_sectors() -> None:
    write = Write(SECTOR_BYTES - 2, b"x" * (SECTOR_BYTES + 4))
    assert sectors(write) == [Write(510, b"x" * 2), Write(512, b"x" * 512), Write(1_024, b"x" * 2)]
    file = File(bytearray(3 * SECTOR_BYTES), [Write(0, b"x" * 3 * SECTOR_BYTES)])
    whole = {b"x" * SECTOR_BYTES, bytes(SECTOR_BYTES)}
    seen = set()
    for seed in range(DRAWS):
        content = surviving(file, Pattern.SUBSET, Laws.JOURNALED, Random(seed))
        parts = [content[at : at + SECTOR_BYTES] for at in range(0, len(content), SECTOR_BYTES)]
        assert set(parts) <= whole
        seen.add(content)
    assert len(seen) == 8


def test_a_shrunk_file_shows_later_writes_only_if_it_has_shrunk() -> None:
    file = File(bytearray(b"long old"), [Resize(0), Write(0, b"new")])
    contents = {surviving(file, Pattern.SUBSET, Laws.JOURNALED, Random(seed)) for seed in range(DRAWS)}
    assert contents == {b"long old", b"", b"\0\0\0", b"new"}
    contents = {surviving(file, Pattern.SUBSET, Laws.UNORDERED, Random(seed)) for seed in range(DRAWS)}
    assert contents == {b"long old", b"", b"\0\0\0", b"new", b"newg old"}


CHANGES = st.lists(
    st.one_of(
        st.builds(Write, st.integers(0, 3_000), st.binary(min_size=1, max_size=1_500)),
        st.builds(Resize, st.integers(0, 3_000)),
    ),
    max_size=8,
)


@given(st.binary(max_size=2_000), CHANGES, st.sampled_from(Pattern), st.sampled_from(Laws), st.integers())
def test_every_byte_was_written_once_or_is_zero(
    durable: bytes, changes: list[Write | Resize], pattern: Pattern, laws: Laws, seed: int
) -> None:
    file = File(bytearray(durable), list(changes))
    content = surviving(file, pattern, laws, Random(seed))
    assert content == surviving(file, pattern, laws, Random(seed)), "one seed, one image"
    states = [bytearray(durable)]
    for change in changes:
        states.append(bytearray(states[-1]))
        apply(states[-1], change)
    assert len(content) <= max(map(len, states))
    for at, byte in enumerate(content):
        assert byte == 0 or any(at < len(state) and state[at] == byte for state in states)


@given(st.binary(max_size=2_000), CHANGES, st.sampled_from(Laws), st.integers())
def test_nothing_and_everything(durable: bytes, changes: list[Write | Resize], laws: Laws, seed: int) -> None:
    file = File(bytearray(durable), list(changes))
    assert surviving(file, Pattern.NONE, laws, Random(seed)) == durable
    assert surviving(file, Pattern.ALL, laws, Random(seed)) == bytes(file.current())
    file.sync()
    assert all(surviving(file, pattern, laws, Random(seed)) == bytes(file.durable) for pattern in Pattern)
