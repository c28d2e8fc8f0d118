"""Real servers on loopback, in threads, and a client that sends exactly the bytes it is told to."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def send_raw(port: int, request: bytes) -> Answer:
    """Send bytes to a server on loopback and read its whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(status_line.split()[1]), headers, body)


def get(port: int, target: str | bytes, *fields: bytes, host: bytes = b"Host: test", method: bytes = b"GET") -> Answer:
    """Send a request of this target and these header fields, as they are."""
    raw_target = target.encode() if isinstance(target, str) else target
    lines = [method + b" " + raw_target + b" HTTP/1.1", host, *fields, b"Connection: close"]
    return send_raw(port, b"\r\n".join(lines) + b"\r\n\r\n")


def bearer(token: str | bytes) -> bytes:
    """An Authorization field."""
    return b"Authorization: Bearer " + (token.encode() if isinstance(token, str) else token)


@contextmanager
def asgi_server(app: Any, **options: Any) -> Iterator[int]:
    """uvicorn; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", **options))
    thread = threading.Thread(target=server.run, args=[[listener]])
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def wsgi_server(app: Any) -> Iterator[int]:
    """wsgiref; yields its port."""
    server: WSGIServer = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
