"""Pipelines that run again, in several processes, or fail half-way; and what another process reads of memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.schema import BaseNode, Document, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore

from jacolbert_integrations import JaColBERT, JaColBERTSentenceSplitter, JaColBERTVectorStore
from jacolbert_integrations.types import TokenVectors

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


@pytest.fixture
def encoded(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts that the model encodes as documents."""
    texts: list[str] = []
    real = mini.encode_document

    def encode(given: list[str], **options: Any) -> list[TokenVectors]:
        texts.extend(given)
        return real(given, **options)

    monkeypatch.setattr(mini, "encode_document", encode)
    return texts


class Workers(ProcessPoolExecutor):
    """Two processes that LlamaIndex uses in place of those that it starts anew for each run, which takes seconds."""

    def __init__(self) -> None:
        # LlamaIndex's arun forks, which newer Pythons warn of in a process with threads; its run starts them as here.
        super().__init__(2, mp_context=multiprocessing.get_context("spawn"))

    def Pool(self, processes: int) -> AbstractContextManager[Workers]:
        assert processes == 2
        return nullcontext(self)

    def starmap(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        return [future.result() for future in [self.submit(function, *own) for own in arguments]]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


@pytest.fixture
def two_processes(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: 2)
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: workers)
    monkeypatch.setattr("llama_index.core.ingestion.pipeline.ProcessPoolExecutor", lambda max_workers: workers.Pool(2))


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


def test_another_process_reads_what_was_in_memory(store: JaColBERTVectorStore, tmp_path: Path) -> None:
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex.from_documents(documents(**TEXTS), storage_context=context, embed_model=store.embed_model)
    context.persist(tmp_path)
    program = f"""
from llama_index.core import Document, StorageContext
from jacolbert_integrations import JaColBERTVectorStore
store = JaColBERTVectorStore.from_persist_dir({str(tmp_path)!r})
index = store.as_index(StorageContext.from_defaults(vector_store=store, persist_dir={str(tmp_path)!r}))
print(store.place, *sorted(node.ref_doc_id for node in store.get_nodes()))
print(*[node.node.ref_doc_id for node in index.as_retriever(similarity_top_k=2).retrieve("猫は何を食べますか。")])
index.update_ref_doc(Document(id_="cat", text={NEW_CAT!r}))
index.storage_context.persist({str(tmp_path)!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = store.as_index().as_retriever(similarity_top_k=2).retrieve("猫は何を食べますか。")
    expected = [":memory: cat fuji tokyo", " ".join(str(node.node.ref_doc_id) for node in here)]
    assert done.stdout.splitlines() == expected
    assert expected[1].startswith("cat")
    again = JaColBERTVectorStore.from_persist_dir(tmp_path)
    assert texts_of(again) == sorted([TEXTS["tokyo"], TEXTS["fuji"], NEW_CAT])
