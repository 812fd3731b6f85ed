"""No way through LlamaIndex asks for its default embedding model, which is OpenAI's."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from llama_index.core import Settings, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document, NodeWithScore

from jacolbert_integrations import JaColBERT, JaColBERTRerank, JaColBERTRetriever, JaColBERTVectorStore

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
QUESTION = "日本の首都はどこですか。"
CHAT_MODES = [mode for mode in ChatMode if mode not in (ChatMode.REACT, ChatMode.OPENAI)]  # these two are no more


class Tries(MetaPathFinder):
    """Remembers which of OpenAI's modules were asked for, and finds none."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if "openai" in fullname or fullname in ("llama_index.embeddings", "llama_index.llms"):
            self.names.append(fullname)
        return None


@pytest.fixture(autouse=True)
def tries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was asked for: nothing, except where a test takes it out of the list."""
    assert importlib.util.find_spec("openai") is None
    for setting in ("_embed_model", "_llm"):
        monkeypatch.setattr(Settings, setting, None)
    finder = Tries()
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    yield finder.names
    assert finder.names == []


@pytest.fixture
def store(mini: JaColBERT) -> JaColBERTVectorStore:
    return JaColBERTVectorStore(mini)


@pytest.fixture
def index(store: JaColBERTVectorStore) -> VectorStoreIndex:
    index = store.as_index()
    for document in documents():
        index.insert(document)
    return index


@pytest.fixture
def persisted(index: VectorStoreIndex, tmp_path: Path) -> StorageContext:
    """What was written, around the vector store that was read from it."""
    index.storage_context.persist(tmp_path)
    opened = JaColBERTVectorStore.from_persist_dir(tmp_path)
    return StorageContext.from_defaults(vector_store=opened, persist_dir=str(tmp_path))


def documents() -> list[Document]:
    return [Document(id_=name, text=text) for name, text in TEXTS.items()]


def best(found: Sequence[NodeWithScore]) -> str:
    return str(found[0].node.ref_doc_id)


def embed_model_of(context: StorageContext) -> Any:
    assert isinstance(context.vector_store, JaColBERTVectorStore)
    return context.vector_store.embed_model


@pytest.mark.parametrize(
    "make",
    [
        lambda store, context: VectorStoreIndex.from_vector_store(store),
        lambda store, context: VectorStoreIndex.from_documents(
            documents(), storage_context=StorageContext.from_defaults(vector_store=store)
        ),
        lambda store, context: load_index_from_storage(context),
    ],
)
def test_what_is_avoided(
    make: Callable[..., Any], store: JaColBERTVectorStore, persisted: StorageContext, tries: list[str]
) -> None:
    """LlamaIndex's own ways ask for it, and that is seen here."""
    with pytest.raises(ImportError, match="llama-index-embeddings-openai"):
        make(store, persisted)
    assert tries.pop().startswith("llama_index.embeddings")


def test_an_index_that_was_persisted(persisted: StorageContext) -> None:
    index: Any = load_index_from_storage(persisted, embed_model=embed_model_of(persisted))
    retriever = index.as_retriever(similarity_top_k=1)
    assert best(retriever.retrieve(QUESTION)) == "tokyo"
    assert best(asyncio.run(retriever.aretrieve(QUESTION))) == "tokyo"
    assert index.refresh_ref_docs([*documents(), Document(id_="dog", text="犬は走る。")]) == [False, False, True]
    index.update_ref_doc(Document(id_="dog", text="犬は寝る。"))
    assert best(retriever.retrieve("犬")) == "dog"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_query_engines(index: VectorStoreIndex, persisted: StorageContext, asynchronous: bool) -> None:
    loaded: Any = load_index_from_storage(persisted, embed_model=embed_model_of(persisted))
    for one in (index, loaded):
        engine = one.as_query_engine(llm=MockLLM(), similarity_top_k=1)
        response = asyncio.run(engine.aquery(QUESTION)) if asynchronous else engine.query(QUESTION)
        assert TEXTS["tokyo"] in str(response)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("mode", CHAT_MODES)
def test_chat_modes(index: VectorStoreIndex, mode: ChatMode, asynchronous: bool) -> None:
    options = {"memory": ChatMemoryBuffer.from_defaults(token_limit=2000), "similarity_top_k": 1}
    chat = index.as_chat_engine(chat_mode=mode, llm=MockLLM(), **options)
    response = asyncio.run(chat.achat(QUESTION)) if asynchronous else chat.chat(QUESTION)
    expected = [] if mode is ChatMode.SIMPLE else [TEXTS["tokyo"]]  # which does not look into the index
    assert [node.text for node in response.source_nodes] == expected


def test_our_own_parts(store: JaColBERTVectorStore, mini: JaColBERT) -> None:
    retriever = JaColBERTRetriever.from_documents(documents(), mini, similarity_top_k=2)
    assert best(JaColBERTRerank(mini).postprocess_nodes(retriever.retrieve(QUESTION), query_str=QUESTION)) == "tokyo"
    IngestionPipeline(transformations=[store.embed_model], vector_store=store).run(documents=documents())
    of_store = store.as_index().as_retriever()
    fusion = QueryFusionRetriever([retriever, of_store], llm=MockLLM(), num_queries=1, use_async=False)
    assert TEXTS["tokyo"] == fusion.retrieve(QUESTION)[0].text


def test_as_llama_indexs_setting(store: JaColBERTVectorStore, persisted: StorageContext) -> None:
    """Then LlamaIndex's own ways need no more."""
    Settings.embed_model = store.embed_model
    indexes: list[Any] = [
        VectorStoreIndex.from_documents(
            documents(), storage_context=StorageContext.from_defaults(vector_store=store), show_progress=False
        ),
        VectorStoreIndex.from_vector_store(store),
        load_index_from_storage(persisted),
    ]
    for index in indexes:
        assert best(index.as_retriever(similarity_top_k=1).retrieve(QUESTION)) == "tokyo"
        assert TEXTS["tokyo"] in str(index.as_query_engine(llm=MockLLM(), similarity_top_k=1).query(QUESTION))
