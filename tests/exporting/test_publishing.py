"""Model cards, and uploads to a stand-in for the hub."""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.utils._paths import filter_repo_objects
from safetensors.torch import load_file

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint
from jacolbert_integrations.cli import export as command
from jacolbert_integrations.errors import CheckpointError, InputError, JaColBERTError
from jacolbert_integrations.evaluation.metrics import RetrievalMetrics
from jacolbert_integrations.exporting.hub import push_to_hub
from jacolbert_integrations.training.cards import (
    DataSource,
    MetricsTable,
    ModelFacts,
    model_card,
    package_versions,
    recipe_choices,
    retrieval_table,
)

from ..conftest import MINI, STANFORD

TOKEN = "hf_" + "t" * 30
CARD = model_card(ModelFacts(name="my-colbert", licence="mit"))


@dataclass(frozen=True)
class SmallRecipe:
    name: str = "small"
    teacher: str | None = None
    data: str = ""
    steps: int = 50_000
    learning_rate: float = 3e-05
    losses: dict[str, float] = field(default_factory=lambda: {"kl": 1.0, "in_batch": 0.5})
    dimensions: tuple[int, ...] = (96, 64)
    sources: dict[str, str] = field(default_factory=lambda: {"steps": "arXiv 2407.20750"})


FACTS = ModelFacts(
    name="my-colbert",
    licence="cc-by-sa-4.0",
    summary="A model: it ranks.",
    base_model="tohoku-nlp/bert-base-japanese-v3",
    data=(
        DataSource(name="MMARCO-ja", licence="Apache 2.0", size="8 M rows", origin="A | B", hub_id="unicamp/mmarco"),
        DataSource(name="JSQuAD", licence="CC BY-SA 4.0", use="evaluation", hub_id="shunk031/JGLUE"),
    ),
    recipe=recipe_choices(SmallRecipe()),
    recipe_sources=SmallRecipe().sources,
    metrics=(
        MetricsTable(("set", "questions", "NDCG@10"), (("JQaRA", 1667, 0.64216),), "As the benchmark measures it."),
        retrieval_table({"JSQuAD": RetrievalMetrics(4442, {1: 0.9301, 5: 0.98209}, 0.95)}),
    ),
    training_time="15.5 hours on 4 A100",
    versions={"torch": "2.13.0", "transformers": "5.23.0"},
    usage="from jacolbert_integrations import JaColBERT",
    reproduce=("jacolbert train v2.5", "jacolbert merge a b"),
)


def test_a_card_says_what_is_known() -> None:
    card = model_card(FACTS)
    data: Any = ModelCard(card).data
    assert data.to_dict() == {
        "language": "ja",
        "license": "cc-by-sa-4.0",
        "base_model": "tohoku-nlp/bert-base-japanese-v3",
        "datasets": ["unicamp/mmarco"],
        "pipeline_tag": "feature-extraction",
        "tags": ["ColBERT", "late-interaction", "retrieval"],
    }
    for line in (
        "# my-colbert",
        "A model: it ranks.",
        "| JQaRA | 1,667 | 0.642 |",
        "As the benchmark measures it.",
        "| set | questions | R@1 | R@5 | MRR@10 |",
        "| JSQuAD | 4,442 | 0.930 | 0.982 | 0.950 |",
        r"| [MMARCO-ja](https://huggingface.co/datasets/unicamp/mmarco) | training | 8 M rows | A \| B | Apache 2.0 |",
        "| steps | 50000 | arXiv 2407.20750 |",
        "| learning_rate | 3e-05 |  |",
        "| losses | kl 1.0, in_batch 0.5 |  |",
        "| dimensions | 96, 64 |  |",
        "| teacher | none |  |",
        "Trained in 15.5 hours on 4 A100, with torch 2.13.0, transformers 5.23.0.",
        "jacolbert merge a b",
    ):
        assert line in card.splitlines(), line
    assert "| data |  |" not in card


def test_a_card_makes_nothing_up() -> None:
    text = ModelCard(CARD).text
    assert text.strip() == "# my-colbert"
    for name, licence in (("", "mit"), ("a", " ")):
        with pytest.raises(InputError, match=r"the (name|licence) of a model card is empty"):
            ModelFacts(name=name, licence=licence)
    with pytest.raises(InputError, match=r"the row \('a', 1\) has 2 cells for the 3 columns"):
        MetricsTable(("set", "k", "R"), (("a", 1),))
    with pytest.raises(InputError, match="one set of columns"):
        retrieval_table({"a": RetrievalMetrics(1, {1: 1.0}, 1.0), "b": RetrievalMetrics(1, {5: 1.0}, 1.0)})


def test_front_matter_holds_whatever_the_facts_hold() -> None:
    facts = ModelFacts(name="a", licence="other: [x]", tags=("日本語", "a: b\n---\nlicense: mit"))
    data = ModelCard(model_card(facts)).data
    assert data.get("license") == "other: [x]"
    assert data.get("tags") == ["日本語", "a: b\n---\nlicense: mit"]


def test_versions_are_those_installed() -> None:
    # The package's record has the public version alone; torch itself names its build, too, such as "+cu130" or "+cpu".
    (version,) = package_versions(("torch",)).values()
    assert version.partition("+")[0] == torch.__version__.partition("+")[0]
    assert list(package_versions()) == ["jacolbert-integrations", "sentence-transformers", "transformers", "torch"]


class FakeApi:
    """Keeps what it is told, and holds the uploaded files as a hub would."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}
        self.error = error

    def create_repo(self, repo_id: str, **options: Any) -> SimpleNamespace:
        self.calls.append(("create_repo", {"repo_id": repo_id} | options))
        if self.error is not None:
            raise self.error
        return SimpleNamespace(repo_id=repo_id if "/" in repo_id else f"me/{repo_id}")

    def create_branch(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("create_branch", {"repo_id": repo_id} | options))

    def upload_folder(self, *, folder_path: Path, ignore_patterns: list[str], **options: Any) -> SimpleNamespace:
        self.calls.append(("upload_folder", options))
        names = [file.relative_to(folder_path).as_posix() for file in folder_path.rglob("*") if file.is_file()]
        for name in filter_repo_objects(names, ignore_patterns=ignore_patterns):
            self.files[name] = (folder_path / name).read_bytes()
        return SimpleNamespace(commit_url="https://hub/commit/1", pr_url="https://hub/discussions/2")


def push(api: FakeApi, model: JaColBERT | Path, repo_id: str = "me/model", **options: Any) -> str:
    return push_to_hub(model, repo_id, api=cast("HfApi", api), **options)


@pytest.fixture
def carded(stanford_copy: Path) -> Path:
    (stanford_copy / "README.md").write_text(CARD, encoding="utf-8")
    return stanford_copy


def test_a_model_is_uploaded_with_its_card(mini: JaColBERT, tmp_path: Path) -> None:
    api = FakeApi()
    url = push(api, mini, "mini", card=CARD, layout="pylate", dtype="float16", token=TOKEN)
    assert url == "https://hub/commit/1"
    assert api.calls == [
        ("create_repo", {"repo_id": "mini", "token": TOKEN, "private": None, "exist_ok": True}),
        ("upload_folder", {"repo_id": "me/mini", "token": TOKEN, "revision": None, "create_pr": False,
                           "commit_message": "Upload ColBERT checkpoint (PyLate layout)"}),
    ]  # fmt: skip
    for name, content in api.files.items():
        (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / name).write_bytes(content)
    assert JaColBERT.from_pretrained(tmp_path / "hub").fingerprint == mini.fingerprint
    assert api.files["README.md"].decode() == CARD
    assert not any(TOKEN.encode() in content for content in api.files.values())


def test_branches_and_pull_requests(carded: Path) -> None:
    api = FakeApi()
    push(api, carded, private=True, revision="v2", commit_message="Second")
    assert [name for name, _ in api.calls] == ["create_repo", "create_branch", "upload_folder"]
    assert api.calls[0][1]["private"] is True
    assert api.calls[1][1] == {"repo_id": "me/model", "branch": "v2", "token": None, "exist_ok": True}
    assert (api.calls[2][1]["revision"], api.calls[2][1]["commit_message"]) == ("v2", "Second")
    api = FakeApi()
    assert push(api, carded, create_pr=True) == "https://hub/discussions/2"
    assert [name for name, _ in api.calls] == ["create_repo", "upload_folder"]
    push(api, carded, revision="refs/pr/2")
    assert "create_branch" not in [name for name, _ in api.calls]
    with pytest.raises(InputError, match="leave out revision='v2', or create_pr"):
        push(api, carded, create_pr=True, revision="v2")


def test_what_stays_at_home(carded: Path) -> None:
    for name in ("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state.pth", "rng_state_0.pth",
                 "training_args.bin", "trainer_state.json", "pytorch_model.bin", "old/notes.pkl", ".env",
                 "sub/.netrc", "checkpoint-5/model.safetensors", "runs/events.out.tfevents.1", "a.ckpt"):  # fmt: skip
        (carded / name).parent.mkdir(exist_ok=True)
        (carded / name).write_text("x")
    api = FakeApi()
    push(api, carded)
    assert sorted(api.files) == [
        "README.md",
        "artifact.metadata",
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


def test_what_is_not_published(stanford_copy: Path, mini: JaColBERT, tmp_path: Path) -> None:
    api = FakeApi()
    with pytest.raises(InputError, match=r"has no README\.md\. A published model needs a card"):
        push(api, stanford_copy)
    with pytest.raises(InputError, match="a model needs a card to be published"):
        push(api, mini)
    with pytest.raises(InputError, match="brings its own card"):
        push(api, stanford_copy, card=CARD)
    for card, message in (
        ("# no front matter", "names no licence"),
        ("---\nlanguage: ja\n---\n", "names no licence"),
        ("---\nlicense: [a\n---\n", "no valid YAML of a model card"),
        ("---\n- license\n---\n", "no valid YAML of a model card"),
    ):
        (stanford_copy / "README.md").write_text(card)
        with pytest.raises(InputError, match=message):
            push(api, stanford_copy)
        with pytest.raises(InputError, match=message):
            push(api, mini, card=card)
    with pytest.raises(CheckpointError, match=r"neither config\.json nor modules\.json"):
        push(api, tmp_path)
    (stanford_copy / "README.md").write_text(CARD)
    torch.save(load_file(stanford_copy / "model.safetensors"), stanford_copy / "pytorch_model.bin")
    (stanford_copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="has no safetensors weights, and pickles are not published"):
        push(api, stanford_copy)
    assert api.calls == []


@pytest.mark.parametrize("token", ["", f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN}\x00", "hf_あ"])
def test_a_token_that_the_network_would_quote(carded: Path, token: str) -> None:
    with pytest.raises(InputError, match="the token is empty, or has white space") as error:
        push(FakeApi(), carded, token=token)
    assert not token.strip() or token.strip() not in str(error.value)


class Hub(BaseHTTPRequestHandler):
    """The few addresses of the hub that an upload asks for."""

    refuse: ClassVar[int | None] = None
    files: ClassVar[dict[str, bytes]] = {}
    tokens: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.tokens.add(self.headers.get("authorization", ""))
        where = f"http://{self.headers['Host']}"
        if self.refuse is not None:
            self._answer({"error": "no"}, self.refuse)
        elif self.path == "/api/repos/create":
            self._answer({"url": f"{where}/me/{json.loads(body)['name']}"})
        elif self.path == "/api/validate-yaml":  # of the card
            self._answer({"errors": [], "warnings": []})
        elif self.path == "/api/models/me/model/preupload/main":
            asked = json.loads(body)["files"]
            self._answer({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False,
                                     "oid": None} for f in asked]})  # fmt: skip
        elif self.path.startswith("/api/models/me/model/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer({"commitOid": "c" * 40, "commitUrl": f"{where}/me/model/commit/{'c' * 40}", "hookOutput": ""})
        else:
            self._answer({"error": f"nothing at {self.path}"}, 404)

    def do_GET(self) -> None:
        self._answer({"error": f"nothing at {self.path}"}, 404)

    def _answer(self, content: Any, status: int = 200) -> None:
        answer = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(Hub, "refuse", None)
    monkeypatch.setattr(Hub, "files", {})
    monkeypatch.setattr(Hub, "tokens", set())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http(hub: str, carded: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (carded / "optimizer.pt").write_text("x")
    with caplog.at_level("DEBUG"):
        url = push_to_hub(carded, "model", token=TOKEN, api=HfApi(endpoint=hub))
    assert url == f"{hub}/me/model/commit/{'c' * 40}"
    assert Hub.tokens == {f"Bearer {TOKEN}"}
    assert TOKEN not in caplog.text
    for name, content in Hub.files.items():
        (tmp_path / "downloaded").mkdir(exist_ok=True)
        (tmp_path / "downloaded" / name).write_bytes(content)
    assert inspect_checkpoint(tmp_path / "downloaded").layout is Layout.STANFORD
    assert (tmp_path / "downloaded" / "model.safetensors").read_bytes() == (STANFORD / "model.safetensors").read_bytes()
    assert "optimizer.pt" not in Hub.files


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "'me/model' cannot be pushed to: "), (403, "the token has no right to write there")],
)
def test_a_hub_that_refuses(hub: str, carded: Path, monkeypatch: pytest.MonkeyPatch, status: int, message: str) -> None:
    monkeypatch.setattr(Hub, "refuse", status)
    with pytest.raises(InputError, match=message) as error:
        push_to_hub(carded, "me/model", token=TOKEN, api=HfApi(endpoint=hub))
    assert TOKEN not in str(error.value)


def test_a_hub_that_fails(carded: Path) -> None:
    with pytest.raises(JaColBERTError, match=r"did not take the upload to 'me/model' \(TimeoutError: slow\)"):
        push(FakeApi(TimeoutError("slow")), carded)
    with pytest.raises(JaColBERTError, match="OfflineModeIsEnabled"):
        push_to_hub(carded, "me/model", token=TOKEN)  # HF_HUB_OFFLINE is set
    with pytest.raises(InputError, match="no valid name of a repository"):
        push_to_hub(carded, "no/valid/name", token=TOKEN)


def test_the_command_publishes(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jacolbert_integrations.exporting.hub.HfApi", lambda: HfApi(endpoint=hub, token=TOKEN))
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers())
    parsed = parser.parse_args(["export", "--output", str(tmp_path / "mini"), "--push-to", "me/model", "--private"])
    parsed.run(parsed)
    assert f"Uploaded: {hub}/me/model/commit/" in capsys.readouterr().out
    assert Hub.files["README.md"] == (MINI / "README.md").read_bytes()
    shutil.rmtree(tmp_path / "mini")
