"""The report as people see it: in Chromium, on a wide screen and on a phone, light and dark."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.evaluation.evaluation import Evaluation
from jacolbert_integrations.evaluation.report.page import as_html

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install the package chromium")

LOOK = """<script>
const box = element => { const b = element.getBoundingClientRect(); return [b.left, b.right, b.width, b.height]; };
const every = selector => [...document.querySelectorAll(selector)];
const style = getComputedStyle(document.body);
document.body.dataset.seen = JSON.stringify({
  width: innerWidth,
  page: document.documentElement.scrollWidth,
  pictures: every("svg").map(box),
  texts: every("svg text").map(text => [text.textContent, getComputedStyle(text).fill, ...box(text)]),
  dots: every("#bytes circle").map(dot => getComputedStyle(dot).fill),
  rows: every("#systems tbody tr").map(row => row.innerText),
  pair: every(".pair")[0] ? every(".pair")[0].querySelectorAll("article").length : 0,
  columns: every(".pair")[0] ? getComputedStyle(every(".pair")[0]).gridTemplateColumns.split(" ").length : 0,
  marks: every("mark").map(mark => getComputedStyle(mark).backgroundColor),
  paper: style.backgroundColor, ink: style.color,
});
</script>"""


def seen(page: str, folder: Path, *, width: int, dark: bool) -> dict[str, Any]:
    """What a browser made of a page."""
    assert CHROMIUM is not None
    file = folder / "page.html"
    file.write_text(page.replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    options += [f"--window-size={width},900", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'data-seen="(.*?)"', done.stdout)
    assert found is not None, done.stderr[-500:]
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answer


def brightness(colour: str) -> float:
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 765


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (500, False)])
def test_a_person_sees_it(evaluation: Evaluation, tmp_path: Path, width: int, dark: bool) -> None:
    found = seen(as_html(evaluation), tmp_path, width=width, dark=dark)
    assert found["page"] <= found["width"], "the page is wider than the screen"
    assert len(found["pictures"]) == 5
    for left, right, across, down in found["pictures"]:
        assert left >= 0
        assert right <= found["width"]
        assert across > 300
        assert down > 150
    assert (brightness(found["paper"]) < 0.3) == dark
    assert abs(brightness(found["paper"]) - brightness(found["ink"])) > 0.6
    for text, colour, _, _, across, down in found["texts"]:
        assert across > 0, text
        assert down >= 6, text
        assert abs(brightness(found["paper"]) - brightness(colour)) > 0.5, text
    assert len(found["rows"]) == len(evaluation.systems) == len(found["dots"])
    assert len(set(found["dots"])) > 1
    assert "jacolbert-mini" in found["rows"][0]
    assert found["pair"] == 2
    assert found["columns"] == (1 if width == 500 else 2)
    assert any(colour.startswith("rgba(230, 140, 0") for colour in found["marks"])
