"""The mini model's trainer, from raw text to a checkpoint, on a small piece of JaQuAD."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints import Layout, inspect_checkpoint
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.retrieval import evaluate_model
from jacolbert_integrations.squad import QuestionSet, read_squad
from jacolbert_integrations.tokenization import JapaneseTokenizer
from jacolbert_integrations.training import __main__ as command
from jacolbert_integrations.training.mini import make_mini, mini_pairs, train_mini
from jacolbert_integrations.training.pairs import ArticleBatchSampler, inverse_cloze_pairs, question_pairs, windows
from jacolbert_integrations.training.recipes import MiniRecipe
from jacolbert_integrations.training.vocabulary import SPECIAL_TOKENS, learn_vocabulary

from .conftest import JAQUAD_EXCERPT

SMALL = MiniRecipe(vocabulary_size=3000, hidden_size=32, layers=1, heads=2, dimension=16, batch_size=8, steps=12,
                   warmup_steps=2, learning_rate=5e-3, embedding_learning_rate=5e-3, window=100)  # fmt: skip


@pytest.fixture(scope="module")
def questions() -> QuestionSet:
    return read_squad([JAQUAD_EXCERPT])


def test_reading_squad(questions: QuestionSet, tmp_path: Path) -> None:
    assert (len(questions.passages), len(questions.questions)) == (86, 211)
    jsquad = load_jsquad()
    assert (len(jsquad.passages), len(jsquad.questions)) == (1145, 4442)
    assert not any("[SEP]" in passage.text for passage in jsquad.passages)
    by_id = {passage.id: passage for passage in jsquad.passages}
    first = jsquad.questions[0]
    assert by_id[first.passage_id].text[first.answer_start :].startswith("小笠原諸島")
    for content, message in [("{", "no SQuAD-style JSON"), ('{"data": [{}]}', "KeyError 'paragraphs'")]:
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(InputError, match=message):
            read_squad([tmp_path / "bad.json"])
    with pytest.raises(InputError, match=r"absent\.json cannot be read: No such file"):
        read_squad([tmp_path / "absent.json"])


def test_windows_keep_the_answers(questions: QuestionSet) -> None:
    cut = windows(questions, 80)
    originals = {passage.id: passage.text for passage in questions.passages}
    for original, text in originals.items():
        pieces = [p.text for p in cut.passages if p.id.split(".")[0] == original]
        assert "".join(pieces).strip() == text.strip()
    assert len(cut.questions) == len(questions.questions)
    window_of = {passage.id: passage.text for passage in cut.passages}
    for before, after in zip(questions.questions, cut.questions, strict=True):
        assert before.answer_start is not None
        assert originals[before.passage_id][before.answer_start] in window_of[after.passage_id]
        start = int(after.passage_id.split(".")[1])
        assert start <= before.answer_start < start + len(window_of[after.passage_id])


def test_inverse_cloze(questions: QuestionSet) -> None:
    pairs = inverse_cloze_pairs(questions, 300, cut=0.7, rng=random.Random(0))
    texts = {passage.id: passage.text for passage in questions.passages}
    assert len(pairs) == 300
    cut = [pair for pair in pairs if pair.query not in pair.document]
    assert 0.55 < len(cut) / 300 < 0.85
    assert all(pair.query in texts[pair.passage_id] for pair in pairs)
    assert max(Counter(pair.query for pair in pairs).values()) <= 2
    with pytest.raises(InputError, match="nothing to cut out"):
        inverse_cloze_pairs(QuestionSet(questions.passages[:0], []), 5, cut=0.7, rng=random.Random(0))


def test_batches_come_from_few_articles_and_hold_no_passage_twice(questions: QuestionSet) -> None:
    pairs = mini_pairs(questions, SMALL)
    sampler = ArticleBatchSampler(pairs, 8, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) > 10
    used = [row for batch in batches for row in batch]
    assert len(used) == len(set(used))
    for batch in batches:
        assert len(batch) == 8
        assert len({pairs[row].passage_id for row in batch}) == 8
    articles = [len({pairs[row].group for row in batch}) for batch in batches]
    assert sum(articles) / len(articles) < 2.5
    assert list(sampler) == batches
    sampler.set_epoch(1)
    assert list(sampler) != batches
    with pytest.raises(InputError, match="a batch of 500 needs as many passages"):
        ArticleBatchSampler(question_pairs(questions), 500)


def test_vocabulary(questions: QuestionSet) -> None:
    texts = [passage.text for passage in questions.passages]
    vocabulary = learn_vocabulary(texts, 3000)
    assert list(vocabulary)[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS)
    assert list(vocabulary.values()) == list(range(len(vocabulary)))
    assert {"の", "。", "手塚", "##塚"} <= vocabulary.keys()
    ids = JapaneseTokenizer(vocabulary).encode_batch(texts)
    unknown = sum(row.count(vocabulary["[UNK]"]) for row in ids) / sum(map(len, ids))
    assert unknown < 0.03
    assert vocabulary == learn_vocabulary(texts, 3000)
    with pytest.raises(InputError, match="has no room for words beside"):
        learn_vocabulary(texts, 500)


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_training_learns_and_is_the_same_twice(questions: QuestionSet, tmp_path: Path) -> None:
    still = small(steps=1, learning_rate=0.0, embedding_learning_rate=0.0)
    untrained = evaluate_model(train_mini(questions, still, tmp_path / "0", progress=False), questions)
    first = train_mini(questions, SMALL, tmp_path / "1", progress=False)
    second = train_mini(questions, SMALL, tmp_path / "2", progress=False)
    assert first.fingerprint == second.fingerprint
    assert evaluate_model(first, questions).mrr_at_10 > untrained.mrr_at_10
    assert not first.model.training


def small(**changes: Any) -> MiniRecipe:
    return replace(SMALL, **changes)


@pytest.fixture
def small_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_jsquad()
    ids = {passage.id for passage in whole.passages[:60]}
    part = QuestionSet(whole.passages[:60], [q for q in whole.questions if q.passage_id in ids])
    monkeypatch.setattr("jacolbert_integrations.training.mini.load_jsquad", lambda: part)


@pytest.mark.usefixtures("small_benchmark")
@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_the_entry_point_writes_a_checkpoint_of_the_released_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mini"
    arguments = [str(JAQUAD_EXCERPT), "--dev", str(JAQUAD_EXCERPT), "--output", str(output), "--steps", "2"]
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    monkeypatch.setattr(command, "MiniRecipe", small)
    assert command.main() == 0
    checkpoint = inspect_checkpoint(output)
    assert checkpoint.layout is Layout.STANFORD
    assert json.loads((output / "artifact.metadata").read_text())["query_length"] == "released"
    model = JaColBERT.from_pretrained(output)
    assert (model.dimension, model.query_length) == (16, "released")
    card = (output / "README.md").read_text(encoding="utf-8")
    assert card in capsys.readouterr().out
    assert "| JSQuAD valid |" in card
    assert "| development set | 211 |" in card
    assert "| steps | 2 |" in card
    assert "CC BY-SA 3.0" in card


def test_the_entry_point_explains_bad_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["training", str(tmp_path / "no.json"), "--output", str(tmp_path / "out")])
    assert command.main() == 1
    assert "no.json cannot be read" in capsys.readouterr().err
    with pytest.raises(InputError, match="a batch of 5000 needs as many passages"):
        make_mini([JAQUAD_EXCERPT], tmp_path / "out", small(batch_size=5000))
    assert not (tmp_path / "out").exists()
