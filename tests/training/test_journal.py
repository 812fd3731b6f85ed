"""Work that is written down as it is done, and taken up again wherever a kill has left it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.training.journal import Journal, key_of

WORK = {"task": "count", "model": "猫", "seed": 1}


def fill(file: Path) -> bytes:
    """Writes three entries in two batches, leaving out what is there."""
    with Journal[Any](file, WORK) as journal:
        for batch in ([("a", 1), ("b", [2.5, None])], [("c", "犬")]):
            journal.add(entry for entry in batch if entry[0] not in journal.done)
    return file.read_bytes()


def test_it_knows_what_has_been_done(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "work.journal"
    with Journal[int](file, WORK) as journal:
        assert journal.done == {}
        journal.add([("a", 1), ("b", 2)])
        on_disk = file.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in on_disk[1:]] == [{"a": 1, "b": 2}]
        journal.add([])
        journal.add([("c", 3)])
        assert journal.done == {"a": 1, "b": 2, "c": 3}
    with Journal[int](file, WORK) as journal:
        assert journal.done == {"a": 1, "b": 2, "c": 3}


def test_a_batch_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "j"
    whole = fill(file)
    for missing in (1, 5):
        file.write_bytes(whole[:-missing])
        with Journal[Any](file, WORK) as journal:
            assert journal.done == {"a": 1, "b": [2.5, None]}
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:2])[:-1])
    with Journal[Any](file, WORK) as journal:
        assert journal.done == {}


def test_a_kill_at_any_byte_changes_nothing_in_the_end(tmp_path: Path) -> None:
    whole = fill(tmp_path / "whole.journal")
    for cut in range(len(whole) + 1):
        file = tmp_path / "cut.journal"
        file.write_bytes(whole[:cut])
        assert fill(file) == whole, f"cut at byte {cut}"


def test_floats_come_back_to_the_last_bit(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1e-300, -math.pi, 2.0**-1074]
    with Journal[float](tmp_path / "j", WORK) as journal:
        journal.add((str(i), value) for i, value in enumerate(values))
    with Journal[float](tmp_path / "j", WORK) as journal:
        assert list(journal.done.values()) == values


def test_other_work_is_refused_by_the_name_of_what_differs(tmp_path: Path) -> None:
    before = fill(tmp_path / "j")
    with pytest.raises(InputError, match=r"other work: seed is 1 there and 2 here\. Give another file"):
        Journal(tmp_path / "j", WORK | {"seed": 2})
    with pytest.raises(InputError, match="model is '猫' there and None here; data is None there and 'x' here"):
        Journal(tmp_path / "j", {"task": "count", "seed": 1, "data": "x"})
    assert (tmp_path / "j").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"important": "and without a newline"}', "is no journal"),
        (b"some text\n", "line 1 of .* is no entry"),
        (b'{"important": 1}\n', "other work: it begins with {'important': 1}"),
        (b"[1, 2]\n", r"other work: it begins with \[1, 2\]"),
    ],
)
def test_somebody_elses_file_is_left_as_it_was(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "theirs.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Journal(file, WORK)
    assert file.read_bytes() == content


@pytest.mark.parametrize("line", [b"{\n", b"5\n", b"[1, 2, 3]\n", b"\xff\n"])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    whole = fill(tmp_path / "j")
    (tmp_path / "j").write_bytes(whole + line + b'{"d": 4}\n')
    with pytest.raises(InputError, match=r"line 4 of .* is no entry of a journal"):
        Journal(tmp_path / "j", WORK)


def test_keys() -> None:
    assert key_of("猫", ["a"], None) == key_of("猫", ["a"], None)
    different = [key_of("a", "b"), key_of("ab"), key_of("a", ["b"]), key_of("b", "a"), key_of("a", "\ud800")]
    assert len(set(different)) == 5
    assert all(len(key) == 32 for key in different)
