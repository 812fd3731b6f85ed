"""Any string goes to MeCab: clean, in pieces of bounded length, and in time linear in its length."""

from __future__ import annotations

import base64
import random
import time
import unicodedata
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import Document

from jacolbert_integrations import JaColBERT, JaColBERTSentenceSplitter
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.explaining import find_matches, highlight
from jacolbert_integrations.text.cleaning import MAX_PIECE, MAX_RUN, clean, pieces
from jacolbert_integrations.text.lexical import LexicalEncoder
from jacolbert_integrations.text.tokenization import JapaneseTokenizer, WordSplitter

from ..conftest import STANFORD

FAST = JapaneseTokenizer.from_pretrained(STANFORD)
PROSE = "".join(passage.text for passage in load_jsquad().passages)
SPLITTER = WordSplitter()

CHARACTERS = st.sampled_from("猫犬のはを。、「」\n \u3000aZ9!?.が\u3099ｶﾞﾊﾟ①㌔é😀\u200d\x00\x1c\ud83d\ude00")


def runs(longest: int) -> st.SearchStrategy[list[str]]:
    """Some characters, repeated."""
    return st.lists(
        st.builds(lambda text, n: text * n, st.text(CHARACTERS, min_size=1, max_size=4), st.integers(1, longest))
    )


def whole(text: str) -> list[str]:
    """The words of a text that goes to MeCab in one."""
    with SPLITTER._mecab() as tagger:
        words: str = tagger.parse(unicodedata.normalize("NFKC", text))
    return words.split()


@given(st.text(CHARACTERS, max_size=60))
def test_clean_text_is_valid_and_keeps_the_rest(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert "\x00" not in cleaned
    assert clean(cleaned) == cleaned
    if not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text):
        assert cleaned == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("目次\0大阪", "目次 大阪"), ("首都\ud842", "首都\ufffd"), ("\udc00", "\ufffd"), ("\ud83d\ude00", "😀"), ("", "")],
)
def test_what_becomes_of_it(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert SPLITTER.split(text) == SPLITTER.split(cleaned)
    assert FAST.encode(text) == FAST.encode(cleaned)


@pytest.mark.parametrize("length", [1_000, 9_000, 50_000])
def test_ordinary_text_has_the_words_that_it_has_in_one(length: int) -> None:
    assert SPLITTER.split(PROSE[:length]) == whole(PROSE[:length])
    lines = "\n".join(passage.text for passage in load_jsquad().passages)[:length]
    assert SPLITTER.split(lines) == whole(lines)


@given(
    st.lists(st.text(CHARACTERS, min_size=1, max_size=4).flatmap(lambda t: st.integers(1, 900).map(lambda n: t * n)))
)
def test_pieces_are_bounded_and_leave_nothing_out(parts: list[str]) -> None:
    text = clean("".join(parts))
    found = list(pieces(text))
    assert all(len(piece) <= MAX_PIECE for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


@given(
    st.lists(st.text(CHARACTERS, min_size=1, max_size=4).flatmap(lambda t: st.integers(1, 200).map(lambda n: t * n)))
)
def test_spans_say_where_each_word_is_from(parts: list[str]) -> None:
    text = "".join(parts)
    ids, spans = FAST.encode_with_spans(text)
    assert ids == FAST.encode(text)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans)


@pytest.mark.parametrize("space", ["\n", " ", "\u3000", "\t", "\r\n"])
def test_white_space_of_any_length_ends_nothing(space: str) -> None:
    assert SPLITTER.split("東京" + space * 70_000 + "大阪") == ["東京", "大阪"]
    ids, spans = FAST.encode_with_spans("東京" + space * 70_000 + "大阪")
    assert len(ids) == 2
    assert spans[1] == (2 + len(space) * 70_000, 4 + len(space) * 70_000)


def test_what_follows_a_nul_is_found() -> None:
    lexical = LexicalEncoder(10.0)
    assert lexical.encode_document("目次\0大阪は商業の都市である。") == lexical.encode_document(
        "目次 大阪は商業の都市である。"
    )
    assert lexical.encode_query("\ud800大阪") == lexical.encode_query("\ufffd大阪")


@pytest.mark.parametrize(
    "bad", ["東京は首都\ud842である。", "目次\0東京は首都である。", "楽\ud83d\ude00東京は首都である。"]
)
def test_ranking_and_matches_read_the_same(mini: JaColBERT, bad: str) -> None:
    good = clean(bad)
    assert mini.rank("首都", [bad])[0].score == mini.rank("首都", [good])[0].score
    matches = find_matches(mini, "首都\0", bad)
    assert [bad[match.start : match.end] for match in matches if match.similarity > 0.99] == ["首都"]
    assert "【" in highlight(bad, matches)


@pytest.mark.parametrize(
    "text",
    [
        PROSE * 8,
        '{"a":1,"b":[1,2,3]},' * 30_000,
        ",".join(map(str, range(100_000))),
        "a" * 600_000,
        "「" * 600_000,
        "あ" * 600_000,
        "\n" * 600_000 + "猫",
    ],
    ids=["prose", "json", "numbers", "letters", "brackets", "kana", "lines"],
)
def test_texts_of_half_a_million_characters(mini: JaColBERT, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        vectors, beginning = mini.encode_document([text, text[: 2 * MAX_PIECE]] if text[0] != "\n" else [text, "猫"])
    assert np.array_equal(vectors, beginning)


@given(st.text(CHARACTERS, max_size=200), st.integers(0, 60))
def test_a_limit_leaves_out_only_what_is_not_needed(text: str, limit: int) -> None:
    ids = FAST.encode(text)
    assert FAST.encode(text, limit)[:limit] == ids[:limit]
    assert (len(FAST.encode(text, limit)) >= limit) == (len(ids) >= limit)


def test_only_the_beginning_is_tokenized_where_that_is_enough(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = WordSplitter.split_pieces

    def noted(self: WordSplitter, text: str) -> object:
        for words in real(self, text):
            asked.append("".join(words))
            yield words

    monkeypatch.setattr(WordSplitter, "split_pieces", noted)
    with pytest.warns(TruncationWarning, match="1 of 1 documents were longer"):
        mini.encode_document([PROSE])
    assert sum(map(len, asked)) <= MAX_PIECE < len(PROSE) / 10


HARD = {
    "prose": lambda n: (PROSE * (1 + n // len(PROSE)))[:n],
    "letters": lambda n: "a" * n,
    "brackets": lambda n: "「" * n,
    "open quotations": lambda n: ("「あ。" * n)[:n],
    "closed brackets": lambda n: ("（あ）" * n)[:n],
    "kana": lambda n: "あ" * n,
    "full stops": lambda n: "。" * n,
    "base64": lambda n: base64.b64encode(random.Random(0).randbytes(n)).decode()[:n],
}


@pytest.mark.parametrize("text", HARD.values(), ids=HARD.keys())
def test_the_splitter_takes_linear_time(mini: JaColBERT, text: Callable[[int], str]) -> None:
    """Ten times the text takes less than forty times as long, where quadratic time would take a hundred."""
    splitter = JaColBERTSentenceSplitter(mini)

    def seconds(characters: int) -> float:
        document = Document(text=text(characters))
        begun = time.process_time()
        nodes = splitter.get_nodes_from_documents([document])
        assert sum(len(node.get_content()) for node in nodes) >= 0.9 * characters
        return time.process_time() - begun

    seconds(2_000)
    short = min(seconds(10_000) for _ in range(3))
    assert seconds(100_000) < 40 * short + 0.5


def test_long_runs_are_cut_where_they_must() -> None:
    assert [len(piece) for piece in pieces("a" * (2 * MAX_RUN + 10))] == [MAX_RUN, MAX_RUN, 10]
    assert list(pieces("a" * MAX_RUN)) == ["a" * MAX_RUN]
    sentence = "これは文である。"
    assert all(piece.endswith("。") for piece in pieces(sentence * 3_000))
    assert len(list(pieces(sentence * 3_000))) < 6
