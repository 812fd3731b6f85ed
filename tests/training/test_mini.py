"""The mini model's trainer, from raw text to a checkpoint, on a small piece of JaQuAD."""

from __future__ import annotations

import json
import random
import shutil
import string
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint
from jacolbert_integrations.errors import InputError, TrainingDataError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.text.squad import QuestionSet, read_squad
from jacolbert_integrations.text.tokenization import JapaneseTokenizer
from jacolbert_integrations.training import __main__ as command
from jacolbert_integrations.training.architecture import Architecture
from jacolbert_integrations.training.batches import GroupedBatchSampler, ShuffledBatchSampler, split_ways
from jacolbert_integrations.training.merging.members import PROVENANCE_FILE
from jacolbert_integrations.training.mini.making import make_mini, train_mini
from jacolbert_integrations.training.mini.plan import CONTRASTIVE, MiniPlan
from jacolbert_integrations.training.mixing import mix
from jacolbert_integrations.training.options import RunOptions
from jacolbert_integrations.training.pairs import inverse_cloze_pairs, question_pairs, read_passages, windows
from jacolbert_integrations.training.records import Example
from jacolbert_integrations.training.vocabulary import SPECIAL_TOKENS, learn_vocabulary

from ..conftest import JAQUAD_EXCERPT

SMALL = MiniPlan(
    architecture=Architecture(vocabulary_size=4000, hidden_size=32, layers=1, heads=2, dimension=16),
    window=100,
    ranks=(1, 10),
    contrastive=CONTRASTIVE.change(batch_size=8, steps=12, warmup_steps=2, learning_rate=5e-3),
    checkpoint_steps=4,
)


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
    cut = [pair for pair in pairs if pair.query not in pair.passages[0]]
    assert 0.55 < len(cut) / 300 < 0.85
    assert all(pair.query in texts[(pair.passage_ids or ("",))[0]] for pair in pairs)
    assert max(Counter(pair.query for pair in pairs).values()) <= 2
    with pytest.raises(InputError, match="nothing to cut out"):
        inverse_cloze_pairs(QuestionSet(questions.passages[:0], []), 5, cut=0.7, rng=random.Random(0))


def test_batches_come_from_few_documents_and_hold_no_passage_twice(questions: QuestionSet) -> None:
    cut = windows(questions, 100)
    pairs = question_pairs(cut) + inverse_cloze_pairs(cut, 100, cut=0.3, rng=random.Random(0))
    sampler = GroupedBatchSampler(pairs, 8, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) > 10
    used = [row for batch in batches for row in batch]
    assert len(used) == len(set(used))
    for batch in batches:
        assert len(batch) == 8
        assert len({pairs[row].passage_ids for row in batch}) == 8
    articles = [len({pairs[row].group for row in batch}) for batch in batches]
    assert sum(articles) / len(articles) < 2.5
    assert list(sampler) == batches
    sampler.set_epoch(1)
    assert list(sampler) != batches
    mixed = list(GroupedBatchSampler(pairs, 8, seed=1, group_size=2))
    assert mixed != batches
    for batch in mixed:
        assert max(Counter(pairs[row].group for row in batch).values()) <= 2
        assert len({pairs[row].passage_ids for row in batch}) == 8
    with pytest.raises(InputError, match="a batch of 500 needs as many passages"):
        GroupedBatchSampler(question_pairs(questions), 500)


def test_shuffled_batches_are_decided_by_seed_and_epoch() -> None:
    sampler = ShuffledBatchSampler(10, 3, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 3
    assert len({row for batch in batches for row in batch}) == 9
    assert list(sampler) == batches
    sampler.set_epoch(1)
    assert list(sampler) != batches
    assert list(ShuffledBatchSampler(10, 3, seed=2)) != batches
    with pytest.raises(InputError, match="a batch of 11 needs as many examples"):
        ShuffledBatchSampler(10, 11)


def test_ways_are_dealt_out_and_none_comes_twice() -> None:
    example = Example("q", tuple("abcdefgh"))
    assert split_ways([example], 3) == [(0, (0, 1, 2)), (0, (0, 3, 4)), (0, (0, 5, 6))]
    assert split_ways([example, example], 8) == [(0, tuple(range(8))), (1, tuple(range(8)))]
    assert split_ways([example], 1) == [(0, (0,))]
    assert [e.passages for e in Example("q", ("p", "n", "m")).triplets()] == [("p", "n"), ("p", "m")]
    with pytest.raises(
        TrainingDataError, match="1 of 2 examples have fewer passages than the recipe's 9 ways"
    ) as caught:
        split_ways([Example("q", tuple("abcdefghi")), example], 9)
    assert caught.value.problems == [(2, "8 passages, but the recipe takes 9")]


def test_mixing_keeps_all_of_the_new_and_a_share_of_the_old() -> None:
    new = [Example(f"new {i}", ("p",)) for i in range(20)]
    old = [Example(f"old {i}", ("p",)) for i in range(30)]
    mixed = mix(new, old, share=0.5, seed=3)
    assert mixed[:20] == new
    assert len(mixed) == 30
    assert len(set(mixed[20:])) == 10
    assert set(mixed[20:]) <= set(old)
    assert mixed == mix(new, old, share=0.5, seed=3) != mix(new, old, share=0.5, seed=4)
    assert mix(new, old, share=0) == new
    with pytest.raises(InputError, match="takes 40 old ones, but there are only 30"):
        mix(new, old, share=2)
    with pytest.raises(InputError, match="share is -1"):
        mix(new, old, share=-1)


def test_passages_alone(tmp_path: Path) -> None:
    file = tmp_path / "passages.tsv"
    file.write_text(
        "1\t吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n2\t国境の長いトンネルを抜けると雪国であった。夜の底が白くなった。\n"
    )
    passages = read_passages(file)
    assert [p.id for p in passages.passages] == ["1", "2"]
    pairs = inverse_cloze_pairs(passages, 2, cut=0.0, rng=random.Random(0))
    assert all(pair.query in pair.passages[0] for pair in pairs)


def test_vocabulary(questions: QuestionSet) -> None:
    texts = [passage.text for passage in questions.passages]
    vocabulary = learn_vocabulary(texts, 3000)
    assert list(vocabulary)[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS)
    assert list(vocabulary.values()) == list(range(len(vocabulary)))
    assert {"の", "。", "手塚", "##塚", "##ング"} <= vocabulary.keys()
    ids = JapaneseTokenizer(vocabulary).encode_batch(texts)
    unknown = sum(row.count(vocabulary["[UNK]"]) for row in ids) / sum(map(len, ids))
    assert unknown < 0.03
    assert set(string.punctuation) <= vocabulary.keys()
    assert vocabulary == learn_vocabulary(texts, 3000)
    with pytest.raises(InputError, match="has no room for words beside"):
        learn_vocabulary(texts, 500)


@pytest.mark.usefixtures("one_thread")
def test_a_stopped_run_goes_on_to_the_same_model(questions: QuestionSet, tmp_path: Path) -> None:
    whole = train_mini(questions, SMALL, tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == ["contrastive", "negatives.jsonl"]
    parts = tmp_path / "parts"
    shutil.copytree(tmp_path / "whole", parts, ignore=shutil.ignore_patterns("merged", "model", "checkpoint-12"))
    assert sorted(path.name for path in (parts / "contrastive").iterdir()) == ["checkpoint-8"]
    assert train_mini(questions, SMALL, parts).fingerprint == whole.fingerprint
    provenance = json.loads((parts / "contrastive" / "merged" / PROVENANCE_FILE).read_text(encoding="utf-8"))
    assert [member["name"] for member in provenance["members"]] == ["checkpoint-8", "checkpoint-12"]


@pytest.mark.usefixtures("small_benchmark")
@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_the_entry_point_writes_a_checkpoint_of_the_released_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mini"
    arguments = [str(JAQUAD_EXCERPT), "--dev", str(JAQUAD_EXCERPT), "--output", str(output), "--precision", "float32"]
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    monkeypatch.setattr(command, "MiniPlan", lambda: SMALL)
    assert command.main() == 0
    checkpoint = inspect_checkpoint(output)
    assert checkpoint.layout is Layout.STANFORD
    assert json.loads((output / "artifact.metadata").read_text())["query_length"] == "released"
    model = JaColBERT.from_pretrained(output)
    assert (model.dimension, model.query_length) == (16, "released")
    card = (output / "README.md").read_text(encoding="utf-8")
    assert card in capsys.readouterr().out
    assert "| JSQuAD valid |" in card
    assert "| JaQuAD dev | 211 |" in card
    assert "| contrastive: steps | 12 |" in card
    assert "| contrastive: losses | in_batch 1.0 |" in card
    assert "CC BY-SA 3.0" in card
    log = json.loads((output / "training-log.json").read_text(encoding="utf-8"))
    assert log["run"]["recipe"]["name"] == "contrastive"
    assert any("eval_mrr_at_10" in entry for entry in log["run"]["history"])


def test_the_entry_point_explains_bad_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["training", str(tmp_path / "no.json"), "--output", str(tmp_path / "out")])
    assert command.main() == 1
    assert "no.json cannot be read" in capsys.readouterr().err
    none = replace(SMALL, contrastive=SMALL.contrastive.change(ways=500))
    with pytest.raises(TrainingDataError, match="no examples"):
        make_mini([JAQUAD_EXCERPT], tmp_path / "out", none, tmp_path / "work", options=RunOptions())
    assert not (tmp_path / "out").exists()
