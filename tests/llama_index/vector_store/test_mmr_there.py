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
from jacolbert_integrations.llama_index.provenance import ScoredBy
from jacolbert_integrations.llama_index.results import ScoredResult
from jacolbert_integrations.llama_index.vector_store.diversity import diverse
from jacolbert_integrations.llama_index.vector_store.diversity_there import diverse_there
from jacolbert_integrations.qdrant import searching
from jacolbert_integrations.scoring.maxsim import maxsim
from jacolbert_integrations.types import TokenVectors

from ...qdrant.rest_server import Backend, open_client, serving
from ...server import WAYS, opened
from .samples import QUESTION, TEXTS


class Compared:
    """Documents that are compared as a server does it."""

    def __init__(self, documents: list[TokenVectors]) -> None:
        self.documents = {str(i): document for i, document in enumerate(documents)}
        self.asked: list[list[tuple[str, list[str]]]] = []

    def similarities(self, asked: Any) -> list[dict[str, float]] | None:
        self.asked.append(asked)
        return [
            {i: float(maxsim([self.documents[one]], [self.documents[i]])[0, 0]) for i in among} for one, among in asked
        ]

    @property
    def compared(self) -> list[tuple[str, str]]:
        """Each two documents that were compared, as often as they were."""
        return [(one, other) for asked in self.asked for one, among in asked for other in among]


def unit(rng: np.random.Generator, rows: int) -> TokenVectors:
    matrix = rng.standard_normal((rows, 4)).astype(np.float32)
    found: TokenVectors = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return found.astype(np.float16).astype(np.float32)  # as a collection keeps them


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10_000), st.lists(st.integers(1, 40), min_size=1, max_size=24), st.integers(1, 10), st.floats(0, 1)
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
    assert [place for place, _ in found] == [place for place, _ in expected]
    assert len(store.compared) == len(set(store.compared))
    assert bool(store.asked) == (min(count, len(rows)) > 1)


def test_few_are_compared() -> None:
    """After the first, those that can be chosen next are compared with each other, all in one or two requests."""
    rng = np.random.default_rng(0)
    query, documents = unit(rng, 5), [unit(rng, 8) for _ in range(20)]
    store = Compared(documents)
    relevance = maxsim([query], documents)[0] / len(query)
    found = diverse_there(store, list(store.documents), relevance, 5, 0.5)
    assert found is not None
    assert [place for place, _ in found] == [place for place, _ in diverse(query, documents, 5, 0.5)]
    first, *others = store.asked
    best = str(found[0][0])
    assert sorted(first) == sorted([
        (best, [best, *[i for i in dict(first)[best] if i != best]]),
        *((i, [i, best]) for i in store.documents if i != best),
    ])  # fmt: skip
    assert sorted(dict(first)[best]) == sorted(store.documents)
    assert 1 <= len(others) <= 2
    assert all(len(asked) <= 5 + 2 for asked in others)
    few = Compared(documents[:6])
    assert diverse_there(few, list(few.documents), relevance[:6], 5, 0.5) is not None
    assert len(few.asked) == 1


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
    assert {path.rsplit("/", 1)[-1] for _, path, _ in backend.requests} == {"c", "query", "batch"}
    monkeypatch.setattr(backend, "_alone", lambda name, wanted: wanted.query)  # a Qdrant that leaves it out always
    found = ask(there)
    assert found.ids == ask(here).ids
    assert {provenance.scored_by for provenance in found.provenances} == {"client"}
    assert vectors_were_read()


def nodes() -> list[TextNode]:
    """Some that are alike, and some that are not."""
    kinds = ["書店は{}時に開く。", "港の灯台は{}年前に建てられた。", "山の茶屋では団子を{}円で売る。"]
    return [TextNode(id_=f"{kind}-{n}", text=text.format(n)) for kind, text in enumerate(kinds) for n in range(8)]


def asked(index: JaColBERTVectorStore, threshold: float = 0.5) -> ScoredResult:
    query = VectorStoreQuery(query_str="団子はいくらですか。", mode=VectorStoreQueryMode.MMR, similarity_top_k=5)
    found = index.query(query, mmr_threshold=threshold)
    assert isinstance(found, ScoredResult)
    return found


def test_what_travels(remote: tuple[Backend, QdrantClient], mini: JaColBERT) -> None:
    """The collection is looked at once, and candidates are compared without vectors and payloads."""
    backend, client = remote
    there, here = JaColBERTVectorStore(mini, QdrantStore(client, "c")), JaColBERTVectorStore(mini)
    for index in (there, here):
        index.add(nodes())
    backend.requests.clear()
    backend.sent = []
    assert asked(there).ids == asked(here).ids
    look, search, *compared = [sent.path.removeprefix("/collections/c") for sent in backend.sent]
    assert (look, search) == ("", "/points/query")
    assert set(compared) == {"/points/query/batch"}
    for sent in backend.sent[2:]:
        for one in sent.body["searches"]:
            assert one["with_payload"] is False
            assert isinstance(one["query"], dict | str)
            assert not one.get("with_vector")
    first, *others = [len(sent.body["searches"]) for sent in backend.sent[2:]]
    assert first == 20  # one for each candidate, in both directions and with itself
    assert max(others) <= 4 + 2 + 4  # four are yet to be chosen, and no more than four have been
    assert first + sum(others) < 20 + 19 + 18 + 17  # those of a row for each that is chosen


@pytest.mark.parametrize("size", [1, 5])
def test_what_strict_mode_does_not_allow_is_not_asked(
    remote: tuple[Backend, QdrantClient], mini: JaColBERT, size: int
) -> None:
    backend, client = remote
    there, here = JaColBERTVectorStore(mini, QdrantStore(client, "c")), JaColBERTVectorStore(mini)
    for index in (there, here):
        index.add(nodes())
    backend.strict = {"condition_max_size": size}
    found = asked(there)
    assert found.ids == asked(here).ids
    assert {provenance.scored_by for provenance in found.provenances} == {"client"}


@pytest.fixture(params=["imitated", *WAYS, *(f"{way}-compressed" for way in WAYS if way == "server-grpc")])
def any_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[QdrantClient, ScoredBy]]:
    """Each server, and who computes there; one over gRPC is also taken for one that compresses vectors."""
    if request.param == "imitated":
        yield request.getfixturevalue("remote")[1], "store"
        return
    if request.param.endswith("-compressed"):
        monkeypatch.setattr(searching, "sends_binary", lambda client: False)
    with opened(request.param.removesuffix("-compressed")) as client:
        yield client, "client" if request.param == "server-grpc" else "store"


def test_a_server_chooses_as_in_memory(any_server: tuple[QdrantClient, ScoredBy], mini: JaColBERT) -> None:
    client, scored_by = any_server
    there, here = JaColBERTVectorStore(mini, QdrantStore(client, "c")), JaColBERTVectorStore(mini)
    for index in (there, here):
        index.add(nodes())
    for threshold in (0.0, 0.3, 0.5, 0.9, 1.0):
        found, expected = asked(there, threshold), asked(here, threshold)
        assert found.ids == expected.ids
        np.testing.assert_allclose(found.similarities or [], expected.similarities or [], atol=1e-3)
        assert {provenance.scored_by for provenance in found.provenances} == {scored_by}


def test_what_is_deleted_meanwhile_is_left_out(any_server: tuple[QdrantClient, ScoredBy], mini: JaColBERT) -> None:
    """Candidates may be deleted after they were found: before they are compared, or between two comparisons."""
    client, scored_by = any_server

    class Deleting(QdrantStore):
        after = 0

        def similarities(self, asked: Any) -> list[dict[str, float]] | None:
            if self.after == 0:
                self.delete([gone])
            self.after -= 1
            return super().similarities(asked)

    for place, after in ((0, 0), (4, 0), (2, 1 if scored_by == "store" else 0)):
        there, here = JaColBERTVectorStore(mini, Deleting(client, f"c{place}")), JaColBERTVectorStore(mini)
        for index in (there, here):
            index.add(nodes())
        found = here.query(VectorStoreQuery(query_str="団子はいくらですか。", similarity_top_k=20)).ids or []
        gone = found[place] if after == 0 else (asked(here).ids or [])[place]
        assert isinstance(there.store, Deleting)
        there.store.after = after
        candidates = [name for name in found if name != gone]
        memory = JaColBERTVectorStore(mini)
        memory.add([node for node in nodes() if node.node_id in candidates])
        assert asked(there).ids == asked(memory).ids
        assert not there.store.contains([gone])
