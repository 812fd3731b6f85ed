from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.explaining import (
    Contribution,
    Explanation,
    Match,
    Token,
    explanation_as_html,
    find_matches,
)
from jacolbert_integrations.explaining.html import as_html, as_page

MARK = re.compile(r'<mark style="([^"]*)" title="similarity ([^"]*)">(.*?)</mark>', re.DOTALL)


def marks(html: str) -> list[tuple[str, str]]:
    """What is marked, with its similarity."""
    return [(unescape(text), similarity) for _, similarity, text in MARK.findall(html)]


def opacities(html: str) -> list[str]:
    return re.findall(r"rgba\(230,140,0,([\d.]+)\)", html)


class Reader(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags = "", list[str]()
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_by_hand() -> None:
    assert as_html("東京の首都", [Match(0, 2, 0.52)]) == (
        '<div style="white-space:pre-wrap;line-height:1.8">'
        '<mark style="color:inherit;background-color:rgba(230,140,0,0.15);border-radius:2px" title="similarity 0.52">'
        "東京</mark>の首都</div>"
    )


def test_weak_matches_stay_unmarked() -> None:
    matches = [Match(0, 1, 0.49), Match(1, 2, 0.5), Match(2, 3, -0.2)]
    assert marks(as_html("東京都", matches)) == [("京", "0.50")]
    assert marks(as_html("東京都", matches, at_least=0.4)) == [("東", "0.49"), ("京", "0.50")]
    assert marks(as_html("東京都", [])) == []


def test_neighbours_are_marked_each_for_itself() -> None:
    assert marks(as_html("東京都", [Match(0, 2, 0.8), Match(2, 3, 0.8)])) == [("東京", "0.80"), ("都", "0.80")]


def test_the_more_similar_of_two_that_overlap_is_on_top() -> None:
    weak, strong = Match(0, 3, 0.6), Match(1, 2, 0.9)
    expected = [("東", "0.60"), ("京", "0.90"), ("都", "0.60")]
    assert marks(as_html("東京都", [weak, strong])) == marks(as_html("東京都", [strong, weak])) == expected


def test_particles_are_coloured_only_if_asked() -> None:
    matches = [Match(0, 2, 0.9), Match(2, 3, 0.9), Match(3, 5, 0.9), Match(5, 7, 0.9), Match(7, 8, 0.9)]
    assert [text for text, _ in marks(as_html("東京は首都です。", matches))] == ["東京", "首都"]
    assert len(marks(as_html("東京は首都です。", matches, particles=True))) == 5


def test_the_colour_grows_with_the_similarity() -> None:
    similarities = [0.5, 0.65, 0.75, 0.85, 0.95, 1.0, 1.0000001]
    html = as_html("あいうえおかき", [Match(i, i + 1, s) for i, s in enumerate(similarities)], particles=True)
    assert opacities(html) == ["0.15", "0.225", "0.3", "0.375", "0.45", "0.45", "0.45"]
    assert opacities(as_html("亜", [Match(0, 1, 0.95)], at_least=0.9)) == ["0.3"]


def luminance(colour: list[float]) -> float:
    """As WCAG 2.2 defines it, of red, green and blue from 0 to 255."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("letters", "page"), [(0, 255), (51, 255), (255, 17), (212, 30)])
def test_letters_can_be_read_on_light_and_dark_pages(letters: float, page: float) -> None:
    html = as_html("あいうえお", [Match(i, i + 1, 0.55 + i / 10) for i in range(5)])
    found = re.findall(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)", html)
    assert len(found) == 5
    for *colour, opacity in found:
        behind = [float(opacity) * int(c) + (1 - float(opacity)) * page for c in colour]
        dark, light = sorted([luminance([letters] * 3), luminance(behind)])
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG's AA, for text of any size


def test_markup_in_a_text_is_text() -> None:
    text = '<script>alert("1 & 2")</script>'
    html = as_html(text, [Match(1, 7, 0.9)])
    assert "<script" not in html
    assert marks(html) == [("script", "0.90")]
    assert Reader(html).text == text


@pytest.mark.parametrize("at_least", [-0.1, 1.0, float("nan")])
def test_a_threshold_that_cannot_be(at_least: float) -> None:
    with pytest.raises(InputError, match=r"at_least is .*, but it must be a similarity from 0 to below 1\."):
        as_html("東京", [], at_least=at_least)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30),
    st.lists(st.tuples(st.integers(0, 35), st.integers(0, 35), st.floats(-1, 1, width=32)), max_size=8),
)
def test_every_text_can_be_read_as_it_was(text: str, places: list[tuple[int, int, float]]) -> None:
    matches = [Match(min(a, b), max(a, b), similarity) for a, b, similarity in places]
    html = as_html(text, matches, particles=True)
    page = Reader(html)
    assert page.text == text
    assert set(page.tags) <= {"div", "mark"}
    shown = {i for m in matches if m.similarity >= 0.5 for i in range(m.start, min(m.end, len(text)))}
    assert sum(len(marked) for marked, _ in marks(html)) == len(shown)


def test_matches_of_a_model(mini: JaColBERT) -> None:
    text = "東京は日本の首都であり、世界有数の大都市である。"
    matches = find_matches(mini, "日本の首都はどこですか。", text)
    assert "首都" in [marked for marked, _ in marks(as_html(text, matches))]


def test_an_explanation_as_html() -> None:
    control = Token("<s>", "control", None)
    explanation = Explanation(
        "<b>首都",
        "&首都",
        (
            Contribution(control, 0.5, (control,)),
            Contribution(Token("▁首都", "text", (3, 5)), 1.0, (Token("首都", "text", (1, 3)),)),
        ),
    )
    html = explanation_as_html(explanation)
    reader = Reader(html)
    assert reader.tags.count("tr") == 3
    assert reader.tags.count("meter") == 2
    assert "b" not in reader.tags
    assert "<b>首都" in reader.text
    assert "Score 1.50: 1.00 of words, 0.00 of [MASK]s, 0.50 of control tokens" in reader.text
    assert marks(html) == [("首都", "1.00")]
    assert "<s>" in reader.text


def test_a_page_is_one_file_for_any_screen() -> None:
    page = as_page("<p>一</p>", "<p>二</p>", title="<首都>")
    assert page.startswith('<!DOCTYPE html><html lang="ja">')
    reader = Reader(page)
    assert [tag for tag in reader.tags if tag == "p"] == ["p", "p"]
    assert "<首都>" in reader.text
    assert "color-scheme:light dark" in page
    assert "width=device-width" in page
    assert "http" not in page
