"""Untrained word vectors: what a match of each word counts before anything has been learned."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from jacolbert_integrations.evaluation.retrieval import evaluate_model
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.text.tokenization import JapaneseTokenizer
from jacolbert_integrations.training.architecture import Architecture, build_untrained
from jacolbert_integrations.training.vocabulary import SPECIAL_TOKENS
from jacolbert_integrations.training.word_vectors import rarity_weighted_vectors, word_weights

from ..conftest import JAQUAD_EXCERPT

TEXTS = ["猫の名前", "犬の名前", "鳥の家", "魚の川"]


@pytest.fixture(scope="module")
def tokenizer() -> JapaneseTokenizer:
    words = [*SPECIAL_TOKENS, "猫", "犬", "鳥", "魚", "の", "名前", "家", "川", "海"]
    return JapaneseTokenizer({word: index for index, word in enumerate(words)})


def test_weights_by_hand(tokenizer: JapaneseTokenizer) -> None:
    weight = dict(zip(tokenizer.vocabulary, word_weights(tokenizer, TEXTS).tolist(), strict=True))
    assert weight["の"] == 0  # in all four texts
    half = math.log(4 / 2) / math.log(4)
    assert weight["名前"] == pytest.approx((half / 0.8) ** 1.5)
    assert weight["猫"] == weight["川"] == 1  # in one
    assert weight["海"] == 1  # in none
    assert all(weight[special] == 0 for special in SPECIAL_TOKENS)


def test_a_missing_word_costs_its_weight(tokenizer: JapaneseTokenizer) -> None:
    vectors = rarity_weighted_vectors(tokenizer, TEXTS, 2048, std=0.5, seed=1)
    weight = word_weights(tokenizer, TEXTS)
    common = vectors[tokenizer.vocabulary["[MASK]"]]
    torch.testing.assert_close(1 - cosine_similarity(vectors, common.unsqueeze(0)), weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.square().mean(dim=1).sqrt(), torch.full((len(vectors),), 0.5))
    torch.testing.assert_close(vectors.mean(dim=1), torch.zeros(len(vectors)), atol=1e-6, rtol=0)
    cat, dog = (vectors[tokenizer.vocabulary[word]] for word in "猫犬")
    assert abs(cosine_similarity(cat, dog, dim=0)) < 0.1
    assert torch.equal(vectors, rarity_weighted_vectors(tokenizer, TEXTS, 2048, std=0.5, seed=1))


def test_words_that_share_kanji_are_nearer() -> None:
    words = ["建築", "建設", "家屋", "##建築", "カメラ"]
    tokenizer = JapaneseTokenizer({word: index for index, word in enumerate([*SPECIAL_TOKENS, *words])})
    vectors = rarity_weighted_vectors(tokenizer, ["建築", "カメラ"], 4096)
    vector = {word: vectors[tokenizer.vocabulary[word]] for word in words}
    near = {word: float(cosine_similarity(vector["建築"], vector[word], dim=0)) for word in words}
    # half of each is its kanji's, and half of that is 建's
    assert near["建設"] == pytest.approx(0.25, abs=0.06)
    assert near["家屋"] == pytest.approx(0, abs=0.06)
    assert near["カメラ"] == pytest.approx(0, abs=0.06)
    assert near["##建築"] == pytest.approx(1, abs=1e-5)


def test_texts_may_be_one_or_none(tokenizer: JapaneseTokenizer) -> None:
    assert word_weights(tokenizer, ["猫の名前"])[tokenizer.vocabulary["猫"]] == 0
    assert word_weights(tokenizer, [])[tokenizer.vocabulary["猫"]] == 1


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_an_untrained_model_weighs_words() -> None:
    """On real questions it ranks far better than one whose words all begin apart."""
    questions: QuestionSet = read_squad([JAQUAD_EXCERPT])
    texts = [passage.text for passage in questions.passages]
    shape = Architecture(vocabulary_size=4000, hidden_size=64, layers=1, heads=2, dimension=64, local_attention=False)
    weighted = evaluate_model(build_untrained(texts, shape), questions)
    apart = evaluate_model(build_untrained(texts, replace(shape, rarity_weighted=False)), questions)
    assert weighted.mrr_at_10 > apart.mrr_at_10 + 0.05
    both = evaluate_model(build_untrained(texts, replace(shape, local_attention=True)), questions)
    print(both, weighted, apart)
