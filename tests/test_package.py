"""The package as a whole: its public names, its import rules, its weight at import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jacolbert_integrations

ROOT = Path(jacolbert_integrations.__file__).parent
PACKAGE = "jacolbert_integrations"
PLAIN = {"types", "errors", "checkpoints", "checkpoint_files", "query_length"}
WITH_TORCH = {
    "encoder", "exporting", "loading", "memory", "muvera", "parallel", "pooling", "saving", "scoring", "sources",
    "training", "transformer", "weights",
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(ROOT.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(file.read_text(encoding="utf-8"))


def imports(name: str, tree: ast.Module, is_package: bool) -> Iterator[str]:
    """Absolute names of everything that a module imports, at any depth."""
    parts = name.split(".") if name != "__init__" else []
    base = parts if is_package else parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module or ""
            else:
                above = base[: len(base) - (node.level - 1)]
                target = [PACKAGE, *above, *([node.module] if node.module else [])]
                yield from (".".join([*target, alias.name]) if not node.module else ".".join(target)
                            for alias in node.names)  # fmt: skip


def graph() -> dict[str, set[str]]:
    found = {}
    for name, tree in modules():
        is_package = (ROOT / Path(*name.split("."))).is_dir() if name != "__init__" else True
        found[name] = set(imports(name, tree, is_package))
    return found


def ours(imported: set[str]) -> set[str]:
    return {name.removeprefix(f"{PACKAGE}.") for name in imported if name.startswith(f"{PACKAGE}.")}


def room(name: str) -> str:
    return name.split(".")[0]


def test_public_names_are_sorted_and_pinned() -> None:
    assert jacolbert_integrations.__all__ == [
        "Condition",
        "EdgeStore",
        "Filter",
        "Hit",
        "JaColBERT",
        "JaColBERTError",
        "JaColBERTRerank",
        "JaColBERTRetriever",
        "JaColBERTSentenceSplitter",
        "JaColBERTVectorStore",
        "MemoryStore",
        "MultiVectorStore",
        "Point",
        "QdrantStore",
        "QdrantWriter",
        "Query",
        "maxsim",
    ]
    for name in jacolbert_integrations.__all__:
        assert getattr(jacolbert_integrations, name).__name__ == name
    assert (ROOT / "py.typed").is_file()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ColBERT'"):
        jacolbert_integrations.ColBERT  # noqa: B018


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "transformers", "llama_index", "qdrant_client", "numpy")
    code = f"import sys, jacolbert_integrations; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_rule_checker_sees_imports() -> None:
    found = graph()
    assert "jacolbert_integrations.scoring" in found["encoder"]
    assert "jacolbert_integrations.errors" in found["qdrant.store"]
    assert "torch" in found["scoring"]
    assert "qdrant_client" in found["qdrant.store"]


def test_plain_modules_import_only_each_other() -> None:
    for name, imported in graph().items():
        if name in PLAIN:
            assert ours(imported) <= PLAIN, name
            allowed = set(sys.stdlib_module_names) | {"numpy", PACKAGE}
            assert {room(i) for i in imported} <= allowed, name


def test_torch_stays_in_its_rooms() -> None:
    for name, imported in graph().items():
        if {room(i) for i in imported} & {"torch", "sentence_transformers"}:
            assert room(name) in WITH_TORCH, name


def test_adapters_know_the_core_and_their_own_host_only() -> None:
    for name, imported in graph().items():
        hosts = {room(i) for i in imported} & {"llama_index", "qdrant_client", "qdrant_edge"}
        rooms = {room(i) for i in ours(imported)}
        if room(name) in ("llama_index", "qdrant"):
            own = {"llama_index": {"llama_index"}, "qdrant": {"qdrant_client", "qdrant_edge"}}[room(name)]
            other = {"llama_index": "qdrant", "qdrant": "llama_index"}[room(name)]
            assert hosts <= own, name
            assert not rooms & {other, "training", "evaluation", "cli"}, name
        elif room(name) not in ("cli", "__init__", "places"):  # places opens a store of any kind, by its name
            assert not hosts, name
            assert not rooms & {"llama_index", "qdrant", "cli"}, name


def test_nothing_imports_the_package_root() -> None:
    for name, imported in graph().items():
        roots = {i for i in imported if i == PACKAGE or i == f"{PACKAGE}.__version__"}
        assert not roots or name == "cli.main", name  # the version that --version prints
