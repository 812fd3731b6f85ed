"""What LlamaIndex embeds of a node, out of the JSON that it stores, and without LlamaIndex."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..types import Payload

NODE_KEY = "_node_content"
"""Where LlamaIndex keeps a node, with its text."""

TYPE_KEY = "_node_type"
"""Where it keeps the name of the node's class."""

_TEMPLATE = "{metadata_str}\n\n{content}"
_METADATA_TEMPLATE = "{key}: {value}"


class StoredNode:
    """A LlamaIndex node as a payload holds it.

    Attributes:
        metadata: Its metadata.
        content: Its own text; empty if that is kept elsewhere, None if it is no text that the node is made of.
    """

    def __init__(self, values: Mapping[str, Any], kind: object) -> None:
        self._values = values
        self._resource = values.get("text_resource")
        # A TextNode, and all that come of it, have a text. Node and Document have several resources.
        self._of_resources = kind == "Node" or "text_resource" in values
        metadata = values.get("extra_info", values.get("metadata"))
        self.metadata = metadata if isinstance(metadata, Mapping) else {}
        self.content = self._content()

    @classmethod
    def of(cls, payload: Payload) -> StoredNode | None:
        """Builds the node that a payload holds, if it holds one."""
        try:
            values = json.loads(payload.get(NODE_KEY, ""))
        except (ValueError, TypeError):
            return None
        return cls(values, payload.get(TYPE_KEY)) if isinstance(values, dict) else None

    def embedded(self, content: str) -> str:
        """Builds what LlamaIndex embeds: a content, and the metadata that is not excluded, in the node's templates.

        Raises:
            InputError: If the node is not as LlamaIndex writes it.
        """
        try:
            metadata = self._metadata()
            if not self._of_resources:
                metadata = metadata.strip()
            if not metadata:
                return content
            template: str = self._values.get("text_template", _TEMPLATE)
            return template.format(content=content, metadata_str=metadata).strip()
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the LlamaIndex node under {NODE_KEY!r} cannot be read ({type(error).__name__}: {error}). Say what "
                "its text is, as text='key', or as a function that takes the payload."
            ) from None

    def _metadata(self) -> str:
        excluded = self._values.get("excluded_embed_metadata_keys", ())
        template: str = self._values.get("metadata_template", _METADATA_TEMPLATE)
        # LlamaIndex writes the one, and reads the other, too, which it prefers.
        separator: str = self._values.get("metadata_seperator", self._values.get("metadata_separator", "\n"))
        return separator.join(
            template.format(key=key, value=str(value)) for key, value in self.metadata.items() if key not in excluded
        )

    def _content(self) -> str | None:
        if not self._of_resources:
            found = self._values.get("text")
        elif isinstance(self._resource, Mapping):
            found = self._resource.get("text") or ""
        else:
            return None
        return found if isinstance(found, str) else None
