"""Small local copies of benchmarks, in the layout that they have on the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.evaluation import named

PASSAGES = {
    "p1": ("東京", "東京は日本の首都である。"),
    "p2": ("富士山", "富士山は日本一高い山である。"),
    "p3": ("", "猫は小さな動物である。"),
    "p4": ("寿司", "寿司は料理である。"),
}
QUERIES = {"q1": "日本の首都は？", "q2": "一番高い山は？", "q3": "答えのない問い"}
QRELS = {"q1": {"p1": 1, "p2": 0}, "q2": {"p2": 2}, "q3": {"p3": 0}}
CANDIDATES = {"q1": ["p1", "p2", "p3"], "q2": ["p2", "p4"], "q3": ["p3"]}


def write_copy(folder: Path, *, config: str | None, splits: Mapping[str, str], candidates: bool) -> Path:
    """Writes one, with the ids of rows under ``_id`` as on the hub.

    Args:
        folder: Where.
        config: The language's part of the names of configurations; None has none.
        splits: Kinds of rows to the names of their splits; the others are ``"test"``.
        candidates: Whether each query has its own.
    """
    folder.mkdir(parents=True)
    rows: dict[str, Sequence[dict[str, Any]]] = {
        "corpus": [{"_id": p, "title": title, "text": text} for p, (title, text) in PASSAGES.items()],
        "queries": [{"_id": q, "text": text} for q, text in QUERIES.items()],
        "qrels": [{"query-id": q, "corpus-id": p, "score": n} for q, own in QRELS.items() for p, n in own.items()],
    }
    if candidates:
        rows["top_ranked"] = [{"query-id": q, "corpus-ids": own} for q, own in CANDIDATES.items()]
    head = ["---", "configs:"]
    for kind, own in rows.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in own]
        (folder / f"{kind}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        plain = "default" if kind == "qrels" else kind
        head += [f"- config_name: {plain if config is None else f'{config}-{kind}'}", "  data_files:"]
        head += [f"  - split: {splits.get(kind, splits.get('', 'test'))}", f"    path: {kind}.jsonl"]
    (folder / "README.md").write_text("\n".join([*head, "---", ""]), encoding="utf-8")
    return folder


def read_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every task read a local copy in place of the hub's."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder.parent / "datasets")
    original = named.mteb_task

    def local(name: str) -> Any:
        task = original(name)
        task.metadata = task.metadata.model_copy(update={"dataset": {"path": str(folder), "revision": None}})
        return task

    monkeypatch.setattr(named, "mteb_task", local)
