"""``jacolbert search``: the best passages of a collection for a question."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

from ..text.harmless import harmless
from .filters import add_filter, filter_of
from .location import add_collection, add_location, opened
from .model import add_model, model_of
from .renamed import add_old_name
from .terminal import say, say_json
from .usage import UsageError, positive

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT
    from ..explaining import Explanation, Match
    from ..types import Hit, Hits

_SHOWN_CHARACTERS = 160


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "search",
        help="ask a Qdrant collection",
        description="Ranks the passages of a collection by MaxSim: all of them, or the candidates of its first stages.",
    )
    parser.add_argument("questions", nargs="*", metavar="question")
    parser.add_argument(
        "--questions-from",
        metavar="FILE",
        help="read questions from a file, one in each line; - reads what is piped in",
    )
    add_filter(parser)
    add_location(parser)
    add_collection(parser)
    add_model(parser, default="what made the collection")
    parser.add_argument(
        "--top-k", "--limit", type=positive, default=5, metavar="K", help="passages to show (%(default)s)"
    )
    parser.add_argument("--exact", action="store_true", help="score all passages, whatever first stages there are")
    parser.add_argument("--candidates", type=positive, metavar="N", help="how many candidates a first stage finds")
    parser.add_argument(
        "--normalize-scores",
        action="store_true",
        help="show the mean similarity of the question's vectors, at most 1, instead of their sum, MaxSim",
    )
    parser.add_argument("--score-threshold", "--min-score", type=float, metavar="T", help="the least score to show")
    add_old_name(parser, "--threshold", "--score-threshold")
    parser.add_argument("--explain", action="store_true", help="show what each token of the question adds to a score")
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print a JSON object a question")
    printed.add_argument("--text-only", action="store_true", help="print the passages' whole texts, and nothing else")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..qdrant import QdrantStore, SearchOptions
    from .report import matcher

    questions, condition = _questions(arguments), filter_of(arguments.filter)
    given = {} if arguments.candidates is None else {"candidates": arguments.candidates}
    options = SearchOptions(exact=arguments.exact, **given)
    with opened(arguments, must_exist=True) as client:
        model = model_of(client, arguments.collection, arguments)
        store = QdrantStore(client, arguments.collection, search_options=options)
        store.model = model
        store.bind(model.identity)
        matches = matcher(model)

        def explained(question: str, hit: Hit) -> Explanation | None:
            return _explanation(model, question, hit) if arguments.explain else None

        queries = [model.query(question) for question in questions]
        answers = store.search_batch(queries, top_k=arguments.top_k, filter=condition)
        for query, found_hits in zip(queries, answers, strict=True):
            hits = _cut(
                found_hits.normalized(query) if arguments.normalize_scores else found_hits, arguments.score_threshold
            )
            if arguments.json:
                found = []
                for hit in hits:
                    found.append({"id": hit.id, "score": hit.score, "payload": hit.payload})
                    if (explanation := explained(query.text, hit)) is not None:
                        found[-1]["explanation"] = explanation.as_dict()
                answer = {"question": query.text, "approximate": hits.approximate, "hits": found}
                say_json(answer)
            elif arguments.text_only:
                for hit in hits:
                    say(_text(hit))
            else:
                _show(query.text, hits, matches, explained)


def _questions(arguments: argparse.Namespace) -> list[str]:
    """Returns the questions of the command line and of the file.

    Raises:
        UsageError: If there are none, or one is empty.
        InputError: If the file cannot be read.
    """
    from ..errors import InputError

    questions = list(arguments.questions)
    if arguments.questions_from is not None:
        try:
            piped = arguments.questions_from == "-"
            text = sys.stdin.read() if piped else Path(arguments.questions_from).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--questions-from {arguments.questions_from} cannot be read: {error}.") from error
        questions += [line.strip() for line in text.splitlines() if line.strip()]
    if not questions:
        raise UsageError("ask a question, or name a file of questions with --questions-from.")
    if not all(question.strip() for question in questions):
        raise UsageError("a question is empty, so there is nothing to look for.")
    return questions


def _text(hit: Hit) -> str:
    """Returns the text of a hit; its payload where it has none."""
    from ..errors import InputError
    from ..stores.payload_text import payload_text

    try:
        return payload_text(hit.payload)
    except InputError:
        return json.dumps(hit.payload, ensure_ascii=False)


def _cut(hits: Hits, threshold: float | None) -> Hits:
    from ..types import Hits

    if threshold is None:
        return hits
    return Hits((hit for hit in hits if hit.score >= threshold), approximate=hits.approximate)


def _explanation(model: JaColBERT, question: str, hit: Hit) -> Explanation | None:
    """Explains a hit's score; None if its payload does not hold the text that it was made from."""
    from ..errors import InputError
    from ..explaining import explain
    from ..stores.payload_text import payload_text

    try:
        text = payload_text(hit.payload)
    except InputError:
        return None
    return explain(model, question, text)


def _show(
    question: str,
    hits: Hits,
    matches: Callable[[str, str], list[Match]],
    explained: Callable[[str, Hit], Explanation | None],
) -> None:
    from ..explaining import as_table
    from .report import marked

    say(f"Q: {question}")
    for rank, hit in enumerate(hits, 1):
        text = harmless(_text(hit))  # before our own colours are put into it
        say(f"  {rank}. {hit.score:6.2f}  {' '.join(hit.id.splitlines())}")
        print(f"      {marked(text, matches(question, text), _SHOWN_CHARACTERS)}")
        if (explanation := explained(question, hit)) is not None:
            say(indent(as_table(explanation), " " * 6))
    if not hits:
        say("  nothing found")
    say()
