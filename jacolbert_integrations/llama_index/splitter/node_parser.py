"""Japanese documents as nodes that the model reads whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.node_parser.interface import MetadataAwareTextSplitter
from llama_index.core.node_parser.node_utils import build_nodes_from_splits, default_id_func
from llama_index.core.schema import DEFAULT_TEXT_NODE_TMPL, BaseNode, Document, ImageDocument, MetadataMode, TextNode
from llama_index.core.utils import get_tqdm_iterable

from ...encoding.encoder import JaColBERT
from ...encoding.sources import ModelSource
from ...errors import InputError
from ...text.windows import Span, windows


class _LazyModel:
    """A model that is loaded when it is first needed. Copies share it; a pickle only says where to load it from."""

    def __init__(self, source: ModelSource, load: Callable[[], JaColBERT] | None = None) -> None:
        self.source = source
        self._load = source.load if load is None else load
        self._model: JaColBERT | None = None
        self._loading = Lock()

    def __reduce__(self) -> tuple[type[_LazyModel], tuple[ModelSource]]:
        return type(self), (self.source,)

    def __deepcopy__(self, memo: dict[int, Any]) -> _LazyModel:
        return self

    def get(self) -> JaColBERT:
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model


class JaColBERTSentenceSplitter(MetadataAwareTextSplitter):
    """Splits documents into chunks of whole sentences, none of them longer than the model reads.

    A chunk ends where a sentence ends (。！？ with the brackets that close after them, or a line's end), and holds
    as many sentences as fit, in the checkpoint's own tokens, together with the metadata that is embedded with them.
    A sentence that is too long by itself is cut between clauses. ``start_char_idx`` and ``end_char_idx`` are exact,
    also where a text repeats itself. White space around a chunk is left out; a document of white space has none, but if
    it holds an image, that gets a node.

    Only the tokenizer of the model is used. A model that is given by name is loaded on the CPU when it is first
    needed, in each process for itself. One that is handed in is described by where it was loaded from: so it is found
    again when a splitter was pickled, or written down by ``to_dict``.

    Args:
        model: A loaded model, or what :meth:`JaColBERT.from_pretrained` takes; None is the bundled jacolbert-small.
        chunk_size: Most tokens of a chunk as it is embedded, control tokens and metadata included. None fills chunks
            up to the checkpoint's document length.
        sentence_overlap: Sentences at the end of a chunk that the next one repeats, as far as they leave room for
            what is new.
        include_metadata: Whether nodes get the document's metadata; then it takes its part of a chunk's tokens.
        include_prev_next_rel: Whether nodes know the one before and the one after.
        revision: Of the hub repository, where ``model`` is a hub id.
        callback_manager: As for every node parser.
        id_func: Names nodes: takes a chunk's number and its document. None gives random ids.
        **kwargs: None but what a description holds beside.

    Raises:
        InputError: If ``chunk_size`` is more than the model reads, at the latest when that is loaded; if a loaded
            model is given with a revision; if ``id_func`` comes from a description of a function of somebody's own; or
            if there is no such argument.
    """

    model: str = Field(frozen=True, description="Hub id or directory of the ColBERT checkpoint.")
    revision: str | None = Field(default=None, frozen=True, description="Commit of the hub repository.")
    chunk_size: int | None = Field(
        default=None,
        gt=0,
        description="Most tokens of a chunk as it is embedded; None is the checkpoint's document length.",
    )
    sentence_overlap: int = Field(default=0, ge=0, description="Sentences that a chunk repeats of the one before.")
    _encoder: _LazyModel = PrivateAttr()

    def __init__(
        self,
        model: JaColBERT | str | Path | None = None,
        *,
        chunk_size: int | None = None,
        sentence_overlap: int = 0,
        include_metadata: bool = True,
        include_prev_next_rel: bool = True,
        callback_manager: CallbackManager | None = None,
        revision: str | None = None,
        id_func: Callable[[int, Document], str] | None = None,
        **kwargs: Any,
    ) -> None:
        if unknown := kwargs.keys() - {"class_name"}:
            raise InputError(f"JaColBERTSentenceSplitter takes no {', '.join(sorted(unknown))}.")
        # Nothing is encoded: any weights will do, and no GPU is needed.
        source = replace(
            ModelSource.given(model, revision=revision), device="cpu", fingerprint=None, configuration=None
        )
        if isinstance(model, JaColBERT):  # the length is known, so that a cache of chunks can tell models apart
            chunk_size = _checked_size(chunk_size, model)
        fields: dict[str, Any] = {
            "model": source.model,
            "revision": source.revision,
            "chunk_size": chunk_size,
            "sentence_overlap": sentence_overlap,
            "include_metadata": include_metadata,
            "include_prev_next_rel": include_prev_next_rel,
            "callback_manager": CallbackManager([]) if callback_manager is None else callback_manager,
            "id_func": _id_function(id_func),
        }
        super().__init__(**fields)
        loaded = model if isinstance(model, JaColBERT) else None
        self._encoder = _LazyModel(source, None if loaded is None else lambda: loaded)

    @classmethod
    def from_defaults(
        cls,
        model: JaColBERT | str | Path | None = None,
        *,
        chunk_size: int | None = None,
        sentence_overlap: int = 0,
        include_metadata: bool = True,
        include_prev_next_rel: bool = True,
        callback_manager: CallbackManager | None = None,
        revision: str | None = None,
        id_func: Callable[[int, Document], str] | None = None,
    ) -> JaColBERTSentenceSplitter:
        """Builds the splitter; LlamaIndex's own splitters have this name for the constructor."""
        return cls(
            model,
            chunk_size=chunk_size,
            sentence_overlap=sentence_overlap,
            include_metadata=include_metadata,
            include_prev_next_rel=include_prev_next_rel,
            callback_manager=callback_manager,
            revision=revision,
            id_func=id_func,
        )

    @classmethod
    def sharing(
        cls,
        load: Callable[[], JaColBERT],
        model: str,
        *,
        revision: str | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> JaColBERTSentenceSplitter:
        """Builds a splitter that shares its model with another object: it is loaded once, when it is first needed.

        Args:
            load: Gives the model in this process.
            model: Where another process, to which the splitter is sent, loads it from.
            revision: Of the hub repository, where ``model`` is a hub id.
            callback_manager: As for every node parser.
        """
        splitter = cls(model, revision=revision, callback_manager=callback_manager)
        splitter._encoder = _LazyModel(splitter._encoder.source, load)
        return splitter

    @classmethod
    def class_name(cls) -> str:
        """Returns the name that LlamaIndex knows the class by."""
        return "JaColBERTSentenceSplitter"

    def split_text(self, text: str) -> list[str]:
        """Splits a text that has no metadata into chunks.

        Raises:
            InputError: If ``chunk_size`` is more than the model reads, or has no room for a single character.
        """
        return [text[start:end] for start, end in self._spans(text, str)]

    def split_text_metadata_aware(self, text: str, metadata_str: str) -> list[str]:
        """Splits a text that is embedded after this metadata, by LlamaIndex's default template, into chunks.

        Raises:
            InputError: If the metadata leaves no room for text; and as for :meth:`split_text`.
        """
        spans = self._spans(text, _below(metadata_str, DEFAULT_TEXT_NODE_TMPL))
        return [text[start:end] for start, end in spans]

    def _parse_nodes(self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any) -> list[BaseNode]:  # noqa: ARG002 - as LlamaIndex calls it
        parsed: list[BaseNode] = []
        for node in get_tqdm_iterable(nodes, show_progress, "Parsing nodes"):
            parsed += self._chunks(node)
        return parsed

    async def _aparse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any
    ) -> list[BaseNode]:
        return await asyncio.to_thread(self._parse_nodes, nodes, show_progress, **kwargs)

    def _postprocess_parsed_nodes(self, nodes: list[BaseNode], parent_doc_map: dict[str, Document]) -> list[BaseNode]:
        # LlamaIndex looks for each chunk's text, and finds another place of it where the document repeats itself.
        spans = [(n.start_char_idx, n.end_char_idx) if isinstance(n, TextNode) else None for n in nodes]
        nodes = super()._postprocess_parsed_nodes(nodes, parent_doc_map)
        for node, span in zip(nodes, spans, strict=True):
            if isinstance(node, TextNode) and span is not None:
                node.start_char_idx, node.end_char_idx = span
        return nodes

    def _chunks(self, node: BaseNode) -> list[TextNode]:
        text = node.get_content(metadata_mode=MetadataMode.NONE)
        spans = self._spans(text, self._embedded(node))
        if not spans and isinstance(node, ImageDocument):
            spans = [(0, 0)]
        try:
            chunks = build_nodes_from_splits([text[start:end] for start, end in spans], node, id_func=self.id_func)
        except UnicodeEncodeError as error:
            raise InputError(
                f"the document {node.node_id!r} holds a lone surrogate, which is no valid Unicode text, and LlamaIndex "
                "cannot hash it. Replace it first, for instance with text.encode('utf-8', 'replace').decode()."
            ) from error
        for chunk, (start, end) in zip(chunks, spans, strict=True):
            chunk.start_char_idx, chunk.end_char_idx = start, end
            if self.include_metadata:  # now, so that the nodes before and after know the hash that it will have
                chunk.metadata = dict(node.metadata)
        return chunks

    def _embedded(self, node: BaseNode) -> Callable[[str], str]:
        """Returns what is embedded of a chunk of the node, given the chunk's text."""
        if not self.include_metadata:
            return str
        template = getattr(node, "text_template", DEFAULT_TEXT_NODE_TMPL)
        return _below(node.get_metadata_str(mode=MetadataMode.EMBED), template)

    def _spans(self, text: str, embedded: Callable[[str], str]) -> list[Span]:
        model = self._encoder.get()
        limit = _checked_size(self.chunk_size, model)

        def lengths(texts: Sequence[str]) -> list[int]:
            return model.document_lengths([embedded(piece.strip()) for piece in texts])

        alone, beside = model.document_lengths([""])[0], lengths([""])[0]
        if alone < limit <= beside:
            raise InputError(
                f"the metadata takes {beside - alone} of the {limit} tokens of a chunk, which leaves no room for text. "
                "Name keys that need not be embedded in the documents' excluded_embed_metadata_keys."
            )
        with self.callback_manager.event(CBEventType.CHUNKING, payload={EventPayload.CHUNKS: [text]}) as event:
            spans = [_trimmed(text, span) for span in windows(text, lengths, limit, self.sentence_overlap)]
            event.on_end(payload={EventPayload.CHUNKS: [text[start:end] for start, end in spans]})
        return spans


def _below(metadata: str, template: str) -> Callable[[str], str]:
    """Returns what :meth:`TextNode.get_content` returns for a text, whatever the text."""
    metadata = metadata.strip()
    if not metadata:
        return str
    return lambda text: template.format(content=text, metadata_str=metadata).strip()


def _trimmed(text: str, span: Span) -> Span:
    start, end = span
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


def _checked_size(chunk_size: int | None, model: JaColBERT) -> int:
    if chunk_size is None:
        return model.document_maxlen
    if chunk_size > model.document_maxlen:
        raise InputError(
            f"chunk_size is {chunk_size}, but {model.name} reads {model.document_maxlen} tokens of a document and cuts "
            "what is longer. Leave chunk_size out to fill chunks up to that."
        )
    return chunk_size


def _id_function(given: object) -> object:
    if isinstance(given, Mapping):  # what a dump makes of a function
        if given.get("id_func_name") != default_id_func.__name__:
            raise InputError(
                f"the id_func {given.get('id_func_name')!r} cannot be had from its name. Hand it in again, as "
                "from_dict(data, id_func=...)."
            )
        return default_id_func
    return default_id_func if given is None else given
