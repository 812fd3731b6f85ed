"""``jacolbert evaluate``: checkpoints on JSQuAD, or on one's own passages and questions."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..query_length import QUERY_LENGTHS
from .terminal import say, say_json

if TYPE_CHECKING:
    from ..evaluation.benchmark import Benchmark
    from ..evaluation.comparison import Compared
    from ..evaluation.rankings import Run
    from ..evaluation.thresholds import Cut
    from ..types import Scores

_BM25 = "BM25 (MeCab words)"


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure checkpoints beside BM25: on JSQuAD valid (4,442 questions over 1,145 passages), or on your own",
        description="Ranks all passages for each question by exact MaxSim, beside BM25 and fused with it. Without "
        "files it takes JSQuAD valid, which comes with the package.",
    )
    parser.add_argument("models", nargs="*", metavar="model", help="directories or hub ids (default: jacolbert-small)")
    own = parser.add_argument_group("your own passages and questions")
    own.add_argument("--passages", type=Path, metavar="FILE", help="JSONL, CSV or TSV: an id and a text in each row")
    own.add_argument("--queries", type=Path, metavar="FILE", help="the same, of questions")
    own.add_argument(
        "--qrels", type=Path, metavar="FILE", help="TREC's judgments (else in passage_id of the questions)"
    )
    own.add_argument("--squad", type=Path, nargs="+", metavar="FILE", help="or JSON in SQuAD's layout")
    own.add_argument("--qa-dataset", type=Path, metavar="FILE", help="or what LlamaIndex has made questions to")
    own.add_argument("--text-key", default="text", metavar="KEY", help="of texts (%(default)s)")
    own.add_argument("--id-key", default="id", metavar="KEY", help="of ids (%(default)s)")
    own.add_argument("--encoding", help="of the files (default: found out)")
    parser.add_argument("--measures", nargs="+", metavar="NAME", help="such as nDCG@10 MRR@10 R@100 MAP Success@5")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], metavar="FILE", help="TREC runs of other systems")
    parser.add_argument("--write-runs", type=Path, metavar="FOLDER", help="write what was found as TREC runs")
    parser.add_argument("--query-length", choices=QUERY_LENGTHS, help="another rule than a model's own")
    parser.add_argument("--pooling", nargs="+", default=[], metavar="NAME", help="also pooled, such as hierarchical-2")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where vectors are kept (default: of the system)")
    parser.add_argument("--no-cache", action="store_true", help="keep no vectors")
    parser.add_argument("--sample", type=int, metavar="N", help="ask only N questions, chosen at random (seed 0)")
    parser.add_argument(
        "--threshold", nargs="+", type=float, default=[], metavar="T", help="what a least normalised score would do"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..evaluation.comparison import compare
    from ..evaluation.measures import DEFAULT_MEASURES, parse_measures
    from ..evaluation.thresholds import thresholds
    from ..evaluation.trec import read_run, write_run

    measures = arguments.measures or DEFAULT_MEASURES
    parse_measures(measures)  # before hours of encoding
    others = [read_run(file) for file in arguments.runs]
    source, benchmark = _benchmark(arguments)
    own, normalized = _runs(arguments, benchmark)
    runs = [*own, *others]
    if arguments.write_runs is not None:
        for each in own:
            write_run(arguments.write_runs / f"{each.name.replace('/', '--')}.txt", each)
    rows = compare(runs, benchmark.qrels, measures)
    cuts = {each.name: thresholds(each, benchmark.qrels, arguments.threshold) for each in normalized}
    if arguments.json:
        systems = {each.measured.run: each.as_dict() for each in rows}
        told: dict[str, Any] = {
            "benchmark": benchmark.name,
            "passages": len(benchmark.passages),
            "queries": len(benchmark.queries),
        }
        if arguments.threshold:
            told["thresholds"] = {name: [asdict(cut) for cut in own_cuts] for name, own_cuts in cuts.items()}
        say_json({**told, "systems": systems}, indent=2)
        return
    say(f"{source}\n{len(benchmark.queries):,} questions over {len(benchmark.passages):,} passages\n")
    say(_table(rows, measures))
    if arguments.threshold:
        for name, own_cuts in cuts.items():
            say(f"\n{_threshold_table(name, own_cuts)}")


def _benchmark(arguments: argparse.Namespace) -> tuple[str, Benchmark]:
    from ..errors import InputError
    from ..evaluation.benchmark import Benchmark
    from ..evaluation.jsquad import JSQUAD_SOURCE, load_jsquad
    from ..evaluation.reading import read_benchmark, read_qa_dataset, read_squad_benchmark

    own = (arguments.passages, arguments.queries)
    if (own[0] is None) != (own[1] is None) or (arguments.qrels is not None and own[0] is None):
        raise InputError("passages and questions belong together: give --passages and --queries, and --qrels if any.")
    if bool(arguments.squad) + (own[0] is not None) + (arguments.qa_dataset is not None) > 1:
        raise InputError("give either --squad, or --qa-dataset, or --passages and --queries.")
    if arguments.qa_dataset is not None:
        whole = read_qa_dataset(arguments.qa_dataset)
        source = whole.name
    elif arguments.squad:
        whole = read_squad_benchmark(arguments.squad)
        source = whole.name
    elif own[0] is not None:
        keys = {"text_key": arguments.text_key, "id_key": arguments.id_key, "encoding": arguments.encoding}
        whole = read_benchmark(own[0], own[1], arguments.qrels, **keys)
        source = whole.name
    else:
        whole = Benchmark.of_questions("JSQuAD valid", load_jsquad())
        source = JSQUAD_SOURCE
    return source, _sampled(whole, arguments.sample)


def _runs(arguments: argparse.Namespace, benchmark: Benchmark) -> tuple[list[Run], list[Run]]:
    """Returns what all systems found, and what the models found, with normalised scores."""
    from ..encoding.encoder import JaColBERT
    from ..errors import InputError, MissingExtraError
    from ..evaluation.embeddings import EmbeddingCache, default_folder
    from ..evaluation.fusion import with_bm25
    from ..evaluation.systems import bm25_scores, late_interaction_scores, run_of_scores

    given = arguments.models or [None]
    if len(set(given)) < len(given):
        raise InputError(f"a model is named twice: {', '.join(given)}.")
    models = [JaColBERT.from_pretrained(name, query_length=arguments.query_length) for name in given]
    names = [model.name for model in models]
    if len(set(names)) < len(names):  # folders of one name
        names = [str(name) for name in given]
    cache = None if arguments.no_cache else EmbeddingCache(arguments.cache or default_folder())
    scores: dict[str, Scores] = {}
    normalized: list[Run] = []
    for name, model in zip(names, models, strict=True):
        found = late_interaction_scores(model, benchmark, poolings=("none", *arguments.pooling), cache=cache)
        pooled = found.by_pooling.items()
        scores |= {name if pooling == "none" else f"{name}, {pooling}": own for pooling, own in pooled}
        normalized.append(run_of_scores(name, found.normalized(), benchmark))
    try:
        words = bm25_scores(benchmark)
        fused = {f"{name}, BM25 fused": with_bm25(scores[name], words) for name in names}
        scores |= {_BM25: words, **fused}
    except MissingExtraError as error:
        if not arguments.json:
            say(f"BM25 is left out. {error}\n")
    return [run_of_scores(name, own, benchmark) for name, own in scores.items()], normalized


def _sampled(benchmark: Benchmark, sample: int | None) -> Benchmark:
    if sample is None or sample >= len(benchmark.queries):
        return benchmark
    asked = set(random.Random(0).sample(list(benchmark.queries), max(sample, 1)))
    return replace(
        benchmark,
        queries={query: text for query, text in benchmark.queries.items() if query in asked},
        qrels={query: own for query, own in benchmark.qrels.items() if query in asked},
    )


def _table(rows: Sequence[Compared], measures: Sequence[str]) -> str:
    """Formats one line a system; the interval and the p value are of the first measure."""
    first = measures[0]
    names = [each.measured.run for each in rows]
    width = max(map(len, names))
    wide = [max(9, len(name) + 2) for name in measures]
    head = "".join(f"{name:>{size}}" for name, size in zip(measures, wide, strict=True))
    lines = [f"{'':{width}}{head}   {f'{first}, 95 %':>14}  p"]
    for name, each in zip(names, rows, strict=True):
        values = "".join(f"{each.measured.mean(m):{size}.3f}" for m, size in zip(measures, wide, strict=True))
        low, high = each.intervals[first]
        p = f"{each.p_values[first]:.4f}" if each.p_values else ""
        lines.append(f"{name:{width}}{values}   {f'{low:.3f} to {high:.3f}':>14}  {p}".rstrip())
    note = f"p: how likely so great a difference of {first} from the first line is by chance (paired randomisation)"
    return "\n".join([*lines, "", note])


def _threshold_table(name: str, cuts: Sequence[Cut]) -> str:
    """Formats one line a threshold."""
    lines = [
        f"{name}, normalised scores (MaxSim divided by the vectors of the query):",
        "threshold  answered  best is right  relevant kept  passages a query",
    ]
    lines += [
        f"{cut.threshold:9.3f}{cut.answered:10.3f}{cut.right:15.3f}{cut.kept:15.3f}{cut.passages:18.1f}" for cut in cuts
    ]
    note = "answered: queries for which something is left; best is right: of those, whose first passage is relevant"
    return "\n".join([*lines, "", note])
