"""The models that come with the package: of the released layout, and good enough to try things with."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.hub import BUNDLED
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint
from jacolbert_integrations.encoding.sources import ModelSource
from jacolbert_integrations.errors import UnknownLayoutError
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.retrieval import right_columns, score_questions
from jacolbert_integrations.scoring.centroids import FILE
from jacolbert_integrations.text.squad import Passage, Question, QuestionSet

ENGLISH = Path(__file__).parents[2] / "benchmarks" / "data" / "jsquad-in-english.tsv"


@pytest.fixture(scope="module")
def small() -> JaColBERT:
    return JaColBERT.from_pretrained("jacolbert-small")


def ranks(model: JaColBERT, corpus: QuestionSet, questions: Sequence[Question] | None = None) -> NDArray[np.int64]:
    """The rank of each question's passage among all."""
    asked = corpus.questions if questions is None else questions
    scores = score_questions(model, corpus, asked, show_progress_bar=False)
    own = np.take_along_axis(scores, np.array(right_columns(corpus, asked))[:, None], axis=1)
    return np.asarray((scores >= own).sum(axis=1))


def folder_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.name != FILE)


@pytest.mark.parametrize(("name", "megabytes"), [("jacolbert-mini", 10), ("jacolbert-small", 30)])
def test_size_layout_and_card(name: str, megabytes: int) -> None:
    folder = BUNDLED[name]
    assert folder_size(folder) < megabytes * 1_000_000
    assert (folder / FILE).stat().st_size < 2_200_000
    assert inspect_checkpoint(folder).layout is Layout.STANFORD
    card = (folder / "README.md").read_text(encoding="utf-8")
    for part in (
        f'model = JaColBERT.from_pretrained("{name}")',
        "JaQuAD",
        "CC BY-SA 3.0",
        "| contrastive: steps |",
        "| seed |",
        "| JSQuAD valid | 4,442 |",
        "How to make it again",
    ):
        assert part in card
    log = json.loads((folder / "training-log.json").read_text(encoding="utf-8"))
    model = JaColBERT.from_pretrained(name)
    assert model.centroids is not None
    assert f"has {len(model.centroids):,} centroids" in card
    assert model.fingerprint != log["merged"]["fingerprint"]  # that is before the weights were rounded
    stages = [*log.get("earlier", []), log]
    assert [stage["run"]["recipe"]["name"] for stage in stages] == ["contrastive", "distilled"][: len(stages)]
    for stage in stages:
        last = f"checkpoint-{stage['run']['recipe']['steps']}"
        assert [member["name"] for member in stage["merged"]["members"]][-1] == last


@pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")
def test_mini_on_real_questions(mini: JaColBERT) -> None:
    """The card has the figures for all 4,442 questions; here are 400 of them, to notice a regression."""
    corpus = load_jsquad()
    found = ranks(mini, corpus, random.Random(0).sample(corpus.questions, 400))
    assert (found == 1).mean() >= 0.86
    assert (found <= 10).mean() >= 0.94


def test_small_on_real_questions(small: JaColBERT) -> None:
    """The card has the figures for all passages, which take a minute; here are some of them, and their questions."""
    part = some(random.Random(0).sample(load_jsquad().passages, 300))
    found = ranks(small, part, random.Random(0).sample(part.questions, 300))
    assert (found == 1).mean() >= 0.92
    assert (found <= 10).mean() >= 0.97


def test_small_understands_some_of_what_shares_no_word(small: JaColBERT, mini: JaColBERT) -> None:
    """Questions in English, to the passages that the same in Japanese were asked about."""
    asked = dict(line.split("\t") for line in ENGLISH.read_text(encoding="utf-8").splitlines())
    jsquad = load_jsquad()
    right = {question.id: question.passage_id for question in jsquad.questions}
    passages = [passage for passage in jsquad.passages if passage.id in {right[question] for question in asked}]
    questions = QuestionSet(passages, [Question(name, text, right[name]) for name, text in asked.items()])
    assert (1 / ranks(small, questions)).mean() > 2 * (1 / ranks(mini, questions)).mean()


def some(passages: list[Passage]) -> QuestionSet:
    kept = {passage.id for passage in passages}
    return QuestionSet(passages, [q for q in load_jsquad().questions if q.passage_id in kept])


def test_bundled_models_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mini: JaColBERT) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jacolbert-mini").mkdir()
    assert mini.name == ModelSource.of(mini).model == "jacolbert-mini"
    assert ModelSource.of(mini).load().fingerprint == mini.fingerprint
    with pytest.raises(UnknownLayoutError, match="jacolbert-mini"):
        JaColBERT.from_pretrained("./jacolbert-mini")


@pytest.mark.usefixtures("small_by_default")
def test_small_is_what_people_get(small: JaColBERT) -> None:
    assert JaColBERT.from_pretrained().fingerprint == small.fingerprint
    assert ModelSource.given(None).model == "jacolbert-small" == small.name


def test_what_is_saved_of_small_can_be_read_by_transformers_4(small: JaColBERT, tmp_path: Path) -> None:
    """colbert-ai 0.2.22 needs it, and knows no class of tokenizers that transformers 5 has given another name."""
    small.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    again = JaColBERT.from_pretrained(tmp_path / "saved")
    assert again.identity.configuration == small.identity.configuration
    assert again.fingerprint == small.fingerprint
    np.testing.assert_allclose(
        again.encode_query(["日本の首都は？"])[0], small.encode_query(["日本の首都は？"])[0], atol=1e-5
    )
