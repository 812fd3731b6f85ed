"""Turns documents into passages: one for each document, or one for each window of a long one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import InputError
from ..stores.payload_text import NODE_KEY
from ..stores.payloads import check_id, json_copy
from ..text.windows import DOCUMENT_KEY, SPAN_KEY, Span, window_id, windows
from ..types import Document


class LengthCounter(Protocol):
    """What splitting needs of a model."""

    @property
    def document_maxlen(self) -> int:
        """Most tokens of a document."""
        ...

    def document_lengths(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text."""
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that becomes one point, before it is encoded: a document, or a window of one.

    Attributes:
        id: The document's id; that of a window after the first says where it begins, too.
        text: What is encoded.
        payload: The document's, and what the writer keeps beside it.
        digest: Of text and payload: an equal one means that nothing has changed.
        document: The document that it is, or is a window of, if the windows of that are to be kept track of.
    """

    id: str
    text: str
    payload: Mapping[str, Any]
    digest: str
    document: str | None = None


def passages(document: Document, *, text_key: str | None, splitter: LengthCounter | None) -> list[Passage]:
    """Turns a document into passages.

    Args:
        document: The document.
        text_key: Where in the payload the text is kept. A LlamaIndex node's payload has it already.
        splitter: Cuts into windows what is longer than it reads; None leaves every document whole.

    Raises:
        InputError: If the document has no id or no text, or a payload that cannot be kept.
    """
    check_id(document.id, "it")
    if not isinstance(document.text, str) or not document.text.strip():
        raise InputError("it has no text, so there is nothing to find it by.")
    if splitter is None:
        return [_passage(document.id, document.text, dict(document.payload), text_key)]
    return list(_windows(document, splitter, text_key))


def _windows(document: Document, splitter: LengthCounter, text_key: str | None) -> Iterator[Passage]:
    text, payload = document.text, dict(document.payload)
    is_window = DOCUMENT_KEY in payload  # already, as when a collection is indexed anew
    whole = str(payload[DOCUMENT_KEY]) if is_window else document.id
    origin = payload[SPAN_KEY][0] if is_window else 0
    spans: list[Span] = [(0, len(text))]
    if splitter.document_lengths([text])[0] > splitter.document_maxlen:
        spans = windows(text, splitter.document_lengths, splitter.document_maxlen)
    for number, (start, end) in enumerate(spans):
        passage_id = document.id if number == 0 else window_id(whole, origin + start)
        place = {DOCUMENT_KEY: whole, SPAN_KEY: [origin + start, origin + end]} if is_window or len(spans) > 1 else {}
        # Where the payload has the text itself, it is to have the window's.
        own = {key: text[start:end] if value == text else value for key, value in payload.items()}
        yield _passage(passage_id, text[start:end], {**own, **place}, text_key, None if is_window else document.id)


def _passage(
    passage_id: str, text: str, payload: dict[str, Any], text_key: str | None, document: str | None = None
) -> Passage:
    if text_key is not None and NODE_KEY not in payload:
        if payload.get(text_key, text) != text:
            raise InputError(
                f"its payload has something else under {text_key!r}, where the text is to be kept. Write with "
                "text_key='another key', or text_key=None to keep no text."
            )
        payload[text_key] = text
    payload = json_copy(payload, "it")
    content = json.dumps([text, payload], sort_keys=True)
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Passage(passage_id, text, payload, digest, document)
