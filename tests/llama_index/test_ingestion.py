"""Pipelines that run again, in several processes, or fail half-way; and what another process reads of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.schema import BaseNode, Document, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore

from jacolbert_integrations import JaColBERT, JaColBERTSentenceSplitter, JaColBERTVectorStore

from ..processes import in_another_process

TEXTS = {
    "tokyo": "東京は日本の首都であり、人口は約千四百万人である。",
    "fuji": "富士山は静岡県と山梨県にまたがる日本で一番高い山である。",
    "cat": "猫は魚や肉を食べる小さな動物である。",
}
NEW_CAT, DOG = "猫は昼に寝る。", "犬は走る。"
LEFT = {
    DocstoreStrategy.UPSERTS: [TEXTS["tokyo"], TEXTS["fuji"], NEW_CAT, DOG],
    DocstoreStrategy.UPSERTS_AND_DELETE: [TEXTS["tokyo"], NEW_CAT, DOG],
    DocstoreStrategy.DUPLICATES_ONLY: [*TEXTS.values(), NEW_CAT, DOG],
}


def documents(**texts: str) -> list[Document]:
    return [Document(id_=name, text=text) for name, text in texts.items()]


@pytest.fixture
def store(mini: JaColBERT) -> JaColBERTVectorStore:
    return JaColBERTVectorStore(mini)


def texts_of(store: JaColBERTVectorStore) -> list[str]:
    return sorted(node.get_content() for node in store.get_nodes())


def run(pipeline: IngestionPipeline, how: str, given: list[Document], **options: Any) -> list[BaseNode]:
    if how == "run":
        return [*pipeline.run(documents=given, **options)]
    return [*asyncio.run(pipeline.arun(documents=given, **options))]


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("num_workers", [None, 2])
@pytest.mark.parametrize("how", ["run", "arun"])
@pytest.mark.parametrize("strategy", DocstoreStrategy)
def test_a_second_run(
    store: JaColBERTVectorStore,
    mini: JaColBERT,
    encoded: list[str],
    strategy: DocstoreStrategy,
    how: str,
    num_workers: int | None,
) -> None:
    pipeline = IngestionPipeline(
        transformations=[JaColBERTSentenceSplitter(mini), store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )
    run(pipeline, how, documents(**TEXTS))
    second = documents(tokyo=TEXTS["tokyo"], cat=NEW_CAT, dog=DOG)
    written = run(pipeline, how, second, num_workers=num_workers)
    assert sorted(node.get_content() for node in written) == sorted([NEW_CAT, DOG])
    assert texts_of(store) == sorted(LEFT[strategy])
    assert encoded == [*TEXTS.values(), NEW_CAT, DOG]
    assert run(pipeline, how, second) == []
    assert texts_of(store) == sorted(LEFT[strategy])


class Brittle(TransformComponent):
    """Passes nodes on, or fails."""

    fails: bool = False

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        if self.fails:
            raise RuntimeError("the splitter fails")
        return nodes


@pytest.mark.parametrize("how", ["run", "arun"])
@pytest.mark.parametrize("strategy", [DocstoreStrategy.UPSERTS, DocstoreStrategy.UPSERTS_AND_DELETE])
def test_a_splitter_that_fails_costs_the_old_version_until_the_next_run(
    store: JaColBERTVectorStore, mini: JaColBERT, encoded: list[str], strategy: DocstoreStrategy, how: str
) -> None:
    """LlamaIndex deletes it before it splits the new one, and the vector store hears of no failure."""
    brittle = Brittle()
    pipeline = IngestionPipeline(
        transformations=[brittle, JaColBERTSentenceSplitter(mini), store.embed_model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )
    changed = documents(**{**TEXTS, "cat": NEW_CAT})
    run(pipeline, how, documents(**TEXTS))
    brittle.fails = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the splitter fails"):
            run(pipeline, how, changed)
        assert texts_of(store) == sorted([TEXTS["tokyo"], TEXTS["fuji"]])
    brittle.fails = False
    run(pipeline, how, changed)
    assert texts_of(store) == sorted([TEXTS["tokyo"], TEXTS["fuji"], NEW_CAT])
    assert encoded == [*TEXTS.values(), NEW_CAT]


def found_in(index: VectorStoreIndex) -> list[str | None]:
    found = index.as_retriever(similarity_top_k=2).retrieve("猫は何を食べますか。")
    return [node.node.ref_doc_id for node in found]


def asked_and_updated(folder: Path) -> tuple[str, list[str | None], list[str | None]]:
    """What the other process does: the place, the documents that are there, and those that it finds."""
    store = JaColBERTVectorStore.from_persist_dir(folder)
    index = store.as_index(StorageContext.from_defaults(vector_store=store, persist_dir=str(folder)))
    known, found = sorted(str(node.ref_doc_id) for node in store.get_nodes()), found_in(index)
    index.update_ref_doc(Document(id_="cat", text=NEW_CAT))
    index.storage_context.persist(folder)
    return store.location, [*known], found


def test_another_process_reads_what_was_in_memory(store: JaColBERTVectorStore, tmp_path: Path) -> None:
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex.from_documents(documents(**TEXTS), storage_context=context, embed_model=store.embed_model)
    context.persist(tmp_path)
    place, known, found = in_another_process(asked_and_updated, tmp_path)
    assert (place, known) == (":memory:", ["cat", "fuji", "tokyo"])
    assert found == found_in(store.as_index())
    assert found[0] == "cat"
    again = JaColBERTVectorStore.from_persist_dir(tmp_path)
    assert texts_of(again) == sorted([TEXTS["tokyo"], TEXTS["fuji"], NEW_CAT])
