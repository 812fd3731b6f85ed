"""Long texts in windows that a model reads whole."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.text.windows import windows

from ..conftest import JAQUAD_EXCERPT


def characters(texts: Sequence[str]) -> list[int]:
    """A token a character, and two control tokens."""
    return [len(text) + 2 for text in texts]


def pieces(text: str, limit: int) -> list[str]:
    return [text[start:end] for start, end in windows(text, characters, limit)]


def test_windows_are_filled_with_whole_sentences() -> None:
    text = "猫がいる。犬もいる！鳥は？「魚も。」と言う。"
    assert pieces(text, 12) == ["猫がいる。犬もいる！", "鳥は？「魚も。」", "と言う。"]
    assert pieces(text, 100) == [text]
    assert pieces("一行目\n二行目\n\n三行目", 11) == ["一行目\n二行目\n\n", "三行目"]


def test_a_long_sentence_is_cut_between_clauses_and_a_long_clause_between_characters() -> None:
    assert pieces("赤い花、白い花、青い花が咲く。", 10) == ["赤い花、白い花、", "青い花が咲く。"]
    assert pieces("あいうえおかきくけこ", 7) == ["あいうえお", "かきくけこ"]


def test_overlap_repeats_the_last_sentences() -> None:
    text = "猫がいる。犬もいる。鳥もいる。魚もいる。"
    found = windows(text, characters, 12, overlap=1)
    assert [text[start:end] for start, end in found] == [
        "猫がいる。犬もいる。",
        "犬もいる。鳥もいる。",
        "鳥もいる。魚もいる。",
    ]
    text = "猫がいる。犬もいる。鳥もいる。\n魚もいる。"
    assert [text[a:b] for a, b in windows(text, characters, 18, 2)] == [
        "猫がいる。犬もいる。鳥もいる。\n",
        "犬もいる。鳥もいる。\n魚もいる。",
    ]
    with pytest.raises(InputError, match="overlap is -1, but it must be 0 or more sentences"):
        windows(text, characters, 12, -1)


def test_an_overlap_that_leaves_no_room_is_left_out() -> None:
    text = "猫がいる。魚を食べる犬もいる。"
    assert [text[start:end] for start, end in windows(text, characters, 12, overlap=3)] == [
        "猫がいる。",
        "魚を食べる犬もいる。",
    ]


def test_white_space_is_no_window() -> None:
    assert pieces("", 5) == []
    assert pieces(" \n\u3000", 5) == []
    assert pieces("猫。\n\n\n\n\n\n\n\n犬。", 5) == ["猫。", "犬。"]


def test_no_room() -> None:
    with pytest.raises(InputError, match="a window of 2 tokens has no room for text: 2 of them are control tokens"):
        windows("猫", characters, 2)
    with pytest.raises(InputError, match="'猫' alone has more than the 3 tokens"):
        windows("猫", lambda texts: [3 * len(text) + 2 for text in texts], 3)


@settings(max_examples=200)
@given(st.text(alphabet="猫犬a1 。！？、\n」) \u3000", max_size=60), st.integers(3, 20))
def test_windows_cover_the_text_and_fit(text: str, limit: int) -> None:
    found = windows(text, characters, limit)
    assert all(end - start + 2 <= limit for start, end in found)
    at = 0
    for start, end in found:
        assert start >= at
        assert start < end
        assert not text[at:start].strip()
        at = end
    assert not text[at:].strip()


@settings(max_examples=200)
@given(st.text(alphabet="猫犬a1 。！？、\n」) \u3000", max_size=60), st.integers(3, 20), st.integers(1, 4))
def test_overlapping_windows_cover_the_text_and_each_has_something_new(text: str, limit: int, overlap: int) -> None:
    found = windows(text, characters, limit, overlap)
    assert all(end - start + 2 <= limit for start, end in found)
    at = 0
    for start, end in found:
        assert not text[at:start].strip()
        assert text[max(at, start) : end].strip()
        at = end
    assert not text[at:].strip()
    assert [start for start, _ in found] == sorted({start for start, _ in found})


def test_in_the_models_own_tokens(mini: JaColBERT) -> None:
    passages = read_squad([JAQUAD_EXCERPT]).passages[:6]
    text = "".join(passage.text for passage in passages)
    assert mini.document_lengths([text])[0] > 300
    found = [text[start:end] for start, end in windows(text, mini.document_lengths, 100)]
    assert "".join(found) == text
    lengths = mini.document_lengths(found)
    assert max(lengths) <= 100
    assert sum(lengths) / len(lengths) > 70
