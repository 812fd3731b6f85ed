"""What a model computes with by default, and that training and saving have the weights that are stored."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding import devices, loading, sources
from jacolbert_integrations.encoding.devices import default_dtype
from jacolbert_integrations.encoding.sources import ModelSource
from jacolbert_integrations.exporting.layouts import export

TEXTS = ["日本の首都は東京です。", "吾輩は猫である。名前はまだ無い。"]


@pytest.mark.parametrize(
    ("name", "chosen", "native", "expected"),
    [
        ("cuda:0", "cpu", True, torch.bfloat16),
        ("cuda:0", "cpu", False, torch.float32),
        (None, "cuda", True, torch.bfloat16),
        ("cpu", "cuda", True, torch.float32),
        (None, "cpu", True, torch.float32),
        (None, "mps", True, torch.float32),
    ],
)
def test_bfloat16_where_a_gpu_is_made_for_it(
    name: str | None, chosen: str, native: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    monkeypatch.setattr(devices, "get_device_name", lambda: chosen)
    assert default_dtype(name) is expected


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> JaColBERT:
    """A model as a GPU loads it that is made for bfloat16."""
    monkeypatch.setattr(loading, "default_dtype", lambda _: torch.bfloat16)
    model = JaColBERT.from_pretrained(device="cpu")
    monkeypatch.undo()
    assert {weight.dtype for weight in model.model.parameters()} == {torch.bfloat16}
    return model


def test_what_is_asked_for_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "default_dtype", lambda _: torch.bfloat16)
    model = JaColBERT.from_pretrained(device="cpu", dtype=torch.float32)
    assert {weight.dtype for weight in model.model.parameters()} == {torch.float32}


def test_its_vectors_are_near(half: JaColBERT, mini: JaColBERT) -> None:
    assert half.identity == mini.identity
    for own, expected in zip(half.encode_document(TEXTS), mini.encode_document(TEXTS), strict=True):
        assert own.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(own, expected, atol=0.03)


def test_what_is_saved_is_what_was_stored(half: JaColBERT, mini: JaColBERT, tmp_path: Path) -> None:
    half.save_pretrained(tmp_path / "saved")
    export(half, tmp_path / "pylate", "pylate")
    for folder in ("saved", "pylate"):
        again = JaColBERT.from_pretrained(tmp_path / folder)
        assert again.fingerprint == mini.fingerprint
        assert again.centroids is not None
    assert half.model.dtype is torch.bfloat16
    assert mini.in_float32 is mini


def test_what_has_changed_since_stays_changed(half: JaColBERT, mini: JaColBERT) -> None:
    with torch.no_grad():
        changed = next(half.model.parameters())
        changed[3] += 1
    name = next(name for name, _ in half.model.named_parameters())
    whole, stored = half.in_float32.model.get_parameter(name), mini.model.get_parameter(name)
    assert torch.equal(whole[3], changed[3].float())
    assert torch.equal(whole[4:], stored[4:])


def test_without_a_checkpoint_nothing_is_made_up(half: JaColBERT) -> None:
    whole = JaColBERT(half.model).in_float32.model
    for own, expected in zip(whole.parameters(), half.model.parameters(), strict=True):
        assert torch.equal(own, expected.float())


def test_a_source_names_no_default(half: JaColBERT, mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ModelSource.of(half).dtype == "bfloat16"
    assert ModelSource.of(mini).dtype is None
    monkeypatch.setattr(sources, "default_dtype", lambda _: torch.bfloat16)  # as on a GPU made for it
    assert ModelSource.of(half).dtype is None
    assert ModelSource.of(mini).dtype == "float32"
