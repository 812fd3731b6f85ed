from __future__ import annotations

import multiprocessing
import pickle
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.bert_japanese import BertJapaneseTokenizer

from jacolbert_integrations.errors import CorruptCheckpointError, IncompleteCheckpointError, InputError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.text.tokenization import JapaneseTokenizer, WordSplitter

from ..conftest import JAQUAD_EXCERPT, STANFORD

SLOW = BertJapaneseTokenizer.from_pretrained(STANFORD, model_max_length=1 << 30)
FAST = JapaneseTokenizer.from_pretrained(STANFORD)
CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def slow_ids(text: str) -> list[int]:
    ids: list[int] = SLOW(text, add_special_tokens=False)["input_ids"]
    return ids


def corpus() -> list[str]:
    sets = [load_jsquad(), read_squad([JAQUAD_EXCERPT])]
    return [p.text for s in sets for p in s.passages] + [q.text for s in sets for q in s.questions]


def test_same_ids_as_transformers_on_real_text() -> None:
    texts = corpus()
    assert len(texts) > 5_600
    assert FAST.encode_batch(texts) == [slow_ids(text) for text in texts]


@settings(max_examples=600)
# What MeCab makes of a NUL depends on what it has read before; the encoder never hands one on.
@given(st.text(max_size=80).filter(lambda text: not any(token in text for token in [*CONTROL, "\x00"])))
def test_same_ids_as_transformers_on_any_unicode(text: str) -> None:
    assert FAST.encode(text) == slow_ids(text)


JAPANESE = st.text(
    st.sampled_from("日本語の文章、カタカナひらがな漢字。ｶﾞ　１２ａＡé́が゙㍿①😀🇯🇵\n\t\x1c\x85\u200b ##unused0[]QMASK")
    | st.characters(min_codepoint=0x3000, max_codepoint=0x30FF)
    | st.characters(min_codepoint=0x4E00, max_codepoint=0x4FFF),
    max_size=120,
)


@settings(max_examples=600)
@given(JAPANESE.filter(lambda text: not any(token in text for token in CONTROL)))
def test_same_ids_as_transformers_on_japanese_like_text(text: str) -> None:
    assert FAST.encode(text) == slow_ids(text)


def test_lower_casing_is_the_same_too(tmp_path: Path) -> None:
    FAST.save_pretrained(tmp_path)
    slow = BertJapaneseTokenizer.from_pretrained(tmp_path, do_lower_case=True)
    fast = JapaneseTokenizer(FAST.vocabulary, do_lower_case=True)
    for text in ("TokyoタワーはABC", "İstanbul ﬀ ẞ"):
        assert fast.encode(text) == slow(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=200)
@given(st.text(max_size=40) | st.text(alphabet="ﷺ㍿İｶﾞが①a 。\ud800", max_size=20))
def test_no_text_has_more_tokens_than_it_can(text: str) -> None:
    for lower in (False, True):
        assert len(JapaneseTokenizer(FAST.vocabulary, do_lower_case=lower).encode(text)) <= FAST.most(text)


@pytest.mark.parametrize("text", ["[MASK]", "[CLS]質問[SEP]", "[unused0]", "[PAD] [UNK]"])
def test_control_tokens_in_text_are_ordinary_text(text: str) -> None:
    ids = FAST.encode(text)
    assert not set(ids) & {0, 2, 3, 4, 5, 6}
    assert len(ids) > 2


def test_hostile_lengths_and_characters() -> None:
    assert FAST.encode("") == FAST.encode(" \n\t　") == []
    assert len(FAST.encode("あ")) == 1
    assert len(FAST.encode("日本語" * 34_000)) > 30_000
    assert FAST.encode("a" * 101 + "é" * 3) == slow_ids("a" * 101 + "é" * 3)


def test_pickles_and_saves(tmp_path: Path) -> None:
    text = "JaColBERTは日本語の検索モデルです。"
    copy = pickle.loads(pickle.dumps(FAST))
    assert copy.encode(text) == FAST.encode(text)
    FAST.save_pretrained(tmp_path)
    reread = JapaneseTokenizer.from_pretrained(tmp_path)
    assert reread.vocabulary == FAST.vocabulary
    assert reread.encode(text) == FAST.encode(text)
    assert BertJapaneseTokenizer.from_pretrained(tmp_path)(text, add_special_tokens=False)["input_ids"] == copy.encode(
        text
    )


def test_threads_and_processes_give_the_same_ids() -> None:
    texts = corpus()[:400]
    expected = FAST.encode_batch(texts)
    fresh = JapaneseTokenizer(FAST.vocabulary)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(fresh.encode, texts)) == expected
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        assert processes.map(FAST.encode, texts, chunksize=50) == expected
        processes.close()
        processes.join()  # they end of themselves, before the pool would end them in whatever they do


def test_spans_point_at_the_text() -> None:
    text = "ﾊﾝｶｸと㍿の①、ＴＯＫＹＯ タワーが好き😀"
    ids, spans = FAST.encode_with_spans(text)
    assert ids == FAST.encode(text)
    assert len(spans) == len(ids)
    by_token = {FAST._token(index): text[start:end] for index, (start, end) in zip(ids, spans, strict=True)}
    assert by_token["と"] == "と"
    assert by_token["タワー"] == "タワー"
    assert by_token["好き"] == "好き"
    assert {text[start:end] for start, end in spans} >= {"㍿", "①", "、"}


@settings(max_examples=300)
@given(JAPANESE)
def test_spans_are_ordered_and_inside(text: str) -> None:
    ids, spans = FAST.encode_with_spans(text)
    assert ids == FAST.encode(text)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    starts = [start for start, _ in spans]
    assert starts == sorted(starts)


def test_spans_of_plain_text_spell_the_words() -> None:
    for passage in load_jsquad().passages[:100]:
        ids, spans = FAST.encode_with_spans(passage.text)
        for index, (start, end) in zip(ids, spans, strict=True):
            token = FAST._token(index).removeprefix("##")
            if token != "[UNK]":
                assert unicodedata.normalize("NFKC", passage.text[start:end]).find(token) >= 0


def test_words_of_the_splitter() -> None:
    assert WordSplitter().split("日本の首都は東京です。") == ["日本", "の", "首都", "は", "東京", "です", "。"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCheckpointError, match=r"has no vocab\.txt"):
        JapaneseTokenizer.from_pretrained(tmp_path)
    FAST.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(CorruptCheckpointError, match=r"tokenizer_config\.json is no valid JSON"):
        JapaneseTokenizer.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="word_tokenizer_type='sudachi'"):
        JapaneseTokenizer.from_config(FAST.vocabulary, {"word_tokenizer_type": "sudachi"})
    with pytest.raises(InputError, match=r"lacks the unknown token '\[UNK\]'"):
        JapaneseTokenizer({"a": 0})
