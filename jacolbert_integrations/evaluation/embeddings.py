"""Token vectors and scores that were computed before, kept on disk: what was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..encoding.encoder import JaColBERT
from ..encoding.transformer import Task
from ..errors import InputError
from ..types import Scores, TokenVectors

_TOGETHER = 256
"""Texts in a file. What a stopped run has encoded since the last file is lost."""


_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What NumPy raises of a file that is not there, or not whole."""


class EmbeddingCache:
    """Keeps what a model makes of texts in a folder, by their content and by all that decides the vectors.

    Texts are encoded, and kept, in groups, in the order in which they come; a file that is damaged is made anew.
    Several processes may use a folder at once.

    Args:
        folder: Where; it is made if it is not there. It may be removed at any time.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def encode(
        self, model: JaColBERT, texts: Sequence[str], task: Task, *, show_progress_bar: bool | None = None
    ) -> list[TokenVectors]:
        """Returns the vectors of texts; what is not there yet is encoded.

        Args:
            model: The model.
            texts: Queries or documents.
            task: Which of the two they are.
            show_progress_bar: None shows one after a second, on a terminal.

        Returns:
            A (tokens, dimension) float32 array a text.

        Raises:
            InputError: If a text cannot be encoded, or nothing can be written to the folder.
        """
        folder = self.folder / _made_by(model, task)
        encode = model.encode_query if task == "query" else model.encode_document
        found: list[TokenVectors] = []
        with tqdm(
            total=len(texts),
            desc=f"{model.name}: {'queries' if task == 'query' else 'passages'}",
            disable=None if show_progress_bar is None else not show_progress_bar,
            delay=1.0 if show_progress_bar is None else 0.0,
        ) as bar:
            for start in range(0, len(texts), _TOGETHER):
                group = list(texts[start : start + _TOGETHER])
                file = folder / f"{_digest(group)}.npz"
                vectors = _read(file, len(group))
                if vectors is None:
                    vectors = encode(group, show_progress_bar=False)
                    lengths = np.array([len(each) for each in vectors])
                    _write(file, {"lengths": lengths, "vectors": np.concatenate(vectors)})
                found += vectors
                bar.update(len(group))
        return found

    def scores(
        self,
        model: JaColBERT,
        setting: Mapping[str, Any],
        queries: Sequence[str],
        documents: Sequence[str],
        compute: Callable[[], Scores],
    ) -> Scores:
        """Returns the scores of queries and documents; they are computed if they are not there yet.

        Args:
            model: The model.
            setting: All else that decides the scores, as JSON can hold it.
            queries: The texts.
            documents: The texts.
            compute: Gives (queries, documents) float32.

        Raises:
            InputError: If nothing can be written to the folder.
        """
        made_by = {"model": _made_by(model, "document"), "setting": dict(setting)}
        return self.matrix(made_by, [queries, documents], compute)

    def matrix(
        self, made_by: Mapping[str, Any], texts: Sequence[Sequence[str]], compute: Callable[[], Scores]
    ) -> NDArray[np.float32]:
        """Returns a matrix that something makes of texts; it is computed if it is not there yet.

        Args:
            made_by: All that decides it beside the texts, as JSON can hold it.
            texts: Of each kind, in order. The matrix has as many rows as there are of the first.
            compute: Gives (texts of the first kind, anything) float32.

        Raises:
            InputError: If nothing can be written to the folder.
        """
        key = json.dumps({"made by": dict(made_by), "texts": [_digest(each) for each in texts]}, sort_keys=True)
        file = self.folder / "matrices" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
        found = _read_matrix(file, len(texts[0]))
        if found is None:
            found = compute()
            _write(file, {"matrix": found})
        return found


def default_folder() -> Path:
    """Returns where caches of the system lie: of the variable ``XDG_CACHE_HOME``, or ``.cache`` in the home folder."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "jacolbert-integrations" / "embeddings"


def _made_by(model: JaColBERT, task: Task) -> str:
    identity = model.identity.to_dict() | {"name": None, "task": task, "dtype": str(model.model.dtype)}
    if task == "document":
        identity["query_length"] = None  # it changes no vector of a document
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=24)
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()


def _read(file: Path, count: int) -> list[TokenVectors] | None:
    """Returns the vectors of a file; None if it is not there, or damaged."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            lengths, vectors = arrays["lengths"], arrays["vectors"]
    except _DAMAGED:
        return None
    if lengths.shape != (count,) or vectors.ndim != 2 or vectors.dtype != np.float32 or lengths.sum() != len(vectors):
        return None
    return np.split(vectors, np.cumsum(lengths)[:-1])


def _read_matrix(file: Path, rows: int) -> NDArray[np.float32] | None:
    """Returns the matrix of a file; None if it is not there, or damaged."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            matrix: NDArray[np.float32] = arrays["matrix"]
    except _DAMAGED:
        return None
    return matrix if matrix.ndim == 2 and len(matrix) == rows and matrix.dtype == np.float32 else None


def _write(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                np.savez(opened, allow_pickle=False, **arrays)
            Path(unfinished).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(unfinished).unlink()
            raise
    except OSError as error:
        raise InputError(
            f"vectors cannot be kept in {file.parent}: {error.strerror}. Make room there, name another folder, or keep "
            "none."
        ) from None
