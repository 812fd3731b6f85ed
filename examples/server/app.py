"""An application that answers searches over HTTP, from a Qdrant server, a folder or memory.

    QDRANT_URL=http://localhost:6333 python app.py --grpc
    curl --get localhost:8000/search --data-urlencode q=有給休暇は何日ありますか。 --data year=2024

The server's key is read from $QDRANT_API_KEY, or from the file that $QDRANT_API_KEY_FILE names. $QDRANT_URL may also be
a folder; without it, all is in memory.
"""

from __future__ import annotations

import argparse
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from jacolbert_integrations import JaColBERTVectorStore
from jacolbert_integrations.errors import InputError, StoreError

RULES = [
    ("休暇-2020", 2020, "有給休暇は年に十二日である。申請は一週間前までに行う。"),
    ("休暇-2024", 2024, "有給休暇は年に二十日である。申請は三日前までに行う。"),
    ("給与-2020", 2020, "給与は毎月末日に支払う。昇給の審査は二年ごとに行う。"),
    ("給与-2024", 2024, "給与は毎月二十五日に支払う。昇給の審査は毎年四月に行う。"),
    ("在宅-2024", 2024, "在宅勤務は週に二日まで認める。"),
]


def fill(vector_store: JaColBERTVectorStore) -> None:
    """Indexes the rules, unless something is there. Their ids are fixed: two processes at once write the same nodes."""
    if vector_store.store.count() == 0:
        vector_store.add([
            TextNode(id_=name, text=text, metadata={"year": year}, excluded_embed_metadata_keys=["year"])
            for name, year, text in RULES
        ])  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers ``GET /search?q=...&year=...`` with the best passages, as JSON."""

    vector_store: JaColBERTVectorStore

    def do_GET(self) -> None:
        """Checks what is asked, and answers."""
        address = urlsplit(self.path)
        asked = parse_qs(address.query)
        if address.path != "/search":
            self.reply(404, {"error": "there is only /search?q=...&year=..."})
        elif not (question := asked.get("q", [""])[0].strip()):
            self.reply(400, {"error": "q, the question, is missing"})
        elif (year := asked.get("year", [""])[0]) and not (year.isdecimal() and len(year) == 4):
            self.reply(400, {"error": "year must be a number of four digits"})
        else:
            try:
                self.reply(200, self.search(question, int(year) if year else None))
            except InputError as error:
                self.reply(400, {"error": str(error)})
            except StoreError as error:
                self.log_error("%s", error)
                self.reply(503, {"error": "the index cannot be searched now"})

    def search(self, question: str, year: int | None) -> list[dict[str, Any]]:
        """Finds passages, those of a year if one is given."""
        filters = None if year is None else MetadataFilters(filters=[MetadataFilter(key="year", value=year)])
        retriever = self.vector_store.as_index().as_retriever(similarity_top_k=3, filters=filters)
        found = retriever.retrieve(question)
        return [{"text": each.text, "score": each.score, "metadata": each.metadata} for each in found]

    def reply(self, status: int, content: object) -> None:
        """Sends JSON."""
        body = json.dumps(content, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description="Answers searches over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--grpc", action="store_true", help="talk gRPC with the Qdrant server")
    parser.add_argument("--collection", default="rules")
    given = parser.parse_args()
    location = os.environ.get("QDRANT_URL") or ":memory:"
    options: dict[str, Any] = {"collection": given.collection, "grpc": given.grpc, "indexes": {"year": "integer"}}
    with (
        JaColBERTVectorStore(location=location, **options) as Handler.vector_store,
        ThreadingHTTPServer((given.host, given.port), Handler) as server,
    ):
        fill(Handler.vector_store)
        print(f"http://{given.host}:{server.server_port}/search?q=...", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
