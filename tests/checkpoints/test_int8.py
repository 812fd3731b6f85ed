"""Checkpoints with weights of one byte each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.files import INT8_FILE, weight_shapes
from jacolbert_integrations.checkpoints.int8 import read_int8, write_int8
from jacolbert_integrations.checkpoints.layouts import inspect_checkpoint
from jacolbert_integrations.checkpoints.weights import checkpoint_fingerprint, stored_weights
from jacolbert_integrations.encoding.saving import save_stanford
from jacolbert_integrations.errors import CorruptCheckpointError, IncompleteCheckpointError, InputError

from ..conftest import MINI

TEXTS = ["小笠原諸島は東京都に属する。", "猫", "The capital of Japan is Tokyo."]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "model"
    save_stanford(JaColBERT.from_pretrained(MINI).model, path, dtype=torch.int8)
    return path


def test_weights_by_hand(tmp_path: Path) -> None:
    matrix = torch.tensor([[1.27, -0.635, 0.004], [0.0, 0.0, 0.0], [-254.0, 127.0, 2.0]])
    bias = torch.tensor([0.123456789])
    write_int8(tmp_path / INT8_FILE, {"m": matrix, "b": bias, "n": torch.tensor([7])})
    stored = load_file(tmp_path / INT8_FILE)
    assert stored["m"].tolist() == [[127, -64, 0], [0, 0, 0], [-127, 64, 1]]
    assert stored["m.scale"].flatten().tolist() == pytest.approx([0.01, 1.0, 2.0])
    back = read_int8(tmp_path / INT8_FILE)
    assert back.keys() == {"m", "b", "n"}
    assert torch.allclose(back["m"], torch.tensor([[1.27, -0.64, 0.0], [0.0, 0.0, 0.0], [-254.0, 128.0, 2.0]]))
    assert back["b"].equal(bias)
    assert back["n"].tolist() == [7]
    assert weight_shapes(tmp_path) == {"m": (3, 3), "b": (1,), "n": (1,)}
    for number in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="'m' are not finite"):
            write_int8(tmp_path / "bad", {"m": torch.tensor([[1.0, number]])})


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_a_weight_comes_back_within_half_a_step(tmp_path_factory: pytest.TempPathFactory, row: list[float]) -> None:
    file = tmp_path_factory.mktemp("row") / INT8_FILE
    matrix = torch.tensor([row, [-number for number in row]])
    write_int8(file, {"m": matrix})
    back = read_int8(file)["m"]
    step = matrix.abs().max() / 127
    assert bool(((back - matrix).abs() <= step * 0.501 + 1e-38).all())
    assert back[0].equal(-back[1])


def test_loads_like_any_checkpoint(small: Path) -> None:
    whole, loaded = JaColBERT.from_pretrained(MINI), JaColBERT.from_pretrained(small)
    assert not (small / "model.safetensors").exists()
    assert (small / INT8_FILE).stat().st_size < 0.55 * (MINI / "model.safetensors").stat().st_size
    for before, after in zip(whole.encode_document(TEXTS), loaded.encode_document(TEXTS), strict=True):
        assert before.shape == after.shape
        assert (np.asarray(before) * np.asarray(after)).sum(-1).min() > 0.95
    assert loaded.fingerprint == checkpoint_fingerprint(inspect_checkpoint(small)) != whole.fingerprint
    again = JaColBERT.from_pretrained(small, dtype=torch.bfloat16)
    assert next(again.model[0].parameters()).dtype == torch.bfloat16


def test_computes_with_what_was_stored(small: Path) -> None:
    rounded, loaded = JaColBERT.from_pretrained(MINI), JaColBERT.from_pretrained(small)
    stored = read_int8(small / INT8_FILE)
    projection = {"linear.weight": stored.pop("linear.weight")}
    encoder: Any = rounded.model[0]
    encoder.auto_model.load_state_dict({name.removeprefix("bert."): tensor for name, tensor in stored.items()})
    rounded.model[1].load_state_dict(projection)
    for wanted, found in zip(rounded.encode_document(TEXTS), loaded.encode_document(TEXTS), strict=True):
        assert np.allclose(wanted, found, atol=1e-6)


def test_can_be_saved_whole_again(small: Path, tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(small)
    save_stanford(model.model, tmp_path / "whole")
    again = JaColBERT.from_pretrained(tmp_path / "whole")
    assert again.fingerprint == model.fingerprint
    save_stanford(again.model, tmp_path / "small", dtype=torch.int8)
    # the largest of a row is exact, and so is all else the second time
    assert JaColBERT.from_pretrained(tmp_path / "small").fingerprint == model.fingerprint


def test_whole_weights_go_before_those_of_one_byte(small: Path, tmp_path: Path) -> None:
    save_stanford(JaColBERT.from_pretrained(MINI).model, tmp_path / "both")
    (tmp_path / "both" / INT8_FILE).write_bytes((small / INT8_FILE).read_bytes())
    assert JaColBERT.from_pretrained(tmp_path / "both").fingerprint == JaColBERT.from_pretrained(MINI).fingerprint


def test_other_libraries_do_not_take_the_integers_for_weights(small: Path) -> None:
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        AutoModel.from_pretrained(str(small))


def _copy(small: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in small.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_damage_is_told(small: Path, tmp_path: Path) -> None:
    whole = (small / INT8_FILE).read_bytes()
    cut = _copy(small, tmp_path / "cut")
    (cut / INT8_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptCheckpointError, match="it is truncated"):
        JaColBERT.from_pretrained(cut)
    tensors = load_file(small / INT8_FILE)
    name = "linear.weight"
    for scale, found in ((None, "none"), (tensors[f"{name}.scale"][:-1].clone(), "the shape")):
        bad = _copy(small, tmp_path / found.replace(" ", "-"))
        changed = {key: tensor for key, tensor in tensors.items() if key != f"{name}.scale"}
        save_file(changed if scale is None else {**changed, f"{name}.scale": scale}, bad / INT8_FILE)
        with pytest.raises(CorruptCheckpointError, match=f"'linear\\.weight' has 8-bit weights .* has {found}"):
            dict(stored_weights(bad))
        with pytest.raises(CorruptCheckpointError, match=r"'linear\.weight' has 8-bit weights"):
            JaColBERT.from_pretrained(bad)
    lacking = _copy(small, tmp_path / "lacking")
    save_file({k: t for k, t in tensors.items() if not k.startswith(name)}, lacking / INT8_FILE)
    with pytest.raises(IncompleteCheckpointError, match=r"'linear\.weight'"):
        JaColBERT.from_pretrained(lacking)
    norm = next(key for key in tensors if key.endswith("embeddings.LayerNorm.weight"))
    save_file({k: t for k, t in tensors.items() if k != norm}, lacking / INT8_FILE)
    with pytest.raises(IncompleteCheckpointError, match=r"LayerNorm\.weight"):
        JaColBERT.from_pretrained(lacking)
