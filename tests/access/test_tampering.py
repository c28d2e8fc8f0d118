"""A table of grants that somebody edited: opening refuses it or nothing is gained, verify tells, rebuild restores."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.access.conftest import ADMIN, ALICE, APP, BOB, BUILT_IN, CAROL, ISSUER, STRANGER, access_of, open_ledger
from tests.storage.ledgers import copy_ledger, kept
from tests.storage.stranger import Stranger

from nucleus import (
    AccessDeniedError,
    ConfigError,
    DatabaseError,
    IntegrityError,
    Ledger,
    QueryFilters,
    Record,
    RecordRefusedError,
    RequestContext,
    SchemaVersionError,
    create_ledger,
    sqlite_storage,
)
from nucleus.access import AccessConfig, AclGrant, ResourcePredicate, Scope

PRINCIPALS = (ALICE, BOB, CAROL, ISSUER, APP, STRANGER)
RESOURCES = tuple(
    ResourcePredicate(kind, name)
    for kind, ids in {"notes": ("n-1", "n-2", "n-0", None), "asset": ("a-1", None), "connect_grant": ("c-1",)}.items()
    for name in ids
)
SCOPES: tuple[Scope, ...] = ("read", "write", "full")
LAST_SECOND = 4_000_000_000

COLUMNS = "resource_kind, resource_id, principal_oid, scope, source, granted_by, exp, created_at, seq"
BOBS = f"principal_oid = '{BOB.oid}' AND resource_id = 'n-1'"


def planted(
    kind: str = "notes",
    id: str = "n-1",
    principal: RequestContext = STRANGER,
    *,
    scope: str = "full",
    source: str = "grant",
    by: RequestContext = ALICE,
    exp: str = "NULL",
    seq: int = 2,
) -> str:
    """Put a row into the table that no entry implies."""
    return (
        f"INSERT INTO acl_grants({COLUMNS}) VALUES ('{kind}', '{id}', '{principal.oid}', '{scope}', '{source}', "
        f"'{by.oid}', {exp}, 1700000000000, {seq})"
    )


def fill(ledger: Ledger) -> None:
    """Grants of every source: live, expired and ended."""
    access = access_of(ledger)
    ledger.append(Record("n-1", "notes", {}), ALICE)  # 0
    ledger.append(Record("n-2", "notes", {}), CAROL)  # 1
    access.grant(AclGrant("notes", "n-1", BOB.oid, "read"), ALICE)  # 2
    access.grant(AclGrant("notes", "n-1", CAROL.oid, "write", exp=LAST_SECOND), ALICE)  # 3
    access.grant(AclGrant("notes", "n-1", APP.oid, "full", exp=1), ALICE)  # 4
    access.grant(AclGrant("notes", "n-1", ISSUER.oid, "full"), ALICE)  # 5
    access.revoke(AclGrant("notes", "n-1", ISSUER.oid, "full"), ALICE)  # 6
    access.grant(AclGrant("notes", "*", ISSUER.oid, "read"), ADMIN)  # 7
    ledger.modules.get("asset").register("a-1", owner_oid=ALICE.oid, issuer_oid=ISSUER.oid, context=CAROL)  # 8
    ledger.modules.get("asset").transfer("a-1", to_oid=BOB.oid, context=ALICE)  # 9
    ledger.modules.get("connect").grant(
        "c-1", subject_oid=ALICE.oid, app_oid=APP.oid, scopes=["mail"], exp=LAST_SECOND, context=ALICE
    )  # 10
    ledger.redact(ledger.append(Record("n-2", "notes", {"n": 2}), CAROL).hash, "asked for", CAROL)  # 11, 12


def answers(ledger: Ledger) -> str:
    """Whatever the table decides, for every principal, as a text to compare."""
    access = access_of(ledger)
    return json.dumps(
        {
            "check": {
                f"{who.oid} {scope}": access.check_many(who.oid, scope, RESOURCES)
                for who in PRINCIPALS
                for scope in SCOPES
            },
            "seen": {who.oid: [entry.seq for entry in ledger.entries(who)] for who in PRINCIPALS},
            "total": {who.oid: ledger.query(QueryFilters(with_total=True), who).total for who in PRINCIPALS},
            "on": [str(access.grants_on(resource, context=ADMIN)) for resource in RESOURCES],
            "of": [str(access.grants_of(who.oid, context=ADMIN)) for who in PRINCIPALS],
        },
        indent=1,
    )


def could_create(ledger: Ledger, who: RequestContext) -> bool:
    """Whether somebody may append the first entry of a note; done, it stays."""
    try:
        ledger.append(Record("n-0", "notes", {}), who)
    except AccessDeniedError:
        return False
    return True


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """Another process with another SQLite library."""
    with Stranger() as running:
        yield running


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    with open_ledger(path) as ledger:
        fill(ledger)
    return path


@pytest.fixture(scope="module")
def true_answers(template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    with open_ledger(copy_ledger(template, tmp_path_factory.mktemp("answers"))) as ledger:
        return answers(ledger)


@pytest.fixture
def closed(template: Path, tmp_path: Path) -> Path:
    """A closed ledger with grants of every source."""
    return copy_ledger(template, tmp_path / "closed")


def open_unverified(path: Path) -> Ledger:
    return create_ledger(
        storage=sqlite_storage(path),
        modules=BUILT_IN,
        access=AccessConfig(ADMIN.oid),
        verify_on_open=False,
    )


def test_the_sample_has_grants_of_every_source(closed: Path, stranger: Stranger) -> None:
    rows = stranger.query(closed, "SELECT DISTINCT source FROM acl_grants ORDER BY source")
    assert rows == [["app"], ["creator"], ["grant"], ["issuer"], ["owner"], ["subject"]]
    assert stranger.query(closed, "SELECT covered_below FROM acl_projection") == [[13]]


# Edits that change what counts.

REFUSED: dict[str, list[str]] = {
    "a grant planted": [planted()],
    "a grant planted of a lower scope": [planted(scope="read")],
    "a grant planted by the administrator": [planted(by=ADMIN)],
    "a grant planted that expires": [planted(exp=str(LAST_SECOND))],
    "a grant planted on the whole kind": [planted(id="*")],
    "a grant planted on what does not exist": [planted(id="n-0")],
    "a grant planted of an entry that does not exist": [planted(seq=999)],
    "a grant planted of the entry of a revocation": [planted(principal=ISSUER, seq=6)],
    "a creator planted": [planted(source="creator", by=STRANGER, seq=0)],
    "an owner planted": [planted("asset", "a-1", source="owner", seq=9)],
    "the former owner planted": [planted("asset", "a-1", ALICE, source="owner", by=ALICE, seq=8)],
    "a second grant to somebody who has one": [planted(principal=BOB, scope="read", by=CAROL)],
    "a grant taken away": [f"DELETE FROM acl_grants WHERE {BOBS}"],
    "a creator taken away": ["DELETE FROM acl_grants WHERE source = 'creator' AND resource_id = 'n-1'"],
    "an owner taken away": ["DELETE FROM acl_grants WHERE source = 'owner'"],
    "all grants taken away": ["DELETE FROM acl_grants"],
    "a grant swapped for another": [f"DELETE FROM acl_grants WHERE {BOBS}", planted(scope="read")],
    "another kind": [f"UPDATE acl_grants SET resource_kind = 'lists' WHERE {BOBS}"],
    "another id": [f"UPDATE acl_grants SET resource_id = 'n-2' WHERE {BOBS}"],
    "the whole kind": [f"UPDATE acl_grants SET resource_id = '*' WHERE {BOBS}"],
    "an id that differs by case": [f"UPDATE acl_grants SET resource_id = 'N-1' WHERE {BOBS}"],
    "another principal": [f"UPDATE acl_grants SET principal_oid = '{STRANGER.oid}' WHERE {BOBS}"],
    "a principal that differs by case": [f"UPDATE acl_grants SET principal_oid = upper(principal_oid) WHERE {BOBS}"],
    "another scope": [f"UPDATE acl_grants SET scope = 'full' WHERE {BOBS}"],
    "no known scope": [f"UPDATE acl_grants SET scope = 'Read' WHERE {BOBS}"],
    "another source": [f"UPDATE acl_grants SET source = 'creator' WHERE {BOBS}"],
    "no known source": [f"UPDATE acl_grants SET source = 'gift' WHERE {BOBS}"],
    "another granter": [f"UPDATE acl_grants SET granted_by = '{ADMIN.oid}' WHERE {BOBS}"],
    "an exp added": [f"UPDATE acl_grants SET exp = {LAST_SECOND} WHERE {BOBS}"],
    "an exp taken away": [f"UPDATE acl_grants SET exp = NULL WHERE exp = {LAST_SECOND} AND source = 'grant'"],
    "an exp put off": [f"UPDATE acl_grants SET exp = exp + 1 WHERE exp = {LAST_SECOND} AND source = 'app'"],
    "an exp put back into the past": [f"UPDATE acl_grants SET exp = 1 WHERE exp = {LAST_SECOND} AND source = 'grant'"],
    "an expired grant revived": ["UPDATE acl_grants SET exp = NULL WHERE exp = 1"],
    "another time": [f"UPDATE acl_grants SET created_at = created_at + 1 WHERE {BOBS}"],
    "another entry": [f"UPDATE acl_grants SET seq = 3 WHERE {BOBS}"],
    "a negative entry": [f"UPDATE acl_grants SET seq = -1 WHERE {BOBS}"],
    "two swapped": [
        f"UPDATE acl_grants SET principal_oid = CASE principal_oid WHEN '{ALICE.oid}' THEN '{CAROL.oid}' "
        f"ELSE '{ALICE.oid}' END WHERE source = 'creator'"
    ],
    "a planted grant in entries said to be uncovered": [planted(), "UPDATE acl_projection SET covered_below = 2"],
    "a planted grant in a table said to cover nothing": [planted(), "UPDATE acl_projection SET covered_below = 0"],
    "a planted grant in a table said to cover less than nothing": [
        planted(),
        "UPDATE acl_projection SET covered_below = -5",
    ],
    "a table said to cover more than there is": ["UPDATE acl_projection SET covered_below = 14"],
    "a table said to cover all there will ever be": ["UPDATE acl_projection SET covered_below = 9223372036854775807"],
    "a revoked grant put back as if its revocation were to come": [
        planted(principal=ISSUER, by=BOB, seq=5),
        "UPDATE acl_projection SET covered_below = 6",
    ],
}


@pytest.mark.parametrize("edits", REFUSED.values(), ids=REFUSED)
def test_opening_refuses_altered_grants(closed: Path, stranger: Stranger, edits: list[str]) -> None:
    for edit in edits:
        stranger.edit(closed, edit)
    before = kept(closed)
    with pytest.raises(IntegrityError, match="rebuild") as caught:
        open_ledger(closed)
    report = caught.value.report
    assert report is not None
    assert not report.valid
    assert set(report.counts) == {"grant_mismatch"}
    assert {error.kind for error in report.errors} == {"grant_mismatch"}
    assert kept(closed) == before, "a refused ledger stays as it was"


@pytest.mark.parametrize("edits", REFUSED.values(), ids=REFUSED)
def test_rebuild_restores_altered_grants(closed: Path, stranger: Stranger, true_answers: str, edits: list[str]) -> None:
    for edit in edits:
        stranger.edit(closed, edit)
    with open_unverified(closed) as ledger:
        for who in (ALICE, STRANGER):
            with pytest.raises(AccessDeniedError):
                access_of(ledger).rebuild(who)
        access_of(ledger).rebuild(ADMIN)
        assert answers(ledger) == true_answers
        assert ledger.verify(deep=True).valid
    with open_ledger(closed) as ledger:
        assert answers(ledger) == true_answers
        assert could_create(ledger, STRANGER)


@pytest.mark.parametrize("edits", REFUSED.values(), ids=REFUSED)
def test_verification_of_an_open_ledger_reports_them(closed: Path, stranger: Stranger, edits: list[str]) -> None:
    with open_ledger(closed) as ledger:
        assert ledger.verify().valid
        stranger.script(closed, *edits)
        for deep in (False, True):
            report = ledger.verify(deep=deep)
            assert not report.valid
            assert report.counts["grant_mismatch"] >= 1
            assert set(report.counts) == {"grant_mismatch"}
        access_of(ledger).rebuild(ADMIN)
        assert ledger.verify(deep=True).valid


def test_the_report_names_what_is_wrong(closed: Path, stranger: Stranger) -> None:
    stranger.edit(closed, planted(), f"DELETE FROM acl_grants WHERE {BOBS}")
    with open_unverified(closed) as ledger:
        report = ledger.verify()
    first, second = sorted(report.errors, key=lambda error: str(error.actual))
    assert (second.seq, second.record_id) == (2, "n-1")
    assert STRANGER.oid in str(second.actual)
    assert first.seq == 2
    assert "missing" in str(first.actual)


def test_without_verification_an_altered_table_is_found_by_verify(closed: Path, stranger: Stranger) -> None:
    stranger.edit(closed, planted())
    with open_unverified(closed) as ledger:
        assert ledger.verify().counts == {"grant_mismatch": 1}
        assert access_of(ledger).explain(STRANGER.oid, "read", RESOURCES[0], context=ADMIN).allowed is False, (
            "it is told from the chain"
        )


# Edits by which nothing is gained: opening may refuse them, or must put them right.

HARMLESS: dict[str, list[str]] = {
    "the state cleared": ["DELETE FROM acl_projection"],
    "the state cleared, a grant planted": [planted(), "DELETE FROM acl_projection"],
    "the state cleared, a grant planted on a kind": [planted(id="*"), "DELETE FROM acl_projection"],
    "the state cleared, a creator planted": [
        planted(source="creator", by=STRANGER, seq=0),
        "DELETE FROM acl_projection",
    ],
    "the state cleared, a malformed grant planted": [planted(scope="Full"), "DELETE FROM acl_projection"],
    "the state cleared, a grant planted to whom it is granted anyway": [
        f"UPDATE acl_grants SET exp = NULL, seq = 0 WHERE exp = {LAST_SECOND}",
        "DELETE FROM acl_projection",
    ],
    "the state and all grants cleared": ["DELETE FROM acl_projection", "DELETE FROM acl_grants"],
    "less said to be covered": ["UPDATE acl_projection SET covered_below = 12"],
    "nothing said to be covered": ["UPDATE acl_projection SET covered_below = 0"],
    "less than nothing said to be covered": ["UPDATE acl_projection SET covered_below = -1"],
    "less said to be covered, and the later grants taken away": [
        "UPDATE acl_projection SET covered_below = 7",
        "DELETE FROM acl_grants WHERE seq >= 7",
    ],
    "nothing said to be covered, and all grants taken away": [
        "UPDATE acl_projection SET covered_below = 0",
        "DELETE FROM acl_grants",
    ],
    "no kinds": ["UPDATE acl_projection SET kinds = '{}'"],
    "no kinds, a grant planted": [planted(), "UPDATE acl_projection SET kinds = '{}'"],
    "the kinds of one module missing": ['UPDATE acl_projection SET kinds = \'{"assets":"asset"}\''],
    "another kind of assets": [
        """UPDATE acl_projection SET kinds = replace(kinds, '"assets":"asset"', '"assets":"notes"')"""
    ],
    "another kind of assets, a grant planted": [
        planted(),
        """UPDATE acl_projection SET kinds = replace(kinds, '"assets":"asset"', '"assets":"notes"')""",
    ],
    "a stream more": ["""UPDATE acl_projection SET kinds = replace(kinds, '{', '{"aaa":"bbb",')"""],
    "notes of a kind": ["""UPDATE acl_projection SET kinds = replace(kinds, '}', ',"xnotes":"notes"}')"""],
    "kinds with white space": ["UPDATE acl_projection SET kinds = replace(kinds, ',', ', ')"],
    "kinds that are empty": ["UPDATE acl_projection SET kinds = ''"],
    "kinds that are garbage": ["UPDATE acl_projection SET kinds = 'garbage'"],
    "kinds that are cut off": ["UPDATE acl_projection SET kinds = substr(kinds, 1, 20)"],
    "kinds that are a list": ["UPDATE acl_projection SET kinds = '[]'"],
    "kinds that are numbers": ["UPDATE acl_projection SET kinds = '{\"assets\":1}'"],
    "kinds that are garbage, a grant planted": [planted(), "UPDATE acl_projection SET kinds = 'garbage'"],
    "an expired grant planted": [planted(exp="1")],
    "an expired grant planted on what does not exist": [planted(id="n-0", exp="1")],
    "an expired grant taken away": ["DELETE FROM acl_grants WHERE exp = 1"],
    "an expired grant given to another": [f"UPDATE acl_grants SET principal_oid = '{STRANGER.oid}' WHERE exp = 1"],
    "an expired malformed grant planted": [planted(scope="Full", source="gift", exp="1", seq=-3)],
}


@pytest.mark.parametrize("edits", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_gained(closed: Path, stranger: Stranger, true_answers: str, edits: list[str]) -> None:
    for edit in edits:
        stranger.edit(closed, edit)
    before = kept(closed)
    try:
        ledger = open_ledger(closed)
    except (IntegrityError, ConfigError, DatabaseError):
        assert kept(closed) == before
        return
    with ledger:
        assert answers(ledger) == true_answers
        assert ledger.verify(deep=True).valid
        assert could_create(ledger, STRANGER), "a row that no entry implies reserves nothing"


@pytest.mark.parametrize("edits", HARMLESS.values(), ids=HARMLESS)
def test_rebuild_restores_whatever_was_done_to_them(
    closed: Path, stranger: Stranger, true_answers: str, edits: list[str]
) -> None:
    for edit in edits:
        stranger.edit(closed, edit)
    with open_unverified(closed) as ledger:
        access_of(ledger).rebuild(ADMIN)
        assert answers(ledger) == true_answers
        assert ledger.verify(deep=True).valid
        rows = "SELECT count(*) FROM acl_grants WHERE exp = 1"
        assert stranger.query(closed, rows) == [[1]], "what expired is in it as the chain says"
    with open_ledger(closed) as ledger:
        assert answers(ledger) == true_answers


def test_a_planted_grant_is_not_taken_in_by_the_next_append(closed: Path, stranger: Stranger) -> None:
    """While the ledger is open, verification finds it, however much is appended meanwhile."""
    with open_ledger(closed) as ledger:
        stranger.script(closed, planted(), "DELETE FROM acl_projection")
        ledger.append(Record("n-1", "notes", {"n": 3}), ALICE)
        found = not ledger.verify().valid
        assert found or not access_of(ledger).check(STRANGER.oid, "read", RESOURCES[0])


def test_a_read_only_opener_refuses_them_too(closed: Path, stranger: Stranger) -> None:
    stranger.edit(closed, planted())
    with pytest.raises(IntegrityError, match="grants"):
        create_ledger(storage=sqlite_storage(closed, read_only=True), modules=BUILT_IN, access=AccessConfig(ADMIN.oid))


def test_an_opener_without_access_control_asks_the_table_nothing(closed: Path, stranger: Stranger) -> None:
    stranger.edit(closed, planted())
    with create_ledger(storage=sqlite_storage(closed), modules=BUILT_IN) as ledger:
        assert len(ledger) == 13


def test_a_forged_entry_does_not_help(closed: Path, stranger: Stranger) -> None:
    """The entry that would imply the planted grant is refused by the chain's own verification."""
    payload = json.dumps(
        {
            "action": "grant",
            "principal_oid": STRANGER.oid,
            "resource_id": "n-1",
            "resource_kind": "notes",
            "scope": "read",
        },
        separators=(",", ":"),
    )
    stranger.edit(closed, f"UPDATE entries SET payload = '{payload}' WHERE seq = 2")
    with pytest.raises(IntegrityError) as caught:
        open_ledger(closed)
    assert caught.value.report is not None
    assert "hash_mismatch" in caught.value.report.counts


def test_a_grant_in_a_stream_of_another_name_counts_for_nothing(ledger: Ledger) -> None:
    """What looks like an entry of the engine's own is none."""
    payload = {
        "action": "grant",
        "principal_oid": STRANGER.oid,
        "resource_id": "n-1",
        "resource_kind": "notes",
        "scope": "full",
    }
    ledger.append(Record("n-1", "notes", {}), ALICE)
    for stream in ("ACL_GRANTS", "acl_grants ", "acl-grants", "notes"):
        ledger.append(Record("grants:1", stream, payload), STRANGER)
    assert not access_of(ledger).check(STRANGER.oid, "read", ResourcePredicate("notes", "n-1"))
    access_of(ledger).rebuild(ADMIN)
    assert not access_of(ledger).check(STRANGER.oid, "read", ResourcePredicate("notes", "n-1"))


# The schema.


@pytest.mark.parametrize(
    "script",
    [
        ["DROP TABLE acl_grants"],
        ["DROP TABLE acl_projection"],
        ["DROP INDEX acl_grants_principal"],
        ["DROP INDEX acl_grants_whole_kind"],
        ["DROP INDEX acl_grants_exp"],
        ["ALTER TABLE acl_grants RENAME TO hidden", "CREATE VIEW acl_grants AS SELECT * FROM hidden"],
        ["ALTER TABLE acl_grants ADD COLUMN note TEXT"],
        [
            "CREATE TRIGGER gift AFTER INSERT ON entries BEGIN UPDATE acl_grants SET scope = 'full' "
            f"WHERE principal_oid = '{BOB.oid}'; END"
        ],
        ["CREATE TRIGGER keep BEFORE DELETE ON acl_grants BEGIN SELECT RAISE(IGNORE); END"],
    ],
    ids=lambda script: script[-1][:40],
)
def test_an_altered_schema_is_refused(closed: Path, stranger: Stranger, script: list[str]) -> None:
    stranger.script(closed, *script)
    before = kept(closed)
    for open_it in (open_ledger, open_unverified):
        with pytest.raises((DatabaseError, IntegrityError)):
            open_it(closed)
    assert kept(closed) == before


FALSE_INDEX = (
    f"CREATE INDEX acl_grants_principal ON acl_grants(replace(principal_oid, '{CAROL.oid}', '{STRANGER.oid}'), scope, "
    "resource_kind, resource_id, exp)"
)


def test_an_index_that_says_something_else_than_the_table_is_found(closed: Path, stranger: Stranger) -> None:
    stranger.reindex(closed, "acl_grants_principal", FALSE_INDEX)
    with open_unverified(closed) as ledger:
        assert not ledger.verify(deep=True).valid


def test_an_index_that_says_something_else_than_the_table_gives_nothing(
    closed: Path, stranger: Stranger, true_answers: str
) -> None:
    stranger.reindex(closed, "acl_grants_principal", FALSE_INDEX)
    try:
        ledger = open_ledger(closed)
    except (IntegrityError, DatabaseError):
        return
    with ledger:
        found, expected = json.loads(answers(ledger)), json.loads(true_answers)
        for question, key in (("check", f"{STRANGER.oid} read"), ("seen", STRANGER.oid), ("total", STRANGER.oid)):
            assert found[question][key] == expected[question][key], question


def test_rebuild_restores_an_index_that_says_something_else(
    closed: Path, stranger: Stranger, true_answers: str
) -> None:
    stranger.reindex(closed, "acl_grants_principal", FALSE_INDEX)
    with pytest.raises(IntegrityError) as caught:
        open_ledger(closed)
    assert caught.value.report is not None
    assert set(caught.value.report.counts) == {"index_mismatch"}
    with open_unverified(closed) as ledger:
        access_of(ledger).rebuild(ADMIN)
        assert ledger.verify(deep=True).valid
    with open_ledger(closed) as ledger:
        assert answers(ledger) == true_answers


# Files from before access control.


def downgrade(path: Path, stranger: Stranger) -> None:
    """Make a file of schema version 1 of one of version 2."""
    stranger.script(
        path,
        "DROP INDEX acl_grants_principal",
        "DROP INDEX acl_grants_whole_kind",
        "DROP INDEX acl_grants_exp",
        "DROP TABLE acl_grants",
        "DROP TABLE acl_projection",
        "PRAGMA user_version = 1",
    )


def test_a_file_of_version_1_is_upgraded(closed: Path, stranger: Stranger, true_answers: str) -> None:
    downgrade(closed, stranger)
    with open_ledger(closed) as ledger:
        assert answers(ledger) == true_answers
        assert ledger.verify(deep=True).valid
    assert stranger.query(closed, "PRAGMA user_version") == [[2]]
    with open_ledger(closed) as ledger:
        assert answers(ledger) == true_answers


def test_a_file_of_version_1_is_upgraded_without_access_control(
    closed: Path, stranger: Stranger, true_answers: str
) -> None:
    downgrade(closed, stranger)
    with create_ledger("access", storage=sqlite_storage(closed), modules=BUILT_IN) as ledger:
        assert not ledger.has_access_control()
        assert ledger.verify(deep=True).valid
    assert stranger.query(closed, "PRAGMA user_version") == [[2]]
    with open_ledger(closed) as ledger:
        assert answers(ledger) == true_answers


def test_a_file_of_version_1_is_read_without_access_control_and_not_changed(closed: Path, stranger: Stranger) -> None:
    downgrade(closed, stranger)
    before = kept(closed)
    with create_ledger(storage=sqlite_storage(closed, read_only=True), modules=BUILT_IN) as ledger:
        assert len(list(ledger.entries(STRANGER))) == 13
        assert ledger.verify(deep=True).valid
    assert kept(closed) == before


def test_a_file_of_version_1_has_to_be_opened_for_writing_for_access_control(closed: Path, stranger: Stranger) -> None:
    downgrade(closed, stranger)
    before = kept(closed)
    with create_ledger(
        storage=sqlite_storage(closed, read_only=True), modules=BUILT_IN, access=AccessConfig(ADMIN.oid)
    ) as ledger:
        with pytest.raises(ConfigError, match="writing"):
            access_of(ledger).check(ALICE.oid, "read", RESOURCES[0])
        with pytest.raises(ConfigError, match="writing"):
            ledger.get_by_id("n-1", ALICE)
        assert access_of(ledger).explain(ALICE.oid, "read", RESOURCES[0], context=ADMIN).allowed, (
            "it is told from the chain"
        )
    assert kept(closed) == before


def test_a_file_of_version_1_that_has_the_tables_already_is_refused(closed: Path, stranger: Stranger) -> None:
    """Nobody slips a table of grants under the upgrade."""
    stranger.edit(closed, planted())
    stranger.script(closed, "PRAGMA user_version = 1")
    before = kept(closed)
    for open_it in (open_ledger, open_unverified):
        with pytest.raises((DatabaseError, IntegrityError)):
            open_it(closed)
    assert kept(closed) == before


def test_a_file_of_a_later_version_is_refused(closed: Path, stranger: Stranger) -> None:
    stranger.script(closed, "PRAGMA user_version = 3")
    with pytest.raises(SchemaVersionError) as caught:
        open_ledger(closed)
    assert (caught.value.found, caught.value.supported) == (3, 2)


# Backups.


def test_a_backup_has_the_grants(closed: Path, tmp_path: Path, true_answers: str) -> None:
    with open_ledger(closed) as ledger:
        ledger.backup(tmp_path / "copy.db")
    with open_ledger(tmp_path / "copy.db") as ledger:
        assert answers(ledger) == true_answers
        with pytest.raises(RecordRefusedError):
            ledger.modules.get("asset").transfer("a-1", to_oid=CAROL.oid, context=ISSUER)
