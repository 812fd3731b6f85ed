from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.rankings import Run, ranked
from jacolbert_integrations.evaluation.trec import read_qrels, read_run, write_qrels, write_run

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4).filter(lambda text: text.split() == [text])


def test_qrels_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "qrels.txt"
    file.write_bytes("\ufeffq1 0 文書1 2\r\nq1 0 文書2 0\r\n\r\nq2\tQ0\tp\t-1\r\n".encode())
    assert read_qrels(file) == {"q1": {"文書1": 2, "文書2": 0}, "q2": {"p": -1}}


def test_a_run_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "run.txt"
    file.write_text("q1 Q0 b 1 0.5 bm25\nq1 Q0 a 2 0.5 bm25\nq1 Q0 c 3 7e0 bm25\n", encoding="utf-8")
    run = read_run(file)
    assert run.name == "bm25"
    assert run.rankings == {"q1": (("c", 7.0), ("a", 0.5), ("b", 0.5))}
    assert read_run(file, name="other").name == "other"


@given(
    st.dictionaries(
        IDS, st.dictionaries(IDS, st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=4), min_size=1, max_size=4
    )
)
def test_a_run_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, dict[str, float]]
) -> None:
    file = tmp_path_factory.mktemp("runs") / "run.txt"
    run = Run("our run", {query: ranked(own.items()) for query, own in found.items()})
    write_run(file, run)
    back = read_run(file)
    assert back.name == "our_run"
    assert back.rankings == run.rankings


def test_qrels_come_back_as_they_were(tmp_path: Path) -> None:
    qrels = {"q1": {"文書1": 2, "文書2": 0}, "q2": {"p": 1}}
    write_qrels(tmp_path / "new" / "qrels.txt", qrels)
    assert read_qrels(tmp_path / "new" / "qrels.txt") == qrels


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 0 p", "line 2 has 3 columns, but 4 are expected: query iteration passage grade"),
        ("q1 0 p high", "line 2: the grade is 'high'"),
        ("q0 0 p 1", "line 2: the query 'q0' has a judgment of the passage 'p' already"),
        ("q0 0 missing 1", "line 2 is a judgment of the passage 'missing', but there is no such passage"),
        ("missing 0 p 1", "line 2 is a judgment of the query 'missing', but there is no such query"),
    ],
)
def test_bad_qrels(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "qrels.txt"
    file.write_text(f"q0 0 p 1\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_qrels(file, queries={"q0", "q1"}, passages={"p"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 p 1 0.5", "line 2 has 5 columns, but 6"),
        ("q1 Q0 p 1 nan x", "line 2: the score is 'nan'"),
        ("q1 Q0 p 1 best x", "line 2: the score is 'best'"),
        ("q0 Q0 p 1 1 x", "line 2: the passage 'p' was found for the query 'q0' already"),
    ],
)
def test_bad_runs(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "run.txt"
    file.write_text(f"q0 Q0 p 1 1.0 x\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_run(file)


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    file = tmp_path / "empty.txt"
    file.write_text("\n \n", encoding="utf-8")
    with pytest.raises(InputError, match=r"empty.txt holds no judgments"):
        read_qrels(file)
    with pytest.raises(InputError, match=r"empty.txt is an empty run"):
        read_run(file)
    with pytest.raises(InputError, match=r"none.txt cannot be read: No such file"):
        read_run(tmp_path / "none.txt")
    file.write_bytes("q 0 日本 1".encode("cp932"))
    with pytest.raises(InputError, match="is not UTF-8"):
        read_qrels(file)


@pytest.mark.parametrize("identity", ["a b", "", "a\u3000b", "a\n"])
def test_ids_that_trec_cannot_hold(tmp_path: Path, identity: str) -> None:
    with pytest.raises(InputError, match="no id may have any"):
        write_qrels(tmp_path / "qrels.txt", {"q": {identity: 1}})
    with pytest.raises(InputError, match="no id may have any"):
        write_run(tmp_path / "run.txt", Run("x", {identity: (("p", 1.0),)}))
    assert not list(tmp_path.iterdir())


def test_an_id_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written as UTF-8"):
        write_qrels(tmp_path / "qrels.txt", {"q": {"\ud83d": 1}})
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_qrels(tmp_path / "file" / "qrels.txt", {"q": {"p": 1}})
