"""Checkpoints that are not right: each a typed error that says what was found, and what to do."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.constants import REPO_ID_SEPARATOR
from safetensors.torch import load_file, save_file

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint, stanford_settings
from jacolbert_integrations.encoding.saving import save_stanford
from jacolbert_integrations.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    IncompleteCheckpointError,
    InputError,
    RemoteCodeError,
    UnknownLayoutError,
)
from jacolbert_integrations.explaining import find_matches

from ..conftest import PYLATE, STANFORD

Change = Callable[..., None]


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_recognised_by_contents_never_by_name(stanford_copy: Path, change_json: Change) -> None:
    for architectures in (["HF_ColBERT"], ["BertModel"], ["Anything"], None):
        change_json(stanford_copy / "config.json", architectures=architectures)
        assert inspect_checkpoint(stanford_copy).layout is Layout.STANFORD
    assert inspect_checkpoint(PYLATE).layout is Layout.PYLATE


def test_settings_come_from_the_files() -> None:
    settings = stanford_settings({"doc_maxlen": 228, "schedule_free": True, "unheard_of": {"a": 1}})
    assert (settings.document_maxlen, settings.query_maxlen) == (228, 32)
    assert (settings.query_marker, settings.document_marker) == ("[unused0]", "[unused1]")
    assert not settings.attend_to_mask_tokens
    assert len(settings.skiplist) == 32
    other = stanford_settings(
        {"doc_maxlen": 300, "query_maxlen": 48, "query_token_id": "[Q]", "attend_to_mask_tokens": True,
         "mask_punctuation": False, "query_length": "paper"}
    )  # fmt: skip
    assert (other.query_maxlen, other.query_marker, other.skiplist, other.query_length) == (48, "[Q]", (), "paper")
    assert other.attend_to_mask_tokens


@pytest.mark.parametrize("doc_maxlen", [228, 256, 300])
def test_document_length_is_the_checkpoints_own(stanford_copy: Path, change_json: Change, doc_maxlen: int) -> None:
    change_json(stanford_copy / "artifact.metadata", doc_maxlen=doc_maxlen)
    model = JaColBERT.from_pretrained(stanford_copy)
    assert model.document_maxlen == doc_maxlen
    with pytest.warns(UserWarning, match=f"the {doc_maxlen} tokens"):
        assert len(model.encode_document(["猫が好き。" * 100])[0]) == doc_maxlen


def test_a_recorded_query_length_rule_is_kept(stanford_copy: Path, change_json: Change, tmp_path: Path) -> None:
    change_json(stanford_copy / "artifact.metadata", query_length="paper")
    model = JaColBERT.from_pretrained(stanford_copy)
    assert model.query_length == "paper"
    model.save_pretrained(tmp_path / "saved")
    assert JaColBERT.from_pretrained(tmp_path / "saved").query_length == "paper"
    assert JaColBERT.from_pretrained(stanford_copy, query_length="fixed").query_length == "fixed"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"'.*absent' is no directory\. Give the directory"):
        JaColBERT.from_pretrained(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointNotFoundError, match="is a file"):
        JaColBERT.from_pretrained(tmp_path / "file")
    with pytest.raises(UnknownLayoutError, match=r"holds file, but neither config.json nor modules.json"):
        JaColBERT.from_pretrained(tmp_path)


def test_a_plain_backbone_gets_no_made_up_projection(stanford_copy: Path) -> None:
    (stanford_copy / "artifact.metadata").unlink()
    with pytest.raises(IncompleteCheckpointError, match=r"'linear.weight' of a Stanford ColBERT but no artifact"):
        JaColBERT.from_pretrained(stanford_copy)
    rewrite(stanford_copy, lambda weights: weights.pop("linear.weight"))
    with pytest.raises(UnknownLayoutError, match=r"plain bert model .* none will be made up"):
        JaColBERT.from_pretrained(stanford_copy)


@pytest.mark.parametrize("stored", ["safetensors", "bin"])
def test_a_missing_projection(stanford_copy: Path, stored: str) -> None:
    rewrite(stanford_copy, lambda weights: weights.pop("linear.weight"))
    if stored == "bin":
        torch.save(load_file(stanford_copy / "model.safetensors"), stanford_copy / "pytorch_model.bin")
        (stanford_copy / "model.safetensors").unlink()
    with pytest.raises(IncompleteCheckpointError, match=r"no 'linear\.weight' among its .*none will be made up"):
        JaColBERT.from_pretrained(stanford_copy)


def test_missing_weights(stanford_copy: Path) -> None:
    rewrite(stanford_copy, lambda w: w.pop("bert.encoder.layer.1.attention.self.query.weight"))
    with pytest.raises(IncompleteCheckpointError, match=r"no weights for 1 of the backbone's \d+ parameters .*query"):
        JaColBERT.from_pretrained(stanford_copy)
    (stanford_copy / "model.safetensors").unlink()
    with pytest.raises(IncompleteCheckpointError, match=r"but no weights: one of model\.safetensors"):
        JaColBERT.from_pretrained(stanford_copy)


def test_a_missing_pooler_is_none(stanford_copy: Path) -> None:
    expected = JaColBERT.from_pretrained(stanford_copy).fingerprint
    rewrite(stanford_copy, lambda w: [w.pop(name) for name in list(w) if "pooler" in name])
    assert JaColBERT.from_pretrained(stanford_copy).fingerprint == expected


def test_truncated_weights(stanford_copy: Path) -> None:
    weights = (stanford_copy / "model.safetensors").read_bytes()
    (stanford_copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CorruptCheckpointError, match=r"has \d+ bytes of \d+: it is truncated\. Download it again"):
        JaColBERT.from_pretrained(stanford_copy)
    for broken in (b"", b"version https://git-lfs.github.com/spec/v1\n", weights[:4], weights[:100]):
        (stanford_copy / "model.safetensors").write_bytes(broken)
        with pytest.raises(CorruptCheckpointError, match="truncated, or no safetensors file"):
            JaColBERT.from_pretrained(stanford_copy)
    (stanford_copy / "model.safetensors").write_bytes((20).to_bytes(8, "little") + b"x" * 40)
    with pytest.raises(CorruptCheckpointError, match="unreadable safetensors header"):
        JaColBERT.from_pretrained(stanford_copy)


def test_a_bin_file_runs_no_code(stanford_copy: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "attacked",)  # type: ignore[return-value]

    (stanford_copy / "model.safetensors").unlink()
    (stanford_copy / "pytorch_model.bin").write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(CheckpointError):
        JaColBERT.from_pretrained(stanford_copy)
    assert not (tmp_path / "attacked").exists()
    (stanford_copy / "pytorch_model.bin").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(CorruptCheckpointError):
        JaColBERT.from_pretrained(stanford_copy)


def test_wrong_shapes(stanford_copy: Path, change_json: Change) -> None:
    rewrite(stanford_copy, lambda w: w.update({"linear.weight": torch.zeros(128, 48)}))
    with pytest.raises(CorruptCheckpointError, match=r"has the shape \(128, 48\), but \(128, 32\) is expected"):
        JaColBERT.from_pretrained(stanford_copy)
    rewrite(stanford_copy, lambda w: w.update({"linear.weight": torch.zeros(128, 32)}))
    change_json(stanford_copy / "artifact.metadata", dim=96)
    with pytest.raises(CorruptCheckpointError, match=r"\(128, 32\), but \(96, 32\) is expected"):
        JaColBERT.from_pretrained(stanford_copy)
    change_json(stanford_copy / "artifact.metadata", dim=None)
    assert JaColBERT.from_pretrained(stanford_copy).dimension == 128
    change_json(stanford_copy / "config.json", intermediate_size=80)
    with pytest.raises(CorruptCheckpointError, match=r"do not fit its config.json|wrong shape"):
        JaColBERT.from_pretrained(stanford_copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doc_maxlen": None}, "has no doc_maxlen"),
        ({"doc_maxlen": "long"}, "doc_maxlen is 'long'"),
        ({"doc_maxlen": 2}, "at least 4"),
        ({"query_maxlen": -1}, "query_maxlen is -1"),
        ({"query_length": "longest"}, "names the query_length 'longest'"),
        ({"query_token_id": "[NoSuchMarker]"}, r"marker '\[NoSuchMarker\]' is not in the tokenizer's vocabulary"),
    ],
)
def test_bad_metadata(stanford_copy: Path, change_json: Change, changes: dict[str, object], message: str) -> None:
    change_json(stanford_copy / "artifact.metadata", **changes)
    with pytest.raises((CorruptCheckpointError, IncompleteCheckpointError), match=message):
        JaColBERT.from_pretrained(stanford_copy)


@pytest.mark.parametrize("name", ["config.json", "artifact.metadata", "tokenizer_config.json"])
def test_unreadable_json(stanford_copy: Path, name: str) -> None:
    (stanford_copy / name).write_text('{"dim": ')
    with pytest.raises(CorruptCheckpointError, match=r"is no valid JSON .* truncated"):
        JaColBERT.from_pretrained(stanford_copy)
    (stanford_copy / name).write_text("[]")
    with pytest.raises(CorruptCheckpointError, match="holds a list, but a JSON object is expected"):
        JaColBERT.from_pretrained(stanford_copy)


def test_a_missing_vocabulary(stanford_copy: Path) -> None:
    (stanford_copy / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="checkpoint"):
        JaColBERT.from_pretrained(stanford_copy)


def test_broken_pylate_checkpoints(pylate_copy: Path, change_json: Change) -> None:
    main = pylate_copy / "config_sentence_transformers.json"
    change_json(main, document_length=None)
    with pytest.raises(IncompleteCheckpointError, match="has no document_length"):
        JaColBERT.from_pretrained(pylate_copy)
    change_json(main, document_length=300)
    (pylate_copy / "1_Dense" / "model.safetensors").unlink()
    with pytest.raises(IncompleteCheckpointError, match="no weights for the projection"):
        JaColBERT.from_pretrained(pylate_copy)
    save_file({"linear.weight": torch.zeros(96, 32)}, pylate_copy / "1_Dense" / "model.safetensors")
    with pytest.raises(CorruptCheckpointError, match=r"\(96, 32\), but \(128, 32\) is expected"):
        JaColBERT.from_pretrained(pylate_copy)
    (pylate_copy / "modules.json").write_text('[{"type": "sentence_transformers.models.Transformer", "path": ""}]')
    with pytest.raises(IncompleteCheckpointError, match="but no Dense module"):
        JaColBERT.from_pretrained(pylate_copy)
    (pylate_copy / "modules.json").write_text("{}")
    with pytest.raises(CorruptCheckpointError, match="is no list of modules"):
        JaColBERT.from_pretrained(pylate_copy)


def test_prompts_of_a_pylate_checkpoint(pylate_copy: Path, change_json: Change, tmp_path: Path) -> None:
    prompts = {"query": "[unused0]質問：", "document": "文書："}  # the first repeats its marker, as some saves do
    change_json(pylate_copy / "config_sentence_transformers.json", prompts=prompts)
    prompted, plain = JaColBERT.from_pretrained(pylate_copy), JaColBERT.from_pretrained(PYLATE)
    expected = [plain.encode_query(["質問：猫は？"])[0], plain.encode_document(["文書：猫。"])[0]]
    prompted.model.save_pretrained(str(tmp_path / "again"))
    for model in (prompted, JaColBERT.from_pretrained(tmp_path / "again")):
        np.testing.assert_allclose(model.encode_query(["猫は？"])[0], expected[0], atol=1e-6)
        np.testing.assert_allclose(model.encode_document(["猫。"])[0], expected[1], atol=1e-6)
    assert [(match.start, match.end) for match in find_matches(prompted, "猫", "猫")] == [(0, 1)]  # not the prompt's
    with pytest.raises(InputError, match="has no place for the prompts"):
        prompted.save_pretrained(tmp_path / "stanford")


def test_a_single_vector_model_is_refused(pylate_copy: Path, change_json: Change) -> None:
    main = pylate_copy / "config_sentence_transformers.json"
    change_json(main, model_type="SentenceTransformer", query_prefix=None, document_prefix=None)
    with pytest.raises(UnknownLayoutError, match="it makes no token vectors"):
        JaColBERT.from_pretrained(pylate_copy)


def test_broken_sentence_transformers_checkpoints(tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    folder = tmp_path / "saved"
    MultiVectorEncoder(str(STANFORD)).save_pretrained(str(folder))
    rewrite(folder, lambda w: w.pop("encoder.layer.0.output.dense.weight"))
    with pytest.raises(IncompleteCheckpointError, match=r"no weights for 1 of .*encoder\.layer\.0\.output\.dense"):
        JaColBERT.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CorruptCheckpointError, match="cannot be loaded"):
        JaColBERT.from_pretrained(folder)
    (folder / "1_Dense" / "config.json").unlink()
    with pytest.raises(IncompleteCheckpointError, match=r"1_Dense has no config\.json"):
        JaColBERT.from_pretrained(folder)


def hub_cache(folder: Path, revision: str = "main") -> Path:
    """A hub cache as a download leaves it, for the repository org/colbert."""
    commit = "a" * 40
    repository = folder / REPO_ID_SEPARATOR.join(["models", "org", "colbert"])
    shutil.copytree(STANFORD, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text(commit)
    return folder


def test_a_hub_id_from_the_cache(tmp_path: Path) -> None:
    cache = hub_cache(tmp_path)
    loaded = JaColBERT.from_pretrained("org/colbert", cache_dir=cache, local_files_only=True)
    assert loaded.name == "org/colbert"
    assert loaded.fingerprint == JaColBERT.from_pretrained(STANFORD).fingerprint
    assert JaColBERT.from_pretrained("org/colbert", cache_dir=cache).dimension == 128  # HF_HUB_OFFLINE is set


def test_a_hub_id_that_is_not_to_be_had(tmp_path: Path) -> None:
    secret = "hf_" + "s" * 30
    cache = hub_cache(tmp_path, revision="v1.0")
    assert JaColBERT.from_pretrained("org/colbert", revision="v1.0", cache_dir=cache).dimension == 128
    with pytest.raises(CheckpointNotFoundError, match=r"'org/colbert' at revision 'v2'.* not in the local cache") as e:
        JaColBERT.from_pretrained("org/colbert", revision="v2", cache_dir=cache, token=secret, local_files_only=True)
    assert secret not in str(e.value)
    with pytest.raises(CheckpointNotFoundError, match=r"'org/other' cannot be had.* Load it once while online"):
        JaColBERT.from_pretrained("org/other", cache_dir=cache)
    with pytest.raises(CheckpointNotFoundError, match="neither a directory nor a valid hub id"):
        JaColBERT.from_pretrained("not a hub id", cache_dir=cache)
    with pytest.raises(CheckpointNotFoundError, match="is no directory"):
        JaColBERT.from_pretrained("a/b/c")


def test_a_save_replaces_the_old_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = JaColBERT.from_pretrained(STANFORD)
    target = tmp_path / "saved"
    target.mkdir()
    (target / "stale").write_text("")
    model.save_pretrained(target)
    assert not (target / "stale").exists()
    before = sorted(file.name for file in target.iterdir())
    monkeypatch.setattr("jacolbert_integrations.encoding.saving._write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save_pretrained(target)
    assert sorted(file.name for file in target.iterdir()) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"]


def test_a_model_that_the_layout_cannot_hold(tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    with pytest.raises(InputError, match="the Stanford layout holds one transformer with ColBERT markers"):
        save_stanford(MultiVectorEncoder(str(STANFORD)), tmp_path / "saved")


def test_float16_weights_are_computed_with_as_float32(stanford_copy: Path) -> None:
    rewrite(stanford_copy, lambda w: w.update({name: tensor.half() for name, tensor in w.items()}))
    half = JaColBERT.from_pretrained(stanford_copy)
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    full = JaColBERT.from_pretrained(STANFORD)
    np.testing.assert_allclose(half.encode_document(["猫"])[0], full.encode_document(["猫"])[0], atol=5e-3)
    assert half.fingerprint != full.fingerprint


def test_remote_code_only_on_request(stanford_copy: Path, change_json: Change) -> None:
    change_json(
        stanford_copy / "config.json",
        model_type="their-own",
        auto_map={"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"},
    )
    with pytest.raises(RemoteCodeError, match=r"pass trust_remote_code=True if you trust it"):
        JaColBERT.from_pretrained(stanford_copy)
