"""What is marked, and the part of a long passage that is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.explaining import Match, content_matches, highlight, snippet
from jacolbert_integrations.text.content_words import content_spans

FILLER = "これは何の関係もない文である。" * 12
TEXT = FILLER + "富士山の高さは三千七百七十六メートルである。" + FILLER


def of(word: str, text: str = TEXT) -> Match:
    start = text.index(word)
    return Match(start, start + len(word), 0.9)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("富士山の高さは何メートルですか？", "富士山高さ何メートル"),
        ("おにぎりを食べられなかった。", "おにぎり食べ"),
        ("ﾃﾞｰﾀ の Retrieval（検索）！", "ﾃﾞｰﾀRetrieval検索"),
        ("。、！", ""),
        ("", ""),
    ],
)
def test_words_that_say_what_a_text_is_about(text: str, content: str) -> None:
    assert "".join(text[start:end] for start, end in content_spans(text)) == content


def test_particles_are_marked_only_if_asked() -> None:
    matches = [Match(0, 2, 0.9), Match(2, 3, 0.9), Match(3, 6, 0.9)]
    assert content_matches("富士の高さは", matches) == [matches[0], matches[2]]
    assert highlight("富士の高さは", matches) == "【富士】の【高さは】"
    assert highlight("富士の高さは", matches, particles=True) == "【富士の高さは】"


def test_the_sentence_that_matched_is_shown() -> None:
    start, end = snippet(TEXT, [of("富士"), of("高さ")], 60)
    assert TEXT[start:end].startswith("富士山の高さは三千七百七十六メートルである。これは")
    assert end - start == 60


def test_particles_do_not_draw_it_away() -> None:
    particles = [Match(at, at + 1, 1.0) for at, character in enumerate(TEXT) if character == "は"][:8]
    start, end = snippet(TEXT, [*particles, of("富士")], 60)
    assert "富士" in TEXT[start:end]


@pytest.mark.parametrize("matches", [[], [Match(0, 2, 0.9)], [of("関係")]])
def test_else_the_beginning_is_shown(matches: list[Match]) -> None:
    assert snippet(TEXT, matches, 60) == (0, 60)


def test_all_of_a_short_text_is_shown() -> None:
    assert snippet("東京都", [Match(2, 3, 0.9)], 60) == (0, 3)


def test_near_the_end_no_room_is_left_unused() -> None:
    text = FILLER + "富士山は高い。"
    start, end = snippet(text, [of("富士", text)], 60)
    assert end == len(text)
    assert end - start > 45  # from the earliest sentence that has room
    assert text[start - 1] == "。"


def test_within_a_sentence_that_is_longer_it_begins_at_a_clause() -> None:
    text = "東京都や大阪府や京都府などが、" * 8 + "富士山の高さを、" + "神奈川県や静岡県などが、" * 8
    start, end = snippet(text, [of("富士", text)], 40)
    assert text[start:end].startswith("富士山の高さを、")


def test_where_nothing_can_be_cut_it_begins_with_the_match() -> None:
    text = "東京都" * 60 + "富士" + "大阪府" * 60
    start, end = snippet(text, [of("富士", text)], 40)
    assert text[start:end].startswith("富士")


def test_a_snippet_of_nothing() -> None:
    with pytest.raises(InputError, match=r"length is 0, but a snippet has at least one character\."):
        snippet("東京", [], 0)


@given(
    st.text(st.sampled_from("東京はの、。 \n高さA1"), max_size=80),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90), st.floats(-1, 1)), max_size=8),
    st.integers(1, 60),
)
def test_it_is_a_part_of_the_text(text: str, places: list[tuple[int, int, float]], length: int) -> None:
    matches = [Match(min(a, b), max(a, b), similarity) for a, b, similarity in places]
    start, end = snippet(text, matches, length)
    assert 0 <= start <= end <= len(text)
    assert end - start <= length
    assert end - start == min(length, len(text)) or end == len(text)
