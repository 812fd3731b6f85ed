"""Every block of the README runs, and prints what the README says it prints."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.cli.main import main, parser
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import QuestionSet

from .conftest import JAQUAD_EXCERPT

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
FAST = {"jacolbert demo": ["--sample", "5", "--show", "1"], "jacolbert evaluate": ["--sample", "20"]}
PARSED = ("train", "negatives", "teach", "merge",  # run by examples/post_training.sh, on small data
          "index", "search", "delete", "reindex", "stats", "export", "import",  # and these by the tests of cli
          "centroids", "download")  # fmt: skip

FILES = {  # that commands of the README name
    "規程.csv": "番号,本文\n1,東京は首都である。\n2,富士山は高い。\n",
    "質問.csv": "番号,本文,passage_id\na,首都は？,1\n",
    "p.jsonl": '{"id": "1", "text": "東京は首都である。"}\n{"id": "2", "text": "富士山は高い。"}\n',
    "q.jsonl": '{"id": "a", "text": "首都は？"}\n',
    "qrels.txt": "a 0 1 1\n",
    "theirs.txt": "a Q0 2 1 1.0 theirs\n",
}


def test_there_is_no_block_that_nobody_runs() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "text", "sh"}
    assert sum(language == "python" for language, _ in BLOCKS) >= 4


def test_nothing_is_left_to_fill_in() -> None:
    for name in ("README.md", "CHANGELOG.md"):
        assert not re.search("@@|TODO|TBD", (ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.usefixtures("small_by_default")
def test_python_blocks_print_what_follows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    compared = 0
    for (language, code), (following, expected) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        if following == "text":
            assert printed.getvalue() == expected
            compared += 1
        else:
            assert printed.getvalue() == ""
    assert compared >= 3
    names["client"].close()


@pytest.mark.parametrize("line", [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()])
def test_commands(
    line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(name).write_text(content, encoding="cp932" if name.endswith(".csv") else "utf-8")
    shutil.copy(JAQUAD_EXCERPT, "dev.json")
    whole = load_jsquad()
    some = {passage.id for passage in whole.passages[:20]}
    part = QuestionSet(whole.passages[:20], [q for q in whole.questions if q.passage_id in some])
    monkeypatch.setattr("jacolbert_integrations.evaluation.named.load_jsquad", lambda: part)
    command = shlex.split(line, comments=True)
    if command[0] == "make":
        make = shutil.which("make")
        assert make is not None, "make is not installed"
        subprocess.run([make, "--dry-run", *command[1:]], cwd=ROOT, check=True, capture_output=True)
    elif command[0] == "jacolbert" and command[1] in PARSED and "--show" not in command:
        assert parser().parse_args(command[1:]).command == command[1]
    elif command[0] == "jacolbert":
        assert main([*command[1:], *FAST.get(" ".join(command[:2]), [])]) == 0
    elif command[:2] == ["pip", "install"]:
        extras = re.findall(r"\[(.*?)\]", command[2])
        declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert all(re.search(rf"^{name} = \[", declared, re.MULTILINE) for extra in extras for name in extra.split(","))
    else:
        assert command[:3] == ["python", "-m", "jacolbert_integrations.training"]
        assert "--output" in command
