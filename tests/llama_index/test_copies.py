"""What LlamaIndex copies, writes down and reads again: nodes with scores, responses, workflows, and the parts."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from dataclasses import asdict
from typing import Any

import pytest
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.core.workflow import (
    Context,
    Event,
    JsonPickleSerializer,
    JsonSerializer,
    StartEvent,
    StopEvent,
    Workflow,
)
from llama_index.core.workflow import step as workflow_step
from qdrant_client import QdrantClient

from jacolbert_integrations import (
    JaColBERT,
    JaColBERTRerank,
    JaColBERTRetriever,
    JaColBERTSentenceSplitter,
    MemoryStore,
    MultiVectorStore,
    QdrantStore,
)
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.llama_index import Provenance, ScoredNode

from ..conftest import PATIENCE

QUESTION = "日本で一番高い山は？"
NODES = [TextNode(id_=text, text=text, metadata={"n": len(text)}) for text in ("富士山は一番高い。", "猫は小さい。")]


@pytest.fixture
def retriever(mini: JaColBERT) -> JaColBERTRetriever:
    return JaColBERTRetriever.from_nodes(NODES, mini)


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node_id for node in nodes]


# Nodes with scores

SOURCE = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d", metadata={"a": 1})}
KINDS: list[BaseNode] = [
    TextNode(id_="n", text="山", metadata={"a": [1, None]}, relationships=SOURCE, start_char_idx=3, end_char_idx=4),
    ImageNode(id_="n", text="山", image="aaaa"),
    IndexNode(id_="n", text="山", index_id="mountains"),
    IndexNode(id_="n", text="山", index_id="mountains", obj=TextNode(id_="o", text="川")),
    Document(id_="n", text="山", metadata={"a": 1}),
    Node(id_="n", text_resource=MediaResource(text="山")),
]


@pytest.mark.parametrize("node", KINDS, ids=lambda node: type(node).__name__)
def test_a_scored_node_of_any_kind_of_node(node: BaseNode) -> None:
    before = Provenance(step="retrieve", score=2.0, model="m", fingerprint="f", collection="c", approximate=True)
    said = Provenance(step="rerank", score=3.5, model="m", fingerprint="f", window=(0, 1), previous=before)
    scored = ScoredNode(node=node, score=0.25, provenance=said)
    copies = {
        "dict": ScoredNode.from_dict(json.loads(json.dumps(scored.to_dict()))),
        "JSON": ScoredNode.from_json(scored.to_json()),
        "pydantic": ScoredNode.model_validate_json(scored.model_dump_json()),
        "pickle": pickle.loads(pickle.dumps(scored)),
        "deep copy": copy.deepcopy(scored),
        "workflows' JSON": JsonSerializer().deserialize(JsonSerializer().serialize([scored]))[0],
        "workflows' pickle": JsonPickleSerializer().deserialize(JsonPickleSerializer().serialize([scored]))[0],
    }
    for how, other in copies.items():
        assert type(other) is ScoredNode, how
        assert type(other.node) is type(node), how
        assert other.node.hash == node.hash, how
        assert (other.node.metadata, other.node.relationships) == (node.metadata, node.relationships), how
        assert other.node.get_content() == node.get_content(), how
        assert (other.score, other.provenance) == (0.25, said), how


def test_a_response_goes_to_another_process(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    rerank = JaColBERTRerank(mini, top_n=1)
    response = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), node_postprocessors=[rerank]).query(QUESTION)
    again = pickle.loads(pickle.dumps(response))
    assert again.source_nodes == copy.deepcopy(response).source_nodes == response.source_nodes
    assert isinstance(again.source_nodes[0], ScoredNode)
    written = json.dumps(asdict(response), default=lambda item: item.to_dict())
    assert mini.fingerprint in written


def test_an_event_of_llama_index_has_our_nodes_and_can_be_written(retriever: JaColBERTRetriever) -> None:
    """In JSON there is what its field promises: plain nodes with scores."""
    found = retriever.retrieve(QUESTION)
    event = RetrievalEndEvent(str_or_query_bundle=QUESTION, nodes=found)
    assert event.nodes[0] is found[0]
    written = json.loads(event.model_dump_json())["nodes"]
    assert [node["score"] for node in written] == [node.score for node in found]
    assert [node["node"]["id_"] for node in written] == ids(found)


# Workflows


class Found(Event):
    nodes: list[ScoredNode]


class Looking(Workflow):
    """Keeps what it finds in its context, and sends it on."""

    def __init__(self, retriever: JaColBERTRetriever) -> None:
        super().__init__(timeout=PATIENCE)
        self.retriever = retriever

    @workflow_step
    async def look(self, context: Context, start: StartEvent) -> StopEvent:
        nodes = await self.retriever.aretrieve(start.query)
        await context.store.set("nodes", nodes)
        return StopEvent(result=nodes)


def test_a_workflows_context_keeps_scored_nodes(retriever: JaColBERTRetriever) -> None:
    async def run() -> tuple[Any, Any]:
        workflow = Looking(retriever)
        handler = workflow.run(query=QUESTION)
        found = await handler
        written = json.loads(json.dumps(handler.ctx.to_dict(serializer=JsonSerializer())))
        context = Context.from_dict(workflow, written, serializer=JsonSerializer())
        return found, await context.store.get("nodes")

    found, kept = asyncio.run(run())
    assert kept == found
    assert all(isinstance(node, ScoredNode) for node in kept)


def test_an_event_of_scored_nodes_is_written_whole(retriever: JaColBERTRetriever) -> None:
    event = Found(nodes=[node for node in retriever.retrieve(QUESTION) if isinstance(node, ScoredNode)])
    assert len(event.nodes) == 2
    again = JsonSerializer().deserialize(JsonSerializer().serialize(event))
    assert isinstance(again, Found)
    assert again.nodes == event.nodes


def test_parts_in_a_workflows_context(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    for serializer in (JsonSerializer(), JsonPickleSerializer()):
        for part in (JaColBERTRerank(mini, top_n=1), JaColBERTSentenceSplitter(mini, chunk_size=9)):
            again = serializer.deserialize(serializer.serialize(part))
            assert again.to_dict() == part.to_dict()
        with pytest.raises(InputError, match="a description holds no nodes, and no connection to any"):
            serializer.deserialize(serializer.serialize(retriever))


# Copies of the retriever


def test_a_pickled_retriever_has_its_objects_and_answers_batches(mini: JaColBERT) -> None:
    root = IndexNode(id_="root", text="山について", index_id="mountains")
    again = pickle.loads(pickle.dumps(JaColBERTRetriever.from_nodes([root], mini, object_map={"mountains": NODES[0]})))
    assert [ids(own) for own in again.retrieve_batch([QUESTION, "猫"])] == [[NODES[0].node_id]] * 2
    assert ids(again.retrieve(QUESTION)) == [NODES[0].node_id]


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", ["memory", "qdrant"])
def test_a_copy_shares_model_and_store_and_has_options_of_its_own(mini: JaColBERT, kind: str, how: Any) -> None:
    client = QdrantClient(":memory:")
    store: MultiVectorStore = MemoryStore() if kind == "memory" else QdrantStore(client, "nodes")
    filters = MetadataFilters(filters=[MetadataFilter(key="n", value=6)])
    retriever = JaColBERTRetriever.from_nodes(NODES, mini, store=store, filters=filters, object_map={"a": NODES[0]})
    copied = how(retriever)
    assert type(copied) is JaColBERTRetriever
    assert copied.model is mini
    assert copied.store is store
    assert ids(copied.retrieve(QUESTION)) == ["猫は小さい。"]
    copied.similarity_top_k, copied.filters, copied.score_threshold = 1, None, -1e9
    copied.object_map["b"] = NODES[1]
    assert ids(copied.retrieve(QUESTION)) == ["富士山は一番高い。"]
    assert (retriever.similarity_top_k, retriever.filters, retriever.score_threshold) == (2, filters, None)
    assert list(retriever.object_map) == ["a"]
    client.close()


def test_a_deep_copy_has_filters_of_its_own(retriever: JaColBERTRetriever) -> None:
    retriever.filters = MetadataFilters(filters=[MetadataFilter(key="n", value=6)])
    copied = copy.deepcopy(retriever)
    assert isinstance(copied.filters, MetadataFilters)
    copied.filters.filters.clear()
    assert len(retriever.filters.filters) == 1


def test_engines_of_copied_parts(retriever: JaColBERTRetriever, mini: JaColBERT) -> None:
    rerank = copy.deepcopy(JaColBERTRerank(mini, top_n=1))
    engine = RetrieverQueryEngine.from_args(copy.deepcopy(retriever), llm=MockLLM(), node_postprocessors=[rerank])
    assert ids(engine.query(QUESTION).source_nodes) == ["富士山は一番高い。"]
