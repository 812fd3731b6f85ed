"""``jacolbert evaluate``: models and settings beside each other, on JSQuAD or on one's own passages and questions."""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..query_length import QUERY_LENGTHS
from .location import OLD_STAGES
from .model import add_loading, load
from .renamed import renamed_value
from .terminal import say, say_json
from .usage import UsageError

if TYPE_CHECKING:
    from typing import Any

    from ..encoding.encoder import JaColBERT
    from ..evaluation.benchmark import Benchmark
    from ..evaluation.evaluation import Evaluation
    from ..evaluation.thresholds import Cut

_DATA_TYPES = ("float16", "int8", "binary")
_FIRST_STAGES = ("centroids", "lexical", "mean", "muvera")


def add_command(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure models and settings beside BM25: on JSQuAD valid (4,442 questions over 1,145 passages), or on "
        "your own",
        description="Ranks all passages for each question by exact MaxSim, beside BM25 and fused with it, and in other "
        "ways that you name. Without files it takes JSQuAD valid, which comes with the package.",
    )
    parser.add_argument("models", nargs="*", metavar="model", help="directories or hub ids (default: jacolbert-small)")
    parser.add_argument(
        "--benchmark",
        nargs="+",
        default=[],
        metavar="NAME",
        help="jsquad, jqara, jacwir, miracl-hard, esci, miracl, mrtydi, jaqket, jagovfaqs, nlp-journal-title-abs, ...; "
        "paper: the five of JaColBERTv2.5's table and their mean. All but jsquad are downloaded",
    )
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
    own.add_argument("--sample", type=int, metavar="N", help="ask only N questions, chosen at random (seed 0)")
    varied = parser.add_argument_group("settings, each of which adds a line for each model")
    varied.add_argument("--query-lengths", nargs="+", default=[], choices=QUERY_LENGTHS, help="query-length rules")
    varied.add_argument("--pooling", nargs="+", default=[], metavar="NAME", help="poolings, such as hierarchical-2")
    varied.add_argument("--dimensions", nargs="+", type=int, default=[], metavar="N", help="vectors cut to so many")
    varied.add_argument("--data-types", nargs="+", default=[], choices=_DATA_TYPES, help="what numbers are kept as")
    varied.add_argument(
        "--first-stages",
        nargs="+",
        default=[],
        choices=_FIRST_STAGES,
        type=renamed_value(OLD_STAGES),
        help="what finds candidates",
    )
    varied.add_argument(
        "--candidates", nargs="+", type=int, default=[100], metavar="N", help="how many first stages find (100)"
    )
    add_loading(parser)
    others = parser.add_argument_group("other systems")
    others.add_argument("--dense", nargs="+", default=[], metavar="NAME", help="sentence-transformers models")
    others.add_argument(
        "--dense-prompts", nargs=2, metavar="TEXT", help="what comes before queries and passages (default: their own)"
    )
    others.add_argument("--rerankers", nargs="+", default=[], metavar="NAME", help="cross-encoders")
    others.add_argument(
        "--reranked", type=int, default=100, metavar="N", help="passages of the first line that they read (%(default)s)"
    )
    others.add_argument("--runs", type=Path, nargs="+", default=[], metavar="FILE", help="TREC runs of other systems")
    parser.add_argument("--measures", nargs="+", metavar="NAME", help="such as nDCG@10 MRR@10 R@100 MAP Success@5")
    parser.add_argument(
        "--threshold", nargs="+", type=float, default=[], metavar="T", help="what a least normalised score would do"
    )
    parser.add_argument("--no-times", action="store_true", help="do not measure how long a query takes")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where vectors are kept (default: of the system)")
    parser.add_argument("--no-cache", action="store_true", help="keep no vectors")
    out = parser.add_argument_group("what is written, beside the table that is printed")
    out.add_argument("--html", type=Path, metavar="FILE", help="a report with pictures, in one file")
    out.add_argument(
        "--differences",
        nargs=2,
        metavar="NAME",
        help="two lines of the table that the report compares question by question",
    )
    out.add_argument("--markdown", type=Path, metavar="FILE", help="the table")
    out.add_argument("--csv", type=Path, metavar="FILE", help="the table, with all digits")
    out.add_argument("--write-runs", type=Path, metavar="FOLDER", help="what was found, as TREC runs")
    out.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    from ..evaluation.named import PAPER

    names = [name for given in arguments.benchmark for name in (PAPER if given == "paper" else [given])]
    if len(set(names)) < len(names):
        raise UsageError(f"a benchmark is named twice: {', '.join(names)}.")
    if len(names) > 1:
        _run_suite(arguments, names)
    else:
        _run_one(arguments, names[0] if names else None)


def _run_one(arguments: argparse.Namespace, name: str | None) -> None:
    from ..evaluation.measures import DEFAULT_MEASURES
    from ..evaluation.named import BENCHMARKS
    from ..evaluation.tables import as_csv, as_markdown, as_text
    from ..evaluation.thresholds import thresholds

    source, benchmark = _benchmark(arguments, name)
    first = () if name is None else (BENCHMARKS[name].measure,)
    measures = arguments.measures or tuple(dict.fromkeys([*first, *DEFAULT_MEASURES]))
    evaluation = _evaluated(arguments, benchmark, _models(arguments), measures)
    _write_runs(evaluation, arguments.write_runs)
    for file, made in ((arguments.markdown, as_markdown), (arguments.csv, as_csv)):
        if file is not None:
            _write(file, made(evaluation))
    if arguments.html is not None:
        from ..evaluation.report.page import as_html

        pair = None if arguments.differences is None else tuple(arguments.differences)
        _write(arguments.html, as_html(evaluation, source=source, pair=pair))
    runs = evaluation.normalized.items()
    cuts = {name: thresholds(each, benchmark.qrels, arguments.threshold) for name, each in runs}
    if arguments.json:
        told = evaluation.as_dict()
        if cuts:
            told["thresholds"] = {name: [asdict(cut) for cut in own] for name, own in cuts.items()}
        say_json(told, indent=2)
        return
    say(f"{source}\n{len(benchmark.queries):,} questions over {len(benchmark.passages):,} passages\n")
    for note in evaluation.notes:
        say(f"{note}\n")
    say(as_text(evaluation))
    for name, own in cuts.items():
        say(f"\n{_threshold_table(name, own)}")


def _run_suite(arguments: argparse.Namespace, names: Sequence[str]) -> None:
    """Measures several benchmarks; one that cannot be had is missing in the table, and said below it."""
    from ..errors import BenchmarkError
    from ..evaluation.named import BENCHMARKS
    from ..evaluation.suite import Suite

    single = {"--html": arguments.html, "--measures": arguments.measures, "--runs": arguments.runs}
    single["--threshold"] = arguments.threshold
    if given := [option for option, value in single.items() if value]:
        raise UsageError(f"{given[0]} goes with one benchmark, but {len(names)} are named. Name one.")
    models = _models(arguments)
    evaluations, missing = {}, {}
    for name in names:
        try:
            _, benchmark = _benchmark(arguments, name)
        except BenchmarkError as error:
            missing[name] = str(error)
            continue
        evaluations[name] = _evaluated(arguments, benchmark, models, [BENCHMARKS[name].measure])
        if arguments.write_runs is not None:
            _write_runs(evaluations[name], arguments.write_runs / name)
    if not evaluations:
        raise BenchmarkError(f"none of {len(names)} benchmarks can be had. {next(iter(missing.values()))}")
    suite = Suite(names=tuple(names), evaluations=evaluations, missing=missing)
    for file, made in ((arguments.markdown, suite.as_markdown), (arguments.csv, suite.as_csv)):
        if file is not None:
            _write(file, made())
    if arguments.json:
        say_json(suite.as_dict(), indent=2)
    else:
        say(suite.as_text())


def _benchmark(arguments: argparse.Namespace, name: str | None) -> tuple[str, Benchmark]:
    from ..evaluation.named import BENCHMARKS, load_named
    from ..evaluation.reading import read_benchmark, read_qa_dataset, read_squad_benchmark

    own = (arguments.passages, arguments.queries)
    if (own[0] is None) != (own[1] is None) or (arguments.qrels is not None and own[0] is None):
        raise UsageError("passages and questions belong together: give --passages and --queries, and --qrels if any.")
    if bool(arguments.squad) + (own[0] is not None) + (arguments.qa_dataset is not None) > 1:
        raise UsageError("give either --squad, or --qa-dataset, or --passages and --queries.")
    if name is not None and (arguments.squad or own[0] is not None or arguments.qa_dataset is not None):
        raise UsageError("give either --benchmark, or passages and questions of your own.")
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
        whole = load_named(name or "jsquad")
        source = BENCHMARKS[name or "jsquad"].source
    return source, _sampled(whole, arguments.sample)


def _models(arguments: argparse.Namespace) -> dict[str, JaColBERT]:
    """Loads the models, by what tables call them."""
    called = arguments.models or [None]
    if len(set(called)) < len(called):
        raise UsageError(f"a model is named twice: {', '.join(called)}.")
    models = [load(arguments, name) for name in called]
    names = [model.name for model in models]
    if len(set(names)) < len(names):  # folders of one name
        names = [str(name) for name in called]
    return dict(zip(names, models, strict=True))


def _evaluated(
    arguments: argparse.Namespace, benchmark: Benchmark, models: Mapping[str, JaColBERT], measures: Sequence[str]
) -> Evaluation:
    """Measures all that was named."""
    from ..evaluation.embeddings import EmbeddingCache, default_folder
    from ..evaluation.evaluation import TIMED, Evaluator
    from ..evaluation.rankings import DEPTH
    from ..evaluation.settings import settings_of
    from ..evaluation.trec import read_run

    settings = settings_of(
        query_lengths=arguments.query_lengths,
        poolings=arguments.pooling,
        dimensions=arguments.dimensions,
        datatypes=arguments.data_types,
        first_stages=arguments.first_stages,
        candidates=arguments.candidates,
    )
    evaluator = Evaluator(
        benchmark,
        measures=measures,
        cache=None if arguments.no_cache else EmbeddingCache(arguments.cache or default_folder()),
        depth=None if arguments.write_runs is None else DEPTH,
        normalized=bool(arguments.threshold),
        timed=0 if arguments.no_times else TIMED,
    )
    given = [read_run(file) for file in arguments.runs]  # before hours of encoding
    for name, model in models.items():
        evaluator.add_model(model, settings, name=name)
    evaluator.add_bm25()
    for name in arguments.dense:
        prompts = None if arguments.dense_prompts is None else tuple(arguments.dense_prompts)
        evaluator.add_dense(name, prompts=prompts)
    for name in arguments.rerankers:
        evaluator.add_reranker(name, candidates=arguments.reranked)
    for each in given:
        evaluator.add_run(each)
    return evaluator.result()


def _write_runs(evaluation: Evaluation, folder: Path | None) -> None:
    from ..evaluation.trec import write_run

    if folder is None:
        return
    for system in evaluation.systems:
        if system.kind != "given":
            write_run(folder / f"{system.name.replace('/', '--')}.txt", system.run)


def _write(file: Path, text: str) -> None:
    from ..errors import InputError

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}.") from None


def _sampled(benchmark: Benchmark, sample: int | None) -> Benchmark:
    if sample is None or sample >= len(benchmark.queries):
        return benchmark
    asked = set(random.Random(0).sample(list(benchmark.queries), max(sample, 1)))
    return replace(
        benchmark,
        queries={query: text for query, text in benchmark.queries.items() if query in asked},
        qrels={query: own for query, own in benchmark.qrels.items() if query in asked},
    )


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
