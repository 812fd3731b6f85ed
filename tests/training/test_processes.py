"""Training by several processes: as on two GPUs, but with gloo on a processor."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from jacolbert_integrations import JaColBERT

HANGS = 1800  # seconds; the two take 15 on a machine of their own


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
    """The store where they meet is here, at a port that it has itself been given; each gets what torchrun would say."""
    folder = tmp_path_factory.mktemp("processes")
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = [start(rank, store.port, folder) for rank in (0, 1)]
    ends = time.monotonic() + HANGS
    while any(process.poll() is None for process in processes):  # one that fails, or hangs, takes the other with it
        if any(process.returncode for process in processes) or time.monotonic() > ends:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    codes = [process.returncode for process in processes]
    assert codes == [0, 0], "\n".join([f"exit statuses {codes}", *(said(rank, folder).read_text() for rank in (0, 1))])
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    return Run(folder, first, second)


def start(rank: int, port: int, folder: Path) -> subprocess.Popen[bytes]:
    """One of the two. No name of the machine is looked up, and no port is chosen before somebody listens there."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONFAULTHANDLER": "1", "ACCELERATE_USE_CPU": "true"}
    environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    if "lo" in (name for _, name in socket.if_nameindex()):
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    command = [sys.executable, str(root / "tests" / "training" / "two_processes.py"), str(folder)]
    with said(rank, folder).open("wb") as output:
        return subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def said(rank: int, folder: Path) -> Path:
    """What a process has written to its standard output and standard error."""
    return folder / f"{rank}.txt"


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
