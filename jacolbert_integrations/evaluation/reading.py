"""One's own passages, questions and judgments, from files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..text.files import SOURCE_KEY, FileReader
from ..text.squad import read_squad
from .benchmark import Benchmark
from .trec import read_qrels

_RELEVANT_KEYS = ("passage_id", "passage_ids", "relevant", "positive", "positives")
"""Keys or columns of a question under which a file of questions may itself say what is relevant."""


def read_benchmark(
    passages: str | Path,
    queries: str | Path,
    qrels: str | Path | None = None,
    *,
    name: str | None = None,
    text_key: str = "text",
    id_key: str = "id",
    encoding: str | None = None,
) -> Benchmark:
    """Reads a benchmark of one's own.

    Args:
        passages: JSONL, CSV or TSV with an id and a text in each row, in any encoding that
            :class:`~jacolbert_integrations.text.files.FileReader` knows.
        queries: The same, of questions. Without ``qrels``, each row also says which passages are relevant: under
            ``passage_id``, ``passage_ids``, ``relevant``, ``positive`` or ``positives``, an id, several in a list, or
            several with white space between them.
        qrels: TREC's judgments.
        name: What tables call it; None takes the name of the queries' file.
        text_key: The key, or the column, of a text.
        id_key: The key, or the column, of an id.
        encoding: Of both files of texts; None finds out.

    Raises:
        InputError: If a file cannot be read, an id comes twice, a judgment is of nothing, or a question has no relevant
            passage; it names the file.
    """
    corpus = _texts(Path(passages), text_key, id_key, encoding)
    asked = _texts(Path(queries), text_key, id_key, encoding)
    judged = _judged(asked, Path(queries)) if qrels is None else read_qrels(qrels, queries=asked, passages=corpus)
    texts = {query: text for query, (text, _) in asked.items()}
    try:
        return Benchmark(
            name=Path(queries).stem if name is None else name,
            passages={passage: text for passage, (text, _) in corpus.items()},
            # TREC's files of queries hold all topics, and its judgments those of a task
            queries=texts if qrels is None else {query: text for query, text in texts.items() if query in judged},
            qrels=judged,
        )
    except InputError as error:
        raise InputError(f"{queries if qrels is None else qrels}: {error}") from None


def read_squad_benchmark(files: Sequence[str | Path], *, name: str | None = None) -> Benchmark:
    """Reads a benchmark from question-answer sets in SQuAD's layout; a question's relevant passage is its own.

    Args:
        files: JSON, plain or gzipped.
        name: What tables call it; None takes the name of the first file.

    Raises:
        InputError: If a file cannot be read.
    """
    questions = read_squad(files)
    return Benchmark.of_questions(Path(files[0]).name.split(".")[0] if name is None else name, questions)


def read_qa_dataset(file: str | Path, *, name: str | None = None) -> Benchmark:
    """Reads a benchmark that LlamaIndex's ``generate_question_context_pairs`` has made of nodes.

    Args:
        file: As ``EmbeddingQAFinetuneDataset.save_json`` writes it: ``queries``, ``corpus`` and ``relevant_docs``.
        name: What tables call it; None takes the file's.

    Raises:
        InputError: If the file cannot be read, or holds something else.
    """
    path = Path(file)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        passages, queries = (_strings(found[key]) for key in ("corpus", "queries"))
        qrels = {str(query): {str(passage): 1 for passage in own} for query, own in found["relevant_docs"].items()}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is no EmbeddingQAFinetuneDataset of LlamaIndex's (queries, corpus, relevant_docs): "
            f"{type(error).__name__} {error}."
        ) from None
    try:
        return Benchmark(name=path.stem if name is None else name, passages=passages, queries=queries, qrels=qrels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _strings(found: dict[str, object]) -> dict[str, str]:
    if bad := [key for key, value in found.items() if not isinstance(value, str)]:
        raise TypeError(f"{bad[0]!r} has no text")
    return {key: str(value) for key, value in found.items()}


def _texts(file: Path, text_key: str, id_key: str, encoding: str | None) -> dict[str, tuple[str, dict[str, object]]]:
    reader = FileReader(encoding=encoding, text_key=text_key, id_key=id_key)
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for document in reader.read([file]):
        if document.id in found:
            raise InputError(f"{file} has the id {document.id!r} twice.")
        found[document.id] = document.text, dict(document.payload)
    if not found:
        raise InputError(f"{file} holds no rows.")
    return found


def _judged(asked: dict[str, tuple[str, dict[str, object]]], file: Path) -> dict[str, dict[str, int]]:
    judged = {}
    for query, (_, row) in asked.items():
        given = next((row[key] for key in _RELEVANT_KEYS if row.get(key) not in (None, "", [])), None)
        if given is None:
            raise InputError(
                f"{file}: the question {query!r} does not say which passages answer it. Give TREC's qrels, or name "
                f"them under one of {', '.join(_RELEVANT_KEYS)}; the row has {sorted(row.keys() - {SOURCE_KEY})}."
            )
        ids = given if isinstance(given, list) else str(given).split()
        judged[query] = {str(each): 1 for each in ids}
    return judged
