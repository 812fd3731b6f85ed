"""Documents encoded by a pool of processes: the same vectors, and an error where a process dies."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.parallel import EncoderPool, _end_with_parent, _WorkerModel
from jacolbert_integrations.errors import InputError, TruncationWarning, WorkerError

from ..conftest import PATIENCE, STANFORD

TEXTS = [
    "東京は日本の首都である。",
    "",
    "信濃川は長い。" * 9,
    "lone \ud800 surrogate",
    "、。",
    "ネコ",
    "ネコ",
    "a" * 200,
]


@pytest.fixture(scope="module")
def pool(model: JaColBERT) -> Iterator[EncoderPool]:
    with EncoderPool(model, ["cpu", "cpu"], chunk_size=3) as running:
        yield running


def assert_as_alone(pool: EncoderPool, texts: list[str]) -> None:
    alone, together = pool.model.encode_document(texts), pool.encode_document(texts)
    assert [matrix.shape for matrix in together] == [matrix.shape for matrix in alone]
    assert all(matrix.dtype == np.float32 and matrix.flags.owndata for matrix in together)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_encodes_as_the_model_alone(pool: EncoderPool) -> None:
    assert_as_alone(pool, TEXTS * 4)
    assert pool.encode_document([]) == []


@settings(max_examples=20)
@given(texts=st.lists(st.text(max_size=30), max_size=12))
def test_encodes_any_texts_as_the_model_alone(pool: EncoderPool, texts: list[str]) -> None:
    assert_as_alone(pool, texts)


def test_more_texts_than_file_descriptors(pool: EncoderPool) -> None:
    resource = pytest.importorskip("resource")
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        assert len(pool.encode_document(["猫"] * 600)) == 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def test_warns_once_of_all_cuts(pool: EncoderPool) -> None:
    texts = ["短い。", "長い文章。" * 200, "短い。", "短い。", "とても長い文章。" * 200]
    with pytest.warns(TruncationWarning) as alone:
        pool.model.encode_document(texts)
    with pytest.warns(TruncationWarning) as together:
        pool.encode_document(texts)
    assert [str(w.message) for w in together] == [str(w.message) for w in alone]
    assert str(together[0].message).startswith("2 of 5 documents were longer than")
    assert together[0].filename == __file__
    pool.encode_document(["短い。"])  # warnings are errors here: those of one call are not counted in the next


def test_refuses_what_is_no_list_of_texts(pool: EncoderPool) -> None:
    with pytest.raises(InputError, match="expected a list of texts, but got one string"):
        pool.encode_document("東京")
    texts: list[Any] = ["東京"] * 5 + [7]
    with pytest.raises(InputError, match=r"text 5 is a int \(7\)"):
        pool.encode_document(texts)
    with pytest.raises(InputError, match="running already"):
        pool.__enter__()
    assert len(pool.encode_document(["東京"])) == 1  # it goes on


def test_wants_devices_that_exist(model: JaColBERT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert EncoderPool(model).devices == ("cuda:0", "cuda:1")
    assert EncoderPool(model, ["cuda:1", "cpu"]).devices == ("cuda:1", "cpu")
    with pytest.raises(InputError, match="there is no device 'cuda:2' here: torch sees 2 GPUs"):
        EncoderPool(model, ["cuda:0", "cuda:2"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert EncoderPool(model).devices == ("cpu", "cpu", "cpu")
    for none in ("cpu", ()):
        with pytest.raises(InputError, match="must be a list such as"):
            EncoderPool(model, none)
    with pytest.raises(InputError, match="'gpu0' is no device of torch"):
        EncoderPool(model, ["gpu0"])
    with pytest.raises(InputError, match="chunk_size is 0"):
        EncoderPool(model, ["cpu"], chunk_size=0)


def test_wants_to_be_started(model: JaColBERT) -> None:
    with pytest.raises(InputError, match="this pool is not running"):
        EncoderPool(model, ["cpu"]).encode_document(["東京"])


def test_says_which_model_cannot_be_sent() -> None:
    model = JaColBERT.from_pretrained(STANFORD)
    model.on_each_batch = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="the model 'stanford' cannot be sent to another process"):
        EncoderPool(model, ["cpu"]).__enter__()


def test_a_process_that_died_before_is_an_error(model: JaColBERT) -> None:
    with EncoderPool(model, ["cpu"]) as pool:
        assert pool._pool is not None
        (process,) = pool._pool["processes"]
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with pytest.raises(WorkerError, match=rf"the process {process.pid} on cpu \(exit code -9\) of 1 in the pool"):
            pool.encode_document(["東京"])
        with pytest.raises(InputError, match="this pool is not running"):
            pool.encode_document(["東京"])


def test_a_worker_pools_and_batches_as_suits_its_device() -> None:
    model = JaColBERT.from_pretrained(STANFORD, pooling="hierarchical-2")
    model.batch_tokens = 77
    worker = _WorkerModel(model, "cpu", usual_device="cpu")
    assert worker.batch_tokens == 77
    for one, other in zip(model.encode_document(TEXTS), worker.encode_document(TEXTS), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert _WorkerModel(model, "cpu", usual_device="cuda").batch_tokens == JaColBERT(model.model).batch_tokens != 77


def test_processes_end_when_their_caller_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(
        "from __future__ import annotations\n"
        "import multiprocessing, os, time\n"
        f"{inspect.getsource(_end_with_parent)}"  # its module takes seconds to import
        "def work():\n"
        "    print('started', flush=True)\n"
        "    _end_with_parent()\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.get_context('spawn').Process(target=work).start()\n"
        "    time.sleep(3600)\n",
        encoding="utf-8",
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "started\n"
        caller.kill()
        rest, _ = caller.communicate(timeout=PATIENCE)  # until the other process, too, has closed its end
        assert rest == ""


def test_a_process_that_dies_at_work_is_an_error(pool: EncoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last test here: it is the end of the pool."""
    assert_as_alone(pool, ["東京"])
    assert pool._pool is not None
    assert pool._pipeline is not None
    processes = pool._pool["processes"]
    victim, other = processes[1].pid, processes[0].pid
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)  # so that they cannot be done before
    wait_for_result = pool._pipeline._get_worker_result

    def kill_and_wait(*arguments: Any) -> Any:
        os.kill(victim, signal.SIGKILL)
        return wait_for_result(*arguments)

    monkeypatch.setattr(pool._pipeline, "_get_worker_result", kill_and_wait)
    errors: list[BaseException] = []

    def encode() -> None:
        try:
            pool.encode_document(["東京"] * 20)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=encode, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    (error,) = errors
    assert isinstance(error, WorkerError)
    assert str(error).startswith(f"the process {victim} on cpu (exit code -9) of 2 in the pool died")
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)  # the pool has ended the other, too, though that was stopped
