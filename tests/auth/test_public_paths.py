"""Public paths: what is matched, and everything that only looks like it."""

import posixpath
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nucleus import ConfigError
from nucleus.auth.public_paths import PublicPaths, is_normal

PUBLIC = PublicPaths(["/health", "/public/*", "/a/b"])


@pytest.mark.parametrize(
    "path", ["/health", "/public/x", "/public/x/y.css", "/a/b", "/public/é", "/public/a..b", "/public/.x"]
)
def test_public(path: str) -> None:
    assert PUBLIC.match(path)
    assert PUBLIC.match(path, quote(path).encode())


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "*",
        "health",
        "/private",
        "/a",
        "/public",
        "/publicity",
        # attempts at getting out of the prefix
        "/public/../private",
        "/public/./x",
        "/public/..",
        "/public/x/..",
        "/public//x",
        "//public/x",
        "//health",
        "//private",
        "/public/..;/private",
        "/public/;x",
        "/public/%2e%2e/private",
        "/public/%2fx",
        "/public\\..\\private",
        "/public/\\x",
        # trailing dots and slashes
        "/health/",
        "/health.",
        "/health..",
        "/health ",
        "/public/",
        "/public/x/",
        "/public/x.",
        "/public./x",
        "/public/...",
        # control characters
        "/health\n",
        "/health\x00",
        "/public/x\n",
        "/public/x\r",
        "/public/\x00",
        "/public/\x7f",
        "/public/\ufffd",
        "/public/\u2028",
        "/public/\u200b",
        # upper case
        "/HEALTH",
        "/Public/x",
        # what Unicode's compatibility form makes something else of
        "/public/\uff0e\uff0e/private",
        "/public/\u2024\u2024/private",
        "/public/\uff0fx",
        "/public/e\u0301",
        # absolute-form and authority-form
        "http://test/health",
        "http://test/public/x",
        "test:80",
        # query and fragment do not belong to a path
        "/health?x",
        "/public/x?y",
        "/public/#x",
    ],
)
def test_not_public(path: str) -> None:
    assert not PUBLIC.match(path)


@pytest.mark.parametrize(
    "raw",
    ["/public/%2e%2e/x", "/public%2fx", "/public%2Fx", "/public/%5cx", "/public/%252e", "/public/%0ax", "/public/a%00"],
)
def test_encoded_delimiters_are_not_public_whatever_they_decode_to(raw: str) -> None:
    """Even where the decoded path is public: a proxy in front may have read it differently."""
    assert not PUBLIC.match(unquote(raw), raw.encode())
    assert not PUBLIC.match("/public/x", raw.encode())


def test_bytes_that_are_not_utf_8() -> None:
    assert not PUBLIC.match(b"/public/\xff".decode("utf-8", "surrogateescape"))
    assert not PUBLIC.match(b"/public/\xff".decode("utf-8", "replace"))


def test_query_is_not_part_of_the_raw_path() -> None:
    assert PUBLIC.match("/public/x", b"/public/x?next=%2Fprivate")


@pytest.mark.parametrize(
    "pattern",
    [
        "health",
        "",
        "*",
        "/public*",
        "/*/x",
        "/public/**",
        "/public/*/x",
        "/../x",
        "//x/*",
        "/x/",
        "/x//*",
        "/%2e",
        "/x?y",
        "/x\n",
    ],
)
def test_patterns_that_cannot_be_matched(pattern: str) -> None:
    with pytest.raises(ConfigError, match="public"):
        PublicPaths([pattern])


def test_one_text_is_no_list() -> None:
    with pytest.raises(ConfigError, match="list"):
        PublicPaths("/health")


def test_everything_and_root() -> None:
    assert PublicPaths(["/*"]).match("/any/thing")
    assert not PublicPaths(["/*"]).match("/any/../thing")
    assert PublicPaths(["/"]).match("/")
    assert not PublicPaths(["/"]).match("//")
    assert not PublicPaths().match("/")


_SEGMENTS = st.sampled_from(
    ["public", "private", ".", "..", "", "x", "...", "%2e%2e", "..;", "PUBLIC", "a.", "\n", "é"]
)
_PATHS = st.lists(_SEGMENTS, max_size=6).map(lambda segments: "/" + "/".join(segments)) | st.text(max_size=30)


@given(_PATHS)
@settings(max_examples=1_000, deadline=None)
def test_a_public_path_stays_below_its_prefix(path: str) -> None:
    """By the standard library's reading of paths, decoded once more than anybody should."""
    if PublicPaths(["/public/*"]).match(path):
        for reading in (path, unquote(path), unquote(unquote(path))):
            assert posixpath.normpath(reading).startswith("/public/")


@given(_PATHS)
@settings(max_examples=1_000, deadline=None)
def test_normal_paths_normalise_to_themselves(path: str) -> None:
    if is_normal(path):
        assert posixpath.normpath(path) == path
        assert unquote(path) == path
        assert path == path.strip()


@given(st.lists(st.from_regex(r"\A[a-zA-Z0-9_-]([a-zA-Z0-9._~-]*[a-zA-Z0-9_-])?\Z"), min_size=1, max_size=5))
@settings(deadline=None)
def test_plain_paths_are_normal(segments: list[str]) -> None:
    assert is_normal("/" + "/".join(segments))
    assert PublicPaths(["/public/*"]).match("/public/" + "/".join(segments))
