"""Everything that decides a checkpoint's vectors is there and can be, or it does not load: nothing takes its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.layouts import SETTINGS_KEY
from jacolbert_integrations.errors import CheckpointError, CorruptCheckpointError, IncompleteCheckpointError

from ..conftest import PYLATE

Change = Callable[..., None]


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A save of the pipeline, in sentence-transformers' layout with our own module."""
    JaColBERT.from_pretrained(PYLATE).model.save_pretrained(str(tmp_path / "ours"))
    return tmp_path / "ours"


@pytest.mark.parametrize("kind", ["stanford", "pylate", "ours"])
def test_without_the_tokenizers_configuration(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue({"ours": "ours"}.get(kind, f"{kind}_copy"))
    JaColBERT.from_pretrained(folder)
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer.json").unlink(missing_ok=True)
    with pytest.raises(IncompleteCheckpointError, match=r"neither tokenizer_config\.json nor tokenizer"):
        JaColBERT.from_pretrained(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("document_maxlen", -1), ("document_maxlen", "300"), ("document_maxlen", True), ("query_maxlen", 0),
        ("query_length", "bogus"), ("query_length", 5), ("query_marker", 7), ("document_marker", None),
        ("skiplist", "abc"), ("skiplist", [1]), ("query_expansion", "no"), ("attend_to_mask_tokens", 1),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(ours: Path, key: str, value: Any) -> None:
    file = ours / "sentence_bert_config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content[SETTINGS_KEY][key] = value
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CorruptCheckpointError, match=key):
        JaColBERT.from_pretrained(ours)


@pytest.mark.parametrize("kind", ["pylate_copy", "ours"])
def test_modules_that_would_be_left_out(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    file = folder / "modules.json"
    modules = json.loads(file.read_text(encoding="utf-8"))
    odd = {"idx": len(modules), "name": "x", "path": "9_Odd", "type": "somebody.elses.Whitening"}
    file.write_text(json.dumps([*modules, odd]), encoding="utf-8")
    with pytest.raises(
        IncompleteCheckpointError, match=r"names 'somebody\.elses\.Whitening', which this package cannot"
    ):
        JaColBERT.from_pretrained(folder)


@pytest.mark.parametrize("name", ["somebody.elses.Swish", "torch.nn.Tanh", "torch.tanh", 5, "os.system"])
@pytest.mark.parametrize("trust", [False, True])
def test_activations_that_would_become_another(pylate_copy: Path, change_json: Change, name: Any, trust: bool) -> None:
    change_json(pylate_copy / "1_Dense" / "config.json", activation_function=name)
    with pytest.raises(CorruptCheckpointError, match="activation"):
        JaColBERT.from_pretrained(pylate_copy, trust_remote_code=trust)


def test_without_the_main_configuration(ours: Path) -> None:
    (ours / "config_sentence_transformers.json").unlink()
    with pytest.raises(IncompleteCheckpointError, match=r"config_sentence_transformers\.json is missing"):
        JaColBERT.from_pretrained(ours)


@pytest.mark.parametrize("layers", [10**7, 10**30, 3, "2", 1.5])
@pytest.mark.parametrize("kind", ["stanford_copy", "pylate_copy"])
def test_more_layers_than_weights(kind: str, request: pytest.FixtureRequest, change_json: Change, layers: Any) -> None:
    folder: Path = request.getfixturevalue(kind)
    change_json(folder / "config.json", num_hidden_layers=layers)
    with pytest.raises(CheckpointError):
        JaColBERT.from_pretrained(folder)


@pytest.mark.parametrize("name", ["hidden_act", "hidden_activation"])
def test_an_activation_that_is_no_name(mini: JaColBERT, tmp_path: Path, change_json: Change, name: str) -> None:
    mini.model.save_pretrained(str(tmp_path))
    change_json(tmp_path / "config.json", **{name: 5})
    with pytest.raises(CorruptCheckpointError, match=f"has 5 under '{name}', but the name of an activation"):
        JaColBERT.from_pretrained(tmp_path)


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "a/../../b.safetensors", 5])
def test_weights_outside_of_the_checkpoint(stanford_copy: Path, shard: Any) -> None:
    (stanford_copy / "model.safetensors").rename(stanford_copy.parent / "outside.safetensors")
    index = {"weight_map": {"linear.weight": shard}}
    (stanford_copy / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CorruptCheckpointError, match=r"weight_map|not beside it"):
        JaColBERT.from_pretrained(stanford_copy)


@pytest.mark.parametrize(
    "change", [{"hidden_act": "nonsense"}, {"hidden_act": 5}, {"hidden_size": "x"}, {"vocab_size": -1}]
)
@pytest.mark.parametrize("kind", ["stanford_copy", "pylate_copy"])
def test_configurations_that_no_model_has(
    kind: str, request: pytest.FixtureRequest, change_json: Change, change: dict[str, Any]
) -> None:
    folder: Path = request.getfixturevalue(kind)
    change_json(folder / "config.json", **change)
    with pytest.raises(CheckpointError):
        JaColBERT.from_pretrained(folder)
