"""LlamaIndex's own BM25 retriever and ColBERT reranker beside ours: quality and time over JSQuAD.

The same questions go through (a) ``BM25Retriever`` over the words that fugashi finds, (b) ``ColbertRerank`` over its
candidates, (c) ``JaColBERTRerank`` over the same candidates, and (d) ``JaColBERTRetriever`` over an ``EdgeStore``. Both
rerankers have the same checkpoint, the bundled one unless another is named. Each question is asked of all of them in
turn, so that a machine whose speed drifts is fair to all; a reranker's time includes that of the BM25 before it.

Of each way the script also counts on how many questions it has the right passage first where (b) has not, and the
other way round, and says how likely so uneven a count is by chance (two-sided sign test).

``--squad`` asks another set. Choices for (c) were made on JaQuAD dev: queries without [MASK] tokens, which made no
difference there but to time; with them windows of 160 tokens, as long as the passages that jacolbert-mini was
trained with, and a twentieth of BM25's score.

The two packages of LlamaIndex's go, without what they require, into a folder under ``build/benchmarks``: all that they
require is in this package's environment already, in versions that they allow, but for PyStemmer, which goes with them.

Run it as ``python benchmarks/llama_index_side_by_side.py``.
"""

from __future__ import annotations

import argparse
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import bm25s
import torch
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict
from ranks import measured_ranks, rank_in

from jacolbert_integrations import EdgeStore, JaColBERT, JaColBERTRerank, JaColBERTRetriever
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import Question, read_squad
from jacolbert_integrations.text.tokenization import WordSplitter

FOLDER = Path(__file__).resolve().parent.parent / "build" / "benchmarks" / "llama_index"
REQUIREMENTS = (
    "llama-index-postprocessor-colbert-rerank==0.6.0",
    "llama-index-retrievers-bm25==0.8.0",
    "PyStemmer==2.2.0.3",
)
RANKED = 10
CHOSEN: dict[str, Any] = {"window_size": 160, "retrieval_weight": 0.05}

Answer = Callable[[Question], Sequence[NodeWithScore]]


@dataclass
class Row:
    """A way to answer questions, and how it went.

    Attributes:
        name: What it is called in the table.
        answer: Finds passages for a question.
        seconds: Of each question.
        ranks: Of each question's passage.
    """

    name: str
    answer: Answer
    seconds: list[float] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)

    def ask(self, question: Question) -> None:
        """Answers a question, and notes down how well and in what time."""
        begun = perf_counter()
        found = self.answer(question)
        self.seconds.append(perf_counter() - begun)
        self.ranks.append(rank_in([node.node_id for node in found], question.passage_id))

    def beside(self, other: Row) -> str:
        """The row of the table, and how it compares with another."""
        metrics = measured_ranks(self.ranks, ("R@1", "MRR@10"))
        pairs = list(zip(self.ranks, other.ranks, strict=True))
        won = sum(own == 1 != theirs for own, theirs in pairs)
        lost = sum(own != 1 == theirs for own, theirs in pairs)
        return (
            f"{self.name:52}{metrics.mean('R@1'):8.3f}{metrics.mean('MRR@10'):10.3f}{1000 * median(self.seconds):12.1f}"
            f"{1000 * sum(self.seconds) / len(self.seconds):10.1f}{won:10}{lost:6}{sign_test(won, lost):7.2f}"
        )


def sign_test(won: int, lost: int) -> float:
    """How likely a count as uneven is, or more so, if both sides are as likely."""
    asked = won + lost
    tail = sum(math.comb(asked, k) for k in range(min(won, lost) + 1))
    return float(min(1, 2 * tail / 2**asked))


def install() -> None:
    """Puts LlamaIndex's packages into their folder, once, and the folder at the end of the import path."""
    wanted = "\n".join(REQUIREMENTS)
    ready = FOLDER / "ready"
    if not ready.exists() or ready.read_text() != wanted:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(FOLDER)]
        subprocess.run([*command, *REQUIREMENTS], check=True)
        ready.write_text(wanted)
    sys.path.append(str(FOLDER))


def bm25_retriever(nodes: Sequence[TextNode], splitter: WordSplitter, top_k: int) -> BaseRetriever:
    """LlamaIndex's retriever over an index of fugashi's words; it takes a query as words with spaces between."""
    words = [[word.lower() for word in splitter.split(node.text)] for node in nodes]
    index = bm25s.BM25(corpus=[node_to_metadata_dict(node) | {"node_id": node.node_id} for node in nodes])
    index.index(words, show_progress=False)
    module = import_module("llama_index.retrievers.bm25")
    retriever: BaseRetriever = module.BM25Retriever(
        existing_bm25=index, similarity_top_k=top_k, skip_stemming=True, token_pattern=r"\S+"
    )
    return retriever


def their_reranker(model: JaColBERT, folder: Path) -> BaseNodePostprocessor:
    """LlamaIndex's reranker over the same weights, written anew: transformers reads no weights of eight bits."""
    model.save_pretrained(folder)
    checkpoint = str(folder)
    module = import_module("llama_index.postprocessor.colbert_rerank")
    device = str(model.model.device)
    reranker: BaseNodePostprocessor = module.ColbertRerank(
        top_n=RANKED, model=checkpoint, tokenizer=checkpoint, device=device
    )
    return reranker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="hub id or directory (default: jacolbert-small)")
    parser.add_argument("--squad", nargs="+", metavar="FILE", help="another set, in SQuAD's layout, instead of JSQuAD")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--candidates", type=int, default=20, help="that BM25 hands to a reranker")
    parser.add_argument("--quality", action="store_true", help="leave out rows that differ from another in time alone")
    arguments = parser.parse_args()
    install()

    model = JaColBERT.from_pretrained(arguments.model)
    unpadded = JaColBERT.from_pretrained(arguments.model, query_length="unpadded")
    question_set, splitter = read_squad(arguments.squad) if arguments.squad else load_jsquad(), WordSplitter()
    asked = random.Random(0).sample(question_set.questions, min(arguments.questions, len(question_set.questions)))
    nodes = [TextNode(id_=passage.id, text=passage.text) for passage in question_set.passages]
    bm25 = bm25_retriever(nodes, splitter, arguments.candidates)

    def candidates(question: Question) -> list[NodeWithScore]:
        return bm25.retrieve(" ".join(splitter.split(question.text)))

    def reranked(reranker: BaseNodePostprocessor) -> Answer:
        return lambda question: reranker.postprocess_nodes(candidates(question), query_str=question.text)

    with tempfile.TemporaryDirectory() as folder, EdgeStore(f"{folder}/store") as store:
        begun = perf_counter()
        retriever = JaColBERTRetriever.from_nodes(nodes, model, store=store, similarity_top_k=RANKED)
        written = perf_counter() - begun
        stored = JaColBERTRerank(model, RANKED, store=store, cache_bytes=0)
        theirs = Row("(b) then ColbertRerank", reranked(their_reranker(model, Path(folder) / "checkpoint")))
        rows = [
            Row("(a) BM25Retriever, fugashi's words", candidates),
            theirs,
            Row("(c) then JaColBERTRerank, nothing kept", reranked(JaColBERTRerank(model, RANKED, cache_bytes=0))),
            Row("(c) then JaColBERTRerank, its cache", reranked(JaColBERTRerank(model, RANKED))),
            Row("(c) then JaColBERTRerank, the store's vectors", reranked(stored)),
            Row("(c) no [MASK], nothing kept", reranked(JaColBERTRerank(unpadded, RANKED, cache_bytes=0))),
            Row("(c) no [MASK], its cache", reranked(JaColBERTRerank(unpadded, RANKED))),
            Row("(c) as chosen, nothing kept", reranked(JaColBERTRerank(unpadded, RANKED, cache_bytes=0, **CHOSEN))),
            Row("(c) as chosen, its cache", reranked(JaColBERTRerank(unpadded, RANKED, **CHOSEN))),
            Row("(d) JaColBERTRetriever, EdgeStore, all passages", lambda question: retriever.retrieve(question.text)),
        ]
        if arguments.quality:
            rows = [row for row in rows if not row.name.endswith(("nothing kept", "the store's vectors"))]
        for row in rows:  # what is done first is slower: not counted
            row.answer(question_set.questions[0])
        for question in asked:
            for row in rows:
                row.ask(question)

    print(
        f"{len(asked):,} questions of {'a set of SQuAD files' if arguments.squad else 'JSQuAD'} (seed 0) over "
        f"{len(nodes):,} passages, {model.name}, {model.model.device}, "
        f"{torch.get_num_threads()} threads\n(b) and (c) rerank {arguments.candidates} candidates of (a); indexing for "
        f"(d) took {written:.1f} s\n"
    )
    print(f"{'':84}{'first, and not in (b)':>32}")
    print(f"{'':52}{'R@1':>8}{'MRR@10':>10}{'ms, median':>12}{'mean':>10}{'won':>10}{'lost':>6}{'p':>7}")
    for row in rows:
        print(row.beside(theirs))


if __name__ == "__main__":
    main()
