"""A comparison as one HTML file: the table, the pictures, and the questions at which two systems differ most."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ...text.harmless import harmless
from ..evaluation import Evaluation
from ..tables import explained, table_of
from .pictures import candidates, costs, query_lengths
from .questions import pair_of, questions

_LIGHT = ("#2f6db3", "#c4512d", "#2b8a57", "#8455b5", "#96700a", "#5d6775")
_DARK = ("#7cb3f0", "#f09a78", "#6fcf97", "#c3a0ea", "#e0bc57", "#aeb7c4")

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2024;--faint:#d8dce2;--soft:#f3f5f8;LIGHT}
@media(prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e6e9ed;--faint:#353b44;--soft:#1e2329;DARK}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:66rem;padding:1rem;background:var(--paper);color:var(--ink);line-height:1.6;
font-family:system-ui,"Hiragino Sans","Noto Sans CJK JP","Noto Sans JP","Yu Gothic",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.3}h2{font-size:1.2rem;margin-top:2.5rem}h3{font-size:1rem;margin-top:1.5rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.82rem}
th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid var(--faint);white-space:nowrap}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}
.lengths td:nth-child(2){text-align:right}
figure{margin:1.5rem 0}figcaption{font-size:.9rem;opacity:.85}
svg{width:100%;height:auto;display:block;font-size:12px}
svg text{fill:var(--ink)}svg .label{font-size:11px}
.grid{stroke:var(--faint)}.axis{stroke:var(--ink)}.mark{stroke-width:2;stroke-dasharray:5 4}
.line{fill:none;stroke-width:2}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.25rem 0}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:50%;margin-right:.4em}
.question{background:var(--soft);border-radius:.5rem;padding:.25rem 1rem;margin:1rem 0}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1.5rem;font-size:.92rem}
@media(max-width:40rem){.pair{grid-template-columns:1fr}svg{font-size:18px}svg .label{font-size:16px}}
COLOURS
"""


def as_html(evaluation: Evaluation, *, source: str = "", pair: tuple[str, str] | None = None) -> str:
    """Makes the report.

    It needs no network, no script and no font of its own, and is for light screens and dark ones, wide and narrow.

    Args:
        evaluation: The comparison.
        source: Where the texts are from, and under which licence; it is shown below the title.
        pair: Two systems that are compared question by question, as the table calls them; None takes the first beside
            another model, or beside what comes next.

    Returns:
        HTML.

    Raises:
        InputError: If there is no system of a name in ``pair``.
    """
    benchmark = evaluation.benchmark
    title = harmless(benchmark.name)
    sizes = f"{len(benchmark.queries):,} questions over {len(benchmark.passages):,} passages"
    return (
        '<!DOCTYPE html><html lang="ja"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{sizes}</p>{f'<p>{escape(harmless(source))}</p>' if source else ''}"
        f"{''.join(_sections(evaluation, pair))}</body></html>\n"
    )


def _sections(evaluation: Evaluation, pair: tuple[str, str] | None) -> Iterator[str]:
    yield from (f"<p>{escape(harmless(note))}</p>" for note in evaluation.notes)
    yield f'<h2>Systems</h2><div class="wide">{_table(evaluation)}</div><p>{escape(explained(evaluation))}</p>'
    for heading, made in (
        ("What quality costs", costs(evaluation)),
        ("What first stages miss", candidates(evaluation)),
        ("How long queries are", query_lengths(evaluation)),
    ):
        if made:
            yield f"<h2>{heading}</h2>{made}"
    if (places := pair_of(evaluation, pair)) is not None:
        yield f"<h2>Question by question</h2>{questions(evaluation, places)}"


def _table(evaluation: Evaluation) -> str:
    head, *rows = table_of(evaluation)
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in ["#", *head])
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in [str(place), *row])}</tr>"
        for place, row in enumerate(rows, 1)
    )
    return f'<table id="systems"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'


def _style() -> str:
    light, dark = (
        "".join(f"--c{place}:{colour};" for place, colour in enumerate(colours)) for colours in (_LIGHT, _DARK)
    )
    colours = "".join(
        f".c{i}.dot circle,.c{i}.bar rect,path.c{i}{{fill:var(--c{i})}}"
        f".c{i}.line,.c{i}.mark{{stroke:var(--c{i})}}span.c{i}{{background:var(--c{i})}}"
        for i in range(len(_LIGHT))
    )
    return _STYLE.replace("LIGHT", light).replace("DARK", dark).replace("COLOURS", colours)
