"""What LlamaIndex embeds of a node, read from the JSON that it stores, beside what LlamaIndex itself reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    TextNode,
)
from qdrant_client import QdrantClient, models

from jacolbert_integrations import JaColBERT, JaColBERTRetriever, MemoryStore, QdrantStore
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.llama_index.nodes import to_node, to_payload
from jacolbert_integrations.qdrant import Lexical, add_late_interaction, reindex
from jacolbert_integrations.stores.archive import export_points, import_points
from jacolbert_integrations.stores.payload_text import payload_text
from jacolbert_integrations.text.windows import DOCUMENT_KEY, SPAN_KEY

LONG = "".join(f"{i}番目の文は猫について述べている。" for i in range(80))

KEYS = st.sampled_from(["題名", "author", "text", "content", "a b", ""])
VALUES = st.text("猫犬 \n{}a", max_size=4) | st.integers() | st.none() | st.lists(st.booleans(), max_size=2)
TEXTS = st.text("猫は犬。\n 　{}a", max_size=12)
METADATA_TEMPLATES = st.sampled_from(["{key}: {value}", "<{key}>{value!r:>9}", " {value}\n", "同じ", ""])
TEXT_TEMPLATES = st.sampled_from(
    ["{metadata_str}\n\n{content}", "\n{content}|{metadata_str} ", "{content}", "{{}}", ""]
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.dictionaries(KEYS, VALUES, max_size=4),
        "excluded_embed_metadata_keys": st.lists(KEYS, max_size=3),
        "excluded_llm_metadata_keys": st.lists(KEYS, max_size=3),
        "metadata_template": METADATA_TEMPLATES,
        "metadata_separator": st.sampled_from(["\n", " | ", ""]),
        "text_template": TEXT_TEMPLATES,
    },
)


def text_node(fields: dict[str, Any], text: str) -> BaseNode:
    return TextNode(text=text, **fields)


def index_node(fields: dict[str, Any], text: str) -> BaseNode:
    return IndexNode(text=text, index_id="i", **fields)


def image_node(fields: dict[str, Any], text: str) -> BaseNode:
    return ImageNode(text=text, image_url="u", **fields)


def resource_node(fields: dict[str, Any], text: str) -> BaseNode:
    return Node(text_resource=MediaResource(text=text), **fields)


def document(fields: dict[str, Any], text: str) -> BaseNode:
    return Document(text=text, **fields)


MAKERS = [text_node, index_node, image_node, resource_node, document]


@settings(max_examples=400)
@given(make=st.sampled_from(MAKERS), fields=FIELDS, text=TEXTS, ends=st.tuples(*[st.integers(0, 30)] * 2))
def test_it_is_what_llama_index_embeds(make: Any, fields: dict[str, Any], text: str, ends: tuple[int, int]) -> None:
    node: BaseNode = make(fields, text)
    payload = to_payload(node)
    embedded = node.get_content(MetadataMode.EMBED)
    if not embedded:
        with pytest.raises(InputError, match="no text under any"):
            payload_text(payload)
        return
    assert payload_text(payload) == embedded
    window = {**payload, DOCUMENT_KEY: node.node_id, SPAN_KEY: sorted(ends)}
    assert payload_text(window) == embedded[slice(*sorted(ends))]
    if make is not document:  # LlamaIndex reads a Document back as a TextNode, which strips more
        assert payload_text(payload) == to_node(payload).get_content(MetadataMode.EMBED)


def test_the_other_spelling_of_the_separator() -> None:
    node = {"text": "猫", "metadata": {"a": 1, "b": 2}, "metadata_separator": "+"}
    for spelled in (node, {**node, "metadata_seperator": "|"}):
        payload = {"_node_content": json.dumps(spelled), "_node_type": "TextNode"}
        assert payload_text(payload) == to_node(payload).get_content(MetadataMode.EMBED)


@pytest.mark.parametrize("make", MAKERS)
def test_a_text_that_was_taken_out_of_the_node(make: Any) -> None:
    """As by those of LlamaIndex's stores that keep it once."""
    payload = to_payload(make({"metadata": {"題名": "動物", "content": "目次"}}, "猫は魚を食べる。"))
    node = json.loads(payload["_node_content"])
    node.pop("text_resource", None)
    payload["_node_content"] = json.dumps({**node, "text": ""})
    assert payload_text({**payload, "text": "猫は魚を食べる。"}) == "題名: 動物\ncontent: 目次\n\n猫は魚を食べる。"


@pytest.mark.parametrize(
    "broken",
    [
        {"metadata_template": "{keys}"},
        {"metadata_template": "{"},
        {"metadata_separator": 3},
        {"text_template": "{}"},
        {"text_template": None},
        {"excluded_embed_metadata_keys": 1},
    ],
)
def test_what_llama_index_does_not_write(broken: dict[str, Any]) -> None:
    node = {"text": "猫", "metadata": {"a": 1}, **broken}
    with pytest.raises(InputError, match=r"'_node_content' cannot be read .* Say what its text is"):
        payload_text({"_node_content": json.dumps(node), "_node_type": "TextNode"})


def test_the_core_needs_no_llama_index() -> None:
    program = (
        "import sys; from jacolbert_integrations.stores.payload_text import payload_text;"
        'assert payload_text({"_node_content": \'{"text": "x", "metadata": {"a": 1}}\'}) == "a: 1\\n\\nx";'
        'assert not [name for name in sys.modules if name.startswith("llama_index")]'
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture
def nodes() -> list[BaseNode]:
    return [
        TextNode(id_="長", text=LONG, metadata={"題名": "猫"}),
        TextNode(id_="短", text="犬は走る。", metadata={"題名": "動物図鑑の第三巻"}),
        Document(id_="書", text="鳥は飛ぶ。", metadata={"題名": "鳥", "頁": ""}),
    ]


def test_an_export_of_windows_into_a_lexical_collection(mini: JaColBERT, nodes: list[BaseNode], tmp_path: Path) -> None:
    source = MemoryStore()
    JaColBERTRetriever.from_nodes(nodes, mini, store=source)
    export_points(source, tmp_path / "a.zip")
    client = QdrantClient(":memory:")
    target = QdrantStore(client, "c", first_stage=Lexical())
    assert import_points(tmp_path / "a.zip", target).written == source.count() > 3
    assert [hit.id for hit in target.search_words("図鑑", top_k=9)] == ["短"], "metadata are words, too"
    last = max((p for p in source.points() if p.id.startswith("長")), key=lambda p: p.payload[SPAN_KEY])
    assert [hit.id for hit in target.search_words("79番目", top_k=1)] == [last.id]
    client.close()


def test_nodes_are_indexed_anew_as_they_were(mini: JaColBERT, nodes: list[BaseNode]) -> None:
    client = QdrantClient(":memory:")
    source, target = QdrantStore(client, "a"), QdrantStore(client, "b")
    JaColBERTRetriever.from_nodes(nodes, mini, store=source)
    result = reindex(client, "a", target, mini, alias="live")
    assert (result.failed, result.moved) == ((), True)
    before, after = ({p.id: p for p in store.points()} for store in (source, target))
    assert before.keys() == after.keys()
    for point_id, point in before.items():
        assert point.payload == after[point_id].payload
        assert point.vectors == pytest.approx(after[point_id].vectors, abs=1e-5)
    client.close()


def test_nodes_get_vectors_of_their_metadata(mini: JaColBERT, nodes: list[BaseNode]) -> None:
    client = QdrantClient(":memory:")
    source = QdrantStore(client, "a")
    JaColBERTRetriever.from_nodes(nodes, mini, store=source)
    expected = {p.id: p.vectors for p in source.points()}
    records = client.scroll("a", limit=99)[0]
    params = models.VectorParams(size=2, distance=models.Distance.COSINE)
    client.create_collection("theirs", vectors_config={"dense": params})
    client.upsert(
        "theirs", [models.PointStruct(id=r.id, vector={"dense": [1.0, 0.0]}, payload=r.payload) for r in records]
    )
    assert add_late_interaction(client, "theirs", mini).failed == ()
    theirs = QdrantStore(client, "theirs")
    theirs.bind(mini.identity)
    for point in theirs.points():
        assert point.vectors == pytest.approx(expected[point.id], abs=1e-5)
    client.close()
