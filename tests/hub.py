"""A hub in the image of Hugging Face's, on this machine: what is asked of it, and what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "b" * 40


@contextmanager
def serving(folder: Path, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the address of a hub with one model, whose files are those of a folder, and which of them were fetched."""
    fetched: list[str] = []
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._file(with_content=False)

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if not path.startswith("/api/"):
                self._file(with_content=True)
                return
            if path.startswith(f"/api/models/{name}/tree/"):
                tree = [
                    {"type": "file", "path": each, "size": file.stat().st_size, "oid": COMMIT}
                    for each, file in files.items()
                ]
                self._answer(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
                return
            if path not in (
                f"/api/models/{name}",
                *(f"/api/models/{name}/revision/{each}" for each in ("main", COMMIT)),
            ):
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                return
            siblings = [{"rfilename": each, "size": file.stat().st_size} for each, file in files.items()]
            self._answer(200, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode(), {})

        def _file(self, *, with_content: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            file = path.removeprefix(f"/{name}/resolve/{COMMIT}/").removeprefix(f"/{name}/resolve/main/")
            if file not in files:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            content = files[file].read_bytes()
            if with_content:
                fetched.append(file)
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self._answer(200, content, headers, with_content=with_content)

        def _answer(self, status: int, content: bytes, headers: dict[str, str], *, with_content: bool = True) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if with_content:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", fetched
        server.shutdown()
