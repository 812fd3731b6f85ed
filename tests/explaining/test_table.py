from __future__ import annotations

from jacolbert_integrations.explaining import Contribution, Explanation, Token, as_table
from jacolbert_integrations.explaining.table import bar, columns


def test_by_hand() -> None:
    control = Token("[CLS]", "control", None)
    explanation = Explanation(
        "首都 は",
        "日本の\n首都",
        (
            Contribution(control, 0.5, (control,)),
            Contribution(
                Token("首都", "text", (0, 2)), 1.0, (Token("の", "text", (2, 3)), Token("首", "text", (4, 5)))
            ),
            Contribution(Token("[MASK]", "mask", None), -0.25, (Token("▁", "text", None),)),
        ),
    )
    assert as_table(explanation).splitlines() == [
        "score 1.25 = 1.00 of words + -0.25 of [MASK] + 0.50 of control tokens",
        "  0.50 █████       [CLS]   [CLS]",
        "  1.00 ██████████  首都    の (2) + 首 (4)",
        " -0.25             [MASK]  ▁",
    ]


def test_columns_of_a_terminal() -> None:
    assert columns("ab首か\u3099ｶﾞＡ") == 2 + 2 + 2 + 2 + 2


def test_a_bar() -> None:
    assert [bar(share).rstrip() for share in (0, 0.0125, 0.05, 0.5, 0.99, 1, 1.5, -1)] == [
        "", "▏", "▌", "█████", "█████████▉", "██████████", "██████████", "",
    ]  # fmt: skip
    assert {columns(bar(share / 100)) for share in range(101)} == {10}


def test_many_partners_are_counted() -> None:
    token = Token("首", "text", (0, 1))
    table = as_table(Explanation("首", "首", (Contribution(token, 1.0, (token,) * 9),)))
    assert table.endswith(" + ".join(["首 (0)"] * 6) + " and 3 more")
