"""Which characters of a text each of its token vectors stands for."""

from __future__ import annotations

import warnings
from typing import Any

from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from ..encoding.encoder import JaColBERT
from ..encoding.hf_tokenizer import no_offsets
from ..encoding.transformer import ColBERTTransformer, Task
from ..errors import InputError, NoOffsetsError, TruncationWarning
from ..text.offsets import encode_with_offsets
from ..text.sentences import Span
from ..types import TokenVectors


def locate_vectors(model: JaColBERT, text: str, task: Task) -> tuple[TokenVectors, list[Span | None]]:
    """Encodes a text, and says of each of its vectors which characters it stands for.

    Args:
        model: The model; if it pools documents, take its :attr:`~jacolbert_integrations.JaColBERT.unpooled`.
        text: A query or a document. Of one that is too long, what the model reads.
        task: Which of the two it is.

    Returns:
        The (tokens, dimension) vectors, and as many pairs of where in ``text`` the characters begin and end. The
        vectors of control tokens, markers, [MASK] tokens and a prompt have None instead, and so have those of pieces
        that stand for white space or for nothing. A pair may be empty where MeCab's word was not found in the text.

    Raises:
        InputError: If the text is no string.
        NoOffsetsError: If the model's tokenizer cannot say where its tokens come from, or its vectors are not those of
            single tokens.
    """
    if not isinstance(text, str):
        raise InputError(f"the {task} is a {type(text).__name__} ({text!r:.60}), but a string is expected.")
    prompt = model.model.prompts.get(task) or ""
    features, spans = _tokens(model, prompt + text, task)
    for module in model.model.children():
        if isinstance(module, MultiVectorMask):  # the vectors that it leaves out are not given
            features = module(features, task=task)
    kept = features["attention_mask"][0].bool().tolist()
    spans += [None] * (len(kept) - len(spans))  # [MASK] tokens and padding
    located = [_without_prompt(span, len(prompt)) for span, is_kept in zip(spans, kept, strict=True) if is_kept]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # the ranking has warned of it already
        vectors = (model.encode_query if task == "query" else model.encode_document)([text])[0]
    if len(vectors) != len(located):
        raise NoOffsetsError(
            f"{model.name} gives {len(vectors)} vectors for the {len(located)} tokens of a {task}, so that nobody can "
            "say which vector is of which token: one of its modules must leave out or join some. Show its results "
            "without matches."
        )
    return vectors, located


def _tokens(model: JaColBERT, text: str, task: Task) -> tuple[Any, list[Span | None]]:
    """Returns the features that the pipeline gets of a text with its prompt, and the characters of its first tokens."""
    transformer = model.model[0]
    if isinstance(transformer, ColBERTTransformer):
        encoded = transformer.tokenize_texts([text], task)[0]
        markers = transformer.query_marker_ids if task == "query" else transformer.document_marker_ids
        before: list[Span | None] = [None] * (1 + len(markers))
        _, spans = transformer.text_tokenizer.encode_with_spans(text)
        read = spans[: encoded.length - len(before) - 1]
        return transformer.collate([encoded], task), [*before, *read, None]
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
    return made[0], spans


def _without_prompt(span: Span | None, length: int) -> Span | None:
    """Returns the characters of the text alone, of one with a prompt of so many characters before it."""
    if span is None or not length:
        return span
    start, end = span
    return (max(start - length, 0), end - length) if end > length else None
