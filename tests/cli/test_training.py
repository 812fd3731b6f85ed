"""The training commands, from a question-answer set to a merged checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.cli.main import main
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.training.architecture import Architecture, build_untrained
from jacolbert_integrations.training.data.collection import write_texts
from jacolbert_integrations.training.data.examples import read_examples, write_examples
from jacolbert_integrations.training.data.nway import write_nway
from jacolbert_integrations.training.pairs import question_pairs
from jacolbert_integrations.training.records import Example

from ..conftest import JAQUAD_EXCERPT

pytestmark = pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
FEW = ["--set", "steps=3", "warmup_steps=1", "batch_size=4", "learning_rate=1e-3", "document_maxlen=60"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small untrained checkpoint."""
    folder = tmp_path_factory.mktemp("start") / "small"
    texts = [passage.text for passage in read_squad([JAQUAD_EXCERPT]).passages]
    small = Architecture(vocabulary_size=3000, hidden_size=16, layers=1, heads=2, dimension=8, document_maxlen=60)
    build_untrained(texts, small).save_pretrained(folder)
    return str(folder)


def trained(output: Path) -> JaColBERT:
    return JaColBERT.from_pretrained(output / "model")


def test_from_questions(start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--squad", str(JAQUAD_EXCERPT), "--window", "80", "--dev", str(JAQUAD_EXCERPT), "--dev-sample", "10"]
    run = ["--output", str(tmp_path / "run"), "--checkpoint-every", "2", "--licence", "cc-by-sa-3.0", "--name", "mine"]
    assert main(["train", *data, "--model", start, *FEW, *run]) == 0
    out = capsys.readouterr().out
    assert "211 examples, recipe pairs, starting from small" in out
    assert "step 2: MRR@10 0." in out
    assert "3 steps in" in out
    assert trained(tmp_path / "run").fingerprint != JaColBERT.from_pretrained(start).fingerprint
    card = ModelCard.load(tmp_path / "run" / "model" / "README.md")
    assert (card.data.license, card.data.language) == ("cc-by-sa-3.0", "ja")
    assert "# mine" in card.text
    assert "trained from small" in card.text
    assert "| learning_rate | 0.001 | changed |" in card.text
    assert "mrr_at_10" in card.text
    assert main(["train", *data, "--model", start, *FEW, *run]) == 1
    assert "holds a run already. Go on with it (resume=True, --resume)" in capsys.readouterr().err


def test_from_passages_alone(start: str, tmp_path: Path) -> None:
    passages = read_squad([JAQUAD_EXCERPT]).passages
    write_texts(tmp_path / "passages.tsv", [(p.id, p.text.replace("\n", " ")) for p in passages])
    arguments = ["train", "--passages", str(tmp_path / "passages.tsv"), "--model", start, *FEW]
    assert main([*arguments, "--output", str(tmp_path / "run")]) == 0
    assert trained(tmp_path / "run").dimension == 8


def test_from_published_tuples(start: str, tmp_path: Path) -> None:
    pairs = question_pairs(read_squad([JAQUAD_EXCERPT]))[:20]
    ids = {p.passages[0]: str(i) for i, p in enumerate(pairs)}
    tuples = []
    for i, pair in enumerate(pairs):
        passages = tuple(
            dict.fromkeys((pair.passages[0], pairs[(i + 7) % 20].passages[0], pairs[(i + 11) % 20].passages[0]))
        )
        if len(passages) == 3:
            tuples.append(Example(pair.query, passages, (3.0, 2.0, 1.0), str(i), tuple(ids[p] for p in passages)))
    write_nway(tmp_path / "tuples.jsonl", tuples)
    write_texts(tmp_path / "queries.tsv", [(str(i), p.query.replace("\n", " ")) for i, p in enumerate(pairs)])
    write_texts(tmp_path / "collection.tsv", [(i, text.replace("\n", " ")) for text, i in ids.items()])
    data = ["--tuples", str(tmp_path / "tuples.jsonl"), "--queries", str(tmp_path / "queries.tsv"),
            "--collection", str(tmp_path / "collection.tsv")]  # fmt: skip
    arguments = ["train", *data, "--model", start, "--recipe", "v2.5", *FEW, "ways=3"]
    assert main([*arguments, "--output", str(tmp_path / "run")]) == 0
    facts = json.loads((tmp_path / "run" / "model" / "run.json").read_text())
    assert facts["recipe"]["optimizer"] == "schedule_free_adamw"
    assert facts["recipe"]["normalization"] == "both"


def test_negatives_teachers_distillation_and_merging(
    start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mined, taught, old = tmp_path / "mined.jsonl", tmp_path / "taught.jsonl", tmp_path / "old.jsonl"
    mine = ["negatives", "--squad", str(JAQUAD_EXCERPT), "--model", start, "--output", str(mined), "--same-document"]
    assert main([*mine, "--window", "1", "20", "--bm25", "2", "--model-count", "1"]) == 0
    assert {example.ways for example in read_examples(mined)} <= {2, 3, 4}
    full = [example for example in read_examples(mined) if example.ways == 4]
    write_examples(mined, full)
    teach = ["teach", "--examples", str(mined), "--teacher", "bm25", "--teacher", "late-interaction", start]
    assert main([*teach, "--output", str(taught)]) == 0
    scored = list(read_examples(taught))
    assert all(
        example.scores is not None and 0 <= min(example.scores) <= max(example.scores) <= 1 for example in scored
    )
    write_examples(old, scored[:50])
    write_examples(taught, scored[50:100])
    post = ["train", "--examples", str(taught), "--mix", str(old), "--mix-share", "0.2", "--model", start]
    assert main([*post, "--recipe", "v2.5", *FEW, "ways=4", "--output", str(tmp_path / "post")]) == 0
    assert "60 examples, recipe v2.5" in capsys.readouterr().out
    members = [start, str(tmp_path / "post" / "model")]
    assert main(["merge", *members, "--output", str(tmp_path / "merged")]) == 0
    assert main(["export", str(tmp_path / "merged"), "--layout", "pylate", "--output", str(tmp_path / "pylate")]) == 0
    merged = JaColBERT.from_pretrained(tmp_path / "pylate")
    assert merged.fingerprint == JaColBERT.from_pretrained(tmp_path / "merged").fingerprint


def test_the_recipe_is_shown_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--recipe", "v2.5", "--show", "--set", "steps=3000"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["optimizer"].split()[1:] == ["schedule_free_adamw", "arXiv", "2407.20750", "(JaColBERTv2.5)"]
    assert "bclavie/ColBERT, commit 7ab0835" in lines["normalization"]
    assert lines["steps"].split()[1:] == ["3000", "changed"]
    assert lines["losses"].split()[1] == "kl:1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --squad, --examples, --tuples and --passages; got none."),
        (["--squad", "a", "--passages", "b"], "got ['squad', 'passages']"),
        (["--squad", "a"], "give the run's folder: --output DIR"),
        (["--recipe", "v9"], "there is no recipe 'v9'"),
        (["--set", "learning_rate=0"], "learning_rate of the recipe is 0.0, but it must be above 0"),
        (["--tuples", "a", "--output", "b"], "--tuples holds ids: give their texts"),
        (["--squad", str(JAQUAD_EXCERPT), "--mix-share", "0.1", "--output", "b"], "--mix-share needs --mix FILE"),
        (["--squad", "absent.json", "--output", "b"], "absent.json cannot be read"),
        (["--squad", str(JAQUAD_EXCERPT), "--output", "b", "--model", "absent/folder/x"], "absent/folder/x"),
        (["--squad", str(JAQUAD_EXCERPT), "--output", "b", "--new-projection"], "needs a pretrained encoder"),
    ],
)
def test_what_cannot_be(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = [str(tmp_path / "b") if argument == "b" else argument for argument in arguments]
    status = main(["train", *arguments])
    err = capsys.readouterr().err
    assert message in err
    assert status == (2 if err.startswith("usage: jacolbert") else 1)
    assert not (tmp_path / "b" / "model").exists()
