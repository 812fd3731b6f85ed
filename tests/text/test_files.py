"""Documents from other people's files: their encodings, their headers, their bad rows, and what makes an id."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.text.files import SOURCE_KEY, FileReader, read_documents
from jacolbert_integrations.types import Document

TEXT = "東京は首都である。"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain(document: Document) -> tuple[str, str, dict[str, Any]]:
    payload = {key: value for key, value in document.payload.items() if key != SOURCE_KEY}
    return document.id, document.text, payload


def read(*paths: Any, **options: Any) -> list[tuple[str, str, dict[str, Any]]]:
    return [plain(document) for document in read_documents(paths, **options)]


def test_each_kind(folder: Path) -> None:
    (folder / "a.jsonl").write_text(
        '{"id": 7, "text": "一", "payload": {"n": 1}}\n\n{"text": "二", "n": 2}\n', encoding="utf-8"
    )
    (folder / "b.tsv").write_text("x\t三\t続き\n", encoding="utf-8")
    (folder / "sub").mkdir()
    (folder / "sub" / "C.TXT").write_text("四\r\n五", encoding="utf-8", newline="")
    (folder / "sub" / "ignored.png").touch()
    (folder / "d.csv").write_text('id,text,年\nq,"六,\n続き",2024\n,七,\n', encoding="utf-8")
    (folder / "e.tsv").write_text("年\ttext\tid\n2023\t八\tr\n", encoding="utf-8")
    first, second, *rest = read("a.jsonl", "b.tsv", "sub", "d.csv", "e.tsv")
    assert first == ("7", "一", {"n": 1})
    assert second == (second[0], "二", {"n": 2})
    assert second[0].startswith("a.jsonl:")
    assert rest == [
        ("x", "三\t続き", {}),
        ("sub/C.TXT", "四\n五", {"file": "sub/C.TXT"}),
        ("q", "六,\n続き", {"年": "2024"}),
        (rest[3][0], "七", {"年": ""}),
        ("r", "八", {"年": "2023"}),
    ]
    (document,) = read_documents(["sub"])
    assert document.payload[SOURCE_KEY] == {"root": folder.resolve().as_posix(), "file": "sub/C.TXT"}
    documents = read_documents(["a.jsonl", "none.jsonl"])
    assert next(documents).id == "7"
    with pytest.raises(InputError, match=r"none\.jsonl cannot be read"):
        list(documents)


SAMPLES = [TEXT, "猫", "会議は月曜日に開催されます。", "料金は月額980円（税込）です。", "ABC only", "ｶﾅ①㈱"]


APART = {("猫", "euc_jp"), ("ｶﾅ①㈱", "euc_jp")}  # its two bytes are a letter in UTF-8; it has no ① and ㈱


@pytest.mark.parametrize("text", SAMPLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932", "euc_jp"])
def test_encodings_of_windows_and_unix(folder: Path, text: str, encoding: str) -> None:
    if (text, encoding) in APART:
        return
    row = json.dumps({"id": "a1", "text": text}, ensure_ascii=False)
    (folder / "a.jsonl").write_text(row + "\n", encoding=encoding)
    (folder / "b.tsv").write_text(f"t1\t{text}\nt2\t{text}\n", encoding=encoding)
    (folder / "c.txt").write_text(text, encoding=encoding)
    (folder / "d.csv").write_text(f"id,text\nc1,{text}\n", encoding=encoding)
    for options in ({}, {"encoding": encoding}):
        assert read("a.jsonl", "b.tsv", "c.txt", "d.csv", **options) == [
            ("a1", text, {}),
            ("t1", text, {}),
            ("t2", text, {}),
            ("c.txt", text, {"file": "c.txt"}),
            ("c1", text, {}),
        ]


def test_a_file_in_no_encoding_and_an_unknown_one(folder: Path) -> None:
    (folder / "a.txt").write_bytes("東京".encode("cp932") + b"\x81")  # cut off in the middle of a character
    with pytest.raises(InputError, match=r"a\.txt is no text in UTF-8, .*--encoding"):
        read("a.txt")
    (folder / "b.txt").write_text(TEXT, encoding="cp932")
    with pytest.raises(InputError, match=r"b\.txt is not in the encoding 'utf-8'"):
        read("b.txt", encoding="utf-8")
    for encoding in ("klingon", "base64", "rot13", "undefined"):
        with pytest.raises(InputError, match=f"'{encoding}' is no encoding"):
            read("b.txt", encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-32", "iso2022_jp", "utf-8-sig"])
def test_encodings_of_mail_and_of_a_mark(folder: Path, encoding: str) -> None:
    (folder / "a.tsv").write_text(f"t1\t{TEXT}\n", encoding=encoding)
    assert read("a.tsv") == [("t1", TEXT, {})]
    assert read("a.tsv", encoding=encoding.removesuffix("-sig")) == [("t1", TEXT, {})]


def test_tables_lose_no_row(folder: Path) -> None:
    long = "東" * 200_000
    (folder / "a.csv").write_text(
        f'id,text\n1,{long}\n2,"bad"cell\n3,"two\nlines"\n4,"{TEXT}\n5,{TEXT}\n', encoding="utf-8"
    )
    told: list[str] = []
    reader = FileReader(bad=lambda where, _: told.append(where))
    assert [(d.id, d.text) for d in reader.read(["a.csv"])] == [("1", long), ("3", "two\nlines")]
    assert told == ["a.csv, line 3", "a.csv, line 6"]  # the second, whose quote is never closed, ends the file
    (folder / "b.csv").write_text(f"id,text,text\n1,{TEXT},{TEXT}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"b\.csv has more than one column 'text'"):
        read("b.csv")


def test_what_is_no_path(folder: Path) -> None:
    for path in ("a\0.jsonl", "~nobody-of-this-name/a.jsonl", "x" * 5_000 + ".txt"):
        with pytest.raises(InputError, match=r"is no path of a file|cannot be read"):
            read(path)


def test_keys_of_somebody_elses(folder: Path) -> None:
    (folder / "a.jsonl").write_text(json.dumps({"番号": 3, "本文": TEXT, "年": 2024}), encoding="utf-8")
    (folder / "b.csv").write_text(f"番号,本文\n4,{TEXT}\n", encoding="utf-8")
    options = {"text_key": "本文", "id_key": "番号"}
    assert read("a.jsonl", "b.csv", **options) == [("3", TEXT, {"年": 2024}), ("4", TEXT, {})]
    with pytest.raises(InputError, match=r"b\.csv has no column 'text' in its first line, but \['番号', '本文'\]"):
        read("b.csv")


def test_one_bad_row_ends_nothing(folder: Path) -> None:
    good = json.dumps({"id": "good", "text": TEXT})
    rows = ["{", "[1]", '{"text": 5}', good, '{"id": [1], "text": "x"}', "[" * 9_000, '{"id": true, "text": "x"}']
    (folder / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "b.tsv").write_text(f"no tab\nt\t{TEXT}\n\tno id\n", encoding="utf-8")
    (folder / "c.csv").write_text(f"id,text\n1,{TEXT}\n2\n3,{TEXT},more\n", encoding="utf-8")
    (folder / "d.bin").touch()
    (folder / "empty").mkdir()
    told: list[tuple[str, str]] = []
    reader = FileReader(bad=lambda where, reason: told.append((where, reason)))
    found = list(reader.read(["a.jsonl", "b.tsv", "c.csv", "d.bin", "empty", "none.txt"]))
    assert [document.id for document in found] == ["good", "t", "1"]
    assert [where for where, _ in told] == [
        *(f"a.jsonl, line {number}" for number in (1, 2, 3, 5, 6, 7)),
        "b.tsv, line 1", "b.tsv, line 3", "c.csv, line 3", "c.csv, line 4", "d.bin", "empty", "none.txt",
    ]  # fmt: skip
    assert all(reason and not reason.startswith(where + ":") for where, reason in told)
    assert reader.files == set()
    with pytest.raises(InputError, match=r"a\.jsonl, line 1: no JSON"):
        read("a.jsonl")


def test_a_file_is_the_same_however_it_is_named(folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_text(TEXT, encoding="utf-8")
    (folder / "docs" / "a.jsonl").write_text(json.dumps({"text": TEXT}), encoding="utf-8")
    ways = ["docs/a.txt", "./docs/a.txt", "docs/../docs/a.txt", folder / "docs" / "a.txt"]
    assert {read(way)[0][0] for way in ways} == {"docs/a.txt"}
    assert len({read(way.replace("txt", "jsonl"))[0][0] for way in map(str, ways)}) == 1
    outside = read("docs/a.txt", root=folder / "elsewhere")[0][0]
    assert outside == (folder / "docs" / "a.txt").resolve().as_posix()


def test_rows_without_ids_have_those_of_their_contents(folder: Path) -> None:
    for name in ("2023", "2024"):
        (folder / name).mkdir()
        (folder / name / "data.jsonl").write_text(
            "".join(json.dumps({"text": text}) + "\n" for text in (TEXT, "犬", TEXT)), encoding="utf-8"
        )
    ids = [document[0] for document in read("2023", "2024")]
    assert len(set(ids)) == 4  # the same row twice in a file is one document, in two files two
    file = folder / "2023" / "data.jsonl"
    file.write_text(json.dumps({"text": "新"}) + "\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert [document[0] for document in read("2023")][1:] == ids[:3]


def test_a_name_is_the_same_on_every_system(folder: Path) -> None:
    """macOS writes が as か and a mark, other systems as one character: a folder that is copied has the same ids."""
    composed = unicodedata.normalize("NFC", "がいど.txt")
    (folder / unicodedata.normalize("NFD", composed)).write_text(TEXT, encoding="utf-8")
    reader = FileReader()
    assert [document.id for document in reader.read(["."])] == [composed]
    assert reader.files == reader.there == {composed}


@pytest.mark.parametrize("byte", [0x80, 0xA0, 0xFD, 0xFE, 0xFF])
def test_bytes_that_stand_for_no_character_are_no_text(folder: Path, byte: int) -> None:
    """Python's cp932 takes them, and makes characters for private use of them."""
    (folder / "a.txt").write_bytes("東京".encode("cp932") + bytes([byte]))
    with pytest.raises(InputError, match="Say which encoding"):
        read("a.txt")


any_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
japanese = st.text("あいうえお日本語文書東京都猫、。ァアabc123 ", min_size=1, max_size=40)
quickly = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quickly
@given(
    rows=st.lists(st.tuples(any_text, any_text), max_size=5),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    suffix=st.sampled_from([".jsonl", ".csv", ".tsv"]),
)
def test_any_rows_come_back(folder: Path, rows: list[tuple[str, str]], encoding: str, suffix: str) -> None:
    if suffix == ".jsonl":
        lines = [json.dumps({"id": f"i{n}", "text": t, "k": k}, ensure_ascii=False) for n, (t, k) in enumerate(rows)]
        written = "".join(f"{line}\n" for line in lines)
    else:
        table = io.StringIO(newline="")
        rows = [(t.replace("\r", ""), k.replace("\r", "")) for t, k in rows]  # csv has one kind of line end
        out = csv.writer(table, delimiter="," if suffix == ".csv" else "\t", lineterminator="\n")
        out.writerows([("id", "text", "k"), *((f"i{n}", t, k) for n, (t, k) in enumerate(rows))])
        written = table.getvalue()
    (folder / f"a{suffix}").write_bytes(written.encode(encoding))
    assert read(f"a{suffix}") == [(f"i{n}", t, {"k": k}) for n, (t, k) in enumerate(rows)]


@quickly
@given(texts=st.lists(japanese, min_size=1, max_size=20), encoding=st.sampled_from(["euc_jp", "cp932", "iso2022_jp"]))
def test_japanese_encodings_are_found_out(folder: Path, texts: list[str], encoding: str) -> None:
    """What a file of one sentence or more holds; of a word alone, see ``benchmarks/encodings.py``."""
    whole = "東京都は日本の首都である。" + "\n".join(texts)
    (folder / "a.txt").write_bytes(whole.encode(encoding))
    assert read("a.txt")[0][1] == whole


@quickly
@given(
    good=st.lists(japanese, min_size=1, max_size=4),
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4)), min_size=1, max_size=4),
    suffix=st.sampled_from([".jsonl", ".csv", ".tsv", ".txt"]),
)
def test_damaged_files_end_in_documents_or_typed_errors(
    folder: Path, good: list[str], damage: list[tuple[int, bytes]], suffix: str
) -> None:
    """Nothing else comes out, with somebody to tell or without; and what is told of names the file."""
    lines = {
        ".jsonl": [json.dumps({"id": f"i{n}", "text": text}) for n, text in enumerate(good)],
        ".csv": ["id,text", *(f"i{n},{text}" for n, text in enumerate(good))],
        ".tsv": [f"i{n}\t{text}" for n, text in enumerate(good)],
        ".txt": good,
    }[suffix]
    content = bytearray("\n".join(lines).encode())
    for place, inserted in damage:
        at = place % (len(content) + 1)
        content[at : at + len(inserted) // 2] = inserted
    (folder / f"a{suffix}").write_bytes(content)
    told: list[str] = []
    for document in FileReader(bad=lambda where, why: told.append(where)).read([f"a{suffix}"]):
        assert isinstance(document.id, str)
        assert isinstance(document.text, str)
    assert all(where.startswith(f"a{suffix}") for where in told)
    try:
        read(f"a{suffix}")
    except InputError:
        assert told
    else:
        assert not told
