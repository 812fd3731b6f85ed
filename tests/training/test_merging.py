"""Merged checkpoints: arithmetic by hand, what may be merged, and what is left on the disk."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint
from jacolbert_integrations.cli import merge as command
from jacolbert_integrations.errors import CheckpointError, InputError, JaColBERTError, MergeError, SaveError
from jacolbert_integrations.training.merging.averages import WeightedSum, average, slerp, slerp_tensor
from jacolbert_integrations.training.merging.soup import greedy_soup

from ..checkpoints.test_other_models import english_backbone, stanford
from ..conftest import JAQUAD_EXCERPT, PYLATE, STANFORD

Tensors = dict[str, torch.Tensor]
Change = Callable[..., None]

PROJECTION = "linear.weight"
EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
WORDS = 3000
TEXTS = ["富士山は静岡県と山梨県にまたがる日本の最高峰です。", "京都は平安京以来の都!"]


def weights_of(folder: Path) -> Tensors:
    tensors: Tensors = load_file(folder / "model.safetensors")
    return tensors


@pytest.fixture(scope="session", name="base")
def fixture_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint with the first words of its vocabulary only, which loads sooner."""
    folder = Path(shutil.copytree(STANFORD, tmp_path_factory.mktemp("base") / "base"))
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:WORDS]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": WORDS}), encoding="utf-8")
    tensors = weights_of(folder)
    tensors[EMBEDDINGS] = tensors[EMBEDDINGS][:WORDS].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def member(folder: Path, source: Path, change: Callable[[Tensors], object]) -> Path:
    """A copy of a checkpoint with other weights."""
    shutil.copytree(source, folder)
    tensors = weights_of(folder)
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def noisy(folder: Path, source: Path, seed: int) -> Path:
    generator = torch.Generator().manual_seed(seed)

    def add_noise(tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            tensors[name] = tensor + 0.1 * torch.randn(tensor.shape, generator=generator)

    return member(folder, source, add_noise)


def corner(folder: Path, source: Path, value: float) -> Path:
    """A member that differs from others in one number."""

    def put(tensors: Tensors) -> None:
        tensors[PROJECTION][0, 0] = value

    return member(folder, source, put)


def corner_of(model: JaColBERT) -> float:
    return float(model.model.state_dict()["1.linear.weight"][0, 0])


@pytest.fixture
def members(tmp_path: Path, base: Path) -> list[Path]:
    return [noisy(tmp_path / name, base, seed) for seed, name in enumerate(("first", "second", "third"))]


@pytest.fixture
def pair(tmp_path: Path, base: Path) -> tuple[Path, Path]:
    return corner(tmp_path / "a", base, 1.0), corner(tmp_path / "b", base, 2.0)


def in_float64(folders: list[Path], shares: list[float]) -> dict[str, NDArray[np.float64]]:
    """The mean as it is defined."""
    read = [weights_of(folder) for folder in folders]
    stacked = {name: np.stack([tensors[name].double().numpy() for tensors in read]) for name in read[0]}
    return {name: np.tensordot(np.array(shares), array, 1) / sum(shares) for name, array in stacked.items()}


# Arithmetic


def test_a_mean_by_hand() -> None:
    total = WeightedSum()
    total.add({"w": torch.tensor([[1.0, 2.0]]), "b": torch.tensor(3.0)})
    total.add({"w": torch.tensor([[3.0, -2.0]]), "b": torch.tensor(0.0)}, 3.0)
    mean = total.mean(torch.float32)
    assert mean["w"].tolist() == [[2.5, -1.0]]  # (1 + 9) / 4, (2 - 6) / 4
    assert mean["b"].item() == 0.75
    assert {tensor.dtype for tensor in mean.values()} == {torch.float32}


def test_a_copy_of_a_sum_is_its_own() -> None:
    total = WeightedSum()
    total.add({"w": torch.tensor([1.0])})
    larger = total.copy()
    larger.add({"w": torch.tensor([5.0])})
    assert (total.mean(torch.float32)["w"].item(), larger.mean(torch.float32)["w"].item()) == (1.0, 3.0)


def test_sums_are_in_float64() -> None:
    # 2**24 + 1 is no float32: a sum in float32 loses both ones, and its mean is 0.5 too small
    values = [torch.tensor(value) for value in (2.0**24, 1.0, 1.0, 2.0)]
    assert float(values[0] + values[1] + values[2] + values[3]) / 4 == 2**22 + 0.5
    total = WeightedSum()
    for value in values:
        total.add({"w": value})
    assert total.mean(torch.float32)["w"].item() == 2**22 + 1.0


@settings(max_examples=100)
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=6),
    st.lists(st.floats(0.001, 1000), min_size=1, max_size=7),
)
def test_the_mean_of_equal_members_is_the_member_bit_by_bit(values: list[float], shares: list[float]) -> None:
    tensor = torch.tensor(values)
    uniform, weighted = WeightedSum(), WeightedSum()
    for share in shares:
        uniform.add({"w": tensor})
        weighted.add({"w": tensor}, share)
    for total in (uniform, weighted):
        assert total.mean(torch.float32)["w"].numpy().tobytes() == tensor.numpy().tobytes()


def test_slerp_by_hand() -> None:
    # a right angle: sin 30° a + sin 60° b at two thirds of the way
    x, y = torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])
    found = slerp_tensor(x, y, 2 / 3)
    assert found.shape == (2, 1)
    assert found.flatten().tolist() == pytest.approx([0.5, math.sqrt(3) / 2], abs=1e-12)
    # 60° apart and of lengths 2 and 4, halfway: sin 30° / sin 60° = 1 / sqrt 3 of each
    a, b = torch.tensor([2.0, 0.0], dtype=torch.float64), torch.tensor([2.0, 2 * math.sqrt(3)], dtype=torch.float64)
    assert slerp_tensor(a, b, 0.5).tolist() == pytest.approx([4 / math.sqrt(3), 2.0], abs=1e-12)


def test_slerp_is_linear_where_there_is_no_angle() -> None:
    a, double = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
    assert slerp_tensor(a, double, 0.25).tolist() == [1.25, 2.5]
    assert slerp_tensor(a, -a, 0.5).tolist() == [0.0, 0.0]  # opposite: any arc would do, so none is taken
    assert slerp_tensor(torch.zeros(2), double, 0.25).tolist() == [0.5, 1.0]
    # cos 0.031 = 0.99952 is above the threshold, cos 0.033 = 0.99946 below
    for angle, straight in ((0.031, True), (0.033, False)):
        other = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        halfway = slerp_tensor(torch.tensor([1.0, 0.0]), other, 0.5)
        length = math.cos(angle / 2) if straight else 1.0  # a chord's middle lies within the arc
        assert float(halfway.norm()) == pytest.approx(length, abs=1e-12)


VECTORS = st.lists(st.floats(-10, 10, width=32), min_size=6, max_size=6).map(torch.tensor)


@settings(max_examples=200)
@given(VECTORS, VECTORS, st.floats(0, 1))
def test_slerp_properties(a: torch.Tensor, b: torch.Tensor, t: float) -> None:
    assert torch.equal(slerp_tensor(a, b, 0.0), a.double())
    assert torch.equal(slerp_tensor(a, b, 1.0), b.double())
    torch.testing.assert_close(slerp_tensor(a, b, t), slerp_tensor(b, a, 1 - t), rtol=1e-9, atol=1e-9)
    assume(float(a.norm()) > 1e-3)
    assume(float(b.norm()) > 1e-3)
    unit_a, unit_b = a.double() / a.double().norm(), b.double() / b.double().norm()
    cosine = float(unit_a @ unit_b)
    assume(abs(cosine) < 0.999)
    found = slerp_tensor(unit_a, unit_b, t)
    assert float(found.norm()) == pytest.approx(1.0, abs=1e-9)  # it stays on the sphere
    assert float(found @ unit_a) == pytest.approx(math.cos(t * math.acos(cosine)), abs=1e-9)


# Checkpoints


def test_a_uniform_average(members: list[Path], tmp_path: Path) -> None:
    result = average(members, tmp_path / "out")
    expected = in_float64(members, [1, 1, 1])
    merged = weights_of(tmp_path / "out")
    assert merged.keys() == expected.keys()
    for name, tensor in merged.items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name].astype(np.float32))
    assert (result.method, result.path) == ("average", tmp_path / "out")
    assert result.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    checkpoint = inspect_checkpoint(tmp_path / "out")
    assert checkpoint.layout is Layout.STANFORD
    assert checkpoint.settings is not None
    assert (checkpoint.settings.document_maxlen, checkpoint.settings.query_length) == (300, "released")


def test_a_weighted_average(members: list[Path], tmp_path: Path) -> None:
    result = average(members, tmp_path / "out", weights=[5, 3, 0])
    expected = in_float64(members, [5, 3, 0])
    for name, tensor in weights_of(tmp_path / "out").items():
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-6)
    assert result.weights == (0.625, 0.375, 0.0)


def test_slerp_of_checkpoints(members: list[Path], tmp_path: Path) -> None:
    first, second, _ = members
    result = slerp(first, second, tmp_path / "out", t=0.3)
    a, b = weights_of(first), weights_of(second)
    for name, tensor in weights_of(tmp_path / "out").items():
        x, y = a[name].double().flatten().numpy(), b[name].double().flatten().numpy()
        angle = math.acos(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
        curved = (math.sin(0.7 * angle) * x + math.sin(0.3 * angle) * y) / math.sin(angle)
        expected = 0.7 * x + 0.3 * y if math.cos(angle) > 0.9995 else curved
        np.testing.assert_allclose(tensor.flatten().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert (result.t, result.weights) == (0.3, None)
    for t, end in ((0, first), (1, second)):
        slerp(first, second, tmp_path / "end", t=t)
        assert JaColBERT.from_pretrained(tmp_path / "end").fingerprint == JaColBERT.from_pretrained(end).fingerprint


def test_what_members_share_is_not_touched(tmp_path: Path, base: Path) -> None:
    three = [corner(tmp_path / str(value), base, value) for value in (1.0, 2.0, 6.0)]
    average(three, tmp_path / "out")
    merged, original = weights_of(tmp_path / "out"), weights_of(base)
    assert merged[PROJECTION][0, 0] == 3.0
    merged[PROJECTION][0, 0] = original[PROJECTION][0, 0]
    for name, tensor in original.items():
        assert tensor.numpy().tobytes() == merged[name].numpy().tobytes()


def test_the_result_loads_and_encodes(members: list[Path], tmp_path: Path) -> None:
    result = average(members, tmp_path / "out")
    merged = JaColBERT.from_pretrained(tmp_path / "out")
    assert merged.fingerprint == result.fingerprint
    expected = JaColBERT.from_pretrained(members[0])
    means = in_float64(members, [1, 1, 1])
    for name, tensor in expected.model.state_dict().items():
        stored = PROJECTION if name == "1.linear.weight" else name.replace("0.model.", "bert.")
        tensor.copy_(torch.from_numpy(means[stored]))
    for ours, theirs in zip(merged.encode_document(TEXTS), expected.encode_document(TEXTS), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_vectors_of_a_mean_by_hand(tmp_path: Path, base: Path) -> None:
    # the mean of a projection and three times itself is twice it, and vectors have length 1 whatever its scale
    larger = member(tmp_path / "larger", base, lambda tensors: tensors.update({PROJECTION: 3 * tensors[PROJECTION]}))
    average([base, larger], tmp_path / "out")
    merged, model = JaColBERT.from_pretrained(tmp_path / "out"), JaColBERT.from_pretrained(base)
    assert merged.fingerprint != model.fingerprint
    for ours, theirs in zip(merged.encode_query(TEXTS), model.encode_query(TEXTS), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_layouts_mix(tmp_path: Path, model: JaColBERT) -> None:
    value = float(weights_of(STANFORD)[PROJECTION][0, 0])
    average([PYLATE, corner(tmp_path / "other", STANFORD, 1.0)], tmp_path / "out")
    assert inspect_checkpoint(tmp_path / "out").layout is Layout.STANFORD
    merged = JaColBERT.from_pretrained(tmp_path / "out")
    assert corner_of(merged) == pytest.approx((value + 1) / 2, rel=1e-6)
    assert merged.skipped_ids == model.skipped_ids


def test_rounding_to_half_precision_comes_last(tmp_path: Path, base: Path, pair: tuple[Path, Path]) -> None:
    # 2049 lies between the float16 numbers 2048 and 2050; rounded first, the mean would be 2048.5
    odd = [corner(tmp_path / "odd", base, 2049.0), corner(tmp_path / "even", base, 2050.5)]
    average(odd, tmp_path / "out", dtype=torch.float16)
    stored = weights_of(tmp_path / "out")[PROJECTION]
    assert (stored.dtype, stored[0, 0].item()) == (torch.float16, 2050.0)
    large = corner(tmp_path / "large", base, 2e5)
    with pytest.raises(MergeError, match=r"'1.linear.weight' is beyond the range of torch.float16"):
        average([large, pair[0]], tmp_path / "none", dtype=torch.float16)
    with pytest.raises(MergeError, match=r"dtype is torch.int8, but a result is written in one of torch.float32"):
        average(pair, tmp_path / "none", dtype=torch.int8)
    assert not (tmp_path / "none").exists()


def test_a_pooler_that_a_file_lacks_is_not_made_up(pair: tuple[Path, Path], base: Path, tmp_path: Path) -> None:
    def drop_pooler(tensors: Tensors) -> None:
        for name in [name for name in tensors if ".pooler." in name]:
            del tensors[name]

    bare = member(tmp_path / "bare", base, drop_pooler)
    average(pair, tmp_path / "with")
    assert any("pooler" in name for name in weights_of(tmp_path / "with"))
    for order in ([bare, pair[0]], [pair[0], bare]):
        average(order, tmp_path / "without")
        assert not any("pooler" in name for name in weights_of(tmp_path / "without"))
        JaColBERT.from_pretrained(tmp_path / "without")


def test_provenance(pair: tuple[Path, Path], tmp_path: Path) -> None:
    result = average(pair, tmp_path / "out", weights=[3, 1])
    fingerprints = [JaColBERT.from_pretrained(folder).fingerprint for folder in pair]
    record = json.loads((tmp_path / "out" / "merge.json").read_text(encoding="utf-8"))
    from jacolbert_integrations import __version__

    assert record == {
        "method": "average",
        "parameters": {"dtype": "float32", "weights": [0.75, 0.25]},
        "members": [{"name": "a", "fingerprint": fingerprints[0]}, {"name": "b", "fingerprint": fingerprints[1]}],
        "fingerprint": JaColBERT.from_pretrained(tmp_path / "out").fingerprint,
        "jacolbert_integrations": __version__,
    }
    assert [m.fingerprint for m in result.members] == fingerprints
    for file in (tmp_path / "out").glob("*.json"):
        assert str(tmp_path) not in file.read_text(encoding="utf-8")
    slerp(*pair, tmp_path / "out", t=0.25)
    record = json.loads((tmp_path / "out" / "merge.json").read_text(encoding="utf-8"))
    assert (record["method"], record["parameters"]) == ("slerp", {"dtype": "float32", "t": 0.25})


def test_the_members_stay_as_they_were(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before = [{file.name: file.read_bytes() for file in folder.iterdir()} for folder in pair]
    average(pair, tmp_path / "out")
    assert [{file.name: file.read_bytes() for file in folder.iterdir()} for folder in pair] == before


# The greedy soup


def near_ten(model: JaColBERT) -> float:
    return -abs(corner_of(model) - 10)


def test_a_greedy_soup_by_hand(tmp_path: Path, base: Path) -> None:
    """Alone: 9 gives -1, 12 gives -2, 7.5 gives -2.5, 7 gives -3, 13.5 gives -3.5; they are given in another order.

    9 begins. With 12 the mean is 10.5 (-0.5): kept. With 7.5 it is 9.5 (-0.5): no better, so left out. With 7
    it is 28 / 3 (-2 / 3): left out. With 13.5 it is 11.5 (-1.5): left out.
    """
    given = [corner(tmp_path / f"m{value}", base, value) for value in (7.0, 12.0, 13.5, 9.0, 7.5)]
    asked: list[tuple[str, float]] = []

    def measure(model: JaColBERT) -> float:
        asked.append((model.name, corner_of(model)))
        return near_ten(model)

    result = greedy_soup(given, tmp_path / "out", evaluate=measure, metric="nearness", device="cpu")
    assert [(step.member.name, step.alone, step.kept) for step in result.steps] == [
        ("m9.0", -1.0, True),
        ("m12.0", -2.0, True),
        ("m7.5", -2.5, False),
        ("m7.0", -3.0, False),
        ("m13.5", -3.5, False),
    ]
    assert [step.with_it for step in result.steps] == pytest.approx([-1, -0.5, -0.5, -2 / 3, -1.5], abs=1e-6)
    assert [m.name for m in result.members] == ["m9.0", "m12.0"]
    assert result.weights == (0.5, 0.5)
    assert corner_of(JaColBERT.from_pretrained(tmp_path / "out")) == 10.5
    assert asked[:5] == [("m7.0", 7.0), ("m12.0", 12.0), ("m13.5", 13.5), ("m9.0", 9.0), ("m7.5", 7.5)]
    assert [name for name, _ in asked[5:]] == ["a soup of 2", *["a soup of 3"] * 3]

    average([tmp_path / "m9.0", tmp_path / "m12.0"], tmp_path / "mean")
    assert (tmp_path / "mean" / "model.safetensors").read_bytes() == (
        tmp_path / "out" / "model.safetensors"
    ).read_bytes()
    record = json.loads((tmp_path / "out" / "merge.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in record["members"]] == ["m9.0", "m12.0"]
    assert record["parameters"]["weights"] == [0.5, 0.5]
    assert record["soup"]["metric"] == "nearness"
    assert record["soup"]["steps"][2] == {
        "name": "m7.5",
        "fingerprint": JaColBERT.from_pretrained(tmp_path / "m7.5").fingerprint,
        "alone": -2.5,
        "with_it": -0.5,
        "kept": False,
    }


def test_a_soup_of_the_best_alone(tmp_path: Path, base: Path) -> None:
    given = [corner(tmp_path / f"m{value}", base, value) for value in (14.0, 10.0, 6.0)]
    result = greedy_soup(given, tmp_path / "out", evaluate=near_ten, device="cpu")
    assert [step.kept for step in result.steps] == [True, False, False]
    assert [step.member.name for step in result.steps] == ["m10.0", "m14.0", "m6.0"]  # equal ones as they were given
    assert result.fingerprint == JaColBERT.from_pretrained(tmp_path / "m10.0").fingerprint


def test_a_soup_is_measured_as_it_would_be_written(tmp_path: Path, base: Path) -> None:
    given = [corner(tmp_path / "odd", base, 2049.0), corner(tmp_path / "even", base, 2052.0)]
    seen: list[float] = []

    def measure(model: JaColBERT) -> float:
        seen.append(corner_of(model))
        return 0.0

    greedy_soup(given, tmp_path / "out", evaluate=measure, dtype=torch.float16, device="cpu")
    assert seen == [2048.0, 2052.0, 2050.0]  # float16 rounds 2049 to even, and the mean of 2050.5 to 2050


def test_a_metric_that_ranks_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(MergeError, match=r"the MRR of a is nan, by which nothing can be ranked"):
        greedy_soup(pair, tmp_path / "out", evaluate=lambda _: math.nan, metric="MRR", device="cpu")
    assert not (tmp_path / "out").exists()


def test_nothing_is_measured_before_all_members_are_checked(
    pair: tuple[Path, Path], tmp_path: Path, change_json: Change
) -> None:
    change_json(pair[1] / "artifact.metadata", doc_maxlen=228)

    def measure(model: JaColBERT) -> float:
        raise AssertionError("measured")

    with pytest.raises(MergeError, match="document_maxlen"):
        greedy_soup(pair, tmp_path / "out", evaluate=measure)


def test_a_failing_evaluation_leaves_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    def fail(model: JaColBERT) -> float:
        raise ValueError("no development set")

    with pytest.raises(ValueError, match="no development set"):
        greedy_soup(pair, tmp_path / "out", evaluate=fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


# What cannot be merged


def swap_words(folder: Path) -> None:
    file = folder / "vocab.txt"
    words = file.read_text(encoding="utf-8").split("\n")
    words[1000], words[1001] = words[1001], words[1000]
    file.write_text("\n".join(words), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("artifact.metadata", {"doc_maxlen": 228}, r"'document_maxlen' is 228, but 300 in the first"),
        ("artifact.metadata", {"query_maxlen": 48}, r"'query_maxlen' is 48, but 32"),
        ("artifact.metadata", {"query_length": "fixed"}, r"'query_length' is 'fixed', but 'released'"),
        ("artifact.metadata", {"query_token_id": "[unused2]"}, r"'query_marker' is '\[unused2\]', but '\[unused0\]'"),
        ("artifact.metadata", {"attend_to_mask_tokens": True}, r"'attend_to_mask_tokens' is True, but False"),
        ("artifact.metadata", {"mask_punctuation": False}, r"'skiplist' is \[\], but \['!', "),
        ("config.json", {"layer_norm_eps": 1e-6}, r"config.json's 'layer_norm_eps' is 1e-06, but 1e-12"),
        ("config.json", {"num_hidden_layers": 1}, r"config.json's 'num_hidden_layers' is 1, but 2"),
        ("config.json", {"hidden_act": "relu"}, r"config.json's 'hidden_act' is 'relu', but 'gelu'"),
        ("tokenizer_config.json", {"do_lower_case": True}, r"the tokenizer's do_lower_case is True, but False"),
        ("tokenizer_config.json", {"model_max_length": 256}, r"the tokenizer's model_max_length is 256, but 512"),
        (
            "tokenizer_config.json",
            {"mecab_kwargs": {"mecab_dic": "unidic_lite", "normalize_text": False}},
            r"the tokenizer's mecab_kwargs is \{.*'normalize_text': False",
        ),
    ],
)
def test_members_that_differ(
    pair: tuple[Path, Path],
    tmp_path: Path,
    change_json: Change,
    file: str,
    changes: dict[str, object],
    message: str,
) -> None:
    change_json(pair[1] / file, **changes)
    with pytest.raises(MergeError, match=rf"/b cannot be merged with .*/a: .*{message}"):
        average(pair, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_members_of_other_vocabularies(pair: tuple[Path, Path], tmp_path: Path) -> None:
    swap_words(pair[1])
    with pytest.raises(MergeError, match=r"vocabulary of 3000 tokens has .* at 100[01], but .* of 3000 at 100[01]"):
        average(pair, tmp_path / "out")


def test_members_of_other_shapes(pair: tuple[Path, Path], base: Path, tmp_path: Path, change_json: Change) -> None:
    shutil.rmtree(pair[1])
    member(pair[1], base, lambda tensors: tensors.update({PROJECTION: tensors[PROJECTION][:96].clone()}))
    change_json(pair[1] / "artifact.metadata", dim=96)
    with pytest.raises(MergeError, match=r"'out_features' of module 1 \(Dense\) is 96, but 128"):
        slerp(*pair, tmp_path / "out")


def test_another_tokenizer_class(pair: tuple[Path, Path], tmp_path: Path) -> None:
    backbone = english_backbone(tmp_path / "english")
    tensors = {f"bert.{name}": tensor for name, tensor in backbone.state_dict().items()}
    metadata = {"dim": 24, "doc_maxlen": 40}
    english = stanford(tmp_path / "english", tensors, backbone.config.to_dict(), metadata)
    with pytest.raises(MergeError, match=r"config.json's 'vocab_size' is 22, but 3000"):
        average([pair[0], english], tmp_path / "out")
    cased = shutil.copytree(english, tmp_path / "cased")
    tokenizer = json.loads((cased / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"]["lowercase"] = False
    (cased / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (cased / "tokenizer_config.json").write_text(
        (cased / "tokenizer_config.json")
        .read_text(encoding="utf-8")
        .replace('"do_lower_case": true', '"do_lower_case": false')
    )
    with pytest.raises(MergeError, match=r"the tokenizer's normalizer is .*'lowercase': False"):
        average([english, cased], tmp_path / "out")


def test_what_decides_no_vector_may_differ(pair: tuple[Path, Path], tmp_path: Path, change_json: Change) -> None:
    change_json(
        pair[1] / "config.json",
        architectures=["BertModel"],
        use_cache=False,
        hidden_dropout_prob=0.0,
        torch_dtype="float16",
        transformers_version="4.38.1",
        position_embedding_type=None,  # removed: transformers no longer knows it
    )
    change_json(pair[1] / "artifact.metadata", query_length="released", nbits=4, lr=1e-5)  # the rule that was implied
    average(pair, tmp_path / "out")
    assert corner_of(JaColBERT.from_pretrained(tmp_path / "out")) == 1.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_member_that_has_diverged(pair: tuple[Path, Path], base: Path, tmp_path: Path, value: float) -> None:
    broken = corner(tmp_path / "broken", base, value)
    with pytest.raises(MergeError, match=r"broken holds NaN or infinity in '1.linear.weight'.*Leave it out"):
        average([*pair, broken], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_member_twice(pair: tuple[Path, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    for twin in (pair[0], copy):
        with pytest.raises(MergeError, match=r"has the same weights as .*/a\. Give it once; weights say how much"):
            average([*pair, twin], tmp_path / "out", weights=[1, 1, 2])


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_members(pair: tuple[Path, Path], tmp_path: Path, count: int) -> None:
    with pytest.raises(MergeError, match="a merge needs a list of at least two checkpoints, but got"):
        average(pair[:count], tmp_path / "out")
    with pytest.raises(MergeError, match="a merge needs a list of at least two checkpoints"):
        greedy_soup(str(pair[0]), tmp_path / "out", evaluate=near_ten)


def test_a_member_that_is_none(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no directory"):
        average([pair[0], tmp_path / "absent"], tmp_path / "out")
    (pair[1] / "artifact.metadata").unlink()
    with pytest.raises(CheckpointError, match=r"no artifact\.metadata"):
        average(pair, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5], "got 1 weights for 2 members"),
        ([0.5, 0.3, 0.2], "got 3 weights for 2 members"),
        ([], "got 0 weights for 2 members"),
        ([1.5, -0.5], r"the weights are \[1.5, -0.5\], but each must be a finite number of at least 0"),
        ([0, 0], "and their sum above 0"),
        ([math.nan, 1], r"\[nan, 1.0\], but each must be a finite number"),
        ([math.inf, 1], r"\[inf, 1.0\], but each must be a finite number"),
    ],
)
def test_bad_weights(pair: tuple[Path, Path], tmp_path: Path, weights: list[float], message: str) -> None:
    with pytest.raises(MergeError, match=message):
        average(pair, tmp_path / "out", weights=weights)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan])
def test_bad_t(pair: tuple[Path, Path], tmp_path: Path, t: float) -> None:
    with pytest.raises(MergeError, match=rf"t is {t}, but it must be between 0"):
        slerp(*pair, tmp_path / "out", t=t)


def test_what_an_output_would_destroy(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for output in (pair[0], pair[1] / ".", tmp_path):
        with pytest.raises(
            MergeError, match=r"is, or holds, the member .*/[ab], which writing the result would destroy"
        ):
            average(pair, output)
    (tmp_path / "file").touch()
    with pytest.raises(MergeError, match="file is a file, but a directory is written"):
        average(pair, tmp_path / "file")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    with pytest.raises(MergeError, match="thesis is no empty directory, nor one that a merge has written"):
        average(pair, tmp_path / "thesis")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter"]
    (tmp_path / "empty").mkdir()
    average(pair, tmp_path / "empty")
    average(pair, tmp_path / "empty", weights=[1, 3])  # an earlier merge is replaced
    assert corner_of(JaColBERT.from_pretrained(tmp_path / "empty")) == 1.75


def test_a_disk_that_takes_nothing_more(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    average(pair, tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()

    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SaveError, match=r"out cannot be written: .*No space left on device"):
        average(pair, tmp_path / "out", weights=[1, 3])
    with pytest.raises(SaveError, match="new cannot be written"):
        average(pair, tmp_path / "new")
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


def test_what_the_result_has_no_place_for(pair: tuple[Path, Path], tmp_path: Path, change_json: Change) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"skiplist_words": ["の"]}, "has no place for a skiplist other than punctuation"),
        ({"do_query_expansion": False}, r"has no place for queries without \[MASK\] expansion"),
        ({"prompts": {"query": "質問: "}}, r"has no place for the prompts \{'query': '質問: '\}"),
    ]
    for number, (changes, message) in enumerate(cases):
        folder = shutil.copytree(PYLATE, tmp_path / f"pylate{number}")
        change_json(folder / "config_sentence_transformers.json", **changes)
        with pytest.raises(MergeError, match=rf"pylate{number} cannot be merged, since .* {message}"):
            average([folder, pair[0]], tmp_path / "out")
    theirs = MultiVectorEncoder(str(STANFORD))
    theirs.prompts = {"query": "質問: ", "document": "文書: "}
    theirs.save_pretrained(str(tmp_path / "theirs"))
    with pytest.raises(MergeError, match=r"theirs makes its queries in its own way"):
        average([tmp_path / "theirs", pair[0]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# The command


def merge(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers())
    parsed = parser.parse_args(["merge", *map(str, arguments)])
    parsed.run(parsed)


def test_the_command(members: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    merge(*members, "--output", output, "--weights", 2, 1, 1)
    lines = capsys.readouterr().out.splitlines()
    fingerprints = [JaColBERT.from_pretrained(folder).fingerprint[:12] for folder in [*members, output]]
    assert [line.split() for line in lines] == [
        ["weight", "fingerprint"],
        ["first", "0.500", fingerprints[0]],
        ["second", "0.250", fingerprints[1]],
        ["third", "0.250", fingerprints[2]],
        [],
        [f"{output}:", "average", "of", "3,", "fingerprint", fingerprints[3]],
    ]
    merge(*members[:2], "--output", output, "--method", "slerp", "--t", 0.25)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:3]] == [
        ["first", "0.750"],
        ["second", "0.250"],
    ]
    assert json.loads((output / "merge.json").read_text(encoding="utf-8"))["parameters"]["t"] == 0.25


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
@pytest.mark.parametrize("metric", ["mrr@10", "recall@1"])
def test_the_command_makes_a_soup(
    members: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str
) -> None:
    articles = json.loads(JAQUAD_EXCERPT.read_text(encoding="utf-8"))["data"]
    small = [article | {"paragraphs": article["paragraphs"][:2]} for article in articles[:4]]
    (tmp_path / "dev.json").write_text(json.dumps({"data": small}), encoding="utf-8")
    merge(*members, "--output", tmp_path / "out", "--method", "greedy", "--dev", tmp_path / "dev.json",
          "--sample", 9, "--metric", metric)  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"9 questions over 8 passages, measured by {metric}"
    assert lines[2].split() == ["alone", "soup"]
    record = json.loads((tmp_path / "out" / "merge.json").read_text(encoding="utf-8"))
    assert record["soup"]["metric"] == metric
    steps = record["soup"]["steps"]
    for line, step in zip(lines[3:6], steps, strict=True):
        verdict = ["kept"] if step["kept"] else ["left", "out"]
        assert line.split() == [step["name"], f"{step['alone']:.4f}", f"{step['with_it']:.4f}", *verdict]
    assert sorted((step["alone"] for step in steps), reverse=True) == [step["alone"] for step in steps]
    assert lines[-1].startswith(f"{tmp_path / 'out'}: greedy of {len(record['members'])}, fingerprint ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--t", "0.5"], "--t is for --method slerp, but the method is average"),
        (["--method", "slerp", "--weights", "1", "1"], "--weights is for --method average, but the method is slerp"),
        (["--dev", "dev.json"], "--dev is for --method greedy"),
        (["--sample", "5"], "--sample is for --method greedy"),
        (["--metric", "mrr@10"], "--metric is for --method greedy"),
        (["--method", "greedy"], "--method greedy needs --dev"),
        (["--method", "greedy", "--dev", "dev.json", "--sample", "0"], "--sample is 0, but at least 1 question"),
        (["--method", "greedy", "--dev", "absent.json"], r"absent\.json cannot be read"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(JaColBERTError, match=message):
        merge("first", "second", "--output", tmp_path / "out", *options)


def test_slerp_is_of_two(tmp_path: Path) -> None:
    with pytest.raises(MergeError, match=r"slerp merges two checkpoints, but got 3\. Merge them in turn"):
        merge("first", "second", "third", "--output", tmp_path / "out", "--method", "slerp")


def test_a_development_set_without_questions(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text('{"data": []}')
    with pytest.raises(InputError, match=r"there is no question in .*empty\.json"):
        merge("a", "b", "--output", tmp_path / "out", "--method", "greedy", "--dev", tmp_path / "empty.json")
