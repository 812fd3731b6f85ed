from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.text.characters import WholeCharacters, is_inside_character

FAMILY = "👨\u200d👩\u200d👧"
SCOTLAND = "🏴" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbsct") + "\U000e007f"


@pytest.mark.parametrize(
    "character",
    ["か\u3099", "ｶﾞ", "ﾊﾟ", "e\u0301", "葛\U000e0100", "❤\ufe0f", "👍🏽", FAMILY, "🇯🇵", "\u1112\u1161\u11ab", SCOTLAND,
     "\ud83d\ude00"],
)  # fmt: skip
def test_of_several_code_points(character: str) -> None:
    text = f"東{character}京"
    inside = [place for place in range(1, len(text)) if is_inside_character(text, place)]
    assert inside == list(range(2, len(text) - 1))
    for start in range(1, len(text) - 1):
        assert WholeCharacters(text).around(start, start + 1) == (1, len(text) - 1)


def test_flags_are_counted_from_the_first() -> None:
    text = "🇯🇵🇫🇷🇩"
    assert [place for place in range(1, 5) if is_inside_character(text, place)] == [1, 3]
    assert WholeCharacters(text).around(1, 3) == (0, 4)


@pytest.mark.parametrize(
    ("text", "part", "expected"),
    [
        ("東京", (0, 1), (0, 1)),
        (" 東京 ", (0, 4), (1, 3)),
        ("\u3000\u200b東\x01", (0, 4), (2, 3)),
        (" \n\u200b", (0, 3), None),
        ("東京", (1, 1), None),
        ("東京", (2, 9), None),
        ("東 京", (1, 2), None),
        ("東 \u3099京", (1, 2), (1, 3)),  # a dakuten on its own
        ("\u200d", (0, 1), None),
    ],
)
def test_by_hand(text: str, part: tuple[int, int], expected: tuple[int, int] | None) -> None:
    assert WholeCharacters(text).around(*part) == expected


@given(
    st.text(st.sampled_from("東か\u3099ﾞ 👨\u200d👩🇯🇵\ufe0f\n\u200ba\ud83d\ude00"), max_size=10),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_nothing_is_split(text: str, start: int, end: int) -> None:
    found = WholeCharacters(text).around(start, end)
    if found is None:
        assert not "".join(text[start:end].split()).strip("\u200b\u200d")
        return
    assert 0 <= found[0] < found[1] <= len(text)
    assert all(place in (0, len(text)) or not is_inside_character(text, place) for place in found)
    assert WholeCharacters(text).around(*found) == found
