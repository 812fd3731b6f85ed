"""What 8-bit integers give, where they are refused, and that nothing else takes them for the model's weights."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn

from jacolbert_integrations import JaColBERT, MemoryStore, Point, Query
from jacolbert_integrations.checkpoints.layouts import Checkpoint
from jacolbert_integrations.encoding import encoder
from jacolbert_integrations.encoding.int8 import (
    Int8Linear,
    largest_weight,
    rounded_rows,
    use_float32,
    use_int8,
    uses_int8,
)
from jacolbert_integrations.encoding.loading import LoadOptions, load_model
from jacolbert_integrations.encoding.sources import ModelSource
from jacolbert_integrations.encoding.whole_weights import is_whole, make_whole
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.llama_index import JaColBERTRerank
from jacolbert_integrations.stores.model_identity import check_identity

TEXTS = ["日本の首都は東京です。", "吾輩は猫である。名前はまだ無い。", "梅雨のない北海道の六月は、ライラックが咲く。"]


@pytest.fixture(scope="module")
def eight() -> JaColBERT:
    return JaColBERT.from_pretrained("jacolbert-mini", precision="int8")


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For changing how this processor multiplies."""
    largest_weight.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    largest_weight.cache_clear()


def _overflowing(own: Tensor, other: Tensor) -> Tensor:
    """Multiplies as a processor does that adds two products in 16 bits, of which one factor has no sign."""
    shifted, weights = own.long() + 128, other.long()
    pairs = shifted[:, 0::2, None] * weights[None, 0::2] + shifted[:, 1::2, None] * weights[None, 1::2]
    total: Tensor = pairs.clamp(-32768, 32767).sum(dim=1) - 128 * weights.sum(dim=0)
    return total.int()


def test_a_layer_by_hand() -> None:
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[127.0, -63.0], [0.0, 0.0]]))
        linear.bias.copy_(torch.tensor([0.5, 1.0]))
    # numbers at both ends of a token's range are exact, as are weights of whole steps
    given = torch.tensor([[1.0, 3.0], [-2.0, 2.0]])
    steps = 127 / largest_weight()
    weights = torch.tensor([127.0, -63.0]) if steps == 1 else torch.tensor([127.0, round(-63 / steps) * steps])
    expected = torch.stack([given @ weights + 0.5, torch.ones(2)], dim=1)
    torch.testing.assert_close(Int8Linear(linear)(given), expected, atol=1e-3, rtol=1e-5)


@given(rows=st.integers(1, 70), width=st.integers(1, 70), height=st.integers(1, 70), seed=st.integers(0, 2**16))
def test_near_the_layer_and_the_same_alone(rows: int, width: int, height: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(width, height)
    tokens = torch.randn(rows, width, generator=generator) * 10 ** torch.randn(rows, 1, generator=generator)
    with torch.no_grad():
        own, exact = Int8Linear(linear)(tokens), linear(tokens)
        rounding = (0.5 / 63 * linear.weight.abs().max() * tokens.abs().sum(1) + tokens.abs().amax(1) / 127 *
                    linear.weight.abs().sum(1).max())  # fmt: skip
        assert bool(((own - exact).abs() <= rounding[:, None] + 1e-4).all())
        for place in (0, rows - 1):
            torch.testing.assert_close(
                Int8Linear(linear)(tokens[place : place + 1])[0], own[place], atol=1e-3, rtol=1e-4
            )


def test_vectors_are_near(eight: JaColBERT, mini: JaColBERT) -> None:
    assert eight.precision == "int8"
    assert mini.precision is None
    assert "precision='int8'" in repr(eight)
    assert "precision" not in repr(mini)
    for own, expected in zip(eight.encode_document(TEXTS), mini.encode_document(TEXTS), strict=True):
        assert own.dtype == np.float32
        assert (own * expected).sum(axis=1).mean() > 0.97
        assert not np.array_equal(own, expected)


def test_alone_as_among_others(eight: JaColBERT) -> None:
    together = eight.encode_document(TEXTS)
    for text, expected in zip(TEXTS, together, strict=True):
        own = eight.encode_document([text])[0]
        assert (own * expected).sum(axis=1).min() > 0.999  # a number between two integers may be rounded to either


def test_another_process_gets_it(eight: JaColBERT) -> None:
    again = pickle.loads(pickle.dumps(eight.model))
    own, expected = JaColBERT(again, checkpoint=eight.checkpoint).encode_query(TEXTS), eight.encode_query(TEXTS)
    np.testing.assert_array_equal(own[0], expected[0])


def test_a_collection_takes_both(eight: JaColBERT, mini: JaColBERT) -> None:
    assert eight.fingerprint == mini.fingerprint
    assert [eight.identity.precision, mini.identity.precision] == ["int8", None]
    store = MemoryStore()
    store.bind(eight.identity)
    store.upsert([Point(str(i), v, {}, TEXTS[i]) for i, v in enumerate(eight.encode_document(TEXTS))])
    check_identity(eight.identity, mini.identity, "the collection")
    for model in (eight, mini):
        vectors = model.encode_query(["猫の名前"])[0]
        assert store.search(Query(vectors, "猫の名前"), top_k=1)[0].id == "1"


def test_what_is_saved_and_trained_is_what_was_stored(eight: JaColBERT, mini: JaColBERT, tmp_path: Path) -> None:
    eight.save_pretrained(tmp_path / "saved")
    again = JaColBERT.from_pretrained(tmp_path / "saved")
    assert again.fingerprint == mini.fingerprint
    assert again.precision is None
    assert again.centroids is not None
    assert uses_int8(eight.model)
    trained = JaColBERT.from_pretrained("jacolbert-mini", precision="int8")
    make_whole(trained.model, trained.checkpoint)
    assert is_whole(trained.model)
    for (name, own), expected in zip(trained.model.named_parameters(), mini.model.parameters(), strict=True):
        assert torch.equal(own, expected), name


def test_without_a_checkpoint_the_rounded_weights_are_the_weights() -> None:
    linear = nn.Linear(4, 3)
    module = nn.Sequential(linear)
    use_int8(module)
    assert isinstance(module[0], Int8Linear)
    use_float32(module, {})
    again = module[0]
    assert isinstance(again, nn.Linear)
    assert again.weight.requires_grad
    torch.testing.assert_close(again.weight, linear.weight, atol=0.01, rtol=0)


def test_a_source_names_it(eight: JaColBERT) -> None:
    source = ModelSource.of(eight)
    assert (source.precision, source.dtype) == ("int8", None)
    assert source.load().precision == "int8"
    assert JaColBERTRerank(eight).precision == "int8"
    again = JaColBERTRerank.model_validate(JaColBERTRerank("jacolbert-mini", precision="int8").model_dump())
    assert again.precision == "int8"


def test_a_processor_whose_sums_overflow_gets_smaller_weights(products: pytest.MonkeyPatch) -> None:
    exact = torch._int_mm
    products.setattr(torch, "_int_mm", _overflowing)
    assert largest_weight() == 63
    linear, tokens = nn.Linear(64, 16), torch.randn(8, 64)
    layer = Int8Linear(linear)
    own = layer(tokens)
    products.setattr(torch, "_int_mm", exact)
    torch.testing.assert_close(own, layer(tokens))


@pytest.mark.parametrize("wrong", [lambda own, other: (own.float() @ other.float()).int() + 1, None])
def test_a_processor_without_such_products_is_refused(wrong: object, products: pytest.MonkeyPatch) -> None:
    if wrong is None:
        products.delattr(torch, "_int_mm")
    else:
        products.setattr(torch, "_int_mm", wrong)
    with pytest.raises(InputError, match="wrongly on this processor"):
        JaColBERT.from_pretrained("jacolbert-mini", precision="int8")


@given(rows=st.integers(1, 20), width=st.integers(1, 40), seed=st.integers(0, 2**16))
def test_rows_are_rounded_to_the_nearest_step(rows: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(rows, width, generator=generator) * 10 ** torch.randn(rows, 1, generator=generator)
    integers, step, middle = rounded_rows(tokens)
    assert integers.dtype is torch.int8
    torch.testing.assert_close(step[:, 0], (tokens.amax(1) - tokens.amin(1)) / 255)
    assert bool(((integers * step + middle - tokens).abs() <= 0.501 * step + 1e-6 * tokens.abs()).all())


def test_a_row_of_equal_numbers() -> None:
    integers, step, middle = rounded_rows(torch.tensor([[3.0, 3.0], [0.0, 0.0]]))
    torch.testing.assert_close(integers * step + middle, torch.tensor([[3.0, 3.0], [0.0, 0.0]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "precision is 'int4', but it must be 'int8'"),
        ({"precision": "int8", "device": "cuda:0"}, "'cuda:0' is none. Load the model with device='cpu'"),
        ({"precision": "int8", "dtype": torch.bfloat16}, "dtype=torch.bfloat16 exclude each other"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "check_device", str)  # as where there is such a device
    with pytest.raises(InputError, match=message):
        JaColBERT.from_pretrained("jacolbert-mini", **options)  # type: ignore[arg-type]


def test_without_a_device_it_takes_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def load(checkpoint: Checkpoint, options: LoadOptions) -> MultiVectorEncoder:
        asked.append(options.device)
        return load_model(checkpoint, options)

    monkeypatch.setattr(encoder, "load_model", load)
    JaColBERT.from_pretrained("jacolbert-mini", precision="int8")
    JaColBERT.from_pretrained("jacolbert-mini")
    assert asked == ["cpu", None]
