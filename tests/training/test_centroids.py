"""Centroids that are learned: near the vectors they are of, the same each time, and not of too little text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.errors import InputError, ModelMismatchError, TrainingDataError
from jacolbert_integrations.exporting.layouts import export
from jacolbert_integrations.text.squad import read_squad
from jacolbert_integrations.training.centroids import learn_centroids

from ..conftest import JAQUAD_EXCERPT

TEXTS = [passage.text for passage in read_squad([JAQUAD_EXCERPT]).passages]


def test_near_the_vectors(mini: JaColBERT, model: JaColBERT) -> None:
    learned = learn_centroids(mini, TEXTS[:40], count=256, seed=1)
    assert (len(learned), learned.dimension) == (256, mini.dimension)
    assert len(learned.groups) == 16
    learned.check(mini.identity)
    with pytest.raises(ModelMismatchError):
        learned.check(model.identity)
    vectors = np.concatenate(mini.encode_document(TEXTS[40:60]))
    taught = np.concatenate(mini.encode_document(TEXTS[:40]))
    drawn = taught[np.random.default_rng(0).choice(len(taught), 256, replace=False)]

    def nearness(directions: np.ndarray) -> float:
        return float((vectors @ directions.T).max(axis=1).mean())

    assert nearness(learned.vectors) > nearness(drawn) + 0.005
    assert learned.nprobe == 16
    found = learned.vectors[learned.nearest(vectors)]
    assert (found * vectors).sum(axis=1).mean() > nearness(learned.vectors) - 0.01


def test_the_same_each_time(mini: JaColBERT, one_thread: None) -> None:
    once, again, other = (learn_centroids(mini, TEXTS[:20], count=32, iterations=3, seed=seed) for seed in (1, 1, 2))
    assert once.fingerprint == again.fingerprint != other.fingerprint


def test_of_too_little(mini: JaColBERT) -> None:
    with pytest.raises(TrainingDataError, match=r"for 16,384 centroids, which want 65,536 at least.* learn \d+ "):
        learn_centroids(mini, [*TEXTS[:2], " "])
    with pytest.raises(TrainingDataError, match="have 0 token vectors"):
        learn_centroids(mini, [])


def test_wrong_numbers(mini: JaColBERT) -> None:
    with pytest.raises(InputError, match="count is 1"):
        learn_centroids(mini, TEXTS, count=1)
    for nprobe in (0, 8):
        with pytest.raises(InputError, match=f"nprobe is {nprobe}, but"):
            learn_centroids(mini, TEXTS, count=8, nprobe=nprobe)
    with pytest.raises(InputError, match="iterations is 0"):
        learn_centroids(mini, TEXTS, count=32, iterations=0)


def test_saved_with_the_weights_that_they_are_of(mini: JaColBERT, tmp_path: Path) -> None:
    assert mini.centroids is not None
    mini.save_pretrained(tmp_path / "same")
    export(mini, tmp_path / "pylate", "pylate")
    for folder in ("same", "pylate"):
        again = JaColBERT.from_pretrained(tmp_path / folder).centroids
        assert again is not None
        assert again.fingerprint == mini.centroids.fingerprint
    export(mini, tmp_path / "half", dtype="float16")
    changed = JaColBERT.from_pretrained(tmp_path / "same")
    with torch.no_grad():
        next(changed.model.parameters()).mul_(1.5)
    with pytest.raises(ModelMismatchError, match="jacolbert centroids"):
        _ = changed.centroids
    changed.save_pretrained(tmp_path / "changed")
    for folder in ("half", "changed"):
        assert JaColBERT.from_pretrained(tmp_path / folder).centroids is None
