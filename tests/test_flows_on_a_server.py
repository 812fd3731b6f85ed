"""The README, the notebook and the examples as they are, but with a server's collections in the place of folders.

They run over both protocols and in strict mode (``make test-server``), and print what they print in a folder.
"""

from __future__ import annotations

import contextlib
import io
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from qdrant_client import QdrantClient

from jacolbert_integrations.qdrant import edge_store
from jacolbert_integrations.qdrant.edge import client as edge_client
from jacolbert_integrations.qdrant.versions import TURBO4, parse_version, server_version

from .server import WAYS, OwnNames, opened
from .test_readme import BLOCKS

pytestmark = pytest.mark.skipif(not WAYS, reason="needs a Qdrant server: make test-server")
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(params=WAYS or ["no server"])
def on_a_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[QdrantClient]:
    """What opens a folder opens a server, whose collections are the same however often it is opened."""
    monkeypatch.chdir(tmp_path)
    with opened(request.param) as client:
        assert isinstance(client, OwnNames)
        clients: list[QdrantClient] = []

        def open_folder(_: object) -> QdrantClient:
            clients.append(client.again())
            return clients[-1]

        monkeypatch.setattr(edge_store, "EdgeClient", open_folder)
        monkeypatch.setattr(edge_client, "EdgeClient", open_folder)
        yield client
        for each in clients:
            each.close()


def printed(run: Callable[[], object]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        run()
    return out.getvalue()


@pytest.mark.usefixtures("small_by_default")
def test_the_readme(on_a_server: QdrantClient) -> None:
    names: dict[str, Any] = {}
    for (language, code), (following, expected) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if (parse_version(server_version(on_a_server)) or TURBO4.since) < TURBO4.since:
            code = code.replace("TURBO4", "FLOAT16")
        if language == "python":
            said = printed(lambda code=code: exec(compile(code, "README.md", "exec"), names))  # type: ignore[misc]
            assert said == (expected if following == "text" else "")


@pytest.mark.usefixtures("on_a_server")
@pytest.mark.parametrize("name", ["quickstart", "rag", "chat_with_filters", "hybrid_reranking", "stores"])
def test_an_example(name: str) -> None:
    assert printed(lambda: runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__"))


@pytest.mark.usefixtures("on_a_server", "small_by_default")
def test_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    notebook: Any = nbformat.read(EXAMPLES / "jacolbert_in_llama_index.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    names: dict[str, Any] = {"display": lambda *_: None}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            printed_there = printed(lambda cell=cell: exec(compile(cell.source, "notebook", "exec"), names))  # type: ignore[misc]
            said = "".join(line for line in printed_there.splitlines(keepends=True) if not line.startswith("<IPython"))
            kept = "".join(output.text for output in cell.outputs if output.output_type == "stream")
            assert said == kept, cell.source
    names["folder"].cleanup()
