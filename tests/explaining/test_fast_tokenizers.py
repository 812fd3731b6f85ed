"""Matches of models whose tokenizer is one of the tokenizers library."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn
from transformers.models.bert_japanese import BertJapaneseTokenizer

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli.report import matcher
from jacolbert_integrations.encoding.hf_tokenizer import HuggingFaceTokenizer
from jacolbert_integrations.encoding.transformer import ColBERTTransformer, Task
from jacolbert_integrations.errors import InputError, NoOffsetsError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.explaining import as_html, find_matches, highlight
from jacolbert_integrations.explaining.locating import locate_vectors
from jacolbert_integrations.text.characters import is_inside_character
from jacolbert_integrations.text.cleaning import clean
from jacolbert_integrations.text.offsets import encode_with_offsets
from jacolbert_integrations.text.sentences import Span
from jacolbert_integrations.text.tokenization import JapaneseTokenizer
from jacolbert_integrations.text.windows import windows
from jacolbert_integrations.types import TokenVectors

from ..conftest import STANFORD
from .fast_tokenizers import TOKENIZERS, backbone, charsmap, checkpoint, sentencepiece_rules

pytestmark = pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")

SAME = 0.9999
"""More similar than this are only vectors of the same token, in these models."""


def located(tokenizer: Tokenizer, text: str) -> tuple[list[str], list[Span | None]]:
    """The tokens of a text, and where they come from."""
    ids, spans = encode_with_offsets(
        text, lambda text: tokenizer.encode(text, add_special_tokens=False), tokenizer.normalizer
    )
    encoding = tokenizer.encode(clean(text), add_special_tokens=False)
    assert ids == encoding.ids
    return encoding.tokens, spans


def located_spans(model: JaColBERT, text: str, task: Task) -> tuple[TokenVectors, list[Span | None]]:
    """The vectors of a text, and the characters that each stands for."""
    vectors, tokens = locate_vectors(model, text, task)
    return vectors, [token.span for token in tokens]


def parts(tokenizer: Tokenizer, text: str) -> list[tuple[str, str | None]]:
    """The tokens of a text, and what of it they come from."""
    return [
        (token, None if span is None else text[slice(*span)])
        for token, span in zip(*located(tokenizer, text), strict=True)
    ]


# Where tokens come from, by hand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東京", [("▁", None), ("東京", "東京")]),
        ("日本 東京", [("▁日本", "日本"), ("▁", None), ("東京", "東京")]),
        ("　日本", [("▁日本", "日本")]),
        ("㍿日本", [("▁", None), ("株式会社", "㍿"), ("日本", "日本")]),
        ("ＡＢ", [("▁AB", "ＡＢ")]),
        ("ｶﾞ", [("▁", None), ("カ", "ｶﾞ"), ("゙", "ｶﾞ")]),
        ("か\u3099東京", [("▁", None), ("か", "か\u3099"), ("゙", "か\u3099"), ("東京", "東京")]),
        ("東\x01京", [("▁", None), ("東京", "東\x01京")]),
        ("\x01\x02東京\x7f日本", [("▁", None), ("東京", "東京"), ("日本", "日本")]),
        ("\u200b \x01東京", [("▁", None), ("東京", "東京")]),
        ("東▁京", [("▁", None), ("東", "東"), ("▁", "▁"), ("京", "京")]),
        (" \n\u3000", []),
        ("", []),
        ("東京\ud83d\ude00日本", [("▁", None), ("東京", "東京"), ("😀", "\ud83d\ude00"), ("日本", "日本")]),
        ("東京\ud83d", [("▁", None), ("東京", "東京"), ("\ufffd", "\ud83d")]),
    ],
)  # fmt: skip
def test_of_sentencepiece_by_hand(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert parts(TOKENIZERS["unigram"](), text) == expected


def test_of_what_is_composed_by_hand() -> None:
    tokenizer = TOKENIZERS["unigram-nfkc"]()
    assert parts(tokenizer, "ｶﾞ東京か\u3099") == [("▁", None), ("ガ", "ｶﾞ"), ("東京", "東京"), ("が", "か\u3099")]
    assert parts(tokenizer, "日本  東京") == [("▁日本", "日本"), ("▁", None), ("▁", None), ("東京", "東京")]


def test_of_bytes_by_hand() -> None:
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert [part for _, part in parts(tokenizer, "東 é🇯🇵")] == [None, *["東"] * 3, None, *["é"] * 2, *["🇯🇵"] * 8]
    assert [part for _, part in parts(tokenizer, "👨\u200d👩")] == [None, *["👨\u200d👩"] * 11]


def test_of_fallback_to_bytes_by_hand() -> None:
    pieces = ["<unk>", "▁", "東", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], 0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    assert parts(tokenizer, "東京") == [("▁", None), ("東", "東"), *((f"<0x{b:02X}>", "京") for b in "京".encode())]


def test_of_wordpiece_by_hand() -> None:
    tokens, spans = located(TOKENIZERS["wordpiece"](), "  が é")
    assert tokens == ["か", "e"]
    assert spans == [(2, 3), (4, 5)]


def test_the_trie_is_read_as_meant() -> None:
    normalizer = normalizers.Precompiled(charsmap({"㍿": "株式会社", "㌔": "キロ", "\x01": "", "ab": "c"}))
    assert normalizer.normalize_str("㍿x㌔\x01y") == "株式会社xキロy"
    rules = sentencepiece_rules()
    normalizer = normalizers.Precompiled(charsmap(rules))
    for character in map(chr, [*range(1, 0x3100), *range(0xFF01, 0xFFA0), ord("㍿")]):
        assert normalizer.normalize_str(character) == rules.get(character, character)


# Where tokens come from, of any text

ODD = st.sampled_from(
    "東京日本首都はがかABab12、。「」…½①㌔㍿ﬃＡＢ１２ｶﾊ\u200b\u3000 \t\né▁😀👨🇯🇵𠮷한\ufeffĠ"
) | st.sampled_from(
    ["ｶﾞ", "ﾊﾟ", "か\u3099", "は\u309a", "e\u0301", "👨\u200d👩\u200d👧", "葛\U000e0100", "\u1112\u1161\u11ab", "❤\ufe0f",
     "\r\n", "東京", "日本", "株式会社", "\ud83d\ude00", "\ud83d", "\x00", "\x01", "\x7f", "👍🏽", "[D]", "<mask>"]
)  # fmt: skip
TEXT = st.lists(ODD, max_size=12).map("".join)


def seen(token: str) -> str:
    """A token without what cannot be seen at its ends."""
    blank = "".join(c for c in token if c.isspace() or unicodedata.category(c) in ("Cc", "Cf"))
    return token.strip("▁").strip(blank).strip("▁")


def check(tokenizer: Tokenizer, text: str, spells: Callable[[str, str], bool]) -> None:
    last = 0
    for token, span in zip(*located(tokenizer, text), strict=True):
        if span is None:
            continue
        start, end = span
        assert 0 <= start < end <= len(text)
        assert start >= last or is_inside_character(text, last), "not in order"
        last = start
        for place in (start, end):
            assert place in (0, len(text)) or not is_inside_character(text, place)
        assert spells(token, text[start:end]), (token, text[start:end])


@pytest.mark.parametrize("name", ["unigram", "unigram-nfkc"])
@settings(max_examples=400)
@given(text=TEXT)
def test_tokens_of_sentencepiece_are_spelt_by_their_characters(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]()

    def spells(token: str, part: str) -> bool:
        normalised = tokenizer.normalizer.normalize_str(clean(part)).replace(" ", "▁")
        return seen(token) in normalised

    check(tokenizer, text, spells)
    for token, span in zip(*located(tokenizer, text), strict=True):
        assert span is not None or not any(c.isalnum() for c in token), (token, "has no place")


@settings(max_examples=300)
@given(text=TEXT)
def test_bytes_are_of_whole_characters(text: str) -> None:
    tokenizer = TOKENIZERS["bytes"]()
    as_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def spells(token: str, part: str) -> bool:
        if token in ("[D]", "<mask>"):
            return part == token
        return token.strip("ĠĊĉč") in as_letters.pre_tokenize_str(clean(part))[0][0]

    check(tokenizer, text, spells)


@settings(max_examples=300)
@given(text=TEXT)
def test_tokens_of_wordpiece_are_spelt_by_their_characters(text: str) -> None:
    tokenizer = TOKENIZERS["wordpiece"]()

    def spells(token: str, part: str) -> bool:
        return token in ("<unk>", "[D]", "<mask>") or token.removeprefix("##") in tokenizer.normalizer.normalize_str(
            clean(part)
        ).replace(" ", "")

    check(tokenizer, text, spells)


# Matches


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: checkpoint(tmp_path_factory.mktemp(name), TOKENIZERS[name]()) for name in TOKENIZERS}


@pytest.fixture(scope="module", params=list(TOKENIZERS))
def any_model(request: pytest.FixtureRequest, folders: dict[str, Path]) -> JaColBERT:
    return JaColBERT.from_pretrained(folders[request.param])


@pytest.fixture(scope="module")
def small(folders: dict[str, Path]) -> JaColBERT:
    return JaColBERT.from_pretrained(folders["unigram"])


def same(model: JaColBERT, query: str, document: str) -> list[tuple[int, str]]:
    """Where the document has the query's own tokens, each for the first time, and as what."""
    return [
        (match.start, document[match.start : match.end])
        for match in find_matches(model, query, document)
        if match.similarity > SAME
    ]


def test_a_word_by_hand(any_model: JaColBERT) -> None:
    document = "富士山は日本一。東京は、首都。"
    assert "".join(part for _, part in same(any_model, "東京", document)) == "東京"
    assert find_matches(any_model, "", document) == find_matches(any_model, "東京", "") == []
    assert "東京" in highlight(document, find_matches(any_model, "東京", document), at_least=SAME).replace("】【", "")


@pytest.mark.parametrize(
    ("query", "document", "expected"),
    [
        ("東京", "首都は東京です。東京は", [(3, "東京")]),
        ("株式会社", "㍿の株式会社", [(0, "㍿")]),
        ("㍿", "の株式会社", [(1, "株式会社")]),
        ("AB", "は ＡＢ", [(2, "ＡＢ")]),
        ("が東京", "東京か\u3099", [(0, "東京")]),
        ("か\u3099", "東京か\u3099", [(2, "か\u3099")]),
        ("ガ", "は\x01\x02東京ガ", [(5, "ガ")]),
        ("東京", "\x01\x02\u200b 東京", [(4, "東京")]),
        ("東京\x00", "日本\ud83d\ude00東京", [(4, "東京")]),
        ("東京 日本", "日本 東京", [(0, "日本"), (3, "東京")]),
        ("[D]東京<mask>", "<mask>東京[D]", [(0, "<"), (1, "m"), (2, "a"), (3, "s"), (4, "k"), (5, ">"), (6, "東京"),
                                        (8, "["), (9, "D"), (10, "]")]),
    ],
)  # fmt: skip
def test_sentencepiece_by_hand(small: JaColBERT, query: str, document: str, expected: list[tuple[int, str]]) -> None:
    assert same(small, query, document) == expected


def test_a_lone_mark_of_a_word_matches_nothing(small: JaColBERT) -> None:
    assert find_matches(small, " ", "東京は首都") == []
    assert [m for m in find_matches(small, "東", " 。 、") if m.similarity > SAME] == []
    for match in find_matches(small, "日本 の 東京", "  東京  は 日本 ▁ の"):
        assert match.end > match.start
    vectors, spans = located_spans(small, "東京", "document")
    assert spans == [None, None, None, (0, 2), None]  # <s>, [D], ▁, 東京, </s>
    assert vectors.shape == (5, 24)


def test_a_document_that_is_cut(folders: dict[str, Path], tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(checkpoint(tmp_path, TOKENIZERS["unigram"](), doc_maxlen=6))
    assert same(model, "東京首都日本", "東京日本首都") == [(0, "東京"), (2, "日本")]  # <s>, [D], ▁, two, </s>
    _, spans = located_spans(model, "東京日本首都", "document")
    assert spans == [None, None, None, (0, 2), (2, 4), None]


def test_a_document_in_windows(small: JaColBERT) -> None:
    text = "".join(passage.text for passage in load_jsquad().passages[:3]) + "㍿ｶﾞの末尾。"
    spans = windows(text, small.document_lengths, 30)
    assert len(spans) > 5
    for start, end in spans:
        window = text[start:end]
        _, places = located_spans(small, window, "document")
        last = max(place[1] for place in places if place is not None)
        assert last == len(window.rstrip()), "all of a window is read"
    start, end = spans[-1]
    assert same(small, "株式会社", text[start:end]) == [(text.index("㍿") - start, "㍿")]


@pytest.mark.parametrize("rule", ["fixed", "released", "paper", "unpadded"])
@pytest.mark.parametrize("attended", [False, True])
def test_mask_tokens_match_nothing(tmp_path: Path, rule: str, attended: bool) -> None:
    folder = checkpoint(tmp_path, TOKENIZERS["unigram"](), query_length=rule, attend_to_mask_tokens=attended)
    model = JaColBERT.from_pretrained(folder)
    matches = find_matches(model, "東京", "日本の東京は首都。")
    assert [(match.start, match.end) for match in matches] == [(3, 5)]
    _, spans = located_spans(model, "東京", "query")
    assert [span for span in spans if span is not None] == [(0, 2)]


def test_pooled_documents_are_matched_unpooled(small: JaColBERT) -> None:
    question, document = "東京株式会社の首都", "　東京は㍿日本の首都である。"
    expected = find_matches(small, question, document)
    assert len(expected) > 2
    baked = MultiVectorEncoder(modules=[*small.model.children(), HierarchicalTokenPooling(2)])
    for model in (JaColBERT(small.model, pooling="hierarchical-2"), JaColBERT(baked)):
        assert find_matches(model, question, document) == expected


@pytest.mark.parametrize("tasks", [["document"], ["query", "document"]])
def test_skipped_punctuation_moves_nothing(small: JaColBERT, tasks: list[str]) -> None:
    modules = [module for module in small.model.children() if not isinstance(module, MultiVectorMask)]
    mask = MultiVectorMask(skiplist_words=["、", "。", "!", "▁"], skiplist_tasks=tasks)
    model = JaColBERT(MultiVectorEncoder(modules=[*modules[:-1], mask, modules[-1]]))
    document = "。、日本、、東京！。首都"
    vectors, spans = located_spans(model, document, "document")
    assert [document[slice(*span)] for span in spans if span is not None] == ["日本", "東京", "首都"]
    assert len(vectors) == 6
    assert same(model, "、首都。東京", document) == [(6, "東京"), (10, "首都")]


def test_skipped_as_colbert_ai_skips(tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(checkpoint(tmp_path, TOKENIZERS["wordpiece"](), mask_punctuation=True))
    document = "東!,京. 首"
    _, spans = located_spans(model, document, "document")
    assert [document[slice(*span)] for span in spans if span is not None] == ["東", "京", "首"]
    assert same(model, "首!", document) == [(6, "首")]


@settings(max_examples=60)
@given(query=TEXT, document=TEXT)
def test_matches_are_those_of_maxsim(any_model: JaColBERT, query: str, document: str) -> None:
    matches = find_matches(any_model, query, document)
    spans = [(match.start, match.end) for match in matches]
    assert spans == sorted(set(spans))
    assert all(0 <= start < end <= len(document) for start, end in spans)
    assert all(-1.001 <= match.similarity <= 1.001 for match in matches)
    transformer = any_model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    asked = transformer.text_tokenizer.encode_with_spans(query)
    there = transformer.text_tokenizer.encode_with_spans(document)
    first = dict(reversed([(index, span) for index, span in zip(*there, strict=True) if span is not None]))
    wanted = {index for index, span in zip(*asked, strict=True) if span is not None}
    # a token that both have is matched where the document has it first; others have vectors that are not the same
    assert {first[index] for index in wanted & first.keys()} == {s for s, m in zip(spans, matches, strict=True)
                                                                 if m.similarity > SAME}  # fmt: skip
    as_html(document, matches)


def test_ids_are_those_of_the_encoder(any_model: JaColBERT) -> None:
    transformer = any_model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    assert isinstance(transformer.text_tokenizer, HuggingFaceTokenizer)
    texts = [passage.text for passage in load_jsquad().passages[:20]] + ["\x01 [D]㍿<mask>\ud83d\ude00\x00"]
    for text in texts:
        assert (
            transformer.text_tokenizer.encode_with_spans(text)[0]
            == transformer.text_tokenizer.encode_batch([clean(text)])[0]
        )


# Prompts, and models that make their inputs in their own way


def test_a_prompt_is_not_matched(small: JaColBERT) -> None:
    prompts = {"query": "東京：", "document": "首都日本："}
    prompted = JaColBERT(MultiVectorEncoder(modules=list(small.model.children()), prompts=prompts))
    assert same(prompted, "の株式会社", "東京の㍿") == [(2, "の"), (3, "㍿")]
    assert same(prompted, "首都", "首都") == []  # the prompt has it first
    _, spans = located_spans(prompted, "㍿", "document")
    assert [span for span in spans if span is not None] == [(0, 1)]
    _, spans = located_spans(prompted, " か\u3099", "query")
    assert [span for span in spans if span is not None] == [(1, 3), (1, 3)]  # か and its dakuten


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> JaColBERT:
    """A model of sentence-transformers' own: prompts as text, no [MASK] expansion."""
    folder = tmp_path_factory.mktemp("foreign")
    backbone(folder, TOKENIZERS["unigram"]()).save_pretrained(folder)
    modules = [
        Transformer(str(folder), query_length=12, document_length=12),
        Dense(16, 24, bias=False, activation_function=nn.Identity(), module_input_name="token_embeddings"),
        MultiVectorMask(skiplist_words=["、"]),
        Normalize(module_input_name="token_embeddings"),
    ]
    return JaColBERT(MultiVectorEncoder(modules=modules, prompts={"query": "の：", "document": "は："}))


def test_a_model_with_inputs_of_its_own(foreign: JaColBERT) -> None:
    assert not isinstance(foreign.model[0], ColBERTTransformer)
    document = "日本、㍿、\ud83d\ude00東京。首都、首都、首都、首都"
    assert same(foreign, "東京株式会社", document) == [(3, "㍿"), (7, "東京")]
    vectors, spans = located_spans(foreign, document, "document")
    assert len(vectors) == len(spans) == 10  # of 12 tokens, two are 、
    assert [document[slice(*span)] for span in spans if span is not None] == [
        "日本",
        "㍿",
        "\ud83d\ude00",
        "東京",
        "。",
    ]
    assert same(foreign, "首都", "\x01首都") == [(1, "首都")]


# What cannot be located


def slow_model(folder: Path) -> JaColBERT:
    words = [*SPECIAL_OF_BERT, *"東京は日本の首都"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(  # type: ignore[no-untyped-call]
        str(folder / "vocab.txt"), word_tokenizer_type="mecab", subword_tokenizer_type="character",
        mecab_kwargs={"mecab_dic": "unidic_lite"},
    )  # fmt: skip
    model = JaColBERT.from_pretrained(STANFORD)
    transformer = model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    transformer.text_tokenizer = HuggingFaceTokenizer(tokenizer)
    return model


SPECIAL_OF_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_a_slow_tokenizer_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = slow_model(tmp_path)
    with pytest.raises(NoOffsetsError, match=r"tokenizer is a BertJapaneseTokenizer, .* save the checkpoint with one"):
        find_matches(model, "東京", "東京は首都")
    find = matcher(model)
    assert find("東京", "東京は首都") == find("首都", "東京は首都") == []
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("Nothing is marked: the model's tokenizer is a BertJapaneseTokenizer") == 1


class Dropping(nn.Module):
    """Leaves out the vector of the first token."""

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        features["attention_mask"] = features["attention_mask"].clone()
        features["attention_mask"][:, 0] = 0
        return features


def test_vectors_that_are_not_of_tokens(small: JaColBERT) -> None:
    model = JaColBERT(MultiVectorEncoder(modules=[*small.model.children(), Dropping()]), name="odd")
    with pytest.raises(NoOffsetsError, match="odd gives 4 vectors for the 5 tokens of a query"):
        find_matches(model, "東京", "東京")


@pytest.mark.parametrize("pair", [(1, "東京"), ("東京", None)])
def test_what_is_no_text(small: JaColBERT, mini: JaColBERT, pair: tuple[Any, Any]) -> None:
    for model in (small, mini):
        with pytest.raises(InputError, match=r"the (query|document) is a (int|NoneType) .*, but a string is expected"):
            find_matches(model, *pair)


# MeCab's


def as_before(model: JaColBERT, query: str, document: str) -> list[tuple[int, int, float]]:
    """What find_matches computed when it knew MeCab's tokenizer alone."""
    transformer = model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    assert isinstance(transformer.text_tokenizer, JapaneseTokenizer)
    query_ids = transformer.tokenize_texts([query], "query")[0]
    document_ids = transformer.tokenize_texts([document], "document")[0]
    vectors = model.encode_query([query])[0]
    others = model.encode_document([document])[0]
    kept = [place for place, index in enumerate(document_ids.ids) if index not in model.skipped_ids]
    _, spans = transformer.text_tokenizer.encode_with_spans(document)
    spans = spans[: document_ids.length - 3]
    products = (vectors @ others.T)[2 : query_ids.length - 1]
    best: dict[tuple[int, int], float] = {}
    for column, similarity in zip(products.argmax(axis=1), products.max(axis=1), strict=True):
        place = kept[int(column)] - 2
        if 0 <= place < len(spans) and spans[place][0] < spans[place][1]:
            best[spans[place]] = max(best.get(spans[place], -np.inf), float(similarity))
    return [(start, end, similarity) for (start, end), similarity in sorted(best.items())]


@settings(max_examples=100)
@given(query=TEXT, document=TEXT)
def test_of_mecab_are_as_they_were(mini: JaColBERT, query: str, document: str) -> None:
    found = [(match.start, match.end, match.similarity) for match in find_matches(mini, query, document)]
    assert found == as_before(mini, query, document)


def test_of_mecab_are_as_they_were_in_real_text(mini: JaColBERT) -> None:
    corpus = load_jsquad()
    texts = {passage.id: passage.text for passage in corpus.passages}
    for question in corpus.questions[:40]:
        document = texts[question.passage_id] * 2  # the second is cut
        found = [(match.start, match.end, match.similarity) for match in find_matches(mini, question.text, document)]
        assert found == as_before(mini, question.text, document)
