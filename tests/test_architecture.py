"""ARCHITECTURE.md: its picture is that of the code, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .structure import ROOT, Structure, picture

REPOSITORY = Path(__file__).parent.parent
TEXT = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_/]+(?:/|\.py|\.md))`", TEXT)))


def test_the_picture_is_that_of_the_code() -> None:
    assert re.findall(r"```mermaid\n(.*?)```", TEXT, re.DOTALL) == [picture(Structure.read())]


def test_every_room_is_named() -> None:
    rooms = {room for room in Structure.read().within() if room != "__init__"}
    assert {name.strip("/").removesuffix(".py") for name in NAMED} >= rooms


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_is_there(name: str) -> None:
    assert (ROOT / name).exists() or (REPOSITORY / name).exists() or name == "conftest.py"


@pytest.mark.parametrize("name", ["stages_of_names", "MeanPooled", "_NormalizedMarginMSE", "EngineError", "PYLATE"])
def test_what_to_copy_from_is_there(name: str) -> None:
    assert name in TEXT
    assert any(re.search(rf"\b{name}\b", file.read_text(encoding="utf-8")) for file in ROOT.rglob("*.py"))
