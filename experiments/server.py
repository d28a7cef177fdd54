"""A small server for one page on this machine: it gives the page's files and makes new clips.

It knows three kinds of address: the page, the files beside it by names that are hashes, and
``/render``, to which a clip is asked for by POST. Nothing that a GET asks for changes anything.
Other pages in the browser can't ask: the host must be its own, a POST must come from its page.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from experiments.listening.studio import Studio
from experiments.report.audition import FOLDER, clip_files

MOST_BYTES = 65_536  # of a request
_WAIT = 2.0  # seconds that a request waits for the one before it
_FILE = re.compile(rf"/{FOLDER}/([0-9a-f]{{12}}\.(?:js|webp))")
_KINDS = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".webp": "image/webp"}


class PageServer(ThreadingHTTPServer):
    """Serves the page in ``folder``, and what ``studio`` renders.

    Parameters
    ----------
    host, port : to listen on; port 0 takes a free one.

    Raises
    ------
    ValueError
        Where the port is taken, or the host is not of this machine.
    """

    daemon_threads = True

    def __init__(self, folder: Path, studio: Studio, host: str, port: int):
        self.folder, self.studio, self.host, self.busy = folder, studio, host, Lock()
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise ValueError(
                f"--host {host} --port {port}: {error.strerror}; choose another port, or 0 for a "
                "free one"
            ) from None
        self.names = {f"{name}:{self.server_port}" for name in (host, "localhost", "127.0.0.1")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.server_port}/"


def answered(studio: Studio, asked: Mapping[str, Any]) -> bytes:
    """What the page gets of a clip that it asks for: its sound, picture, level and latent."""
    made = studio.render(asked)
    told, flac = clip_files(made.audio, made.sample_rate)
    told |= {"label": made.label, "sound": base64.b64encode(flac).decode("ascii")}
    told["latent"] = base64.b64encode(made.latent.astype("<f4").tobytes()).decode("ascii")
    return json.dumps(told).encode()


def warm_up(studio: Studio) -> None:
    """Compile what the first clips would wait for."""
    for number, maker in enumerate(studio.makers):
        weights = [1.0] * len(maker.gan.labels)
        answered(studio, {"gan": number, "x": 0, "y": 0, "truncation": 1, "weights": weights})


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = 10  # seconds that a connection may say nothing
    server_version, sys_version = "wavegan", ""

    def do_GET(self) -> None:
        if self._refused():
            return
        name = "index.html" if self.path in ("/", "/index.html") else None
        if found := _FILE.fullmatch(self.path):
            name = f"{FOLDER}/{found[1]}"
        file = self.server.folder / (name or "")
        if name is None or file.is_symlink() or not file.is_file():
            self._say(HTTPStatus.NOT_FOUND, "there is no such file on this page")
            return
        self._send(HTTPStatus.OK, _KINDS[file.suffix], file.read_bytes())

    def do_POST(self) -> None:
        if self._refused():
            return
        origin = self.headers.get("Origin")
        if origin is None or origin.removeprefix("http://") not in self.server.names:
            self._say(HTTPStatus.FORBIDDEN, "only the page itself may ask")
            return
        if self.path != "/render" or self.headers.get_content_type() != "application/json":
            self._say(HTTPStatus.NOT_FOUND, "clips are asked for at /render, as JSON")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"give {MOST_BYTES} bytes at most")
            return
        content = self.rfile.read(int(length))
        if not self.server.busy.acquire(timeout=_WAIT):
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "another clip is being made: ask again")
            return
        try:
            self._render(content)
        finally:
            self.server.busy.release()

    def _render(self, content: bytes) -> None:
        try:
            asked = json.loads(content)
            if not isinstance(asked, dict):
                raise ValueError("give an object with gan, x, y, truncation and weights")
            answer = answered(self.server.studio, asked)
        except (ValueError, RecursionError) as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._send(HTTPStatus.OK, "application/json", answer)

    def _refused(self) -> bool:
        """Whether the request is for another host than this: a page elsewhere made it."""
        if self.headers.get("Host") in self.server.names:
            return False
        self._say(HTTPStatus.FORBIDDEN, "this server answers to its own name alone")
        return True

    def _say(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._send(status, "application/json", json.dumps({"error": why}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the command."""


def serve_until(server: PageServer, say: Callable[[str], None]) -> None:
    """Answer until Ctrl-C."""
    say(f"open {server.address} (Ctrl-C ends it)")
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        say("ended")
    finally:
        server.server_close()
