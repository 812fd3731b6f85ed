"""Benchmarks by name: Japanese retrieval as papers measure it, through mteb; JSQuAD comes with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BenchmarkError, InputError, MissingExtraError
from .benchmark import Benchmark
from .jsquad import JSQUAD_SOURCE, load_jsquad


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBenchmark:
    """A benchmark that a name stands for.

    Attributes:
        title: What tables call it.
        measure: What it is measured by, as ir-measures names it.
        task: Its task in mteb; None comes with the package.
        source: Where it is from, and under which licence.
        differs: In what our figures are not those of arXiv 2407.20750; empty where the paper has none.
    """

    title: str
    measure: str
    task: str | None
    source: str
    differs: str = ""


BENCHMARKS: Mapping[str, NamedBenchmark] = {
    "jsquad": NamedBenchmark(
        title="JSQuAD",
        measure="R@3",
        task=None,
        source=JSQUAD_SOURCE,
        differs="4,442 questions, and passages alone; published are 4,420, probably with the titles of articles",
    ),
    "miracl-hard": NamedBenchmark(
        title="MIRACL-ja, hard negatives",
        measure="nDCG@10",
        task="MIRACLRetrievalHardNegatives.v2",
        source="MIRACL (Zhang et al.), as mteb has it",
        differs="mteb's pool of hard negatives; which passages the paper's pool has is not said",
    ),
    "jqara": NamedBenchmark(
        title="JQaRA",
        measure="nDCG@10",
        task="JQaRAReranking",
        source="JQaRA (Tateno), CC BY-SA 4.0, as mteb has it",
        differs="the paper's figures were made without the models' projection; right ones are in JQaRA's repository",
    ),
    "jacwir": NamedBenchmark(
        title="JaCWIR",
        measure="MAP@10",
        task="JaCWIRReranking",
        source="JaCWIR (Tateno), as mteb has it",
        differs="the paper's figures were made without the models' projection, and no right ones are published",
    ),
    "esci": NamedBenchmark(
        title="ESCI-ja",
        measure="nDCG@10",
        task="ESCIReranking",
        source="Shopping Queries (Reddy et al.), Apache 2.0, as mteb has it",
        differs="mteb reranks the products that are judged for a query; the paper does not say which are ranked",
    ),
    "miracl": NamedBenchmark(
        title="MIRACL-ja", measure="nDCG@10", task="MIRACLRetrieval", source="MIRACL (Zhang et al.), as mteb has it"
    ),
    "mrtydi": NamedBenchmark(
        title="Mr. TyDi-ja", measure="nDCG@10", task="MrTidyRetrieval", source="Mr. TyDi (Zhang et al.), as mteb has it"
    ),
    "jaqket": NamedBenchmark(
        title="JAQKET", measure="nDCG@10", task="JaqketRetrieval", source="JAQKET (Suzuki et al.), as mteb has it"
    ),
    "jagovfaqs": NamedBenchmark(
        title="JaGovFaqs", measure="nDCG@10", task="JaGovFaqsRetrieval", source="JaGovFaqs (Matsui), as mteb has it"
    ),
    **{
        f"nlp-journal-{name}": NamedBenchmark(
            title=f"NLP Journal, {name.replace('-', ' to ')}",
            measure="nDCG@10",
            task=f"NLPJournal{task}Retrieval.V2",
            source="NLP Journal (SB Intuitions), as mteb has it",
        )
        for name, task in (("title-abs", "TitleAbs"), ("title-intro", "TitleIntro"), ("abs-intro", "AbsIntro"))
    },
}

PAPER = ("jsquad", "miracl-hard", "jqara", "jacwir", "esci")
"""The five of JaColBERTv2.5's table (arXiv 2407.20750), in its order; their mean is its headline."""

PUBLISHED: Mapping[str, Mapping[str, float]] = {
    name: dict(zip(PAPER, values, strict=True))
    for name, values in {
        "JaColBERT v1": (0.961, 0.583, 0.550, 0.904, 0.418),
        "JaColBERTv2": (0.968, 0.667, 0.585, 0.919, 0.462),
        "JaColBERTv2.4": (0.973, 0.757, 0.601, 0.929, 0.463),
        "JaColBERTv2.5": (0.974, 0.778, 0.618, 0.928, 0.462),
        "bge-m3 (all)": (0.958, 0.752, 0.576, 0.906, 0.380),
        "multilingual-e5-large": (0.953, 0.706, 0.554, 0.876, 0.320),
    }.items()
}
"""Of arXiv 2407.20750, each by its benchmark's measure."""

JQARA: Mapping[str, float] = {
    "JaColBERT v1": 0.5488,
    "JaColBERTv2": 0.5906,
    "JaColBERTv2.4": 0.6265,
    "JaColBERTv2.5": 0.6420,
}
"""JQaRA's nDCG@10 with the projection, of its repository (17 August 2024)."""


def load_named(name: str) -> Benchmark:
    """Loads a benchmark; what does not come with the package is downloaded from the Hugging Face hub.

    Queries without any relevant passage are left out.

    Args:
        name: One of :data:`BENCHMARKS`.

    Raises:
        InputError: If there is none of that name.
        BenchmarkError: If it cannot be downloaded, or what was downloaded is not whole.
        MissingExtraError: If the ``evaluation`` extra is not installed.
    """
    if name not in BENCHMARKS:
        raise InputError(f"there is no benchmark {name!r}; there are paper, {', '.join(BENCHMARKS)}.")
    named = BENCHMARKS[name]
    if named.task is None:
        return Benchmark.of_questions(f"{named.title} valid", load_jsquad())
    task = mteb_task(named.task)
    try:
        task.load_data()
        if not task.dataset:  # tasks of mteb 1 have their parts beside each other
            task.convert_v1_dataset_format_to_v2(None)
        (splits,) = task.dataset.values()
        (data,) = splits.values()
        return _benchmark(named.title, data)
    except InputError as error:
        raise BenchmarkError(f"{named.title} is not whole: {error}") from None
    except Exception as error:  # of the network, of the hub, of files: each library has its own
        raise BenchmarkError(
            f"{named.title} ({task.metadata.dataset['path']} of the Hugging Face hub) cannot be loaded: "
            f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]} With a connection, try again: a download "
            "that was interrupted goes on."
        ) from None


def mteb_task(name: str) -> Any:
    """Returns mteb's task of a name, in Japanese alone.

    Raises:
        MissingExtraError: If the ``evaluation`` extra is not installed, or without mteb, which needs Python 3.11.
    """
    try:
        import mteb
    except ImportError as error:
        raise MissingExtraError("mteb", "evaluation") from error
    return mteb.get_task(name, languages=["jpn"])


def _benchmark(title: str, data: Mapping[str, Any]) -> Benchmark:
    passages = {str(row["id"]): _text(row) for row in data["corpus"]}
    texts = {str(row["id"]): str(row["text"]) for row in data["queries"]}
    qrels = {
        str(query): {str(passage): int(grade) for passage, grade in own.items()}
        for query, own in data["relevant_docs"].items()
        if max(own.values(), default=0) > 0
    }
    ranked = data["top_ranked"]
    candidates = None if not ranked else {query: list(map(str, ranked[query])) for query in qrels if query in ranked}
    return Benchmark(
        name=title,
        passages=passages,
        queries={query: texts[query] for query in texts if query in qrels},
        qrels={query: own for query, own in qrels.items() if query in texts},
        candidates=candidates,
    )


def _text(row: Mapping[str, Any]) -> str:
    """Returns a passage with its title, as mteb gives it to models."""
    return f"{row.get('title') or ''} {row['text']}".strip()
