"""Where a payload keeps the text that its point was made from."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from ..errors import InputError
from ..text.windows import SPAN_KEY
from ..types import Payload
from .stored_nodes import NODE_KEY as NODE_KEY
from .stored_nodes import StoredNode

TextReader: TypeAlias = Callable[[Payload], str]
"""Finds the text in a payload."""

TEXT_KEY = "text"
"""Where a writer keeps the text, unless told otherwise."""

_KEYS = (TEXT_KEY, "document", "page_content", "content")  # also those of fastembed and LangChain


def payload_text(payload: Payload) -> str:
    """Returns the text that a point was made from, where this package, LlamaIndex, LangChain or fastembed keeps it.

    Of a LlamaIndex node it is what LlamaIndex embeds: its text and the metadata that it does not exclude, in its own
    templates. Of a window of a node it is the window's part.

    Raises:
        InputError: If it is in none of these places, or a node is not as LlamaIndex writes it.
    """
    node = StoredNode.of(payload)
    text = _beside(payload) if node is None else _of_node(node, payload)
    if text is None:
        raise InputError(
            f"the payload has no text under any of {', '.join((*_KEYS, NODE_KEY))}; it has {sorted(payload)}. Say "
            "where the text is, as text='key', or as a function that takes the payload."
        )
    return text


def _beside(payload: Payload, metadata: Collection[str] = ()) -> str | None:
    found = (payload.get(key) for key in _KEYS if key not in metadata)
    return next((text for text in found if isinstance(text, str)), None)


def _of_node(node: StoredNode, payload: Payload) -> str | None:
    content = node.content
    if not content:  # some of LlamaIndex's stores take the text out of the node, and keep it beside the metadata
        kept = _beside(payload, node.metadata)
        content = content if kept is None else kept
    if content is None:
        return None
    text = node.embedded(content)
    return text[slice(*payload[SPAN_KEY])] if SPAN_KEY in payload else text or None


def text_reader(text: str | TextReader | None) -> TextReader:
    """Turns a payload's key, or a function, into a function; None means :func:`payload_text`."""
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
