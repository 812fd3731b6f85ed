"""Where a payload keeps the text that its point was made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

from .errors import InputError
from .types import Payload
from .windows import SPAN_KEY

TextReader: TypeAlias = Callable[[Payload], str]
"""Finds the text in a payload."""

TEXT_KEY = "text"
"""Where a writer keeps the text, unless told otherwise."""

NODE_KEY = "_node_content"
"""Where LlamaIndex keeps a node, with its text."""

_KEYS = (TEXT_KEY, "document", "page_content", "content")  # also those of fastembed and LangChain


def payload_text(payload: Payload) -> str:
    """The text, where this package, LlamaIndex, LangChain or qdrant-client's fastembed keeps it.

    Raises:
        InputError: If it is in none of these places, or the payload is that of a window of a LlamaIndex node, which
            has the text of all of the node.
    """
    node = payload.get(NODE_KEY)
    if node is not None and SPAN_KEY in payload:
        raise InputError(
            "the payload is of a window of a LlamaIndex node. Read it with payload_node_text, of "
            "jacolbert_integrations.llama_index."
        )
    if isinstance(node, str):
        try:
            text = json.loads(node).get("text")
        except (ValueError, AttributeError):
            text = None
        if isinstance(text, str) and text:
            return text
    for key in _KEYS:
        if isinstance(payload.get(key), str):
            return str(payload[key])
    raise InputError(
        f"the payload has no text under any of {', '.join((*_KEYS, NODE_KEY))}; it has {sorted(payload)}. Say where "
        "the text is, as text='key', or as a function that takes the payload."
    )


def text_reader(text: str | TextReader | None) -> TextReader:
    """A payload's key, or a function, as a function; None is :func:`payload_text`."""
    if text is None:
        return payload_text
    if callable(text):
        return text
    key = text

    def read(payload: Payload) -> str:
        if not isinstance(payload.get(key), str):
            raise InputError(f"the payload has no text under {key!r}; it has {sorted(payload)}.")
        return str(payload[key])

    return read
