"""The card that lies beside a trained model: data, recipe, figures, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from typing import TYPE_CHECKING

from huggingface_hub import ModelCardData

from ..errors import InputError
from ..evaluation.metrics import RetrievalMetrics

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TAGS = ("ColBERT", "late-interaction", "retrieval")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data set, and what was done with it.

    Attributes:
        name: What it is called, with its split.
        licence: Under what it may be used.
        use: ``"training"``, ``"development"`` or ``"evaluation"``.
        size: How much of it, in words.
        origin: Who made it, and from what.
        hub_id: Its id on the Hugging Face hub, if it has one.
    """

    name: str
    licence: str
    use: str = "training"
    size: str = ""
    origin: str = ""
    hub_id: str | None = None


@dataclass(frozen=True, slots=True)
class MetricsTable:
    """Figures that were measured.

    Attributes:
        columns: Their names; the first is that of the rows.
        rows: A cell for each column. Numbers with a fraction are shown with three decimal places.
        note: What to know about them.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(f"the row {row} has {len(row)} cells for the {len(self.columns)} columns.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a card says about a model. Nothing is made up: what is not given is not said.

    Attributes:
        name: What the model is called.
        licence: Of the weights, as the hub abbreviates it: ``"cc-by-sa-3.0"``.
        summary: What it is, and what it is for.
        language: ISO 639 code.
        base_model: Hub id of the model that training started from; None for a model from scratch.
        data: What it was trained, developed and measured on.
        data_note: What else to know about the data.
        recipe: Each choice of the training run (:func:`recipe_choices`).
        recipe_sources: Where a choice comes from, by its name; where it is given, a column shows it.
        recipe_note: What else to know about the training.
        metrics: What was measured, on the weights as saved.
        training_time: How long training took, on what.
        versions: Package to version (:func:`package_versions`).
        usage: Python code that uses the model.
        reproduce: Commands that make it again, one a line.
        reproduce_note: What else to know about making and loading it.
        library: The hub's name of the library to load the model with, if it is to say one.
        tags: For the hub's search.
    """

    name: str
    licence: str
    summary: str = ""
    language: str = "ja"
    base_model: str | None = None
    data: tuple[DataSource, ...] = ()
    data_note: str = ""
    recipe: Mapping[str, object] = field(default_factory=dict)
    recipe_sources: Mapping[str, str] = field(default_factory=dict)
    recipe_note: str = ""
    metrics: tuple[MetricsTable, ...] = ()
    training_time: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    usage: str = ""
    reproduce: tuple[str, ...] = ()
    reproduce_note: str = ""
    library: str | None = None
    tags: tuple[str, ...] = TAGS

    def __post_init__(self) -> None:
        for name in ("name", "licence"):
            if not getattr(self, name).strip():
                raise InputError(f"the {name} of a model card is empty.")


def model_card(facts: ModelFacts) -> str:
    """Writes a model card: Markdown with the YAML front matter of the Hugging Face hub.

    Sections about which the facts say nothing are left out.
    """
    recipe = [_recipe_table(facts), facts.recipe_note, _how_trained(facts)]
    sections = {
        "How to use": [_code("python", [facts.usage])] if facts.usage else [],
        "Retrieval, measured as saved": [
            part for table in facts.metrics for part in (_table(table.columns, table.rows), table.note)
        ],
        "Data": [_data_table(facts.data), facts.data_note],
        "Recipe": recipe,
        "How to make it again": [_code("", facts.reproduce) if facts.reproduce else "", facts.reproduce_note],
    }
    blocks = [_front_matter(facts), f"# {facts.name}", facts.summary]
    for title, parts in sections.items():
        if any(parts):
            blocks += [f"## {title}", *parts]
    return "\n\n".join(block.strip() for block in blocks if block.strip()) + "\n"


def recipe_choices(recipe: DataclassInstance) -> dict[str, object]:
    """Returns the fields of a recipe and their values, without the sources; empty texts are left out."""
    values = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name != "sources"}
    return {name: value for name, value in values.items() if value != ""}


def package_versions(
    packages: Iterable[str] = ("jacolbert-integrations", "sentence-transformers", "transformers", "torch"),
) -> dict[str, str]:
    """Returns the installed versions of packages."""
    return {package: version(package) for package in packages}


def retrieval_table(measured: Mapping[str, RetrievalMetrics], note: str = "") -> MetricsTable:
    """Formats one line per question set: R@k and MRR@10.

    Raises:
        InputError: If nothing was measured, or not all at the same depths.
    """
    depths = {tuple(sorted(metrics.recall)) for metrics in measured.values()}
    if len(depths) != 1:
        raise InputError(f"recall was measured at the depths {sorted(depths)}, but a table has one set of columns.")
    ks = depths.pop()
    return MetricsTable(
        ("set", "questions", *(f"R@{k}" for k in ks), "MRR@10"),
        tuple((name, m.questions, *(m.recall[k] for k in ks), m.mrr_at_10) for name, m in measured.items()),
        note,
    )


def _front_matter(facts: ModelFacts) -> str:
    data = ModelCardData(
        language=facts.language,
        license=facts.licence,
        library_name=facts.library,
        pipeline_tag="feature-extraction",
        base_model=facts.base_model,
        datasets=[source.hub_id for source in facts.data if source.hub_id and source.use == "training"] or None,
        tags=list(facts.tags),
    )
    return f"---\n{data.to_yaml()}\n---"


def _data_table(sources: Sequence[DataSource]) -> str:
    if not sources:
        return ""
    named = [
        (f"[{s.name}](https://huggingface.co/datasets/{s.hub_id})" if s.hub_id else s.name, s.use, s.size, s.origin,
         s.licence)
        for s in sources
    ]  # fmt: skip
    return _table(("data", "for", "size", "made by", "licence"), named)


def _recipe_table(facts: ModelFacts) -> str:
    if not facts.recipe:
        return ""
    if facts.recipe_sources:
        rows = [(name, _value(value), facts.recipe_sources.get(name, "")) for name, value in facts.recipe.items()]
        return _table(("", "", "source"), rows)
    return _table(("", ""), [(name, _value(value)) for name, value in facts.recipe.items()])


def _how_trained(facts: ModelFacts) -> str:
    parts = []
    if facts.training_time:
        parts.append(f"in {facts.training_time}")
    if facts.versions:
        parts.append("with " + ", ".join(f"{package} {number}" for package, number in facts.versions.items()))
    return f"Trained {', '.join(parts)}." if parts else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def _value(value: object) -> str:
    """Formats a recipe's value as Python would, without thousands' comma and without rounding."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {weight}" for name, weight in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _code(language: str, lines: Sequence[str]) -> str:
    return "\n".join([f"```{language}", *(line.rstrip("\n") for line in lines), "```"])
