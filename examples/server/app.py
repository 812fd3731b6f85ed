"""A small application over a Qdrant server: it indexes some notices of a town, and answers questions over HTTP.

``QDRANT_URL`` says where the server is, and the key is read from ``QDRANT_API_KEY`` or ``QDRANT_API_KEY_FILE``. Without
an address the notices are kept in memory. ``GET /search?q=図書館はいつ開いていますか&since=2024`` answers as JSON.
"""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from llama_index.core import Document
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from jacolbert_integrations import JaColBERT, JaColBERTVectorStore
from jacolbert_integrations.errors import StoreError

NOTICES = [
    ("図書館は平日の朝九時から夜八時まで開いている。月曜日は休みである。", 2023),
    ("古紙は毎月第二水曜日に集める。雨の日でも変わらない。", 2024),
    ("市民プールは七月一日に開き、八月末に閉じる。", 2024),
    ("駅前の駐輪場は二十四時間使える。料金は一日百円である。", 2025),
]


def opened() -> JaColBERTVectorStore:
    """Opens the collection, and fills it if it is empty. The index over ``year`` is for servers in strict mode."""
    notices = JaColBERTVectorStore(
        JaColBERT.from_pretrained(),
        place=os.environ.get("QDRANT_URL", ":memory:"),
        collection="notices",
        indexes={"year": "integer"},
    )
    if not notices.store.exists() or not notices.store.count():
        index = notices.as_index()
        for number, (text, year) in enumerate(NOTICES):
            index.insert(Document(text=text, doc_id=f"notice-{number}", metadata={"year": year}))
    return notices


def found(notices: JaColBERTVectorStore, question: str, since: int | None) -> list[dict[str, object]]:
    """Returns the best notices for a question, those since a year if one is given."""
    conditions = [] if since is None else [MetadataFilter(key="year", value=since, operator=FilterOperator.GTE)]
    filters = MetadataFilters(filters=[*conditions]) if conditions else None
    hits = notices.as_index().as_retriever(similarity_top_k=3, filters=filters).retrieve(question)
    return [{"text": hit.text, "score": round(hit.get_score(), 2), "year": hit.metadata["year"]} for hit in hits]


def serve(notices: JaColBERTVectorStore, host: str, port: int) -> ThreadingHTTPServer:
    """Makes the HTTP server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            asked = parse_qs(address.query)
            question, since = asked.get("q", [""])[0], asked.get("since", [""])[0]
            if address.path != "/search":
                self.answer(404, {"error": "there is /search?q=..."})
            elif not question.strip() or not (since == "" or since.isdecimal()):
                self.answer(400, {"error": "q is the question, since a year"})
            else:
                try:
                    self.answer(200, found(notices, question, int(since) if since else None))
                except StoreError as error:  # with the address, and never with the key
                    self.log_error("%s", error)
                    self.answer(503, {"error": "the collection cannot be read"})

        def answer(self, status: int, body: object) -> None:
            content = json.dumps(body, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return ThreadingHTTPServer((host, port), Handler)


if __name__ == "__main__":
    with serve(opened(), os.environ.get("HOST", "127.0.0.1"), 8000) as server:
        print("http://127.0.0.1:8000/search?q=図書館はいつ開いていますか")
        server.serve_forever()
