"""Texts without padding: the same vectors, by attention that a GPU computes at once and a processor text by text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling
from transformers import AutoModel, BertConfig, BertModel, ModernBertConfig, ModernBertModel

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding import packed_attention, packing
from jacolbert_integrations.encoding.packed_attention import ATTENTION, Row, can_compute
from jacolbert_integrations.encoding.packing import can_be_packed, should_be_packed
from jacolbert_integrations.encoding.parallel import _WorkerModel
from jacolbert_integrations.encoding.saving import save_scratch
from jacolbert_integrations.errors import InputError, TruncationWarning
from jacolbert_integrations.types import TokenVectors

TEXTS = ["吾輩は猫である。", "名前は、まだ無い。" * 3, "", "。", "どこで生れたかとんと見当がつかぬ。"] * 4


@contextmanager
def packed() -> Iterator[None]:
    """Within, the processor counts as a device with attention for texts without padding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "can_compute", lambda *_: True)
        yield


def random_model(folder: Path, kind: str) -> JaColBERT:
    """Makes a model of random weights; ModernBERT sees 3 tokens to either side in two of its three layers."""
    small: Any = JaColBERT.from_pretrained("jacolbert-small").model[0]
    tokenizer = small.hf_tokenizer
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "pad_token_id": 0,
    }
    torch.manual_seed(0)
    backbone: Any = (
        BertModel(BertConfig(**sizes, initializer_range=0.3))
        if kind == "bert"
        else ModernBertModel(ModernBertConfig(**sizes, local_attention=6, initializer_range=0.3))
    )
    if not backbone._supports_attention_backend:
        pytest.skip("this transformers has attention of its own for ModernBERT")
    save_scratch(folder, backbone, torch.nn.Linear(32, 16, bias=False), tokenizer, small.settings)
    return JaColBERT.from_pretrained(folder)


@pytest.fixture(scope="module", params=["jacolbert-mini", "jacolbert-small", "bert", "modernbert"])
def any_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> JaColBERT:
    if request.param.startswith("jacolbert"):
        return JaColBERT.from_pretrained(request.param)
    return random_model(tmp_path_factory.mktemp(request.param) / "model", request.param)


@pytest.fixture
def own_mini() -> JaColBERT:
    """A model of the test's own, which it may change."""
    return JaColBERT.from_pretrained("jacolbert-mini")


def assert_same(own: list[TokenVectors], expected: list[TokenVectors], tolerance: float = 1e-5) -> None:
    assert [matrix.shape for matrix in own] == [matrix.shape for matrix in expected]
    for one, other in zip(own, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def attending(model: JaColBERT, attended: bool) -> JaColBERT:
    """The model, whose queries attend to their [MASK] tokens or do not."""
    transformer: Any = model.model[0]
    transformer.settings = replace(transformer.settings, attend_to_mask_tokens=attended)
    return model


@settings(max_examples=15)
@given(
    repeats=st.lists(st.integers(0, 25), max_size=9),
    budget=st.integers(1, 300),
    batch_size=st.sampled_from([None, 1, 3]),
)
def test_documents_have_the_same_vectors(
    any_model: JaColBERT, repeats: list[int], budget: int, batch_size: int | None
) -> None:
    texts = [f"{place}" + "猫、である。" * count for place, count in enumerate(repeats)]
    expected = any_model.encode_document(texts)
    usual, any_model.batch_tokens = any_model.batch_tokens, budget
    with packed():
        found = any_model.encode_document(texts, batch_size=batch_size)
    any_model.batch_tokens = usual
    assert_same(found, expected)


@pytest.mark.parametrize("attended", [True, False])
@pytest.mark.parametrize("rule", ["fixed", "released", "unpadded"])
def test_queries_have_the_same_vectors(any_model: JaColBERT, rule: Any, attended: bool) -> None:
    model = attending(any_model.with_query_length(rule), attended)
    expected = model.encode_query(TEXTS)
    with packed():
        # a window of attention counts from the token, which is at another place among those that are attended to
        assert should_be_packed(model.model, "query") is (attended or type(model.model[0].auto_model) is BertModel)
        assert_same(model.encode_query(TEXTS), expected)


def test_pooled_and_prompted_documents_have_the_same_vectors(own_mini: JaColBERT) -> None:
    model = JaColBERT(own_mini.model, pooling="hierarchical-2")
    model.model.prompts = {"document": "文書: ", "query": "問い: "}
    documents, queries = model.encode_document(TEXTS), model.encode_query(TEXTS)
    with packed():
        assert_same(model.encode_document(TEXTS), documents)
        assert_same(model.encode_query(TEXTS), queries)


def test_half_precision(own_mini: JaColBERT) -> None:
    expected = own_mini.encode_document(TEXTS)
    half = JaColBERT.from_pretrained("jacolbert-mini", dtype=torch.bfloat16)
    with packed():
        found = half.encode_document(TEXTS)
    assert_same(found, expected, 0.03)
    for matrix in found:
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_padded_texts_stay_as_they_were(own_mini: JaColBERT, mini: JaColBERT) -> None:
    with packed():
        own_mini.encode_document(TEXTS)
    backbone: Any = own_mini.model[0]
    assert backbone.auto_model.config._attn_implementation == ATTENTION
    assert mini.model[0].auto_model.config._attn_implementation == "sdpa"  # type: ignore[union-attr]
    for own, expected in zip(own_mini.encode_document(TEXTS), mini.encode_document(TEXTS), strict=True):
        assert np.array_equal(own, expected)
    for own, expected in zip(own_mini.model.encode_document(TEXTS), mini.model.encode_document(TEXTS), strict=True):
        assert np.array_equal(own, expected)


def test_training_stays_as_it_was(own_mini: JaColBERT) -> None:
    features = own_mini.model.preprocess(TEXTS, task="document")

    def gradient() -> torch.Tensor:
        own_mini.model.zero_grad()
        own_mini.model.train()
        torch.manual_seed(0)  # of dropout
        own_mini.model(dict(features), task="document")["token_embeddings"].sum().backward()
        return torch.cat([weight.grad.flatten() for weight in own_mini.model.parameters() if weight.grad is not None])

    before = gradient()
    with packed():
        own_mini.encode_document(TEXTS)
    assert torch.equal(gradient(), before)


def test_nothing_of_it_is_saved(own_mini: JaColBERT, mini: JaColBERT, tmp_path: Path) -> None:
    with packed():
        own_mini.encode_document(TEXTS)
    for name, model in (("own", own_mini), ("mini", mini)):
        model.save_pretrained(tmp_path / name)
        model.model.save_pretrained(str(tmp_path / f"{name}-st"))
    for suffix in ("", "-st"):
        own, expected = (next(tmp_path.glob(f"{name}{suffix}/**/config.json")) for name in ("own", "mini"))
        assert own.read_text() == expected.read_text()
        assert AutoModel.from_pretrained(own.parent).config._attn_implementation == "sdpa"
    assert own_mini.identity == mini.identity


def test_threads_may_pad_and_pack_at_once(own_mini: JaColBERT) -> None:
    expected = own_mini.encode_document(TEXTS)
    own_mini = JaColBERT.from_pretrained("jacolbert-mini")  # whose first packed batch is among the threads
    with packed(), ThreadPoolExecutor(6) as threads:
        encoders = [own_mini.encode_document, own_mini.model.encode_document] * 6
        for found in threads.map(lambda encode: encode(TEXTS, batch_size=2), encoders):
            assert_same([np.asarray(matrix) for matrix in found], expected)


def test_a_process_of_a_pool_packs(own_mini: JaColBERT) -> None:
    texts = [*TEXTS, "長" * 2000]
    with pytest.warns(TruncationWarning):
        expected = own_mini.encode_document(texts)
    with packed():
        worker = _WorkerModel(own_mini, "cpu", "cpu")
        assert_same(worker.encode_document(texts), expected)
    assert worker.cut == 1
    backbone: Any = worker.model[0]
    assert backbone.auto_model.config._attn_implementation == ATTENTION


def test_what_can_be_packed(own_mini: JaColBERT) -> None:
    assert can_be_packed(own_mini.model, "document")
    assert not should_be_packed(own_mini.model, "document")  # a processor has no attention for it
    backbone: Any = own_mini.model[0].auto_model
    backbone.set_attn_implementation("eager")
    assert not can_be_packed(own_mini.model, "document")
    backbone.set_attn_implementation("sdpa")
    own_mini.model.append(HierarchicalTokenPooling(pool_factor=2))
    assert not can_be_packed(own_mini.model, "document")


@pytest.mark.parametrize(
    ("dtype", "capability", "width", "expected"),
    [
        (torch.bfloat16, (8, 0), 64, True),
        (torch.float16, (9, 0), 32, True),
        (torch.float32, (9, 0), 64, False),
        (torch.float16, (7, 5), 64, False),
        (torch.bfloat16, (9, 0), 30, False),
        (torch.bfloat16, (9, 0), 264, False),
    ],
)
def test_which_gpus_can(
    dtype: torch.dtype, capability: tuple[int, int], width: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(packed_attention, "_varlen_attn", lambda: lambda *_, **__: None)
    assert can_compute(torch.device("cuda:0"), dtype, width) is expected
    assert not can_compute(torch.device("cpu"), dtype, width)
    monkeypatch.setattr(packed_attention, "_varlen_attn", lambda: None)
    assert not can_compute(torch.device("cuda:0"), dtype, width)


@pytest.fixture
def gpu_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Has a processor take the GPU's way: records what its attention is called with, and computes it text by text.

    Where torch has that attention, it sees each call without data: it checks shapes and types, and says what shape
    would come out.
    """
    calls: list[dict[str, Any]] = []
    real, text_by_text = packed_attention._varlen_attn(), packed_attention._text_by_text

    def varlen_attn(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cu_seq_q: torch.Tensor,
        cu_seq_k: torch.Tensor,
        max_q: int,
        max_k: int,
        *,
        scale: float,
        window_size: tuple[int, int],
    ) -> torch.Tensor:
        calls.append(dict(locals()))
        nothing = torch.empty(0, dtype=torch.long)
        row = Row(nothing, nothing, cu_seq_q, max_q, nothing, cu_seq_k, max_k)
        output = text_by_text(query, key, value, row, scale, window_size[0])
        if real is not None:
            tensors = [each.to("meta") for each in (query, key, value, cu_seq_q, cu_seq_k)]
            promised = real(*tensors, max_q, max_k, scale=scale, window_size=window_size)
            assert (output.shape, output.dtype) == (promised.shape, promised.dtype)
        return output

    monkeypatch.setattr(packed_attention, "_varlen_attn", lambda: varlen_attn)
    monkeypatch.setattr(packed_attention, "_text_by_text", packed_attention._on_a_gpu)
    return calls


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_the_way_of_a_gpu(
    any_model: JaColBERT, dtype: torch.dtype, tolerance: float, gpu_calls: list[dict[str, Any]]
) -> None:
    assert any_model.checkpoint is not None
    model = JaColBERT.from_pretrained(any_model.checkpoint.path, dtype=dtype)
    expected = any_model.encode_document(TEXTS)
    with packed():
        assert_same(model.encode_document(TEXTS), expected, tolerance)
    config: Any = model.model[0].auto_model.config  # type: ignore[union-attr]
    transformer: Any = model.model[0]
    lengths = [len(text.ids) for text in transformer.tokenize_texts(TEXTS, "document")]
    shape = (sum(lengths), config.num_attention_heads, config.hidden_size // config.num_attention_heads)
    assert len(gpu_calls) == config.num_hidden_layers
    for call in gpu_calls:
        assert call["query"].shape == call["key"].shape == call["value"].shape == shape
        assert call["query"].dtype is call["key"].dtype is call["value"].dtype is dtype
        assert call["query"].stride(-1) == call["key"].stride(-1) == call["value"].stride(-1) == 1
        assert call["cu_seq_q"].dtype is call["cu_seq_k"].dtype is torch.int32
        assert call["cu_seq_q"].tolist() == call["cu_seq_k"].tolist() == [0, *np.cumsum(lengths)]
        assert call["max_q"] == call["max_k"] == max(lengths)
        assert call["scale"] == shape[2] ** -0.5
    windows = [call["window_size"] for call in gpu_calls]
    if isinstance(config, ModernBertConfig):
        types: Any = config.layer_types
        assert windows == [(-1, -1) if each == "full_attention" else (3, 3) for each in types]
        assert len(set(windows)) == 2
    else:
        assert set(windows) == {(-1, -1)}


@pytest.mark.parametrize("attended", [True, False])
def test_the_way_of_a_gpu_with_masks(mini: JaColBERT, attended: bool, gpu_calls: list[dict[str, Any]]) -> None:
    model = attending(mini.with_query_length("fixed"), attended)
    expected = model.encode_query(TEXTS)
    with packed():
        assert_same(model.encode_query(TEXTS), expected)
    transformer: Any = model.model[0]
    texts = transformer.tokenize_texts(TEXTS, "query")
    lengths = [len(text.ids) for text in texts]
    seen = lengths if attended else [text.length for text in texts]
    assert sum(seen) < sum(lengths) or attended
    for call in gpu_calls:
        assert call["cu_seq_q"].tolist() == [0, *np.cumsum(lengths)]
        assert call["cu_seq_k"].tolist() == [0, *np.cumsum(seen)]
        assert (call["max_q"], call["max_k"]) == (max(lengths), max(seen))
        assert (len(call["query"]), len(call["key"]), len(call["value"])) == (sum(lengths), sum(seen), sum(seen))


def test_wrong_texts_are_refused_before_anything_is_computed(mini: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jacolbert_integrations.encoding.encoder.start", lambda *_, **__: pytest.fail("computed"))
    wrong: Any = [*["猫"] * 200, 7]
    with packed():
        with pytest.raises(InputError, match=r"text 200 is a int \(7\)"):
            mini.encode_document(wrong)
        assert mini.encode_document([]) == []


def test_cuts_are_told_once(mini: JaColBERT) -> None:
    long = "長" * 2000
    with packed(), pytest.warns(TruncationWarning, match="2 of 3 documents") as told:
        mini.encode_document([long, "短い", long], batch_size=1)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_progress_is_shown(mini: JaColBERT, capsys: pytest.CaptureFixture[str]) -> None:
    with packed():
        mini.encode_document(TEXTS, batch_size=3, show_progress_bar=True)
    assert f"{len(TEXTS)}/{len(TEXTS)}" in capsys.readouterr().err


def test_older_torch_has_no_variable_length_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
    assert packed_attention._varlen_attn.__wrapped__() is None
    old = SimpleNamespace(varlen_attn=lambda query, key, value, cu_seq_q, cu_seq_k, max_q, max_k: None)
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", old)
    assert packed_attention._varlen_attn.__wrapped__() is None
