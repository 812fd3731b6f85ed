"""What LlamaIndex's hub reads of a package, and what its integrations' own tests check: classes by their MRO."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.node_parser import NodeParser
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.vector_stores.types import BasePydanticVectorStore

from jacolbert_integrations import llama_index

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read TOML by itself")
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
COMPONENTS = (BaseEmbedding, BaseNodePostprocessor, BasePydanticVectorStore, BaseRetriever, NodeParser)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    return content


def public_components() -> list[str]:
    """Names of all that LlamaIndex can put into an application."""
    public = {name: getattr(llama_index, name) for name in llama_index.__all__}
    return sorted(name for name, item in public.items() if isinstance(item, type) and issubclass(item, COMPONENTS))


def test_registration(project: dict[str, Any]) -> None:
    hub = project["tool"]["llamahub"]
    assert import_module(hub["import_path"]) is llama_index
    assert hub["contains_example"] is True
    assert list((PYPROJECT.parent / "examples").glob("*.py"))
    assert sorted(hub["class_authors"]) == list(hub["class_authors"]) == public_components()
    assert all(isinstance(author, str) and author for author in hub["class_authors"].values())


def test_packaging_as_integrations_have_it(project: dict[str, Any]) -> None:
    assert project["build-system"]["build-backend"] == "hatchling.build"
    assert project["project"]["requires-python"] == ">=3.10"
    assert [d for d in project["project"]["dependencies"] if d.startswith("llama-index")] == [
        "llama-index-core>=0.14.2,<0.15"
    ]
    assert (PYPROJECT.parent / "jacolbert_integrations" / "py.typed").is_file()


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("JaColBERTRerank", ["BaseNodePostprocessor"]),
        ("JaColBERTRetriever", ["BaseRetriever"]),
        ("JaColBERTSentenceSplitter", ["MetadataAwareTextSplitter", "NodeParser", "TransformComponent"]),
        ("JaColBERTVectorStore", ["BasePydanticVectorStore"]),
        ("StoreSideEmbedding", ["BaseEmbedding"]),
    ],
)
def test_class(name: str, bases: list[str]) -> None:
    names_of_base_classes = [base.__name__ for base in getattr(llama_index, name).__mro__]
    assert [base for base in names_of_base_classes if base in bases] == bases


@pytest.mark.parametrize("name", public_components())
def test_each_component_is_of_one_kind_and_named_as_its_class(name: str) -> None:
    component = getattr(llama_index, name)
    assert sum(issubclass(component, kind) for kind in COMPONENTS) == 1
    assert not hasattr(component, "class_name") or component.class_name() == name
