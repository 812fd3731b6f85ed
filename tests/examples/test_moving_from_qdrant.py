"""The application that was moved from QdrantVectorStore: what differs, and what both print."""

from __future__ import annotations

import runpy
from difflib import SequenceMatcher
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "moved_from_qdrant_vector_store"
RIGHT = {
    "有給休暇は何日ありますか。": "休暇",
    "給与はいつ支払われますか。": "給与",
    "駐車場はどこにありますか。": "受付",
}


def changed_lines(before: list[str], after: list[str]) -> int:
    """Lines that are replaced, removed or added: of a replaced block, those of its longer side."""
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in changes if tag != "equal")


def printed(name: str, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Each question, and the title of the rule that was found."""
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    return [(question, found.split(": ")[0]) for question, found in (line.split(" -> ") for line in lines)]


def test_counting_lines() -> None:
    assert changed_lines(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert changed_lines(["a", "b", "c"], ["a", "x", "y", "c"]) == 2
    assert changed_lines(["a", "b", "c"], ["c", "d"]) == 3


def test_five_lines_differ() -> None:
    before, after = ((FOLDER / name).read_text(encoding="utf-8").splitlines() for name in ("before.py", "after.py"))
    assert changed_lines(before, after) == 5
    assert not [line for line in after if "QdrantVectorStore" in line and not line.startswith('"""')]
    assert sorted(file.name for file in FOLDER.glob("*.py")) == ["after.py", "before.py"]


def test_before(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed("before.py", capsys)
    assert [question for question, _ in found[:3]] == list(RIGHT)
    assert len({title for _, title in found[:3]}) == 1  # to MockEmbedding all texts are one
    assert found[3] == ("受付は何階にありますか。", "受付")  # the filter leaves nothing else


def test_after(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed("after.py", capsys)
    assert dict(found[:3]) == RIGHT
    assert found[3] == ("受付は何階にありますか。", "受付")
    asked, inserted = found[4]
    assert (asked, inserted) == ("在宅勤務は週に何日できますか。", "在宅勤務")
    again, deleted = found[5]
    assert again == asked
    assert deleted != "在宅勤務"
