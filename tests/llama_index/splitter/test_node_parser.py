"""Chunks that the model reads whole, as LlamaIndex nodes."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.node_parser import NodeParser, SentenceSplitter, TokenTextSplitter
from llama_index.core.schema import BaseNode, Document, ImageDocument, ImageNode, MetadataMode, TextNode

from jacolbert_integrations import JaColBERT, JaColBERTSentenceSplitter, JaColBERTVectorStore
from jacolbert_integrations.encoding.sources import ModelSource
from jacolbert_integrations.errors import CheckpointNotFoundError, InputError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import read_squad

from ...conftest import JAQUAD_EXCERPT, MINI
from ...waiting import FreeLoop

SENTENCES = ["猫がいる。", "犬もいる！", "鳥は「魚も。」", "と言う。"]


@pytest.fixture(scope="module")
def article() -> str:
    return "\n".join(passage.text for passage in read_squad([JAQUAD_EXCERPT]).passages[:12])


def parsed(splitter: JaColBERTSentenceSplitter | SentenceSplitter, documents: Iterable[Document]) -> list[TextNode]:
    nodes = splitter.get_nodes_from_documents(list(documents))
    assert all(isinstance(node, TextNode) for node in nodes)
    return [node for node in nodes if isinstance(node, TextNode)]


def embedded(node: BaseNode) -> str:
    return node.get_content(metadata_mode=MetadataMode.EMBED)


def spans(nodes: Iterable[TextNode]) -> list[tuple[int | None, int | None]]:
    return [(node.start_char_idx, node.end_char_idx) for node in nodes]


def size(model: JaColBERT, *texts: str) -> int:
    return max(model.document_lengths(texts))


def test_chunks_are_filled_with_whole_sentences(mini: JaColBERT) -> None:
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=size(mini, "猫がいる。犬もいる！", "鳥は「魚も。」と言う。"))
    nodes = parsed(splitter, [Document(text="".join(SENTENCES), id_="doc")])
    assert [node.text for node in nodes] == ["猫がいる。犬もいる！", "鳥は「魚も。」と言う。"]
    assert spans(nodes) == [(0, 10), (10, 21)]
    assert [node.ref_doc_id for node in nodes] == ["doc", "doc"]
    assert splitter.split_text("".join(SENTENCES)) == [node.text for node in nodes]


def test_sentences_can_be_repeated(mini: JaColBERT) -> None:
    size_of_two = size(mini, "猫がいる。犬もいる！", "犬もいる！猫がいる。")
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=size_of_two, sentence_overlap=1)
    assert splitter.split_text("猫がいる。犬もいる！猫がいる。\n犬もいる！") == [
        "猫がいる。犬もいる！",
        "犬もいる！猫がいる。",
        "猫がいる。\n犬もいる！",
    ]


def test_an_article_fits_without_a_cut(mini: JaColBERT, article: str) -> None:
    """Encoding warns of every text that it has to cut, and warnings are errors here."""
    documents = [Document(text=article, metadata={"title": "記事", "source": "https://example.org/a"})]
    nodes = parsed(JaColBERTSentenceSplitter(mini), documents)
    mini.encode_document([embedded(node) for node in nodes])
    lengths = mini.document_lengths([embedded(node) for node in nodes])
    assert max(lengths) <= mini.document_maxlen
    assert min(lengths[:-1]) > 0.7 * mini.document_maxlen
    assert all(article[node.start_char_idx : node.end_char_idx] == node.text for node in nodes)


def test_a_checkpoints_own_length_and_tokens(model: JaColBERT, article: str) -> None:
    nodes = parsed(JaColBERTSentenceSplitter(model), [Document(text=article)])
    lengths = model.document_lengths([node.text for node in nodes])
    assert model.document_maxlen == 300
    assert 200 < max(lengths) <= 300


def test_offsets_of_a_text_that_repeats_itself(mini: JaColBERT) -> None:
    text = "猫がいる。" * 6
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=size(mini, "猫がいる。" * 2))
    assert spans(parsed(splitter, [Document(text=text)])) == [(0, 10), (10, 20), (20, 30)]
    overlapping = JaColBERTSentenceSplitter(mini, chunk_size=splitter.chunk_size, sentence_overlap=1)
    assert spans(parsed(overlapping, [Document(text=text)])) == [(0, 10), (5, 15), (10, 20), (15, 25), (20, 30)]


def test_only_metadata_that_is_embedded_takes_room(mini: JaColBERT) -> None:
    text, metadata = "猫がいる。犬もいる。" * 4, {"題名": "動物園の動物たちについて"}
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=40)
    plain = [node.text for node in parsed(splitter, [Document(text=text)])]
    with_metadata = parsed(splitter, [Document(text=text, metadata=metadata)])
    assert len(with_metadata) > len(plain)
    assert max(mini.document_lengths([embedded(node) for node in with_metadata])) <= 40
    assert all(node.metadata == metadata for node in with_metadata)
    assert splitter.split_text_metadata_aware(text, "題名: 動物園の動物たちについて") == [n.text for n in with_metadata]

    excluded = Document(text=text, metadata=metadata, excluded_embed_metadata_keys=["題名"])
    assert [node.text for node in parsed(splitter, [excluded])] == plain
    without = parsed(splitter.model_copy(update={"include_metadata": False}), [Document(text=text, metadata=metadata)])
    assert [(node.text, node.metadata) for node in without] == [(chunk, {}) for chunk in plain]


def test_a_documents_own_template_is_counted(mini: JaColBERT) -> None:
    template = "次の資料はよく読んでから答えること。\n{metadata_str}\n本文:{content}\n以上。"
    document = Document(text="猫がいる。犬もいる。" * 5, metadata={"題名": "動物"}, text_template=template)
    nodes = parsed(JaColBERTSentenceSplitter(mini, chunk_size=40), [document])
    assert len(nodes) > 1
    assert all(embedded(node).startswith("次の資料") and embedded(node).endswith("以上。") for node in nodes)
    assert max(mini.document_lengths([embedded(node) for node in nodes])) <= 40


def test_relations(mini: JaColBERT) -> None:
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=size(mini, *SENTENCES))
    documents = [Document(text="".join(SENTENCES), id_=name, metadata={"題": "動"}) for name in "ab"]
    splitter.include_metadata = False
    nodes = parsed(splitter, documents)
    assert len(nodes) == 8
    for i, node in enumerate(nodes):
        before, after = node.prev_node, node.next_node
        assert (before.node_id if before else None) == (None if i in (0, 4) else nodes[i - 1].node_id)
        assert (after.node_id if after else None) == (None if i in (3, 7) else nodes[i + 1].node_id)
    splitter.include_prev_next_rel = False
    assert all(node.prev_node is None and node.next_node is None for node in parsed(splitter, documents))


def test_neighbours_know_the_hash_that_a_node_has(mini: JaColBERT) -> None:
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=20)
    nodes = parsed(splitter, [Document(text="猫がいる。" * 12, metadata={"題": "動物"})])
    assert len(nodes) > 2
    for one, other in pairwise(nodes):
        assert one.next_node is not None
        assert other.prev_node is not None
        assert (one.next_node.hash, other.prev_node.hash) == (other.hash, one.hash)


def test_names_by_a_function(mini: JaColBERT) -> None:
    splitter = JaColBERTSentenceSplitter(
        mini, chunk_size=size(mini, *SENTENCES), id_func=lambda i, document: f"{document.id_}-{i}"
    )
    nodes = parsed(splitter, [Document(text="".join(SENTENCES), id_="doc")])
    assert [node.node_id for node in nodes] == ["doc-0", "doc-1", "doc-2", "doc-3"]


def test_nodes_can_be_split_again(mini: JaColBERT) -> None:
    node = TextNode(text="".join(SENTENCES), id_="n", metadata={"a": "b"}, excluded_embed_metadata_keys=["a"])
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=size(mini, *SENTENCES))
    again = splitter([node])
    assert [n.get_content() for n in again] == SENTENCES
    assert [n.ref_doc_id for n in again] == ["n"] * 4
    assert node.text == "".join(SENTENCES)


@pytest.mark.parametrize("text", ["", " \n\u3000\n"])
def test_a_document_without_text_has_no_nodes(mini: JaColBERT, text: str) -> None:
    splitter = JaColBERTSentenceSplitter(mini)
    assert parsed(splitter, [Document(text=text)]) == []
    assert splitter.split_text(text) == []


def test_an_image_without_text_has_a_node(mini: JaColBERT) -> None:
    photo = ImageDocument(id_="photo", image="aW1hZ2U=", metadata={"題": "猫の写真"})
    (expected,) = SentenceSplitter().get_nodes_from_documents([photo])
    (node,) = JaColBERTSentenceSplitter(mini).get_nodes_from_documents([photo])
    assert isinstance(node, ImageNode)
    assert isinstance(expected, ImageNode)
    assert (node.image, node.text, node.metadata) == (expected.image, expected.text, expected.metadata)
    assert embedded(node) == embedded(expected) == "題: 猫の写真"
    store = JaColBERTVectorStore(mini)
    store.as_index().insert(photo)
    assert [found.metadata for found in store.get_nodes()] == [photo.metadata]


def test_what_cannot_be(mini: JaColBERT) -> None:
    with pytest.raises(InputError, match="chunk_size is 513, but jacolbert-mini reads 512 tokens"):
        JaColBERTSentenceSplitter(mini, chunk_size=513)
    late = JaColBERTSentenceSplitter(chunk_size=513)
    with pytest.raises(InputError, match="chunk_size is 513, but jacolbert-mini reads 512 tokens"):
        late.split_text("猫")
    with pytest.raises(ValueError, match="sentence_overlap"):
        JaColBERTSentenceSplitter(sentence_overlap=-1)
    with pytest.raises(ValueError, match="chunk_size"):
        JaColBERTSentenceSplitter(mini, chunk_size=0)
    with pytest.raises(InputError, match="a window of 3 tokens has no room for text: 3 of them are control tokens"):
        JaColBERTSentenceSplitter(mini, chunk_size=3).split_text("猫")
    with pytest.raises(InputError, match="the model is loaded already, so revision"):
        JaColBERTSentenceSplitter(mini, revision="main")
    with pytest.raises(InputError, match="JaColBERTSentenceSplitter takes no chunk_overlap, separator"):
        JaColBERTSentenceSplitter(separator=" ", chunk_overlap=3)
    long = Document(text="猫", metadata={"要約": "とても長い要約である。" * 10})
    with pytest.raises(
        InputError, match=r"the metadata takes \d+ of the 30 tokens of a chunk.*excluded_embed_metadata"
    ):
        JaColBERTSentenceSplitter(mini, chunk_size=30).get_nodes_from_documents([long])
    with pytest.raises(CheckpointNotFoundError):
        JaColBERTSentenceSplitter("./no/such/model").split_text("猫")


JAPANESE = st.text(alphabet="猫犬いるa1 。！？、」』（）\n\u3000\r🐈\u200d", max_size=120)


@settings(max_examples=80)
@given(JAPANESE, JAPANESE.filter(lambda text: len(text) < 30), st.integers(0, 3))
def test_chunks_fit_cover_the_text_and_know_their_place(mini: JaColBERT, text: str, title: str, overlap: int) -> None:
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=60, sentence_overlap=overlap)
    document = Document(text=text, metadata={"title": title})
    nodes = parsed(splitter, [document])
    at = 0
    for node in nodes:
        assert node.start_char_idx is not None
        assert node.end_char_idx is not None
        assert text[node.start_char_idx : node.end_char_idx] == node.text == node.text.strip() != ""
        assert not text[at : node.start_char_idx].strip()
        assert node.end_char_idx > at
        assert overlap > 0 or node.start_char_idx >= at
        at = node.end_char_idx
        assert mini.document_lengths([embedded(node)])[0] <= 60
    assert not text[at:].strip()


@settings(max_examples=40)
@given(st.lists(JAPANESE, max_size=4), st.integers(0, 2))
def test_alone_as_among_others(mini: JaColBERT, texts: list[str], overlap: int) -> None:
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=12, sentence_overlap=overlap)
    documents = [Document(text=text, id_=f"d{i}") for i, text in enumerate(texts)]

    def content(nodes: Sequence[TextNode]) -> list[object]:
        return [(node.ref_doc_id, node.text, node.start_char_idx, node.end_char_idx) for node in nodes]

    alone = [entry for document in documents for entry in content(parsed(splitter, [document]))]
    assert content(parsed(splitter, documents)) == alone


@settings(max_examples=60)
@given(st.text(alphabet="猫犬。\n🐈\ud83d\udc08\x00 ", max_size=60))
def test_texts_that_are_no_valid_unicode(mini: JaColBERT, text: str) -> None:
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=10)
    nodes = splitter([TextNode(text=text)])
    chunks = splitter.split_text(text)
    assert [text[node.start_char_idx : node.end_char_idx] for node in nodes if isinstance(node, TextNode)] == chunks
    assert max(mini.document_lengths(chunks), default=0) <= 10
    assert "".join("".join(chunks).split()) == "".join(text.split())


def test_a_document_that_llama_index_cannot_hash(mini: JaColBERT) -> None:
    with pytest.raises(InputError, match=r"the document 'd' holds a lone surrogate.*LlamaIndex cannot hash it"):
        JaColBERTSentenceSplitter(mini).get_nodes_from_documents([Document(text="猫\ud83dがいる。", id_="d")])


def test_from_a_dict_from_json_and_from_a_pickle(mini: JaColBERT, article: str) -> None:
    splitter = JaColBERTSentenceSplitter(chunk_size=100, sentence_overlap=1, include_prev_next_rel=False)
    data = splitter.to_dict()
    assert data["class_name"] == JaColBERTSentenceSplitter.class_name() == "JaColBERTSentenceSplitter"
    assert json.loads(splitter.to_json()) == data
    again = [
        JaColBERTSentenceSplitter.from_dict(data),
        JaColBERTSentenceSplitter.from_json(splitter.to_json()),
        JaColBERTSentenceSplitter.model_validate(data),
        JaColBERTSentenceSplitter.model_validate_json(splitter.model_dump_json()),
        pickle.loads(pickle.dumps(splitter)),
        splitter.model_copy(deep=True),
        JaColBERTSentenceSplitter.from_defaults(chunk_size=100, sentence_overlap=1, include_prev_next_rel=False),
    ]
    expected = JaColBERTSentenceSplitter(mini, chunk_size=100, sentence_overlap=1).split_text(article)
    for other in again:
        assert other.to_dict() == data
    assert again[-3].split_text(article) == expected
    assert JaColBERTSentenceSplitter.from_dict(data, model=mini).split_text(article) == expected


def test_a_model_by_name_is_loaded_when_it_is_needed_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    real = ModelSource.load

    def load(source: ModelSource) -> JaColBERT:
        loaded.append(f"{source.model} on {source.device}")
        return real(source)

    monkeypatch.setattr(ModelSource, "load", load)
    splitter = pickle.loads(pickle.dumps(JaColBERTSentenceSplitter(MINI)))
    assert loaded == []
    assert splitter.split_text("猫") + splitter.split_text("犬") == ["猫", "犬"]
    assert loaded == [f"{MINI} on cpu"]


def test_a_model_that_was_handed_in_is_found_again(tmp_path: Path, mini: JaColBERT) -> None:
    shutil.copytree(MINI, tmp_path / "own")
    splitter = JaColBERTSentenceSplitter(JaColBERT.from_pretrained(tmp_path / "own"), chunk_size=20)
    text = "".join(SENTENCES) * 3
    assert splitter.model == str((tmp_path / "own").resolve())
    pickled = pickle.dumps(splitter)
    assert len(pickled) < 10_000
    assert pickle.loads(pickled).split_text(text) == splitter.split_text(text)

    unsaved = JaColBERTSentenceSplitter(JaColBERT(mini.model, name="trained"), chunk_size=20)
    assert unsaved.split_text(text) == splitter.split_text(text)
    with pytest.raises(CheckpointNotFoundError, match="'trained' was made in a program"):
        JaColBERTSentenceSplitter.from_dict(unsaved.to_dict()).split_text(text)
    again = JaColBERTSentenceSplitter.from_dict(unsaved.to_dict(), model=mini)
    assert (again.model, again.split_text(text)) == ("jacolbert-mini", splitter.split_text(text))


def test_a_function_cannot_be_had_from_its_name(mini: JaColBERT) -> None:
    def numbered(i: int, document: Document) -> str:
        return f"{document.id_}:{i}"

    data = JaColBERTSentenceSplitter(mini, id_func=numbered).to_dict()
    with pytest.raises(InputError, match=r"the id_func 'numbered' cannot be had from its name.*id_func="):
        JaColBERTSentenceSplitter.from_dict(data)
    nodes = JaColBERTSentenceSplitter.from_dict(data, id_func=numbered)([Document(text="猫", id_="d")])
    assert [node.node_id for node in nodes] == ["d:0"]


def test_all_that_changes_chunks_changes_the_key_of_an_ingestion_cache(mini: JaColBERT, model: JaColBERT) -> None:
    """The length of a model that is handed in is known, and part of the key."""
    splitters = [
        JaColBERTSentenceSplitter(),
        JaColBERTSentenceSplitter(mini),
        JaColBERTSentenceSplitter(model),
        JaColBERTSentenceSplitter(chunk_size=100),
        JaColBERTSentenceSplitter(sentence_overlap=1),
        JaColBERTSentenceSplitter("answerdotai/JaColBERTv2.5"),
        JaColBERTSentenceSplitter("answerdotai/JaColBERTv2.5", revision="v1"),
        JaColBERTSentenceSplitter(include_metadata=False),
    ]
    assert len({get_transformation_hash([TextNode(text="猫")], splitter) for splitter in splitters}) == len(splitters)
    assert get_transformation_hash([], splitters[0]) == get_transformation_hash([], JaColBERTSentenceSplitter())


def test_callbacks(mini: JaColBERT) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    splitter = JaColBERTSentenceSplitter(mini, callback_manager=CallbackManager([debug]))
    parsed(splitter, [Document(text="猫がいる。"), Document(text="犬もいる。")])
    assert len(debug.get_event_pairs(CBEventType.NODE_PARSING)) == 1
    assert len(debug.get_event_pairs(CBEventType.CHUNKING)) == 2


def test_async_gives_the_same_and_leaves_the_loop_free(
    mini: JaColBERT, article: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    splitter = JaColBERTSentenceSplitter(mini, chunk_size=100)
    documents = [Document(text=article) for _ in range(2)]
    expected = [node.text for node in parsed(splitter, documents)]
    loop = FreeLoop()
    monkeypatch.setattr(mini, "document_lengths", loop.waiting(mini.document_lengths))
    nodes = loop.run(lambda: splitter.aget_nodes_from_documents(documents))
    assert set(loop.calls) == {"document_lengths"}
    assert [node.get_content() for node in nodes] == expected


@pytest.mark.usefixtures("two_processes")
def test_in_a_pipeline_of_processes() -> None:
    documents = [Document(text="猫がいる。犬もいる。" * 9, id_=f"d{i}") for i in range(4)]
    splitter = JaColBERTSentenceSplitter(chunk_size=30)
    nodes = IngestionPipeline(transformations=[splitter]).run(documents=documents, num_workers=2)
    expected = parsed(splitter, documents)
    assert len(expected) > len(documents)
    assert [(n.ref_doc_id, n.get_content()) for n in nodes] == [(n.ref_doc_id, n.text) for n in expected]


def test_beside_llama_indexs_own_on_jsquad(mini: JaColBERT) -> None:
    """What this one is for: none of its chunks is cut by the encoder, and most of theirs are."""
    grouped = groupby(load_jsquad().passages, key=lambda passage: passage.article)
    documents = [
        Document(text="\n".join(passage.text for passage in passages), metadata={"title": title})
        for title, passages in grouped
    ][:20]

    def cut(splitter: NodeParser) -> float:
        lengths = mini.document_lengths([embedded(node) for node in splitter.get_nodes_from_documents(documents)])
        return sum(length > mini.document_maxlen for length in lengths) / len(lengths)

    assert cut(JaColBERTSentenceSplitter(mini)) == 0
    assert cut(SentenceSplitter()) > 0.5
    assert cut(TokenTextSplitter()) > 0.5


def test_nodes_are_as_llama_indexs_splitter_makes_them(mini: JaColBERT) -> None:
    """The same fields, but for random ids; neighbours also know each other's metadata and hash."""
    documents = [
        Document(
            text="".join(f"{animal}がいる。" for animal in "猫犬鳥馬牛"),
            id_=name,
            metadata={"題": "動物", "k": 1},
            excluded_llm_metadata_keys=["k"],
            excluded_embed_metadata_keys=["k"],
            text_template="{metadata_str}|{content}",
            metadata_separator=";",
            metadata_template="{key}={value}",
        )
        for name in "ab"
    ]

    def sentences(text: str) -> list[str]:
        return [sentence + "。" for sentence in text.split("。") if sentence]

    splitters = (  # each has room for a sentence and the metadata
        JaColBERTSentenceSplitter(
            mini, chunk_size=size(mini, *(f"題=動物|{animal}がいる。" for animal in "猫犬鳥馬牛"))
        ),
        SentenceSplitter(chunk_size=9, chunk_overlap=0, tokenizer=list, chunking_tokenizer_fn=sentences),
    )
    given = [parsed(splitter, documents) for splitter in splitters]
    assert len(given[0]) == 10
    fields = [[node.model_dump(exclude={"id_", "relationships"}) for node in nodes] for nodes in given]
    assert fields[0] == fields[1]
    for ours, other in zip(*given, strict=True):
        assert ours.hash == other.hash
        assert list(ours.relationships) == list(other.relationships)
        assert ours.source_node == other.source_node


@pytest.mark.parametrize(
    "text",
    [
        "<html><body><p>富士山は高い。</p><table><tr><td>高さ</td><td>3776m</td></tr></table></body></html>",
        "# 題名\n\n- 一つ目。\n- 二つ目\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint('猫')\n```\n",
        "一行目である\r\n二行目である\r\n\r\n三行目である。\r\n",
        "猫\u200bが\u200dいる。\ufeff犬も\u2028いる。",
        "彼は「母が『早く起きなさい。遅れるわよ。』と言った。だから起きた。」と話した。",
        "詳しくはhttps://example.org/search?q=neko&lang=ja を見よ。円周率は3.14である。It is 3.5 million. Yes!",
        "あ" * 3000,
        "猫が、" * 1000,
        "👨\u200d👩\u200d👧" * 40 + "か\u3099" * 40,
    ],
    ids=["HTML", "Markdown", "CRLF", "zero width", "nested", "URL", "no end", "commas", "joined"],
)
def test_any_text_fits_and_nothing_is_lost(mini: JaColBERT, text: str) -> None:
    nodes = parsed(JaColBERTSentenceSplitter(mini, chunk_size=12), [Document(text=text)])
    assert len(nodes) > 1
    assert max(mini.document_lengths([node.text for node in nodes])) <= 12
    assert all(text[node.start_char_idx : node.end_char_idx] == node.text for node in nodes)
    assert "".join("".join(node.text for node in nodes).split()) == "".join(text.split())
