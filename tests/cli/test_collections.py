"""Collections from the command line: index, search, reindex, stats, export and import."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import TextNode

from jacolbert_integrations import EdgeStore, JaColBERT, JaColBERTVectorStore, MemoryStore
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.stores.archive import import_points
from jacolbert_integrations.text.squad import read_squad

from ..conftest import JAQUAD_EXCERPT
from ..explaining.fast_tokenizers import TOKENIZERS, checkpoint
from ..qdrant.rest_server import Backend, serving


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QDRANT_URL", raising=False)
    return tmp_path


@pytest.fixture
def rows(folder: Path) -> list[dict[str, str]]:
    """Twenty real passages in passages.jsonl."""
    passages = read_squad([JAQUAD_EXCERPT]).passages[:20]
    rows = [{"id": p.id, "text": p.text, "article": p.article} for p in passages]
    (folder / "passages.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    return rows


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    status = main(arguments)
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def test_search_marks_what_any_fast_tokenizer_matched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint(folder / "model", TOKENIZERS["unigram"]())
    row = {"id": "a", "text": "富士山は㍿。 東京は首都。"}
    (folder / "one.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    run(capsys, "index", "one.jsonl", "--model", "model")
    shown = run(capsys, "search", "東京株式会社", "--model", "model")
    assert "富士山は【㍿】。 【東京】は首都。" in shown


def test_search_explains_its_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "東京は日本の首都である。"
    (folder / "one.jsonl").write_text(json.dumps({"id": "a", "text": text}, ensure_ascii=False), encoding="utf-8")
    run(capsys, "index", "one.jsonl")
    shown = run(capsys, "search", "首都は？", "--explain")
    hit = json.loads(run(capsys, "search", "首都は？", "--explain", "--json"))["hits"][0]
    explanation = hit["explanation"]
    assert explanation["document"] == text
    assert explanation["score"] == pytest.approx(hit["score"], abs=0.01)  # of vectors that were stored as float16
    assert f"      score {explanation['score']:.2f} = " in shown
    assert shown.count("\n      ") == 2 + len(explanation["contributions"])
    assert "explanation" not in json.loads(run(capsys, "search", "首都は？", "--json"))["hits"][0]


def test_scores_that_a_threshold_can_cut(folder: Path, capsys: pytest.CaptureFixture[str], mini: JaColBERT) -> None:
    rows = [json.dumps({"id": i, "text": t}, ensure_ascii=False) for i, t in (("a", "首都は東京。"), ("b", "猫と犬。"))]
    (folder / "two.jsonl").write_text("\n".join(rows), encoding="utf-8")
    run(capsys, "index", "two.jsonl")

    def scores(*options: str) -> list[float]:
        return [h["score"] for h in json.loads(run(capsys, "search", "首都は？", "--json", *options))["hits"]]

    count = len(mini.encode_query(["首都は？"])[0])
    first, second = scores()
    normalized = scores("--normalize-scores")
    assert normalized == pytest.approx([first / count, second / count])
    middle = str(sum(normalized) / 2)
    assert scores("--normalize-scores", "--threshold", middle) == normalized[:1]
    assert "nothing found" in run(capsys, "search", "首都は？", "--normalize-scores", "--threshold", "1.01")


def hits(capsys: pytest.CaptureFixture[str], question: str, *options: str) -> list[str]:
    answer = json.loads(run(capsys, "search", question, "--json", *options))
    assert answer["question"] == question
    return [hit["id"] for hit in answer["hits"]]


def test_from_files_to_answers(rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    question = rows[4]["text"][:25]
    out = run(capsys, "index", "passages.jsonl", "--first-stage", "lexical", "muvera")
    assert "20 documents written" in out
    assert "It holds 20 points now." in out
    assert "0 documents written" in run(capsys, "index", "passages.jsonl")
    shown = run(capsys, "search", question, rows[9]["text"][:25], "--top-k", "2")
    assert f"Q: {question}\n  1. " in shown
    assert shown.count("  1. ") == 2
    assert "【" in shown
    assert hits(capsys, question, "--top-k", "1") == [rows[4]["id"]]
    assert hits(capsys, question, "--top-k", "1", "--exact") == [rows[4]["id"]]
    assert hits(capsys, question, "--top-k", "1", "--candidates", "5") == [rows[4]["id"]]

    stats = run(capsys, "stats")
    assert stats.startswith("documents: 20 points, ")
    assert "jacolbert-mini (" in stats
    assert "128 dimensions as float16" in stats
    assert "lexical, muvera" in stats
    row = json.loads(run(capsys, "stats", "documents", "--json"))["documents"]
    assert row["points"] == 20
    assert row["bytes_on_disk"] > 100_000
    assert 20 < row["vectors_a_point"] < 500


def test_reindex_behind_an_alias(rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "index", "passages.jsonl", "--collection", "v1")
    out = run(capsys, "reindex", "v1", "v2", "--alias", "live", "--pooling", "hierarchical-2",
              "--first-stage", "lexical", "--datatype", "turbo8")  # fmt: skip
    assert "20 points written" in out
    assert "the alias points at it now" in out
    assert hits(capsys, rows[7]["text"][:25], "--collection", "live", "--top-k", "1") == [rows[7]["id"]]
    stats = json.loads(run(capsys, "stats", "--json"))
    assert stats["v2"]["aliases"] == ["live"]
    assert (stats["v2"]["pooling"], stats["v2"]["datatype"]) == ("hierarchical-2", "turbo8")
    assert stats["v2"]["vectors_a_point"] == pytest.approx(stats["v1"]["vectors_a_point"] / 2, rel=0.05)


def test_nodes_of_llama_index_keep_their_embedded_metadata(
    mini: JaColBERT, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vector_store = JaColBERTVectorStore(mini, location=str(folder / "here"), collection="nodes")
    vector_store.add([TextNode(id_="n", text="日本一の山である。", metadata={"題名": "富士山"})])
    before = vector_store.store.get(["n"])["n"].vectors
    vector_store.close()
    assert "1 points written" in run(capsys, "reindex", "nodes", "again", "--location", "here")
    with EdgeStore(folder / "here", "again") as again:
        again.bind(mini.identity)
        np.testing.assert_array_equal(again.get(["n"])["n"].vectors, before)


def test_export_and_import(rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "index", "passages.jsonl", "--collection", "v1")
    out = run(capsys, "export", "--collection", "v1", "--output", "points.zip")
    assert "20 points with" in out
    assert "made by jacolbert-mini" in out
    assert main(["export", "--collection", "v1", "--output", "points.zip"]) == 1
    assert "points.zip is there already. Write --overwrite" in capsys.readouterr().err
    out = run(
        capsys,
        "import",
        "points.zip",
        "--location",
        "elsewhere",
        "--collection",
        "copy",
        "--first-stage",
        "lexical",
        "centroids",
    )
    assert "20 of 20 points written" in out
    question = rows[3]["text"][:25]
    found = hits(capsys, question, "--location", "elsewhere", "--collection", "copy")
    assert found[0] == rows[3]["id"]
    assert found == hits(capsys, question, "--collection", "v1")
    memory = MemoryStore()
    import_points(folder / "points.zip", memory)
    assert memory.count() == 20
    (folder / "points.zip").write_bytes((folder / "points.zip").read_bytes()[:-100])
    assert main(["import", "points.zip", "--collection", "broken"]) == 1
    assert capsys.readouterr().err.startswith("jacolbert import: ")
    assert "broken" not in json.loads(run(capsys, "stats", "--json"))


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_on_a_server(rows: list[dict[str, str]], capsys: pytest.CaptureFixture[str], backend: Backend,
                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("QDRANT_API_KEY", "not shown")
    with serving(backend) as port:
        monkeypatch.setenv("QDRANT_URL", f"http://127.0.0.1:{port}")
        assert main(["index", "passages.jsonl"]) == 0
        captured = capsys.readouterr()
        assert "20 documents written" in captured.out
        assert "not shown" not in captured.out + captured.err
        assert hits(capsys, rows[5]["text"][:25], "--top-k", "1") == [rows[5]["id"]]
    assert backend.local.count("documents").count == 20


def test_long_texts_are_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passages = read_squad([JAQUAD_EXCERPT]).passages[:16]
    (folder / "book").mkdir()
    (folder / "book" / "一.md").write_text("".join(p.text for p in passages), encoding="utf-8")
    (folder / "book" / "二.txt").write_text("短い文書である。", encoding="utf-8")
    run(capsys, "index", "book")
    assert json.loads(run(capsys, "stats", "--json"))["documents"]["points"] > 3
    best = json.loads(run(capsys, "search", passages[9].text[:30], "--json", "--top-k", "1"))["hits"][0]
    assert best["payload"]["file"] == str(Path("book") / "一.md")
    assert passages[9].text[:30] in best["payload"]["text"]
    assert main(["index", "book", "--collection", "whole", "--too-long", "refuse"]) == 1
    err = capsys.readouterr().err
    assert f"not written: {str(Path('book') / '一.md')!r}: it has" in err
    assert "1 documents were not written" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "問い"], "there is no folder jacolbert-index. Index something first"),
        (["search", "問い", "--location", "here"], "there is no collection 'documents'"),
        (["stats", "none", "--location", "here"], "there is no collection 'none'"),
        (["index", "none.jsonl"], "none.jsonl cannot be read: No such file or directory"),
        (["index", "here"], "the folder here has no .txt, .md, .jsonl, .tsv, .csv in it"),
        (["index", "odd.csv"], "odd.csv has no column 'text' in its first line"),
        (["index", "bad.jsonl"], "bad.jsonl, line 2': expected an object with a string under 'text'"),
        (["index", "bad.tsv"], "bad.tsv, line 1': expected an id, a tab and a text"),
        (["index", "latin.txt"], "latin.txt is no text in UTF-8"),
        (["index", "good.tsv", "--pooling", "mean"], "'mean' names no pooling"),
        (["reindex", "a"], "name a new collection to write, or add to the old one with --beside"),
        (["reindex", "a", "--beside", "--alias", "x"], "--alias is for a new collection"),
        (["reindex", "a", "--beside", "--location", "here"], "--beside is for a collection on a server"),
        (["reindex", "a", "b", "--location", "here"], "there is no collection 'a' to read"),
        (["export", "model", "--collection", "a", "--output", "x"], "leave out the model"),
        (["export", "--collection", "a", "--output", "x", "--location", "here"], "does not exist"),
        (["import", "none.zip"], "none.zip"),
    ],
)
def test_errors(arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "here").mkdir()
    (folder / "odd.csv").touch()
    (folder / "bad.jsonl").write_text('{"text": "よい"}\n{"txt": "違う"}\n', encoding="utf-8")
    (folder / "bad.tsv").write_text("no tab\n", encoding="utf-8")
    (folder / "good.tsv").write_text("a\t文\n", encoding="utf-8")
    (folder / "latin.txt").write_bytes("é".encode("latin-1") * 0 + b"a\xe9")
    status = main(arguments)
    err = capsys.readouterr().err
    assert f"jacolbert {arguments[0]}: " in err
    assert message in err
    assert status == (2 if err.startswith("usage: jacolbert") else 1)
