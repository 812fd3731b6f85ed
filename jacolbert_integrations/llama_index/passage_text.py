"""What is embedded of a node, and where in it the node's own text lies."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from llama_index.core.schema import BaseNode

from ..text.windows import Span
from .nodes import node_text


@dataclass(frozen=True, slots=True)
class PassageText:
    """What of a node is embedded: its text, between the metadata that come with it.

    Attributes:
        head: What is embedded before the text.
        body: The text, without white space around it.
        tail: What is embedded after it.
        offset: Where the body begins in the node's own text.
    """

    head: str
    body: str
    tail: str
    offset: int

    @classmethod
    def of(cls, node: BaseNode) -> PassageText:
        """Splits what is embedded of a node into its own text and the metadata around it."""
        whole, text = node_text(node), node.get_content()
        body = text.strip()
        head, _, tail = whole.rpartition(body) if body and body in whole else ("", "", "")
        return cls(head, body, tail, text.find(body)) if head + body + tail == whole else cls("", whole, "", 0)

    @property
    def whole(self) -> str:
        """All of it."""
        return self.head + self.body + self.tail

    def in_node(self, span: Span) -> Span:
        """Maps a span of what is embedded to the node's own text; the span is empty if it holds none of that."""
        start, end = (min(max(place - len(self.head), 0), len(self.body)) + self.offset for place in span)
        return start, end

    @property
    def digest(self) -> bytes:
        """Different for texts that are embedded, or cut into windows, differently."""
        parts = f"{len(self.head)} {len(self.tail)} {self.offset} {self.whole}"
        return blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=32).digest()
