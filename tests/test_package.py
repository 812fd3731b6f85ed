"""The package as a whole: its public names, the order of its rooms, its weight at import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jacolbert_integrations

from .structure import ROOT, Structure

ORDER = [
    "errors", "query_length", "types",
    "text", "checkpoints", "scoring", "encoding", "stores", "explaining", "exporting", "evaluation", "training",
    "qdrant", "locations", "llama_index",
    "cli", "__init__",
]  # fmt: skip
"""From the ground up: what stands earlier knows nothing of what stands later."""

PLAIN = {"errors", "query_length", "types"}
VERB = re.compile(r"(?!This|Its|As|Texts|Tokens|Vectors|Words|Points|Nodes|Names)[A-Z][a-z-]+s\b")
"""How the docstring of a function or a method begins: with a verb in the third person."""

WITHOUT_TORCH = PLAIN | {"text", "locations", "cli", "__init__"}
HOSTS = {"llama_index": {"llama_index"}, "qdrant": {"qdrant_client", "qdrant_edge"}}


@pytest.fixture(scope="module")
def structure() -> Structure:
    return Structure.read()


def room(module: str) -> str:
    return module.split(".")[0]


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


def test_the_reader_of_imports_sees_them(structure: Structure) -> None:
    assert "scoring.maxsim" in structure.inside["encoding.encoder"]
    assert "errors" in structure.inside["qdrant.store"]
    assert "stores.archive" in structure.inside["cli.export"]  # within a function, and of a folder
    assert "__init__" in structure.inside["cli.main"]
    assert "torch" in structure.outside["scoring.maxsim"]
    assert "qdrant_client" in structure.outside["qdrant.store"]


def test_circles_are_seen(tmp_path: Path) -> None:
    files = {
        "a.py": "from .b import x",
        "b/__init__.py": "",
        "b/c.py": "from .d import y",
        "b/d.py": "from ..e import z",
        "b/x.py": "",
        "e.py": "def later():\n    from jacolbert_integrations.a import w",
    }
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    found = Structure.read(tmp_path)
    assert found.circles() == [["a", "b", "e"]]  # of rooms; no file is in one
    (tmp_path / "b" / "x.py").write_text("from . import d", encoding="utf-8")
    (tmp_path / "b" / "d.py").write_text("from .x import v", encoding="utf-8")
    assert Structure.read(tmp_path).circles() == [["b.d", "b.x"]]


def test_there_are_no_circles(structure: Structure) -> None:
    assert structure.circles() == []


def test_rooms_import_only_what_stands_below_them(structure: Structure) -> None:
    rooms = structure.within()
    assert sorted(rooms) == sorted(ORDER)
    place = {name: number for number, name in enumerate(ORDER)}
    for name, imports in rooms.items():
        upward = {i for i in imports if place[i] > place[name]}
        assert upward == ({"__init__"} if name == "cli" else set()), name  # the version that --version prints


def test_each_room_says_what_it_is_for(structure: Structure) -> None:
    for folder in structure.folders:
        doc = structure.docstrings[folder or "__init__"]
        assert doc, folder
        if folder:
            assert "May import:" in doc, folder
            assert "Begin with" in doc, folder


def test_what_a_function_does_is_said_by_a_verb() -> None:
    others = []
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            doc, decorators = ast.get_docstring(node), {ast.unparse(d).split(".")[-1] for d in node.decorator_list}
            if doc and not decorators & {"property", "cached_property", "setter"} and not VERB.match(doc):
                others.append(f"{file.relative_to(ROOT)}: {node.name}: {doc.splitlines()[0]}")
    assert not others


def test_plain_modules_need_nothing_but_numpy(structure: Structure) -> None:
    for name in PLAIN:
        assert room_names(structure.inside[name]) <= PLAIN, name
        assert structure.outside[name] <= set(sys.stdlib_module_names) | {"numpy"}, name


def room_names(modules: frozenset[str]) -> set[str]:
    return {room(module) for module in modules}


def test_torch_stays_in_its_rooms(structure: Structure) -> None:
    for name, imported in structure.outside.items():
        if room(name) in WITHOUT_TORCH | HOSTS.keys():
            assert not imported & {"torch", "sentence_transformers"}, name


def test_adapters_know_their_own_host_only(structure: Structure) -> None:
    for name, imported in structure.outside.items():
        hosts = imported & {"llama_index", "qdrant_client", "qdrant_edge"}
        if room(name) != "cli":
            assert hosts <= HOSTS.get(room(name), set()), name
    rooms = structure.within()
    for adapter, other in (("llama_index", "qdrant"), ("qdrant", "llama_index")):
        assert not rooms[adapter] & {other, "training", "evaluation"}
    # locations opens a store of any kind by its name, so that an adapter need not know another.
    assert {name for name, imports in rooms.items() if "qdrant" in imports} == {"locations", "cli", "__init__"}


def test_nothing_imports_the_package_root(structure: Structure) -> None:
    assert [name for name, imports in structure.inside.items() if "__init__" in imports] == ["cli.main"]
