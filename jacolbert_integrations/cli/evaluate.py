"""``jacolbert evaluate``: a checkpoint's retrieval on all of JSQuAD, exactly."""

from __future__ import annotations

import argparse
import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..query_length import QUERY_LENGTHS
from .terminal import say, say_json

if TYPE_CHECKING:
    from ..text.squad import Question, QuestionSet


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a checkpoint on JSQuAD valid: 4,442 questions over 1,145 passages",
        description="Ranks all passages of JSQuAD valid for all of its questions by exact MaxSim, beside BM25.",
    )
    parser.add_argument("model", nargs="?", help="a directory or hub id (default: the bundled jacolbert-small)")
    parser.add_argument("--query-length", choices=QUERY_LENGTHS, help="another rule than its own")
    parser.add_argument("--sample", type=int, metavar="N", help="ask only N questions, chosen at random (seed 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..encoding.encoder import JaColBERT
    from ..errors import MissingExtraError
    from ..evaluation.bm25 import BM25
    from ..evaluation.fusion import with_bm25
    from ..evaluation.jsquad import JSQUAD_SOURCE, load_jsquad
    from ..evaluation.metrics import best_ranks, ranks_of, retrieval_metrics
    from ..evaluation.retrieval import right_columns, score_questions
    from .report import metrics_table

    corpus = load_jsquad()
    model = JaColBERT.from_pretrained(arguments.model, query_length=arguments.query_length)
    asked = _asked(corpus, arguments.sample)
    right = right_columns(corpus, asked)
    scores = {model.name: score_questions(model, corpus, asked)}
    try:
        bm25 = BM25([p.text for p in corpus.passages]).score([q.text for q in asked])
        scores |= {"BM25 (MeCab words)": bm25, "both, scores fused": with_bm25(scores[model.name], bm25)}
    except MissingExtraError as error:
        if not arguments.json:
            say(f"BM25 is left out. {error}\n")
    ranks = {name: ranks_of(each, right) for name, each in scores.items()}
    if len(ranks) > 1:  # what choosing between the two could reach at best
        ranks["the better of both, by an oracle"] = best_ranks(*list(ranks.values())[:2])
    rows = {name: retrieval_metrics(found) for name, found in ranks.items()}
    if arguments.json:
        say_json({name: asdict(metrics) for name, metrics in rows.items()}, indent=2)
        return
    say(f"{JSQUAD_SOURCE}\n{len(asked):,} questions over {len(corpus.passages):,} passages\n")
    say(metrics_table(rows))


def _asked(corpus: QuestionSet, sample: int | None) -> list[Question]:
    if sample is None or sample >= len(corpus.questions):
        return corpus.questions
    return random.Random(0).sample(corpus.questions, max(sample, 1))
