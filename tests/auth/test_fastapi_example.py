"""The example service as its users meet it: uvicorn in its own process, a real client, keys from the command line."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nucleus import RequestContext, create_ledger, sqlite_storage

EXAMPLES = Path(__file__).parents[2] / "examples"


def make_key(directory: Path, oid: str) -> str:
    command = [sys.executable, "-m", "nucleus", "key", "create", "--keys", str(directory / "keys.db"), oid]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the running service, without a key."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--factory", "fastapi_app:app_from_environment", "--port", str(port)],
        cwd=EXAMPLES,
        env=os.environ | {"NOTES_DIRECTORY": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as opened:
            deadline = time.monotonic() + 60
            while True:
                try:
                    opened.get("/health")
                    break
                except httpx.ConnectError:
                    assert server.poll() is None, "the server ended"
                    assert time.monotonic() < deadline, "the server does not come up"
                    time.sleep(0.05)
            yield opened
    finally:
        server.terminate()
        assert server.wait(60) in {0, -15}


def test_the_service_knows_its_callers(client: httpx.Client, tmp_path: Path) -> None:
    alice = {"Authorization": f"Bearer {make_key(tmp_path, 'oid:onoal:user:alice')}"}
    assert client.get("/health").json() == {"entries": 0}
    refused = client.get("/notes")
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert "Bearer" in refused.headers["www-authenticate"]
    wrong = alice["Authorization"][:-1] + ("a" if alice["Authorization"][-1] != "a" else "b")
    assert client.get("/notes", headers={"Authorization": wrong}).status_code == 401

    for number in range(3):
        written = client.post(f"/notes/n-{number}", json={"text": f"hello {number}"}, headers=alice)
        assert written.status_code == 201
        assert written.json()["seq"] == number
    assert client.get("/notes/n-1", headers=alice).json() == {"text": "hello 1"}
    assert client.get("/notes/n-9", headers=alice).status_code == 404
    assert client.get("/notes", headers=alice).json() == {"ids": ["n-0", "n-1", "n-2"], "next": None}

    with create_ledger(storage=sqlite_storage(tmp_path / "notes.db", read_only=True)) as ledger:
        auditor = RequestContext.local("oid:onoal:user:auditor")
        metas = [entry.record.meta or {} for entry in ledger.entries(auditor)]
        assert [meta["requester_oid"] for meta in metas] == ["oid:onoal:user:alice"] * 3


def test_a_revoked_key_is_refused_at_once(client: httpx.Client, tmp_path: Path) -> None:
    token = make_key(tmp_path, "oid:onoal:user:bob")
    bob = {"Authorization": f"Bearer {token}"}
    assert client.get("/notes", headers=bob).status_code == 200
    keys = str(tmp_path / "keys.db")
    command = [sys.executable, "-m", "nucleus", "key", "revoke", "--keys", keys, token.split("_")[1]]
    subprocess.run(command, check=True, capture_output=True)
    assert client.get("/notes", headers=bob).status_code == 401
