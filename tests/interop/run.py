"""Exports checkpoints, has the libraries that they are for load them, and reads back what those save.

``make interop`` runs it: each library gets an environment of its own under ``build/interop``, since
none of them shares one with this package. The first run installs them (2 GB a library, most of it torch).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"

from transformers.utils.logging import disable_progress_bar

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.transformer import ColBERTTransformer
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.exporting.layouts import export

from .verify import TOLERANCE, largest_difference

HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parent / "data" / "reference"
BUILD = HERE.parent.parent / "build" / "interop"


class Texts(NamedTuple):
    """What is encoded."""

    queries: list[str]
    documents: list[str]


@dataclass(frozen=True, slots=True)
class Library:
    """A library, the layout that it reads, and what to install for it beside torch.

    Attributes:
        layout: As for :func:`~jacolbert_integrations.exporting.layouts.export`.
        alone: Requirements without what they require themselves: PyLate 1.6 asks for a torch of its own.
        requirements: All others; none where the library is in this environment.
    """

    layout: str
    alone: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


LIBRARIES = {
    # colbert-ai 0.2.22 imports an optimizer that transformers 4.50 no longer has
    "colbert-ai": Library("stanford", (), ("colbert-ai==0.2.22", "transformers==4.49.0", "fugashi", "unidic-lite")),
    "pylate": Library(
        "pylate",
        ("pylate==1.6.0", "sentence-transformers==5.3.0"),
        ("transformers==5.3.0", "accelerate", "datasets", "pandas", "scikit-learn", "ujson==5.12.0", "fugashi",
         "unidic-lite"),
    ),
    "sentence-transformers": Library("sentence-transformers"),
}  # fmt: skip


def python_of(name: str, environments: Path) -> str:
    """The Python of the library's environment, which is made if need be."""
    library = LIBRARIES[name]
    if not library.requirements:
        return sys.executable
    folder = environments / name
    python, done = folder / "bin" / "python", folder / "installed"
    torch = f"torch=={version('torch').split('+')[0]}"
    wanted = " ".join((torch, *library.alone, *library.requirements))
    if not done.is_file() or done.read_text() != wanted:
        print(f"Installing {name} in {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # torch first, as in the Makefile: all else is then content with it
        subprocess.run([*install, torch], check=True)
        subprocess.run([*install, torch, *library.requirements], check=True)
        if library.alone:
            subprocess.run([*install, "--no-deps", *library.alone], check=True)
        done.write_text(wanted)
    return str(python)


def sources(folder: Path) -> dict[str, JaColBERT]:
    """The models to export, as each layout is read, with the query rule that all libraries have."""
    by_way = export(JaColBERT.from_pretrained(REFERENCE / "stanford"), folder / "by-way", "sentence-transformers")
    paths: dict[str, str | Path] = {
        "jacolbert-mini": "jacolbert-mini",
        "jacolbert-small": "jacolbert-small",
        "reference, Stanford's layout": REFERENCE / "stanford",
        "reference, saved by PyLate 1.6": REFERENCE / "pylate",
        "reference, exported to sentence-transformers": by_way,
    }
    return {name: JaColBERT.from_pretrained(path, query_length="fixed") for name, path in paths.items()}


def vectors_of(model: JaColBERT, texts: Texts) -> tuple[list[Any], list[Any]]:
    """What this package makes of the texts."""
    return list(model.encode_query(texts.queries)), list(model.encode_document(texts.documents))


def without_unknown(model: JaColBERT, texts: Texts, vectors: list[Any]) -> list[Any]:
    """Vectors of documents as colbert-ai has them, where the vocabulary lacks a punctuation mark.

    Its skiplist then holds [UNK], as with the mini model, and all [UNK]s of documents lose their vectors.
    """
    transformer = model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    tokenizer = transformer.hf_tokenizer
    unknown = tokenizer.unk_token_id
    if all(tokenizer.convert_tokens_to_ids(symbol) != unknown for symbol in transformer.settings.skiplist):
        return vectors
    kept = []
    for text, matrix in zip(transformer.tokenize_texts(texts.documents, "document"), vectors, strict=True):
        ids = np.array([index for index in text.ids if index not in model.skipped_ids])
        kept.append(matrix[ids != unknown])
    return kept


def check(name: str, python: str, model: JaColBERT, texts: Texts, folder: Path) -> bool:
    """Whether the library gives the model's vectors, and this package reads what the library saves."""
    exported, saved = export(model, folder / "exported", LIBRARIES[name].layout), folder / "saved"
    own = vectors_of(model, texts)
    expected = {
        "query": own[0],
        "document": without_unknown(model, texts, own[1]) if name == "colbert-ai" else own[1],
    }
    arrays = {f"{task}_{i}": vectors for task, many in expected.items() for i, vectors in enumerate(many)}
    np.savez(folder / "expected.npz", queries=np.array(texts.queries), documents=np.array(texts.documents), **arrays)
    options = {"library": name, "checkpoint": exported, "expected": folder / "expected.npz", "save": saved}
    command = [python, str(HERE / "verify.py"), *(f"--{option}={value}" for option, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    print("  " + (done.stdout.strip().splitlines() or ["no answer"])[-1])
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        return False
    again = JaColBERT.from_pretrained(saved, query_length="fixed")
    read = vectors_of(again, texts)
    largest = largest_difference([*own[0], *own[1]], [*read[0], *read[1]])
    same = again.fingerprint == model.fingerprint
    print(
        f"  saved by it and read here: largest difference {largest:.1e}, fingerprint {'the same' if same else 'other'}"
    )
    return same and largest <= TOLERANCE


def main() -> int:
    """Runs the checks; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=LIBRARIES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--environments", type=Path, default=BUILD, help="where the environments are made")
    arguments = parser.parse_args()
    disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.simplefilter("ignore", TruncationWarning)  # the libraries cut the same queries
    pythons = {name: python_of(name, arguments.environments.resolve()) for name in arguments.library or LIBRARIES}
    record = json.loads((REFERENCE / "reference.json").read_text(encoding="utf-8"))
    texts = Texts(*([row["text"] for row in record[name]] for name in ("queries", "documents")))
    work = BUILD / "work"
    shutil.rmtree(work, ignore_errors=True)
    failed = 0
    for source, model in sources(work).items():
        for name, python in pythons.items():
            print(f"{source} -> {name}", flush=True)
            folder = work / f"{source} {name}".replace(" ", "-").replace(",", "")
            folder.mkdir(parents=True)
            failed += not check(name, python, model, texts, folder)
    print(f"{failed} checks failed" if failed else "All checkpoints give the same vectors everywhere.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
