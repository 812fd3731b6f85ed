"""MMR by what a server says of its documents' likeness: as by their vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from qdrant_client import QdrantClient

from jacolbert_integrations import JaColBERT, JaColBERTVectorStore, QdrantStore
from jacolbert_integrations.llama_index.results import ScoredResult
from jacolbert_integrations.llama_index.vector_store.diversity import diverse, diverse_there
from jacolbert_integrations.scoring.maxsim import maxsim
from jacolbert_integrations.types import TokenVectors

from ...qdrant.rest_server import Backend, open_client, serving
from .samples import QUESTION, TEXTS


class Compared:
    """Documents that are compared as a server does it."""

    def __init__(self, documents: list[TokenVectors]) -> None:
        self.documents = {str(i): document for i, document in enumerate(documents)}
        self.asked = 0

    def similarities(self, asked: Any) -> list[dict[str, float]] | None:
        self.asked += 1
        return [
            {i: float(maxsim([self.documents[one]], [self.documents[i]])[0, 0])
             for i in among if i != one or list(among) == [one]}
            for one, among in asked
        ]  # fmt: skip


def unit(rng: np.random.Generator, rows: int) -> TokenVectors:
    matrix = rng.standard_normal((rows, 4)).astype(np.float32)
    found: TokenVectors = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return found.astype(np.float16).astype(np.float32)  # as a collection keeps them


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10_000), st.lists(st.integers(1, 40), min_size=1, max_size=9), st.integers(1, 10), st.floats(0, 1)
)
def test_the_same_documents_for_the_same_scores(seed: int, rows: list[int], count: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    query, documents = unit(rng, 5), [unit(rng, n) for n in rows]
    expected = diverse(query, documents, count, threshold)
    store = Compared(documents)
    relevance = maxsim([query], documents)[0] / len(query)
    found = diverse_there(store, list(store.documents), relevance, count, threshold)
    assert found is not None
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], atol=1e-5)
    assert store.asked == max(min(count, len(rows)) - 1, 0)


def test_what_is_missing_or_no_number_of_tokens_is_not_guessed() -> None:
    documents = [np.eye(4, dtype=np.float32)[:2], np.eye(4, dtype=np.float32)[1:]]
    relevance = np.array([1, 0.5], np.float32)
    assert diverse_there(Compared(documents), ["0", "1"], relevance, 2, 0.5) is not None
    assert diverse_there(Compared([documents[0], documents[1] * 0.7]), ["0", "1"], relevance, 2, 0.5) is None

    class Silent(Compared):
        def similarities(self, asked: Any) -> list[dict[str, float]] | None:
            return None

    class Forgetful(Compared):
        def similarities(self, asked: Any) -> list[dict[str, float]] | None:
            return [{} for _ in asked]

    for store in (Silent(documents), Forgetful(documents)):
        assert diverse_there(store, ["0", "1"], relevance, 2, 0.5) is None


@pytest.fixture
def remote() -> Iterator[tuple[Backend, QdrantClient]]:
    backend = Backend()
    with serving(backend) as port:
        client = open_client(port)
        yield backend, client
        client.close()
    backend.local.close()


def test_a_servers_nodes_are_chosen_without_their_vectors(
    remote: tuple[Backend, QdrantClient], mini: JaColBERT, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, client = remote
    there, here = JaColBERTVectorStore(mini, QdrantStore(client, "c")), JaColBERTVectorStore(mini)
    for index in (there, here):
        index.add([TextNode(id_=name, text=text) for name, text in TEXTS.items()])
    backend.requests.clear()

    def ask(index: JaColBERTVectorStore, threshold: float = 0.5) -> ScoredResult:
        query = VectorStoreQuery(query_str=QUESTION, mode=VectorStoreQueryMode.MMR, similarity_top_k=3)
        found = index.query(query, mmr_threshold=threshold)
        assert isinstance(found, ScoredResult)
        return found

    def vectors_were_read() -> bool:
        return any(method == "POST" and path.endswith("/points") for method, path, _ in backend.requests)

    for threshold in (0.0, 0.3, 0.5, 1.0):
        found, expected = ask(there, threshold), ask(here, threshold)
        assert found.ids == expected.ids
        np.testing.assert_allclose(found.similarities or [], expected.similarities or [], atol=1e-5)
        assert {provenance.scored_by for provenance in found.provenances} == {"store"}
        assert {provenance.scored_by for provenance in expected.provenances} == {"client"}
    assert not vectors_were_read()
    monkeypatch.setattr(backend, "_alone", lambda name, wanted: wanted.query)  # a Qdrant that leaves it out always
    found = ask(there)
    assert found.ids == ask(here).ids
    assert {provenance.scored_by for provenance in found.provenances} == {"client"}
    assert vectors_were_read()
