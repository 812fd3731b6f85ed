"""Words as sparse vectors: BM25 by hand, and as bm25s computes it."""

from __future__ import annotations

import math
import pickle
import zlib
from collections import Counter
from importlib.util import find_spec

import pytest

from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.bm25 import BM25
from jacolbert_integrations.text.lexical import LexicalEncoder, SparseVector

TEXTS = ["猫の名前はタマである", "犬の名前はポチ", "猫と犬と猫", "鳥は空を飛ぶ。ＡＢＣ社の鳥"]


def number(word: str) -> int:
    return zlib.crc32(word.encode())


def test_weights_by_hand() -> None:
    encoder = LexicalEncoder(4.0, k1=1.2, b=0.75)
    assert encoder.words("猫と犬と猫") == ["猫", "と", "犬", "と", "猫"]
    length = 1.2 * (0.25 + 0.75 * 5 / 4)
    expected = {"猫": 2 * 2.2 / (2 + length), "と": 2 * 2.2 / (2 + length), "犬": 2.2 / (1 + length)}
    assert encoder.encode_document("猫と犬と猫") == pytest.approx({number(w): v for w, v in expected.items()})
    assert encoder.encode_query("猫と犬と猫") == {number("猫"): 2.0, number("と"): 2.0, number("犬"): 1.0}
    assert encoder.encode_query("") == {}
    assert encoder.encode_query("ＡＢＣ") == encoder.encode_query("abc")


@pytest.mark.skipif(find_spec("bm25s") is None, reason="the extra 'evaluation' is not installed")
def test_with_the_inverse_document_frequency_it_is_bm25() -> None:
    encoder = LexicalEncoder(1.0)
    encoder = LexicalEncoder(sum(len(encoder.words(text)) for text in TEXTS) / len(TEXTS))
    documents = [encoder.encode_document(text) for text in TEXTS]
    found = Counter(word for document in documents for word in document)
    idf = {word: math.log(1 + (len(TEXTS) - n + 0.5) / (n + 0.5)) for word, n in found.items()}

    def score(query: SparseVector, document: SparseVector) -> float:
        return sum(count * idf[word] * document[word] for word, count in query.items() if word in document)

    queries = ["猫の名前", "空を飛ぶ犬", "無い"]
    for query, row in zip(queries, BM25(TEXTS).score(queries), strict=True):
        ours = [score(encoder.encode_query(query), document) for document in documents]
        assert [2.2 * value for value in row] == pytest.approx(ours, rel=1e-5)  # bm25s leaves the constant k1 + 1 out


def test_bad_parameters() -> None:
    with pytest.raises(InputError, match="average_words is 0"):
        LexicalEncoder(0)
    with pytest.raises(InputError, match="b from 0 to 1"):
        LexicalEncoder(10, b=2)
    again = pickle.loads(pickle.dumps(LexicalEncoder(10)))
    assert again == LexicalEncoder(10)
    assert again.encode_query("猫") == {number("猫"): 1.0}
