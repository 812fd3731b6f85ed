"""A vector store's index in what LlamaIndex builds on top of indexes: agents, graphs, filters that a model writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core import PropertyGraphIndex, VectorStoreIndex
from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.graph_stores import SimplePropertyGraphStore
from llama_index.core.graph_stores.types import KG_NODES_KEY, KG_RELATIONS_KEY, EntityNode, Relation
from llama_index.core.indices.property_graph import VectorContextRetriever
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.retrievers import VectorIndexAutoRetriever
from llama_index.core.schema import BaseNode, Document, ImageDocument, TextNode, TransformComponent
from llama_index.core.tools import QueryEngineTool
from llama_index.core.vector_stores.types import MetadataInfo, VectorStoreInfo, VectorStoreQuery, VectorStoreQueryMode

from jacolbert_integrations import JaColBERT, JaColBERTVectorStore, MemoryStore
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.locations import open_store

TEXTS = {"tokyo": "東京は日本の首都である。", "cat": "猫は魚や肉を食べる。", "fuji": "富士山は日本で一番高い山である。"}
KINDS = {"tokyo": "place", "cat": "animal", "fuji": "place"}
EATS = "猫は何を食べますか。"


def nodes() -> list[TextNode]:
    return [TextNode(id_=name, text=text, metadata={"kind": KINDS[name]}) for name, text in TEXTS.items()]


@pytest.fixture
def store(mini: JaColBERT) -> JaColBERTVectorStore:
    return JaColBERTVectorStore(mini)


class Script(CustomLLM):
    """Says its lines, one after the other; the last stays."""

    lines: list[str]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.lines.pop(0) if len(self.lines) > 1 else self.lines[0])

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        text = self.complete(prompt).text
        yield CompletionResponse(text=text, delta=text)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LlamaIndex's own, of its agents
def test_an_agent_asks_the_index(store: JaColBERTVectorStore) -> None:
    store.add(nodes())
    engine = store.as_index().as_query_engine(llm=MockLLM(), similarity_top_k=1)
    tool = QueryEngineTool.from_defaults(engine, name="animals", description="動物について")
    lines = [f'Thought: A tool.\nAction: animals\nAction Input: {{"input": "{EATS}"}}\n', "Thought: Done.\nAnswer: 魚"]

    async def run() -> Any:
        handler = ReActAgent(tools=[tool], llm=Script(lines=lines)).run(EATS)
        async for event in handler.stream_events():
            event.model_dump_json()
        return await handler

    answer = asyncio.run(run())
    assert str(answer) == "魚"
    assert [node.node_id for node in answer.tool_calls[0].tool_output.raw_output.source_nodes] == ["cat"]


class Eats(TransformComponent):
    """Finds the same two things in every text."""

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        for node in nodes:
            cat, fish = EntityNode(name="猫", label="動物"), EntityNode(name="魚", label="食べ物")
            relation = Relation(label="食べる", source_id=cat.id, target_id=fish.id)
            node.metadata |= {KG_NODES_KEY: [cat, fish], KG_RELATIONS_KEY: [relation]}
        return nodes


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_property_graph_finds_its_entities(store: JaColBERTVectorStore, how: str) -> None:
    """It asks by an embedding alone, which has no numbers and knows its text."""
    graph = SimplePropertyGraphStore()
    index = PropertyGraphIndex.from_documents(
        [Document(text=TEXTS["cat"])],
        llm=MockLLM(),
        kg_extractors=[Eats()],
        property_graph_store=graph,
        vector_store=store,
        embed_model=store.embed_model,
    )
    assert len(store.get_nodes()) == 2
    retriever = VectorContextRetriever(
        graph, vector_store=store, embed_model=store.embed_model, similarity_top_k=1, include_text=False
    )
    (found,) = retriever.retrieve("魚") if how == "sync" else asyncio.run(retriever.aretrieve("魚"))
    assert found.text == "猫 -> 食べる -> 魚"
    engine = index.as_query_engine(llm=MockLLM())
    answer = engine.query("魚") if how == "sync" else asyncio.run(engine.aquery("魚"))
    assert "猫 -> 食べる -> 魚" in answer.source_nodes[0].text


def test_an_embedding_s_text_is_what_is_looked_for(store: JaColBERTVectorStore) -> None:
    store.add(nodes())

    def ask(**query: Any) -> tuple[list[str] | None, list[float] | None]:
        found = store.query(VectorStoreQuery(similarity_top_k=3, **query))
        return found.ids, found.similarities

    one = store.embed_model.get_query_embedding(EATS)
    assert ask(query_embedding=one) == ask(query_str=EATS)
    several = store.embed_model.get_agg_embedding_from_queries([EATS, "一番高い山は？"])
    assert ask(query_embedding=several) == ask(query_embedding=several, query_str="何？")
    ids, scores = ask(query_embedding=several)
    assert ids is not None
    assert scores is not None
    each = [dict(zip(*ask(query_str=text), strict=True)) for text in (EATS, "一番高い山は？")]  # type: ignore[arg-type]
    assert scores == pytest.approx([(each[0][name] + each[1][name]) / 2 for name in ids], abs=1e-5)


def test_an_embedding_s_text_is_searched_by_words_too(mini: JaColBERT, tmp_path: Any) -> None:
    with JaColBERTVectorStore(mini, location=str(tmp_path), first_stage=["lexical"]) as store:
        store.add(nodes())
        asked = VectorStoreQuery(
            query_embedding=store.embed_model.get_query_embedding("富士山"),
            similarity_top_k=1,
            mode=VectorStoreQueryMode.TEXT_SEARCH,
        )
        assert store.query(asked).ids == ["fuji"]


SPEC = """```json
{"query": "", "filters": [{"key": "kind", "operator": "==", "value": "place"}], "top_k": null}
```"""


@pytest.mark.parametrize("top_k", [1, 3])
def test_a_model_that_writes_filters_and_no_query(store: JaColBERTVectorStore, top_k: int) -> None:
    """As LlamaIndex's own stores answer: all that pass, if the caller said what stands for the empty query."""
    store.add([*nodes(), TextNode(id_="long", text="長い文が続く。" * 200, metadata={"kind": "place"})])
    about = VectorStoreInfo(
        content_info="文", metadata_info=[MetadataInfo(name="kind", type="str", description="place, animal")]
    )

    def asked(**options: Any) -> VectorIndexAutoRetriever:
        return VectorIndexAutoRetriever(
            store.as_index(), vector_store_info=about, llm=Script(lines=[SPEC]), empty_query_top_k=top_k, **options
        )

    found = asked(default_empty_query_vector=[0.0]).retrieve("場所をすべて")
    assert len(found) == top_k
    assert {node.node_id for node in found} <= {"tokyo", "fuji", "long"}
    assert {node.score for node in found} == {0.0}
    assert len({node.node_id for node in found}) == top_k
    again = asyncio.run(asked(default_empty_query_vector=[0.0]).aretrieve("場所をすべて"))
    assert [node.node_id for node in again] == [node.node_id for node in found]
    with pytest.raises(InputError, match="the query has no text"):
        asked().retrieve("場所をすべて")


def test_an_empty_query_needs_something_in_its_stead(store: JaColBERTVectorStore) -> None:
    store.add(nodes())
    for query in (
        VectorStoreQuery(query_str="", query_embedding=[0.0]),  # and no filter
        VectorStoreQuery(query_str="", node_ids=["cat"]),
        VectorStoreQuery(query_str="", query_embedding=store.embed_model.get_query_embedding(""), node_ids=["cat"]),
        VectorStoreQuery(query_embedding=[0.1, 0.2], node_ids=["cat"]),  # a text that somebody else has embedded
        VectorStoreQuery(query_str="", query_embedding=[0.0], node_ids=["cat"], mode=VectorStoreQueryMode.MMR),
    ):
        with pytest.raises(InputError, match="the query has no text"):
            store.query(query)


@pytest.mark.parametrize("place", [":memory:", "folder"])
def test_documents_that_are_inserted_as_nodes_come_back_as_they_are(mini: JaColBERT, tmp_path: Any, place: str) -> None:
    given = [
        ImageDocument(id_="image", text="猫の絵", image="aW1hZ2U=", metadata={"n": 1}),
        Document(id_="text", text="犬の話", metadata={"n": 2}),
    ]
    opened = MemoryStore() if place == ":memory:" else open_store(str(tmp_path), "nodes")
    store = JaColBERTVectorStore(mini, opened)
    index = store.as_index()
    index.insert_nodes(given)
    for expected in given:
        (found,) = index.as_retriever(similarity_top_k=1).retrieve(expected.get_content())
        assert type(found.node) is type(expected)
        assert found.node.to_dict() | {"embedding": None} == expected.to_dict() | {"embedding": None}
        assert store.get_nodes([expected.node_id])[0] == found.node
    if place != ":memory:":
        store.client.close()


def test_llama_index_s_own_index_finds_them_too(store: JaColBERTVectorStore) -> None:
    store.add(nodes())
    plain = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
    assert plain.as_retriever(similarity_top_k=1).retrieve(EATS)[0].node_id == "cat"
