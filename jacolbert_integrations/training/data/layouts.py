"""What the rows of training files mean: which keys hold the query, the passages and the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ..records import Example

_QUERY = ("query", "anchor")
_PASSAGES = ("passages", "documents")
_POSITIVE = ("positive", "positives", "pos")
_NEGATIVE = ("negative", "negatives", "neg")
_SCORES = ("scores", "score", "labels", "label")
_PASSAGE_IDS = ("passage_ids", "document_ids")
_EXPECTED = (
    "'query' or 'anchor', and with it 'passages' or 'documents' (a list, the positive first), 'positive', 'positives' "
    "or 'pos' (perhaps with 'negative', 'negatives', 'neg' or 'negative_1', 'negative_2', …), or 'document', or "
    "'document_1', 'document_2', …"
)


@dataclass(frozen=True, slots=True)
class IdTuple:
    """An n-way tuple by ids: a query, its passages with the positive first, and a teacher's scores.

    Attributes:
        query_id: The query's id.
        passage_ids: The passages' ids.
        scores: A score for each passage; None if there are none.

    Raises:
        InputError: If there is no passage, not one score for each passage, or a score is no finite number.
    """

    query_id: str
    passage_ids: tuple[str, ...]
    scores: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.passage_ids:
            raise InputError("there is no passage. A tuple needs at least one, the positive.")
        if self.scores is not None and len(self.scores) != len(self.passage_ids):
            raise InputError(f"got {len(self.scores)} scores for {len(self.passage_ids)} passages.")
        for index, score in enumerate(self.scores or ()):
            if not math.isfinite(score):
                raise InputError(f"the score of passage {index} is {score}. Scores must be finite numbers.")

    def cut(self, ways: int) -> IdTuple:
        """Returns the first ``ways`` passages.

        Raises:
            InputError: If there are fewer.
        """
        check_ways(len(self.passage_ids), ways)
        return IdTuple(self.query_id, self.passage_ids[:ways], None if self.scores is None else self.scores[:ways])


def check_ways(have: int, asked: int) -> None:
    """Raises :class:`InputError` if there are fewer passages than were asked for."""
    if have < asked:
        raise InputError(f"{asked} ways were asked for, but there are only {have} passages. Ask for at most {have}.")


def check_scored(scored: bool, before: bool | None) -> bool:
    """Returns ``scored`` if it is as with the rows before, of which None means that there are none.

    Raises:
        InputError: If some rows have scores and others do not.
    """
    if before is not None and scored != before:
        have, others = ("scores", "none") if scored else ("no scores", "some")
        raise InputError(f"this row has {have}, but the rows before it have {others}. Give scores to all or to none.")
    return scored


def parse_examples(row: Any) -> list[Example]:
    """Parses the examples of an object: one, or one for each positive where ``pos`` or ``positives`` is a list.

    The keys are those of this package, of sentence-transformers and of FlagEmbedding, exactly as
    :func:`~jacolbert_integrations.training.data.examples.read_examples` lists them. Other keys are left aside.

    Raises:
        InputError: If it is no object, a key is missing, or a value cannot be used.
    """
    if not isinstance(row, Mapping):
        raise InputError(f"expected an object, but got {_kind(row)}. It takes {_EXPECTED}.")
    fields = {key: value for key, value in row.items() if value is not None}
    query_key, scores_key, ids_key = (_only(fields, keys) for keys in (_QUERY, _SCORES, _PASSAGE_IDS))
    if query_key is None:
        raise InputError(f"there is no query, only {sorted(fields)}. Expected {_EXPECTED}.")
    query = valid_text(fields[query_key], query_key)
    ways = _passages(fields)
    scores: list[tuple[float, ...] | None] = [None] * len(ways)
    if scores_key is not None:
        scores = [_numbers(fields[scores_key], scores_key)] * len(ways)
        if len(ways) > 1:
            raise InputError(f"{len(ways)} positives share one list of {scores_key!r}. Give each a row of its own.")
    elif "pos_scores" in fields:
        negative = _numbers(fields.get("neg_scores", []), "neg_scores")
        positive = _numbers(fields["pos_scores"], "pos_scores")
        if len(positive) != len(ways):
            raise InputError(f"got {len(positive)} 'pos_scores' for {len(ways)} positives. Give one for each.")
        scores = [(score, *negative) for score in positive]
    query_id = text_id(fields["query_id"], "query_id") if "query_id" in fields else None
    ids = None if ids_key is None else _ids(fields[ids_key], ids_key)
    group = valid_text(fields["group"], "group") if "group" in fields else None
    return [Example(query, passages, s, query_id, ids, group) for passages, s in zip(ways, scores, strict=True)]


def parse_fields(row: Sequence[str]) -> list[Example]:
    """Parses the pair or triplet of a tab-separated line: query, positive and perhaps negative.

    Raises:
        InputError: If there are fewer or more fields, or one is empty.
    """
    if len(row) not in (2, 3):
        raise InputError(f"got {len(row)} fields between tabs, expected query, positive and perhaps negative.")
    return [Example(row[0], tuple(row[1:]))]


def parse_ids(row: Any) -> IdTuple:
    """Parses an n-way tuple of ids, in ColBERT's layout or one of those with keys.

    - ``[qid, [pid, score], …]`` with a teacher's scores, or ``[qid, pid, …]`` without. The positive is first:
      colbert-ai 0.2.22 cuts the list to ``nway`` passages and takes the first of them as positive for in-batch
      negatives. Its ids are row numbers of the collection; here they may be any ids that the collection has.
    - ``{"query_id", "pos_id", "neg_ids", "pos_score", "neg_scores"}``: the columns of
      answerdotai/MMARCO-japanese-32-scored-triplets on the Hugging Face Hub.
    - ``{"query_id", "document_ids" or "passage_ids", "scores"}``: those of PyLate's distillation data.

    Raises:
        InputError: If it is none of these, or a value cannot be used.
    """
    if isinstance(row, Mapping):
        return _keyed_ids({key: value for key, value in row.items() if value is not None})
    if not isinstance(row, list) or not row:
        raise InputError(f"expected a list [qid, [pid, score], …] or an object, but got {_kind(row)}.")
    query, *entries = row
    query_id = text_id(query, "query id")
    if not any(isinstance(entry, list) for entry in entries):
        return IdTuple(query_id, tuple(text_id(entry, "passage id") for entry in entries))
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 2:
            raise InputError(f"expected [pid, score] for every passage of a scored tuple, but got {entry!r:.60}.")
    scores = tuple(_number(score, "score") for _, score in entries)
    return IdTuple(query_id, tuple(text_id(passage, "passage id") for passage, _ in entries), scores)


def text_id(value: Any, name: str) -> str:
    """Returns an id as a string; a number and its string are the same id.

    Raises:
        InputError: If it is neither, or empty.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InputError(f"{name} is {_kind(value)}, expected a string or a whole number.")
    if value == "":
        raise InputError(f"{name} is empty.")
    return str(value) if isinstance(value, int) else valid_text(value, name)


def valid_text(value: Any, name: str) -> str:
    """Returns ``value`` if it is text.

    Raises:
        InputError: If it is no string, or holds half of a surrogate pair, as JSON's escapes can.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} is {_kind(value)}, expected a string.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} holds half of a surrogate pair, which is no text.") from None
    return value


def _keyed_ids(fields: Mapping[str, Any]) -> IdTuple:
    ids_key = _only(fields, _PASSAGE_IDS)
    if "query_id" not in fields or (ids_key is None and "pos_id" not in fields):
        raise InputError(
            f"got the keys {sorted(fields)}, expected 'query_id' with 'pos_id', 'neg_ids', 'pos_score' and "
            "'neg_scores', or with 'document_ids' and 'scores'."
        )
    query_id = text_id(fields["query_id"], "query_id")
    if ids_key is not None:
        scores = _numbers(fields["scores"], "scores") if "scores" in fields else None
        return IdTuple(query_id, _ids(fields[ids_key], ids_key), scores)
    passages = (text_id(fields["pos_id"], "pos_id"), *_ids(fields.get("neg_ids", []), "neg_ids"))
    if "pos_score" not in fields and "neg_scores" not in fields:
        return IdTuple(query_id, passages)
    positive = [_number(fields["pos_score"], "pos_score")] if "pos_score" in fields else []
    return IdTuple(query_id, passages, (*positive, *_numbers(fields.get("neg_scores", []), "neg_scores")))


def _passages(fields: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Returns the passages of each example of a row, positive first."""
    whole, positive, negative = (_only(fields, keys) for keys in (_PASSAGES, _POSITIVE, _NEGATIVE))
    numbered = _numbered(fields, "document")
    found = [key for key in (whole, positive, "document" if "document" in fields else None) if key is not None]
    found += ["document_1"] if numbered else []
    if len(found) != 1:
        what = f"both {found[0]!r} and {found[1]!r} hold" if found else f"none of the keys {sorted(fields)} holds"
        raise InputError(f"{what} passages. Expected {_EXPECTED}.")
    if whole is not None:
        return [_texts(fields[whole], whole)]
    if positive is None:
        return [numbered or (valid_text(fields["document"], "document"),)]
    negatives = _numbered(fields, "negative")
    if negative is not None:
        negatives = _one_or_more(fields[negative], negative) + negatives
    positives = _one_or_more(fields[positive], positive)
    if not positives:
        raise InputError(f"there is no positive passage: {positive!r} is an empty list.")
    return [(text, *negatives) for text in positives]


def _numbered(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Returns the texts under name_1, name_2 and so on."""
    keys = [key for key in fields if key.startswith(f"{name}_") and key.removeprefix(f"{name}_").isdecimal()]
    expected = [f"{name}_{number}" for number in range(1, len(keys) + 1)]
    if missing := [key for key in expected if key not in fields]:
        raise InputError(f"{missing[0]!r} is missing among {len(keys)} keys {name}_….")
    return tuple(valid_text(fields[key], key) for key in expected)


def _only(fields: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    found = [key for key in keys if key in fields]
    if len(found) > 1:
        raise InputError(f"both {found[0]!r} and {found[1]!r} are given. Keep one.")
    return found[0] if found else None


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise InputError(f"{name} is {_kind(value)}, expected a list.")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    return tuple(valid_text(item, f"an entry of {name}") for item in _list(value, name))


def _one_or_more(value: Any, name: str) -> tuple[str, ...]:
    return (valid_text(value, name),) if isinstance(value, str) else _texts(value, name)


def _ids(value: Any, name: str) -> tuple[str, ...]:
    return tuple(text_id(item, f"an entry of {name}") for item in _list(value, name))


def _numbers(value: Any, name: str) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise InputError(f"{name} is {_kind(value)}, expected a list with one score for each passage.")
    return tuple(_number(item, f"an entry of {name}") for item in value)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{name} is {_kind(value)}, expected a number.")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", dict: "an object", list: "a list", str: "a string"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}")
