"""``jacolbert demo``: the main job on real Japanese text, from passages to ranked answers."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..text.harmless import harmless
from .model import add_model, load
from .renamed import add_old_name
from .terminal import say

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..evaluation.metrics import RetrievalMetrics
    from ..llama_index import JaColBERTRetriever
    from ..text.squad import Question, QuestionSet
    from ..types import MultiVectorStore

_COLLECTION = "jsquad"
_SHOWN_HITS = 3
_SHOWN_CHARACTERS = 110
_SHOWN_QUESTION = 40  # whole sentences of at most so many characters are shown; all are measured
_LEGEND = """\
   (* the passage that the question was asked about; marked: what the words of the question matched,
    particles and punctuation aside)
"""


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "demo",
        help="index real Japanese passages in Qdrant, ask real questions, and measure",
        description="Indexes the passages of JSQuAD in a Qdrant collection on disk, asks questions through the "
        "LlamaIndex retriever, and measures it beside BM25.",
    )
    add_model(parser)
    parser.add_argument(
        "--location", type=Path, metavar="FOLDER", help="keep the collection in this folder (default: a temporary one)"
    )
    add_old_name(parser, "--path", "--location")
    parser.add_argument("--show", type=int, default=4, metavar="N", help="questions to print answers of (%(default)s)")
    parser.add_argument("--sample", type=int, default=300, metavar="N", help="questions to measure on (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="decides which questions (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..evaluation.jsquad import JSQUAD_SOURCE, load_jsquad

    model = load(arguments)
    corpus = load_jsquad()
    say(f"Model:  {model.name} ({model.dimension} dimensions, query length rule {model.query_length!r})")
    say(f"Corpus: {JSQUAD_SOURCE}")
    say(f"        {len(corpus.passages):,} passages, {len(corpus.questions):,} questions\n")
    questions = random.Random(arguments.seed).sample(corpus.questions, len(corpus.questions))
    if arguments.location is not None:
        _demonstrate(model, corpus, questions, arguments, arguments.location)
    else:
        with tempfile.TemporaryDirectory() as folder:
            _demonstrate(model, corpus, questions, arguments, Path(folder))


def _demonstrate(
    model: JaColBERT, corpus: QuestionSet, questions: list[Question], arguments: argparse.Namespace, path: Path
) -> None:
    from ..llama_index import JaColBERTRetriever

    store, close = _opened(path)
    try:
        retriever = JaColBERTRetriever(store, model, similarity_top_k=10)
        _index(retriever, corpus)
        short = [
            q for q in questions if len(q.text) <= _SHOWN_QUESTION and q.text.endswith(("か。", "か？", "か?", "は？"))
        ]
        _answer(model, retriever, short[: arguments.show])
        _measure(model, corpus, retriever, questions[: max(arguments.sample, 1)])
    finally:
        close()


def _opened(path: Path) -> tuple[MultiVectorStore, Callable[[], None]]:
    """Opens a store in Qdrant's own engine, in a folder, if it is installed, and else in memory; and what closes it."""
    from ..errors import MissingExtraError

    try:
        from ..qdrant import EdgeStore
    except MissingExtraError as error:
        from ..stores.memory import MemoryStore

        say(f"The passages are kept in memory, not in Qdrant, and gone at the end. {error}\n")
        return MemoryStore(), lambda: None
    store = EdgeStore(path, _COLLECTION)
    return store, store.close


def _index(retriever: JaColBERTRetriever, corpus: QuestionSet) -> None:
    from llama_index.core.schema import TextNode

    ids = [passage.id for passage in corpus.passages]
    if retriever.store.contains(ids) == set(ids):
        say("Indexing: the collection is there already\n")
        return
    nodes = [
        TextNode(id_=passage.id, text=passage.text, metadata={"title": passage.article},
                 excluded_embed_metadata_keys=["title"])
        for passage in corpus.passages
    ]  # fmt: skip
    start = perf_counter()
    retriever.insert_nodes(nodes)
    seconds = perf_counter() - start
    say(f"Indexing: {len(nodes):,} passages in {seconds:.1f} s ({len(nodes) / seconds:.0f} a second)\n")


def _answer(model: JaColBERT, retriever: JaColBERTRetriever, questions: list[Question]) -> None:
    from .report import marked, matcher

    find = matcher(model)
    for question in questions:
        say(f"Q: {question.text}")
        for rank, hit in enumerate(retriever.retrieve(question.text)[:_SHOWN_HITS], 1):
            text = harmless(hit.node.get_content())  # before our own colours are put into it
            right = "*" if hit.node.node_id == question.passage_id else " "
            print(f"  {rank}.{right}{hit.score:6.2f}  {marked(text, find(question.text, text), _SHOWN_CHARACTERS)}")
        say()
    say(_LEGEND)


def _measure(model: JaColBERT, corpus: QuestionSet, retriever: JaColBERTRetriever, questions: list[Question]) -> None:
    from tqdm import tqdm

    from ..errors import MissingExtraError
    from ..evaluation.metrics import metrics_of_ids
    from ..stores.memory import MemoryStore
    from .report import metrics_table

    found, milliseconds = [], []
    for question in tqdm(questions, desc="Asking", unit=" questions", delay=1.0, disable=None):
        start = perf_counter()
        hits = retriever.retrieve(question.text)
        milliseconds.append(1000 * (perf_counter() - start))
        found.append([hit.node.node_id for hit in hits])
    right = [question.passage_id for question in questions]
    try:
        rows = {model.name: metrics_of_ids(found, right), "BM25 (MeCab words)": _bm25(corpus, questions)}
    except MissingExtraError as error:
        say(f"How good that is was not measured. {error}")
    else:
        say(f"{len(questions)} questions, chosen at random, over all {len(corpus.passages):,} passages:\n")
        say(metrics_table(rows))
    where = "memory" if isinstance(retriever.store, MemoryStore) else "Qdrant"
    say(f"\nA query took {median(milliseconds):.0f} ms (median): encoding, exact MaxSim in {where}, and nodes.")


def _bm25(corpus: QuestionSet, questions: list[Question]) -> RetrievalMetrics:
    from ..evaluation.bm25 import BM25
    from ..evaluation.metrics import metrics_of_scores
    from ..evaluation.retrieval import right_columns

    scores = BM25([passage.text for passage in corpus.passages]).score([question.text for question in questions])
    return metrics_of_scores(scores, right_columns(corpus, questions))
