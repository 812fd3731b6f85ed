"""Collections of this project beside the PLAID engines that one could take instead: recall, time and bytes.

Each engine gets the same passages, questions and token vectors (with the values that float16 has left them), in a
process and an environment of its own, and all processors. Passages and questions are made as by ``two_stage.py``;
recall is measured against exact MaxSim of the vectors, computed here. An engine that cannot be installed is a row with
its error. The first run installs them: 5 GB for each of fast-plaid and PyLate, most of it torch; NextPlaid is built,
with cargo.

``python benchmarks/plaid_engines.py jaquad_dev_*.json``

With ``--vectors FOLDER``, what was encoded, and the exact answers, stay there: started again with the same arguments,
or with other ``--engines`` and ``--without``, it encodes nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from engines.environments import ENGINES, command_of
from engines.measuring import TOP_K, Measured
from engines.vectors import ABOUT, About, Encoded, questions_name, read_encoded, write_encoded
from two_stage import passages, question_sets

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.scoring.maxsim import PackedDocuments
from jacolbert_integrations.text.squad import read_squad

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "engines"


@dataclass(frozen=True, slots=True)
class Failed:
    """An index that could not be measured.

    Attributes:
        index: Its name.
        error: What was said about it.
    """

    index: str
    error: str


def write_vectors(folder: Path, model: JaColBERT, arguments: argparse.Namespace) -> About:
    """Encodes passages and questions into a folder, and finds the exact best of them."""
    sets = read_squad(arguments.files)
    texts = [document.text for document in passages(sets, arguments.passages + arguments.changed)]
    for name, own in (("passages", texts[: arguments.passages]), ("more", texts[arguments.passages :])):
        write_encoded(folder, name, own, model.encode_document(own, show_progress_bar=False))
    asked = question_sets(sets, arguments.questions)
    for place, own in enumerate(asked.values()):
        write_encoded(folder, questions_name(place), own, model.encode_query(own, show_progress_bar=False))
    documents = PackedDocuments(read_encoded(folder, "passages").vectors)
    about = About(
        model=checkpoint(arguments, model),
        dimension=model.dimension,
        passages=arguments.passages,
        questions=arguments.questions,
        sets=list(asked),
        deleted=sorted(random.Random(2).sample(range(arguments.passages), arguments.changed)),
        tokens=documents.n_tokens / len(documents),
        exact=[exact_best(documents, read_encoded(folder, questions_name(i))) for i in range(len(asked))],
    )
    about.write(folder)
    return about


def kept_vectors(folder: Path, model: JaColBERT, arguments: argparse.Namespace) -> About:
    """Reads what a folder is of, or writes it if there is nothing yet.

    Raises:
        SystemExit: If it is of something else than the arguments ask for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ABOUT).is_file():
        return write_vectors(folder, model, arguments)
    about = About.read(folder)
    there = (about.model, about.passages, len(about.deleted), about.questions)
    wanted = (checkpoint(arguments, model), arguments.passages, arguments.changed, arguments.questions)
    if there != wanted:
        raise SystemExit(f"{folder} has vectors of {there}, but {wanted} are asked for. Name another folder.")
    return about


def checkpoint(arguments: argparse.Namespace, model: JaColBERT) -> str:
    """What an engine's process loads the same model by."""
    named = arguments.model or model.name
    return str(Path(named).resolve()) if Path(named).exists() else str(named)


def exact_best(documents: PackedDocuments, questions: Encoded) -> list[list[int]]:
    """Numbers of the ten best passages of each question, by exact MaxSim."""
    best = np.argsort(-documents.score(questions.vectors), axis=1, kind="stable")[:, :TOP_K]
    return [list(map(int, row)) for row in best]


def recall(found: Sequence[Sequence[int]], exact: Sequence[Sequence[int]]) -> float:
    """Share of the exact best that were found."""
    shares = [len(set(own).intersection(best)) / len(best) for own, best in zip(found, exact, strict=True)]
    return sum(shares) / len(shares)


def measured(name: str, indexes: Sequence[str], folder: Path, environments: Path) -> Iterator[Measured | Failed]:
    """Measures indexes of an engine, each in a process of its own."""
    try:
        command = command_of(name, environments)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        yield Failed(name, f"cannot be installed: {error}")
        return
    own = {} if name == "ours" else {"PYTHONPATH": ""}  # that is for this environment
    for index in indexes:
        done = subprocess.run(
            [*command, index, str(folder)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=HERE,
            env={**os.environ, **own},
        )
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            yield Failed(f"{name}, {index}", last_error(done.stderr) or f"status {done.returncode}")
        else:
            yield Measured.parse(done.stdout.strip().splitlines()[-1])


def last_error(said: str) -> str:
    """The last error that a process told of, in one line."""
    found = re.split(r"^(?=[\w.]*Error: )", said, flags=re.MULTILINE)
    return " ".join(found[-1].split())[:200]


def header(sets: Sequence[str]) -> str:
    """The table's first two lines."""
    columns = [*sets, "p50, ms", "p95, ms", "bytes a passage", "of the log", "build, s", "add, s", "delete, s"]
    return f"| index | search | {' | '.join(columns)} |\n|---|---|{'--:|' * len(columns)}"


def rows(row: Measured | Failed, about: About) -> Iterator[str]:
    """Lines of the table: one for each way in which an index was asked; what is the index's own stands in the first.

    Args:
        row: What was measured.
        about: The vectors.
    """
    if isinstance(row, Failed):
        yield f"| {row.index} | {row.error} |{' |' * (len(about.sets) + 7)}"
        return
    lost, left = (f" ({count} {what})" if count else "" for count, what in ((row.lost, "lost"), (row.left, "left")))
    own = [
        f"{(row.size - row.log) / about.passages:,.0f}",
        f"{row.log / about.passages:,.0f}" if row.log else "",
        f"{row.built:,.1f}",
        f"{row.added:.1f}{lost}",
        f"{row.deleted:.1f}{left}",
    ]
    name = row.index
    for asked in row.asked:
        recalls = [f"{recall(found, best):.3f}" for found, best in zip(asked.found, about.exact, strict=True)]
        times = [f"{value:.1f}" for value in np.percentile(asked.milliseconds, [50, 95])]
        yield f"| {' | '.join([name, asked.search, *recalls, *times, *own])} |"
        name, own = "", [""] * len(own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--passages", type=int, default=50_000)
    parser.add_argument("--changed", type=int, default=1_000, help="passages that are added, and deleted")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--without", nargs="+", default=[], help="indexes to leave out, such as Voyager")
    parser.add_argument("--environments", type=Path, default=BUILD, help="where the engines are installed")
    parser.add_argument("--vectors", type=Path, help="a folder to keep vectors and exact answers in")
    parser.add_argument("--model", help="a checkpoint's directory or hub id (default: jacolbert-small)")
    arguments = parser.parse_args()
    model = JaColBERT.from_pretrained(arguments.model)
    with tempfile.TemporaryDirectory() as own:
        folder = (arguments.vectors or Path(own) / "vectors").resolve()
        about = kept_vectors(folder, model, arguments)
        print(
            f"{about.passages:,} passages of {about.tokens:.1f} token vectors of {about.dimension} numbers (as float16 "
            f"{2 * about.tokens * about.dimension:,.0f} bytes a passage), {model.name}; {about.questions} questions a "
            f"set; {len(about.deleted):,} passages added and deleted; {os.cpu_count()} processors\n"
        )
        print(header(about.sets), flush=True)
        for name in arguments.engines:
            indexes = [index for index in ENGINES[name].indexes if index not in arguments.without]
            for row in measured(name, indexes, folder, arguments.environments.resolve()):
                print("\n".join(rows(row, about)), flush=True)


if __name__ == "__main__":
    main()
