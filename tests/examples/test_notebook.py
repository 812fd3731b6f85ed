"""The notebook runs, and what is stored in it is what it shows."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from .notebooks import METADATA, code_cells, executed, joined, notebooks, problems, read, renew

Change = Callable[[NotebookNode], object]


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def small(folder: Path, *sources: str) -> Path:
    """A notebook of these cells, which nobody has run."""
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [{**code, "id": f"cell-{i}", "source": source} for i, source in enumerate(sources)]
    file = folder / "small.ipynb"
    file.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return file


def test_there_is_one() -> None:
    assert [file.name for file in notebooks()] == ["jacolbert_in_llama_index.ipynb"]


@pytest.mark.parametrize("file", notebooks(), ids=lambda file: file.stem)
def test_what_is_stored_is_what_a_fresh_run_shows(file: Path, tmp_path: Path) -> None:
    stored = read(file)
    assert list(problems(stored, executed(stored, tmp_path))) == []
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def output(place: int, *outputs: dict[str, Any]) -> Change:
    return lambda notebook: code_cells(notebook)[place].update(outputs=list(outputs))


def appended(text: str) -> Change:
    def change(notebook: NotebookNode) -> None:
        code_cells(notebook)[0]["outputs"][0]["text"] += text

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "a letter more": (appended("。"), "cell 'model' has stale outputs"),
    "no outputs": (output(0), "cell 'model' has stale outputs"),
    "an output too many": (output(2, stream("梅雨\n")), "cell 'documents' has stale outputs"),
    "a warning": (output(2, stream("梅雨\n", "stderr")), "cell 'documents' has outputs of stderr"),
    "a path": (appended("/opt/index/articles"), "shows something of a machine: /opt/index/articles"),
    "a drive": (appended(r"C:\index"), r"shows something of a machine: C:\index"),
    "an address": (appended("<object at 0x7f0b8c2d1e50>"), "shows something of a machine: 0x7f0b8c2d1e50"),
    "no count": (lambda n: code_cells(n)[3].update(execution_count=None), "cell 'split' has the count None"),
    "counts of a second run": (
        lambda n: [cell.update(execution_count=cell["execution_count"] + 15) for cell in code_cells(n)],
        "cell 'model' has the count 16, but is number 1",
    ),
    "a version": (lambda n: n["metadata"]["language_info"].update(version="3.11.9"), "the notebook has the metadata"),
    "an environment": (
        lambda n: n["metadata"]["kernelspec"].update(display_name=".venv", path="/opt/.venv/bin/python"),
        "the notebook has the metadata",
    ),
    "times": (
        lambda n: code_cells(n)[1]["metadata"].update(execution={"shell.execute_reply": "2026-11-21T12:00:00Z"}),
        "cell 'data' has metadata",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_does_not_belong_is_found(name: str) -> None:
    change, message = CHANGES[name]
    fresh = read(notebooks()[0])
    stored = deepcopy(fresh)
    assert list(problems(stored, fresh)) == []
    change(stored)
    found = list(problems(stored, fresh))
    assert any(message in problem for problem in found), found


def test_addresses_in_the_net_and_html_are_of_no_machine(tmp_path: Path) -> None:
    notebook = read(small(tmp_path, ""))
    text = "https://github.com/yahoojapan/JGLUE <p>梅雨</p> 1/2 梅雨入り/梅雨明け\n"
    notebook["metadata"] = METADATA
    code_cells(notebook)[0].update(outputs=[stream(text)], execution_count=1)
    assert list(problems(notebook, notebook)) == []


def test_pieces_of_a_stream_are_joined_and_nothing_changes_its_place() -> None:
    shown: dict[str, Any] = {"output_type": "display_data", "data": {"text/plain": "c"}}
    pieces = [stream("a"), stream("b"), shown, stream("d"), stream("e", "stderr")]
    assert joined(pieces) == [stream("ab"), shown, stream("d"), stream("e", "stderr")]


def test_a_run_is_of_this_interpreter_in_its_own_folder(tmp_path: Path) -> None:
    file = small(tmp_path, "import os, sys\nsys.executable, os.listdir()", "print(1)\nprint(2)\n3")
    folder = tmp_path / "folder"
    folder.mkdir()
    given = read(file)
    before = deepcopy(given)
    fresh = executed(given, folder)
    assert given == before
    first, second = code_cells(fresh)
    assert first["outputs"][0]["data"]["text/plain"] == repr((sys.executable, []))
    assert second["outputs"][0] == stream("1\n2\n")
    assert [first["execution_count"], second["execution_count"]] == [1, 2]
    assert fresh["metadata"] == METADATA


def test_renewing(tmp_path: Path) -> None:
    file = small(tmp_path, "1 + 1")
    renew(file)
    stored = read(file)
    assert code_cells(stored)[0]["outputs"][0]["data"]["text/plain"] == "2"
    assert list(problems(stored, executed(stored, tmp_path))) == []


def test_a_notebook_that_fails_stays_as_it_is(tmp_path: Path) -> None:
    file = small(tmp_path, "1 / 0")
    before = file.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        renew(file)
    assert file.read_bytes() == before
