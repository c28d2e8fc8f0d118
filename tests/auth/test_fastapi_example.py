"""The example service, its own process, over HTTP: a key from the command line, a session, notes on the ledger."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nucleus import create_ledger, sqlite_storage
from nucleus.auth import RequestContext

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ALICE = "oid:onoal:user:alice"
START_TIMEOUT_S = 60


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of the running service, whose files are in ``tmp_path``."""
    log = tmp_path / "server.log"
    command = [sys.executable, "-m", "uvicorn", "--factory", "fastapi_app:create_app", "--port", "0"]
    with log.open("wb") as output:
        server = subprocess.Popen([*command, "--app-dir", EXAMPLES], cwd=tmp_path, stdout=output, stderr=output)
    try:
        yield _wait_for_address(server, log)
    finally:
        server.terminate()
        server.wait(START_TIMEOUT_S)


def _wait_for_address(server: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        found = re.search(r"running on (http://127\.0\.0\.1:\d+)", log.read_text())
        if found is not None:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def nucleus(*arguments: str, directory: Path) -> str:
    """Run the command ``nucleus`` in a directory; return what it prints."""
    command = [sys.executable, "-W", "ignore", "-m", "nucleus", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_example(address: str, tmp_path: Path) -> None:
    text = nucleus("key", "create", ALICE, directory=tmp_path)
    key = {"Authorization": f"Bearer {text}"}
    with httpx.Client(base_url=address, timeout=30) as http:
        assert http.get("/health").json() == {"entries": 0}
        for path in ("/notes", "/docs", "/openapi.json"):
            refused = http.get(path)
            assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
            assert refused.headers["www-authenticate"].startswith("Bearer")
        session_id = http.post("/login", headers=key).json()["session"]
        session = {"Authorization": f"Bearer {session_id}"}
        assert http.post("/login", headers=session).status_code == 403
        written = http.post("/notes/n-1", headers=session, json={"text": "hello"})
        assert written.status_code == 201
        (note,) = http.get("/notes", headers=session).json()["notes"]
        assert note == {"id": "n-1", "payload": {"text": "hello"}, "seq": 0}
        assert http.post("/logout", headers=session).json() == {"ended": True}
        assert http.post("/notes/n-2", headers=session, json={}).status_code == 401
        nucleus("key", "revoke", text.split("_")[1], directory=tmp_path)
        assert http.post("/login", headers=key).status_code == 401
        assert http.get("/health").json() == {"entries": 1}
    with create_ledger(storage=sqlite_storage(tmp_path / "notes.db", read_only=True)) as ledger:
        (entry,) = ledger.entries(RequestContext.local(ALICE))
        assert entry.hash == written.json()["hash"]
        assert (entry.record.meta or {})["requester_oid"] == ALICE
        assert ledger.verify().valid
    log = (tmp_path / "server.log").read_text()
    assert "POST /login" in log
    for secret in (text, session_id):
        assert secret not in log


FORK = """
import asyncio, os, sys
from pathlib import Path
import httpx
from fastapi_app import create_app

app = create_app(Path(sys.argv[1]))

async def serve(worker):
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        assert (await http.get("/health")).status_code == 200
        key = {"Authorization": "Bearer " + sys.argv[2]}
        session = {"Authorization": "Bearer " + (await http.post("/login", headers=key)).json()["session"]}
        assert (await http.post(f"/notes/n-{worker}", headers=session, json={})).status_code == 201
        assert (await http.get("/notes?cursor=zzz", headers=session)).status_code == 400

for worker in range(3):
    if not os.fork():
        try:
            asyncio.run(serve(worker))
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
for worker in range(3):
    assert os.wait()[1] == 0
"""


def test_application_that_is_made_before_its_workers_are_forked(tmp_path: Path) -> None:
    """As ``gunicorn --preload`` does: files are opened when a worker starts, not when the application is made."""
    text = nucleus("key", "create", ALICE, directory=tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES), *sys.path])}
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path), text]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr
    with create_ledger(storage=sqlite_storage(tmp_path / "notes.db", read_only=True)) as ledger:
        assert len(ledger) == 3
        assert ledger.verify().valid
