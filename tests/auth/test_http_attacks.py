"""Attacks on the middleware over HTTP, each by its name, as bytes against uvicorn and wsgiref on loopback."""

from collections.abc import Iterator

import pytest
from tests.auth.apps import asgi_app, wsgi_app
from tests.auth.servers import asgi_server, bearer, get, send_raw, wsgi_server
from tests.auth.tokens import ALICE

from nucleus.auth import AsgiAuthMiddleware, DevTokenParser, TokenParserRegistry, WsgiAuthMiddleware

TOKEN = f"dev:{ALICE}"
PUBLIC = ["/healthz", "/public/*"]


def registry() -> TokenParserRegistry:
    return TokenParserRegistry([DevTokenParser(enabled=True)])


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    if request.param == "asgi":
        with asgi_server(AsgiAuthMiddleware(asgi_app, registry(), PUBLIC), lifespan="off") as listening:
            yield listening
    else:
        with wsgi_server(WsgiAuthMiddleware(wsgi_app, registry(), PUBLIC)) as listening:
            yield listening


def test_good_requests_pass(port: int) -> None:
    answer = get(port, "/private", bearer(TOKEN))
    assert (answer.status, set(answer.json()["oids"])) == (200, {ALICE})
    for target in ("/healthz", "/public/x", "/healthz?token=1", "/public/a%20b"):
        public = get(port, target)
        assert (public.status, set(public.json()["oids"])) == (200, {None})


def test_no_token(port: int) -> None:
    answer = get(port, "/private")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="nucleus"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Unauthorized", 401)
    assert problem.keys() == {"type", "title", "status", "detail"}


def test_refused_token(port: int) -> None:
    answer = get(port, "/private", bearer("dev:nobody-special"))
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="nucleus", error="invalid_token"'
    assert "nobody-special" not in str(answer)


def private(port: int, target: str) -> None:
    """The target needs a token, however much it looks like a public path; with one it reaches the application."""
    assert get(port, target).status == 401
    assert get(port, target, bearer(TOKEN)).status == 200


@pytest.mark.parametrize(
    "target", ["/public/../private", "/public/../../private", "/public/./../private", "/public/.."]
)
def test_dot_segments(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["//private", "/public//x", "/public//private"])
def test_double_slash(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize(
    "target", ["/public/%2e%2e/private", "/public/%2E%2E/private", "/public/.%2e/private", "/public/%252e%252e/private"]
)
def test_encoded_dot_segments(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize(
    "target", ["/public/..%2fprivate", "/public%2F..%2Fprivate", "/private%2fx", "/private%2Fx", "/healthz%2f"]
)
def test_encoded_slash(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["/public/%5c../private", "/public/..%5Cprivate"])
def test_encoded_backslash(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["/healthz%0a", "/healthz%0d", "/healthz%00", "/healthz%20", "/public/x%0d%0aX:y"])
def test_encoded_control_characters(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["/healthz/", "/healthz.", "/healthz..", "/public/", "/public/x/", "/public/x."])
def test_trailing_dots_and_slashes(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["/healthz;x", "/private;/healthz"])
def test_path_parameters(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["/HEALTHZ", "/Healthz", "/PUBLIC/x"])
def test_upper_case(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["/public/%ff%fe", "/public/%ef%bc%8e%ef%bc%8e/private"])
def test_path_that_is_not_utf_8_or_not_normal(port: int, target: str) -> None:
    private(port, target)


@pytest.mark.parametrize("target", ["/private?/healthz", "/private?x=/public/x"])
def test_public_path_in_the_query_string(port: int, target: str) -> None:
    private(port, target)


def test_root(port: int) -> None:
    private(port, "/")


@pytest.mark.parametrize("target", ["//healthz", "///public/x"])
def test_leading_slashes(port: int, target: str) -> None:
    """Refused, unless the server itself has taken the path for the public one, and the application sees that too."""
    answer = get(port, target)
    assert answer.status == 401 or answer.json()["path"] == "/" + target.lstrip("/")
    assert get(port, target.replace("healthz", "private").replace("public", "private")).status == 401


@pytest.mark.parametrize("target", ["http://test/healthz", "http://test/public/x", "http://evil.example/healthz"])
def test_absolute_form_uri(port: int, target: str) -> None:
    """Servers differ in what they make of it: it is either no path at all, or the path it names, never another one."""
    answer = get(port, target)
    assert answer.status == 401 or answer.json()["path"] in ("/healthz", "/public/x")
    assert get(port, target.replace("healthz", "private").replace("public/x", "private")).status == 401


def test_asterisk_form(port: int) -> None:
    assert get(port, "*", method=b"OPTIONS").status in (400, 401)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS", b"DELETE", b"PUT", b"TRACE", b"get"])
def test_every_method_needs_a_token(port: int, method: bytes) -> None:
    assert get(port, "/private", method=method).status in (401, 400)


def test_head_request(port: int) -> None:
    answer = get(port, "/private", method=b"HEAD")
    assert answer.status == 401


@pytest.mark.parametrize("query", ["token", "access_token", "authorization", "Authorization", "bearer"])
def test_token_in_the_query_string(port: int, query: str) -> None:
    """RFC 6750 has a way to do it; nobody should: addresses are logged."""
    assert get(port, f"/private?{query}={TOKEN}").status == 401
    assert get(port, f"/private?{query}=Bearer%20{TOKEN}").status == 401


@pytest.mark.parametrize(
    "name", [b"X-Authorization", b"Proxy-Authorization", b"Cookie", b"X-Api-Key", b"Authorization2"]
)
def test_token_in_another_field(port: int, name: bytes) -> None:
    assert get(port, "/private", name + b": Bearer " + TOKEN.encode()).status == 401


def test_token_in_the_body(port: int) -> None:
    body = b"access_token=" + TOKEN.encode()
    form = b"Content-Type: application/x-www-form-urlencoded"
    request = b"POST /private HTTP/1.1\r\nHost: test\r\n%b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
    assert send_raw(port, request % (form, len(body), body)).status == 401


@pytest.mark.parametrize("target", ["/private", "/healthz"])
def test_two_authorization_fields(port: int, target: str) -> None:
    for other in (
        bearer(TOKEN),
        bearer("dev:oid:onoal:user:mallory"),
        b"authorization: Basic eDp5",
        b"AUTHORIZATION: x",
    ):
        for fields in ((bearer(TOKEN), other), (other, bearer(TOKEN))):
            assert get(port, target, *fields).status == 400


@pytest.mark.parametrize("target", ["/private", "/healthz"])
def test_two_hosts(port: int, target: str) -> None:
    for other in (b"Host: evil.example", b"host: test"):
        assert get(port, target, bearer(TOKEN), other).status == 400


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic eDp5",
        b"Digest x",
        b"Token " + TOKEN.encode(),
        TOKEN.encode(),
        b"Bearer" + TOKEN.encode(),
        b"Bearer\t" + TOKEN.encode(),
        b"Bearer " + TOKEN.encode() + b" x",
        b"Bearer Bearer " + TOKEN.encode(),
        b"Bearer: " + TOKEN.encode(),
        b"Bearer=" + TOKEN.encode(),
        b'Bearer "' + TOKEN.encode() + b'"',
    ],
)
def test_malformed_credentials(port: int, value: bytes) -> None:
    assert get(port, "/private", b"Authorization: " + value).status == 401


@pytest.mark.parametrize("scheme", [b"bearer", b"BEARER", b"Bearer ", b"bEaReR"])
def test_scheme_in_any_case(port: int, scheme: bytes) -> None:
    assert get(port, "/private", b"Authorization: " + scheme + b" " + TOKEN.encode()).status == 200


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"\xc3\xa9", b"\x80", b"\xf0\x9f\x98\x80"])
def test_non_utf_8_headers(port: int, junk: bytes) -> None:
    assert get(port, "/private", bearer(TOKEN.encode() + junk)).status == 401
    assert get(port, "/private", bearer(junk)).status == 401
    assert get(port, "/private", bearer(TOKEN), b"X-Other: " + junk).status == 200


def test_folded_headers(port: int) -> None:
    """Continuation lines (obsolete since RFC 7230) are refused, or joined by white space, which no token has."""
    token = TOKEN.encode()
    for folded in (token[:8] + b"\r\n " + token[8:], token[:8] + b"\r\n\t" + token[8:], token + b"\r\n x"):
        assert get(port, "/private", bearer(folded)).status in (400, 401)
    assert get(port, "/private", b"X-Other: a\r\n Authorization: Bearer " + token).status in (400, 401)


def test_underscore_instead_of_a_dash(port: int) -> None:
    """WSGI turns both into the same name."""
    assert get(port, "/private", b"nucleus_context: x", b"nucleus.context: x").status in (400, 401)


def test_header_over_our_limit(port: int) -> None:
    for target in ("/private", "/healthz"):
        big = get(port, target, bearer(TOKEN), b"X-Big: " + b"x" * 40_000)
        assert big.status == 431
        assert big.headers["content-type"] == "application/problem+json"
        many = get(port, target, bearer(TOKEN), *[b"X-%d: y" % number for number in range(98)])
        assert many.status == 431
    assert get(port, "/private", bearer(TOKEN), b"X-Big: " + b"x" * 20_000).status == 200


def test_oversized_token(port: int) -> None:
    assert get(port, "/private", bearer(b"dev:" + b"x" * 17_000)).status == 401


def test_million_dot_token(port: int) -> None:
    assert get(port, "/private", bearer(b"." * 30_000)).status == 401


def test_access_denied_by_the_application(port: int) -> None:
    answer = get(port, "/denied", bearer(TOKEN))
    assert (answer.status, answer.json()["title"]) == (403, "Forbidden")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret-1" not in str(answer)
