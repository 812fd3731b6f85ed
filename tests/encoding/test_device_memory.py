"""A device that runs out of memory: smaller batches, once, and then an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import DeviceMemoryError, DeviceMemoryWarning

TEXTS = [f"吾輩は猫である。名前はまだ{'無い' * (i % 9)}。" for i in range(40)]


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], JaColBERT]:
    """Makes a model whose device has room for so many texts at a time."""

    def make(room: int) -> JaColBERT:
        model = JaColBERT.from_pretrained()
        forward = model.model.forward

        def refuse(features: dict[str, Any], **options: Any) -> dict[str, Any]:
            if len(features["input_ids"]) > room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            result: dict[str, Any] = forward(features, **options)
            return result

        monkeypatch.setattr(model.model, "forward", refuse)
        return model

    return make


def test_smaller_batches_once(mini: JaColBERT, tight: Callable[[int], JaColBERT]) -> None:
    model = tight(20)
    before = model.batch_tokens
    with pytest.warns(
        DeviceMemoryWarning, match=f"batch_tokens of jacolbert-mini is {before // 2:,} from now on"
    ) as told:
        found = model.encode_document(TEXTS)
    assert len(told) == 1
    for own, expected in zip(found, mini.encode_document(TEXTS), strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)
    assert model.batch_tokens == before // 2


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.DeviceMemoryWarning")
@pytest.mark.parametrize(("room", "texts"), [(1, TEXTS), (0, TEXTS[:1])])
def test_then_an_error(tight: Callable[[int], JaColBERT], room: int, texts: list[str]) -> None:
    model = tight(room)
    with pytest.raises(DeviceMemoryError, match=r"too little memory to encode \d+ texts of .*batch_tokens"):
        model.encode_document(texts)
