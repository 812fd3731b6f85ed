"""Which token each of a text's vectors is of, and which characters it stands for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from ..encoding.encoder import JaColBERT
from ..encoding.hf_tokenizer import no_offsets
from ..encoding.transformer import ColBERTTransformer, Task
from ..errors import InputError, NoOffsetsError, TruncationWarning
from ..text.offsets import encode_with_offsets
from ..text.sentences import Span
from ..types import TokenVectors

TokenKind: TypeAlias = Literal["text", "mask", "control"]
"""``"text"``: read from the text. ``"mask"``: a [MASK] that a query is filled up with. ``"control"``: [CLS], [SEP], a
marker, or of a prompt."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that has a vector.

    Attributes:
        piece: As the vocabulary has it.
        kind: What it is.
        span: Where its characters begin and end in the text: whole ones, without white space around them. None where
            it stands for none that can be seen; empty where MeCab's word was not found in the text.
    """

    piece: str
    kind: TokenKind
    span: Span | None


def locate_vectors(model: JaColBERT, text: str, task: Task) -> tuple[TokenVectors, list[Token]]:
    """Encodes a text, and says of each of its vectors which token it is of.

    Args:
        model: The model; if it pools documents, take its :attr:`~jacolbert_integrations.JaColBERT.unpooled`.
        text: A query or a document. Of one that is too long, what the model reads.
        task: Which of the two it is.

    Returns:
        The (tokens, dimension) vectors, and as many tokens. Several may share characters.

    Raises:
        InputError: If the text is no string.
        NoOffsetsError: If the model's tokenizer cannot say where its tokens come from, or its vectors are not those of
            single tokens.
    """
    if not isinstance(text, str):
        raise InputError(f"the {task} is a {type(text).__name__} ({text!r:.60}), but a string is expected.")
    prompt = model.model.prompts.get(task) or ""
    features, tokens = _tokens(model, prompt + text, task)
    for module in model.model.children():
        if isinstance(module, MultiVectorMask):  # the vectors that it leaves out are not given
            features = module(features, task=task)
    kept = features["attention_mask"][0].bool().tolist()
    tokens = [_without_prompt(token, len(prompt)) for token, is_kept in zip(tokens, kept, strict=True) if is_kept]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # the ranking has warned of it already
        vectors = (model.encode_query if task == "query" else model.encode_document)([text])[0]
    if len(vectors) != len(tokens):
        raise NoOffsetsError(
            f"{model.name} gives {len(vectors)} vectors for the {len(tokens)} tokens of a {task}, so that nobody can "
            "say which vector is of which token: one of its modules must leave out or join some. Show its results "
            "without matches."
        )
    return vectors, tokens


def _tokens(model: JaColBERT, text: str, task: Task) -> tuple[Any, list[Token]]:
    """Returns the features that the pipeline gets of a text with its prompt, and its tokens."""
    transformer = model.model[0]
    if isinstance(transformer, ColBERTTransformer):
        encoded = transformer.tokenize_texts([text], task)[0]
        before = 1 + len(transformer.query_marker_ids if task == "query" else transformer.document_marker_ids)
        _, read = transformer.text_tokenizer.encode_with_spans(text)
        spans = [*(None for _ in range(before)), *read[: encoded.length - before - 1]]
        is_control = [place < before or place == encoded.length - 1 for place in range(encoded.length)]
        return _named(model, transformer.collate([encoded], task), spans, is_control)
    # The model makes its inputs in its own way, of which the tokenizer's output tells us enough if it is passed on.
    made: list[Any] = []

    def encode(text: str) -> Any:
        features = model.model.preprocess([text], task=task)
        encodings = getattr(features, "encodings", None)
        if not encodings or features.get("modality") != "text":
            raise no_offsets(model.model.tokenizer)
        made.append(features)
        return encodings[0]

    backend = getattr(model.model.tokenizer, "backend_tokenizer", None)
    _, spans = encode_with_offsets(text, encode, getattr(backend, "normalizer", None))
    return _named(model, made[0], spans, [bool(each) for each in made[0].encodings[0].special_tokens_mask])


def _named(
    model: JaColBERT, features: Any, spans: Sequence[Span | None], is_control: Sequence[bool]
) -> tuple[Any, list[Token]]:
    """Adds the tokens' names to what is known of the first of them; after those come [MASK] tokens, and padding."""
    tokenizer: Any = model.model.tokenizer
    pieces: list[str] = tokenizer.convert_ids_to_tokens(features["input_ids"][0].tolist())
    tokens = []
    for place, piece in enumerate(pieces):
        kind: TokenKind = "mask"
        if place < len(is_control):
            kind = "control" if is_control[place] else "text"
        tokens.append(Token(piece, kind, spans[place] if place < len(spans) else None))
    return features, tokens


def _without_prompt(token: Token, length: int) -> Token:
    """Returns the token of the text alone, of one with a prompt of so many characters before it."""
    if token.span is None or not length:
        return token
    start, end = token.span
    if end <= length:
        return Token(token.piece, "control", None)
    return Token(token.piece, token.kind, (max(start - length, 0), end - length))
