"""The example of a server: its application answers, its compose file is sound, and its page says what is true."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from jacolbert_integrations.cli.main import parser
from jacolbert_integrations.llama_index.indexes import OUR_INDEXES
from jacolbert_integrations.qdrant.points import VERSION_KEY
from jacolbert_integrations.qdrant.versions import NEEDED, parse_version
from jacolbert_integrations.stores.server_options import ServerOptions

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "server"
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("app", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def address(app: ModuleType) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("QDRANT_URL", raising=False)
        notices = app.opened()
    server = app.serve(notices, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def asked(address: str, path: str) -> tuple[int, Any]:
    try:
        with urlopen(f"{address}{path}") as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_application_answers(address: str) -> None:
    status, hits = asked(address, f"/search?q={quote('図書館の休みはいつですか')}")
    assert status == 200
    assert hits[0]["text"].startswith("図書館は")
    _, hits = asked(address, f"/search?q={quote('図書館の休みはいつですか')}&since=2024")
    assert {hit["year"] for hit in hits} == {2024, 2025}


@pytest.mark.parametrize("path", ["/search", "/search?q=", "/search?q=%20", "/search?q=a&since=b"])
def test_bad_questions(address: str, path: str) -> None:
    assert asked(address, path)[0] == 400


def test_other_paths(address: str) -> None:
    assert asked(address, "/")[0] == 404


def test_the_compose_file() -> None:
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    qdrant, application = services["qdrant"], services["application"]
    version = parse_version(qdrant["image"].partition(":")[2])
    assert version is not None
    assert version >= NEEDED.since
    assert "qdrant:/qdrant/storage" in qdrant["volumes"]
    assert "/readyz" in qdrant["healthcheck"]["test"][-1]
    assert application["depends_on"]["qdrant"]["condition"] == "service_healthy"
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        keys = [value for name, value in service["environment"].items() if "KEY" in name]
        assert all(value.startswith("${QDRANT_API_KEY:?") for value in keys)
    assert re.search(r"^QDRANT_API_KEY=$", (EXAMPLE / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page() -> None:
    """Its code runs, its options are there, and what it says is indexed is."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "server.md", "exec"), names)
    assert names["store"].indexes == {"year": "integer"}
    options = parser().parse_args(["stats"])
    for name in re.findall(r"`--([a-z-]+)`", PAGE):
        assert hasattr(options, name.replace("-", "_")), name
    for name in ("prefer_grpc", "grpc_port", "timeout", "prefix", "verify", "headers", "api_key_file"):
        assert f"`{name}`" in PAGE
        assert name in ServerOptions.__dataclass_fields__
    assert all(f"`{key}`" in PAGE for key in (*OUR_INDEXES, VERSION_KEY))
    assert f"Qdrant {NEEDED.release} and later" in PAGE
    for target in re.findall(r"\]\((\.\./[^)]*)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
