"""docs/server.md: its Python runs against an imitated server and prints what the page says; commands and links hold."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations.cli.main import parser
from jacolbert_integrations.llama_index.indexes import OUR_INDEXES
from jacolbert_integrations.qdrant.indexes import TYPES
from jacolbert_integrations.qdrant.points import VERSION_KEY
from jacolbert_integrations.qdrant.retrying import Retries
from jacolbert_integrations.qdrant.versions import ADDED_VECTORS, NEEDED, TURBO, TURBO4, TURBO_QUANTIZATION
from jacolbert_integrations.stores.server_options import ServerOptions

from .qdrant.rest_server import Backend, serving

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
WORDS = " ".join(TEXT.split())
COMMANDS = [
    line for language, code in BLOCKS if language == "sh" for line in code.splitlines() if line.startswith("jacolbert")
]
OPTIONS = re.findall(r"^\|.*\| `(--.*?)` \|$", TEXT, re.MULTILINE)


def test_python_blocks_print_what_follows_them(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QDRANT_API_KEY", raising=False)
    monkeypatch.delenv("QDRANT_API_KEY_FILE", raising=False)
    backend.strict = {"indexed": True}
    names: dict[str, Any] = {}
    ran = 0
    with serving(backend) as port:
        monkeypatch.setenv("QDRANT_URL", f"http://127.0.0.1:{port}")
        for (language, code), (following, expected) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
            if language != "python":
                continue
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, "server.md", "exec"), names)
            assert printed.getvalue() == (expected if following == "text" else "")
            ran += 1
        assert ran == sum(language == "python" for language, _ in BLOCKS) == 3
        made = {index["field_name"]: index["field_schema"] for index in backend.indexes}
        assert made == {**OUR_INDEXES, VERSION_KEY: "integer", "year": "integer", "published": "datetime"}
        backend.sent = []
        names["over_large"].add([names["TextNode"](text="猫は眠る。")])
        (made,) = [sent.body for sent in backend.sent if sent.method == "PUT" and sent.path == "/collections/large"]
        names["vector_store"].close()
        names["client"].close()
    wanted = {"shard_number": 6, "replication_factor": 3, "write_consistency_factor": 2, "on_disk_payload": True}
    assert {name: made[name] for name in wanted} == wanted
    assert made["vectors"]["colbert"]["on_disk"] is True
    assert made["vectors"]["colbert"]["quantization_config"]["scalar"] == {"type": "int8", "always_ram": True}
    reads = [sent for sent in backend.sent if sent.method == "POST" and sent.path == "/collections/large/points"]
    assert reads
    assert all(sent.parameters["consistency"] == "quorum" for sent in reads)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(line: str) -> None:
    command = shlex.split(line, comments=True)
    assert parser().parse_args(command[1:]).command == command[1]


@pytest.mark.parametrize("options", OPTIONS)
def test_options(options: str) -> None:
    name, *values = shlex.split(options)
    asked = [name, *(values or ["9"])] if name != "--grpc" else [name]
    assert parser().parse_args(["search", "猫", *asked])


def test_every_option_of_a_server_is_in_the_table() -> None:
    assert len(OPTIONS) == 7
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    for name in set(vars(ServerOptions())) - {"prefer_grpc", "check_compatibility"}:
        assert f"`{name}" in table


def test_what_is_indexed_is_named() -> None:
    for key in (*OUR_INDEXES, VERSION_KEY):
        assert f"`{key}`" in TEXT
    assert set(re.findall(r"^\| [^|]+ \| `([a-z]+)` \|$", TEXT, re.MULTILINE)) < set(TYPES)


def test_versions() -> None:
    assert f"The oldest server that works is {NEEDED.release}." in WORDS
    assert ADDED_VECTORS.release == TURBO_QUANTIZATION.release
    assert f"and TurboQuant need {ADDED_VECTORS.release}, " in WORDS
    assert f"the data type turbo4 {TURBO4.release}, turbo8 and turbo16 {TURBO.release}." in WORDS


def test_retries() -> None:
    assert Retries().times == 8
    assert Retries().longest_pause == 30
    assert "sent again eight times, with pauses of up to 30 seconds" in WORDS


@pytest.mark.parametrize("name", ["README.md", "docs/server.md"])
def test_links_lead_somewhere(name: str) -> None:
    file = ROOT / name
    links = re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (file.parent / link).exists(), link
