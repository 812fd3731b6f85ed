"""What jacolbert-small's second stage learns from: hard negatives, and what an ensemble of teachers thinks of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from ...encoding.encoder import JaColBERT
from ...text.squad import Passage
from ..ensembles import ensemble
from ..negatives import Source, mine_negatives
from ..pretrained.dense import dense_model
from ..pretrained.reading import PretrainedWeights
from ..rankers import BM25Ranker, DenseRanker
from ..records import Example
from ..teachers import BM25Teacher, DenseTeacher, LateInteractionTeacher, Teacher
from ..teaching import teach
from .plan import SmallPlan


def taught_examples(
    pairs: Sequence[Example],
    passages: Sequence[Passage],
    weights: PretrainedWeights,
    student: JaColBERT,
    plan: SmallPlan,
    work: Path,
) -> list[Example]:
    """Mines negatives with BM25 and with the pretrained model, and has both and the student itself score them.

    Args:
        pairs: Questions with the passages that answer them; some are drawn.
        passages: What negatives are taken from.
        weights: Of the pretrained model, which here is what it was made to be: one vector a text.
        student: As the first stage has made it.
        plan: How many, and from which ranks.
        work: Where negatives and scores are kept, so that a run that was stopped goes on from them.

    Raises:
        MissingExtraError: If the evaluation extra is not installed.
        InputError: If no question gets a negative.
    """
    texts = [passage.text for passage in passages]
    dense = dense_model(weights).bfloat16()  # scores and ranks need no more digits
    chosen = random.Random(plan.seed).sample(list(pairs), min(plan.mined, len(pairs)))
    by_words = (plan.distilled.ways - 1) // 2
    sources = [
        Source(ranker=DenseRanker(dense, texts), count=plan.distilled.ways - 1 - by_words, window=plan.ranks),
        Source(ranker=BM25Ranker(texts), count=by_words, window=plan.ranks),
    ]
    mined = mine_negatives(
        chosen,
        passages,
        sources,
        file=work / "negatives.jsonl",
        same_document=True,  # the windows beside the right one are what it has to be told from
        seed=plan.seed,
    )
    examples = [example for example in mined.examples if example.ways == plan.distilled.ways]
    teachers: dict[str, Teacher] = {
        "bm25": BM25Teacher(texts),
        "dense": DenseTeacher(dense),
        "student": LateInteractionTeacher(student),
    }
    scored = [teach(examples, teacher, file=work / f"scores-{name}.jsonl") for name, teacher in teachers.items()]
    return ensemble(*scored)
