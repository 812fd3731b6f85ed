"""Training by several processes: as on two GPUs, but with gloo on a processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jacolbert_integrations import JaColBERT


@dataclass(frozen=True)
class Run:
    """What happened in each of the two processes, and what they left."""

    folder: Path
    first: dict[str, Any]
    second: dict[str, Any]

    def left(self, name: str) -> set[str]:
        return {path.name for path in (self.folder / name).iterdir()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, root = tmp_path_factory.mktemp("processes"), Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += [str(root / "tests" / "two_processes.py"), str(folder)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    return Run(folder, first, second)


def test_both_train_and_one_writes(run: Run) -> None:
    first, second = run.first["one_writes"], run.second["one_writes"]
    assert first["fingerprint"] == second["fingerprint"]
    assert JaColBERT.from_pretrained(run.folder / "one_writes" / "model").fingerprint == first["fingerprint"]
    assert (first["saved"], second["saved"]) == (["checkpoint-2"], [])
    states = (run.folder / "one_writes" / "checkpoint-2").glob("rng_state_*.pth")
    assert len(list(states)) == 2


@pytest.mark.parametrize("name", ["resumed", "resumed_in_groups"])
def test_a_run_that_was_stopped_resumes_to_the_same_weights(run: Run, name: str) -> None:
    whole, resumed = run.first[name]
    assert whole == resumed
    assert run.second[name] == run.first[name]


def test_a_loss_that_is_no_number_in_one_stops_both(run: Run) -> None:
    for said in (run.first["diverged"], run.second["diverged"]):
        assert said.startswith("True DivergedError the loss of the batch for step 1 ")
    assert run.left("diverged") == {"diverged-0"}
    assert JaColBERT.from_pretrained(run.folder / "diverged" / "diverged-0").dimension == 8


def test_what_one_cannot_write_stops_both(run: Run) -> None:
    cause, elsewhere = "[Errno 28] No space left on device", "another process of the run says why"
    reasons = {"full_disk": (cause, elsewhere), "full_disk_of_the_second": (elsewhere, cause)}
    for name, expected in reasons.items():
        for said, reason in zip((run.first[name], run.second[name]), expected, strict=True):
            assert said == (
                f"True SaveError checkpoint-4 could not be written: {reason}. It has been removed; checkpoint-2 is "
                "whole. Make room, and resume."
            )
        assert run.left(name) == {"checkpoint-2"}


def test_an_outcome_that_cannot_be_written_stops_both(run: Run) -> None:
    assert run.first["full_disk_at_the_end"] == "True SaveError No space left on device"
    assert run.second["full_disk_at_the_end"].startswith("True SaveError ")
    assert run.second["full_disk_at_the_end"].endswith("could not be written: the first process of the run says why.")
