from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.transformer import ColBERTTransformer
from jacolbert_integrations.errors import InputError, TruncationWarning

from ..conftest import STANFORD

TEXTS = [
    "日本の首都は東京です。",
    "猫",
    "",
    "富士山は日本で一番高い山で、標高は3,776メートルである。" * 4,
    "ﾊﾝｶｸｶﾅ と 全角カナ、①②③ ㍿ 😀",
    "改行\nと\tタブ\r\nと\u3000全角空白",
]


def test_alone_or_in_any_batch(model: JaColBERT) -> None:
    for encode in (model.encode_query, model.encode_document):
        together = encode(TEXTS)
        for text, vectors in zip(TEXTS, together, strict=True):
            np.testing.assert_allclose(encode([text])[0], vectors, atol=1e-5)
        for batch_size in (1, 2, 4):
            for one, other in zip(encode(TEXTS, batch_size=batch_size), together, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5)


def test_threads_give_the_same_vectors() -> None:
    fresh = JaColBERT.from_pretrained(STANFORD)
    texts = TEXTS * 8
    expected = fresh.encode_query(texts)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: fresh.encode_query([text])[0], texts))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_shape_type_and_length(model: JaColBERT) -> None:
    for vectors in [*model.encode_query(TEXTS), *model.encode_document(TEXTS)]:
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == model.dimension
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert model.encode_query([]) == model.encode_document([]) == []


def test_queries_have_masks_and_documents_no_punctuation(model: JaColBERT) -> None:
    assert len(model.encode_query(["猫"])[0]) == 4 + 8
    assert len(model.encode_query(["日本の首都はどこですか、教えて。"])[0]) == 32
    with_punctuation, without = model.encode_document(["猫!犬(鳥)", "猫犬鳥"])
    assert len(with_punctuation) == len(without) == 3 + 3
    assert len(model.encode_document(["。、「」"])[0]) == 3 + 4  # Japanese punctuation is kept


def test_unpadded_queries_are_the_padded_ones_without_masks(mini: JaColBERT, tmp_path: Path) -> None:
    unpadded = JaColBERT.from_pretrained(query_length="unpadded")
    queries = ["山", "日本で一番高い山は？", "富士山の高さは" * 40]
    for query, padded, length in zip(
        unpadded.encode_query(queries), mini.encode_query(queries), (4, 10, 243), strict=True
    ):
        assert len(query) == length < len(padded)
        np.testing.assert_allclose(query, padded[:length], atol=1e-5)
    documents = ["富士山は日本で一番高い山である。", "猫は魚を食べる。"]
    vectors = unpadded.encode_document(documents)
    expected = (unpadded.encode_query([queries[1]])[0] @ vectors[0].T).max(axis=1).sum()
    assert unpadded.score([queries[1]], documents)[0, 0] == pytest.approx(float(expected), abs=1e-4)
    unpadded.save_pretrained(tmp_path / "saved")
    assert JaColBERT.from_pretrained(tmp_path / "saved").query_length == "unpadded"
    assert unpadded.fingerprint == mini.fingerprint


def test_control_tokens_in_text_change_nothing_but_words(model: JaColBERT) -> None:
    transformer = model.model[0]
    ids = transformer.tokenize_texts(["[MASK] [unused0] [SEP]"], "document")[0].ids  # type: ignore[operator]
    assert ids[:2] == [2, 6]
    assert ids[-1] == 3
    assert not set(ids[2:-1]) & {0, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "\x00",
        "猫\x00犬",
        "\ud800",
        "a\udfffb",
        "\x1b[31m\x07\x7f",
        "\u202e\u200d\ufeff",
        "👨‍👩‍👧‍👦🇯🇵",
        "\n\n\n",
        "か\u3099",
    ],
)
def test_odd_texts_give_vectors(model: JaColBERT, text: str) -> None:
    for vectors in (model.encode_query([text])[0], model.encode_document([text])[0]):
        assert len(vectors) >= 3
        assert np.isfinite(vectors).all()


def test_broken_unicode_is_read_in_a_documented_way(model: JaColBERT) -> None:
    first, second, third, fourth = model.encode_document(["猫\x00犬", "猫 犬", "x\ud83d\ude00", "x😀"])
    np.testing.assert_allclose(first, second, atol=1e-5)
    np.testing.assert_allclose(third, fourth, atol=1e-5)


@settings(max_examples=60)
@given(st.text(st.characters(), max_size=60))
def test_any_text_at_all(text: str) -> None:
    vectors = MODEL.encode_document([text])[0]
    assert vectors.shape[1] == 128
    assert np.isfinite(vectors).all()


MODEL = JaColBERT.from_pretrained(STANFORD)


def test_long_texts_are_cut_with_one_warning(model: JaColBERT) -> None:
    texts = ["猫が好き。" * 20_000, "短い。", "犬が好き。" * 200]
    with pytest.warns(TruncationWarning, match=r"2 of 3 documents were longer than the 300 tokens") as caught:
        vectors = model.encode_document(texts)
    assert len(caught) == 1
    assert [len(v) for v in vectors] == [300, 5, 300]
    fixed = JaColBERT.from_pretrained(STANFORD, query_length="fixed")
    with pytest.warns(TruncationWarning, match=r"1 of 1 queries were longer than the 32 tokens"):
        assert len(fixed.encode_query(["猫が好きな人は誰ですか。" * 5])[0]) == 32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.encode_query(["猫が好きな人は誰ですか。" * 5])[0]) > 40
    with pytest.warns(TruncationWarning, match=r"longer than the 512 tokens"):
        assert len(model.encode_query(["猫が好きな人は誰ですか。" * 100])[0]) == 512


def test_half_precision_stays_close_and_normalised(model: JaColBERT) -> None:
    half = JaColBERT.from_pretrained(STANFORD, dtype=torch.bfloat16)
    ours, theirs = half.encode_document(TEXTS[:1])[0], model.encode_document(TEXTS[:1])[0]
    assert ours.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert (ours * theirs).sum(axis=1).min() > 0.98


def test_batches_are_cut_by_tokens(model: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[tuple[int, int]] = []
    collate = ColBERTTransformer.collate

    def recording(self: ColBERTTransformer, batch: Any, task: Any) -> dict[str, Any]:
        features = collate(self, batch, task)
        widths.append(tuple(features["input_ids"].shape))
        return features

    monkeypatch.setattr(ColBERTTransformer, "collate", recording)
    monkeypatch.setattr(model, "batch_tokens", 200)
    model.encode_document(["猫が好き。" * n for n in (1, 30, 2, 28, 3, 1, 1, 2)])
    assert sum(rows for rows, _ in widths) == 8
    assert all(rows * width <= 200 or rows == 1 for rows, width in widths)
    assert len(widths) < 6


def test_progress_bar_on_request(model: JaColBERT, capfd: pytest.CaptureFixture[str]) -> None:
    model.encode_query(TEXTS, show_progress_bar=True)
    assert "Encoding queries" in capfd.readouterr().err
    model.encode_query(TEXTS)
    assert capfd.readouterr().err == ""


def test_bad_arguments(model: JaColBERT) -> None:
    with pytest.raises(InputError, match=r"expected a list of texts, but got one string; write \['猫'\]"):
        model.encode_query("猫")
    with pytest.raises(InputError, match=r"text 1 is a int \(3\), but a string is expected"):
        model.encode_document(["猫", 3])  # type: ignore[list-item]
    with pytest.raises(InputError, match="batch_size is 0"):
        model.encode_document(["猫"], batch_size=0)
    with pytest.raises(InputError, match="1 texts among 2 items"):
        model.score(["猫"], ["猫", np.ones((1, 128), np.float32)])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got one string"):
        model.score("猫", ["猫"])
    with pytest.raises(InputError, match="query_length is 'long'"):
        JaColBERT.from_pretrained(STANFORD, query_length="long")  # type: ignore[arg-type]


def test_score_and_rank(mini: JaColBERT) -> None:
    documents = ["富士山は日本で一番高い山です。", "東京は日本の首都です。", "猫は魚を食べます。"]
    query = "日本の首都はどこですか。"
    scores = mini.score([query], documents)
    assert scores.shape == (1, 3)
    np.testing.assert_allclose(scores, mini.score(mini.encode_query([query]), mini.encode_document(documents)))
    hits = mini.rank(query, documents)
    assert [hit.id for hit in hits] == ["1", "0", "2"]
    assert [hit.score for hit in hits] == sorted(scores[0].tolist(), reverse=True)
    assert mini.rank(query, documents, top_k=1)[0].payload == {"index": 1, "text": documents[1]}
    assert mini.rank(query, []) == []
    with pytest.raises(InputError, match="top_k is 0"):
        mini.rank(query, documents, top_k=0)


def test_further_training_gives_another_fingerprint() -> None:
    trained = JaColBERT.from_pretrained(STANFORD)
    before = trained.fingerprint
    assert trained.fingerprint == before
    optimizer = torch.optim.SGD(trained.model.parameters(), lr=0.1)
    trained.model(trained.model.preprocess(["猫"], task="query"), task="query")["token_embeddings"].sum().backward()
    optimizer.step()
    assert trained.fingerprint != before


def test_repr_says_what_it_is(model: JaColBERT) -> None:
    assert repr(model) == (
        "JaColBERT('stanford', dimension=128, document_maxlen=300, query_length='released', device='cpu')"
    )


def test_documents_fit_as_they_are_counted(model: JaColBERT, mini: JaColBERT) -> None:
    texts = ["", "山", "富士山は日本で一番高い山である。", "㍿ﷺ" * 5, "a" * 80]
    for each in (model, mini):
        lengths = each.document_lengths(texts)
        for limit in range(1, 90):
            assert each.documents_fit(texts, limit) == [length <= limit for length in lengths]


def test_what_the_vocabulary_lacks_is_counted(mini: JaColBERT) -> None:
    small = JaColBERT.from_pretrained("jacolbert-small")
    texts = ["富士山は日本で一番高い山である。", "안녕하세요 세계", "猫と😀と🦖"]
    assert small.unknown_tokens(texts) == mini.unknown_tokens(texts) == [0, 2, 2]
    beyond = "猫" * 600 + "😀"  # what it does not read, it does not miss
    with pytest.warns(TruncationWarning):
        mini.encode_document([beyond])
    assert mini.unknown_tokens([beyond]) == [0]


def test_with_another_query_length_rule(model: JaColBERT) -> None:
    fixed = model.with_query_length("fixed")
    assert (fixed.query_length, model.query_length) == ("fixed", "released")
    assert [len(vectors) for vectors in fixed.encode_query(["東京", "日本の首都はどこですか"])] == [32, 32]
    assert fixed.fingerprint == model.fingerprint
    assert fixed.identity != model.identity
    assert fixed.query_maxlen == 32
    assert model.query_maxlen == 512
    np.testing.assert_array_equal(fixed.encode_document(["東京"])[0], model.encode_document(["東京"])[0])
    loaded = JaColBERT.from_pretrained(STANFORD, query_length="fixed")
    np.testing.assert_array_equal(fixed.encode_query(["東京"])[0], loaded.encode_query(["東京"])[0])
    with pytest.raises(InputError, match="query_length is 'long'"):
        model.with_query_length("long")  # type: ignore[arg-type]


def test_lengths_of_queries(model: JaColBERT) -> None:
    texts = ["", "東京", "日本の首都はどこですか" * 20]
    plain = model.with_query_length("unpadded").encode_query(texts)
    assert model.query_lengths(texts) == [len(vectors) for vectors in plain]
    with pytest.raises(InputError, match="expected a list of texts"):
        model.query_lengths("東京")
