"""Where texts can be cut: what ends a sentence, in Japanese and in what is mixed into it, and what only looks so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacolbert_integrations.text.sentences import Units, clauses, middle, quotations, sentences
from jacolbert_integrations.text.windows import windows


def cut(units: Units, text: str) -> list[str]:
    return [text[start:end] for start, end in units(text, 0, len(text))]


@pytest.mark.parametrize(
    "expected",
    [
        ["猫がいる。", "犬もいる！", "鳥は？"],
        ["「行く。", "すぐに。」", "と言った。"],
        ["猫がいる｡", "「魚も｡」", "と言う｡"],
        ["図１に示す．", "次に，実験する．"],
        ["はい！！！？", "うん。。。", "そうか……。", "え……"],
        ["一行目\n", "二行目\r\n\r\n", "三行目。", "\f", "四行目"],
        ["He lives in Tokyo.", " Does he?", ' He said "Yes."', " Good!"],
        ["これはtestです。", "It works.", " 次へ。"],
    ],
    ids=lambda expected: expected[0],
)
def test_sentences(expected: list[str]) -> None:
    assert cut(sentences, "".join(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a.b?q=1!x&r=2",
        "円周率は3.14である",
        "π＝３．１４である",
        "1. 富士山",
        "v1.2.3とexample.comで",
        "１．はじめに",
    ],
)
def test_what_ends_no_sentence(text: str) -> None:
    assert cut(sentences, text) == [text]


def test_quotations_are_kept_together() -> None:
    assert cut(quotations, "「行く。すぐに。」と言った。母が『「なぜ？」と聞く。』と言う。") == [
        "「行く。すぐに。」",
        "と言った。",
        "母が『「なぜ？」と聞く。』",
        "と言う。",
    ]
    assert cut(quotations, "山（高い。）がある。猫。") == ["山（高い。）", "がある。", "猫。"]
    assert cut(quotations, "「閉じない。\n次の行。」終わり。") == ["「閉じない。\n", "次の行。」", "終わり。"]


def test_clauses() -> None:
    assert cut(clauses, "赤い花、「白い」花，青い花が1,000本") == ["赤い花、", "「白い」", "花，", "青い花が1,000本"]
    assert cut(clauses, "see https://example.org, or 10:30") == ["see ", "https://example.org, ", "or ", "10:30"]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) + 2 for text in texts]


def test_windows_prefer_the_ends_of_quotations() -> None:
    text = "犬がいる。「猫もいる。鳥も。」"
    found = windows(text, characters, 14)
    assert [text[start:end] for start, end in found] == ["犬がいる。", "「猫もいる。鳥も。」"]
    found = windows(text, characters, 10)
    assert [text[start:end] for start, end in found] == ["犬がいる。", "「猫もいる。", "鳥も。」"]


def test_characters_are_not_cut() -> None:
    for whole in ("か\u3099", "👨\u200d👩\u200d👧", "👍🏽", "ｶﾞ", "葛\U000e0100", "❤\ufe0f"):
        text = whole * 9
        assert middle(text, 0, len(text)) % len(whole) == 0
    assert middle("\u0301" * 40, 0, 40) == 20  # nothing but marks: anywhere
    assert middle("か\u3099", 0, 2) == 1  # no room for both


@settings(max_examples=200)
@given(
    st.text(alphabet='猫a1 。！？!?.．、，,:/」「（）"\n\r\u3000', max_size=60),
    st.sampled_from([quotations, sentences, clauses]),
)
def test_units_leave_nothing_out(text: str, units: Units) -> None:
    pieces = cut(units, text)
    assert "".join(pieces) == text
    assert all(pieces)
    inside = [text[start:end] for start, end in units(text, 3, max(3, len(text) - 3))]
    assert "".join(inside) == text[3 : max(3, len(text) - 3)]
