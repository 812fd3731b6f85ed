"""The plan for many passages, on figures that can be reckoned by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "scale.py"
WORDS, HALVES, TURBO, CENTROIDS, MUVERA = (
    "float16, words first",
    "pooled by 2, float16, words first",
    "pooled by 2, turbo8, words first",
    "pooled by 2, turbo8, words and centroids first",
    "pooled by 2, turbo8, words and MUVERA first",
)
MEASURED = {
    "made_with": "nothing",
    "passages": 10,
    "tokens": {"mini": 100.0, "other": 110.0},
    "dimension": 128,
    "vectors": {"none": 100.0, "hierarchical-2": 50.0},
    "longest": 200,
    "vector_bytes": {"float32": 512.0, "float16": 256.0, "turbo8": 132.0},
    "offset_bytes": 12.0,
    "id_bytes": 28.0,
    "payload_bytes": 400.0,
    "sparse_bytes": 500.0,
    "postings": 60.0,
    "terms": 100,
    "term_bytes": 40.0,
    "centroids": 90.0,
    "centroid_bytes": 700.0,
    "encoding_floats": 2048,
    "encoding_bytes": 4096.0,
    "copy_bytes": {"int8": 2052.0, "binary": 256.0},
    "link_bytes": 11.0,
    "overhead": 1.5,
    "sent_bytes": {"gRPC": 4.0, "REST": 20.0},
    "rates": {"encoding": 10.0},
}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    file = tmp_path / "measured.json"
    file.write_text(json.dumps({"measured": MEASURED}), encoding="utf-8")
    return file


def run(measured: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--measured", str(measured), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")


def plan(measured: Path, *arguments: str) -> dict[str, Any]:
    done = run(measured, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_bytes_of_a_passage(measured: Path) -> None:
    plans = plan(measured, "--passages", "1000", "--terms", "0")["plans"]
    # vectors + places + payload + ids + sparse vector + 60 postings of 8 bytes, and half of it again as overhead
    assert plans[WORDS]["disk"] == 1000 * 1.5 * (25_600 + 12 + 400 + 28 + 500 + 480)
    assert plans[HALVES]["disk"] == 1000 * 1.5 * (12_800 + 1_420)
    assert plans[TURBO]["disk"] == 1000 * 1.5 * (6_600 + 1_420)
    # places, ids twice, postings: the same however the token vectors are kept
    assert {plans[name]["memory"] for name in (WORDS, HALVES, TURBO)} == {1000 * (12 + 56 + 480)}
    # a sparse vector of centroids, and 90 postings of 8 bytes, which are in memory
    assert plans[CENTROIDS]["disk"] == 1000 * 1.5 * (6_600 + 1_420 + 700 + 720)
    assert plans[CENTROIDS]["memory"] == 1000 * (548 + 720)
    # 2 x 16 + 16 / 15 links of 4 bytes
    links = plans[MUVERA]["pieces"]["MUVERA, HNSW graph"]["memory"]
    assert links == pytest.approx(4 * (32 + 16 / 15))
    assert plans[MUVERA]["memory"] == pytest.approx(1000 * (548 + 2_052 + links))
    assert plans[MUVERA]["disk"] == pytest.approx(1000 * 1.5 * (8_020 + 4_096 + 2_052 + links))


def test_nodes_and_their_vocabularies(measured: Path) -> None:
    # 2 copies of 3 TB on disks of which .5 TB is used, and 1 TB of memory to spare
    one = 3e12 / (1.5 * 27_020)
    exact = ("--node-disk-tb", "1", "--disk-fill", "0.5", "--node-memory-gib", "1000")
    found = plan(measured, "--passages", str(int(one)), "--terms", "0", *exact)["plans"][WORDS]
    assert (found["nodes_by_disk"], found["nodes"], found["shards"]) == (12, 12, 12)
    # each node has the vocabularies of its two shards' copies, here a tenth of its room: 12 / .9 = 13.3
    terms = str(int(0.05 * 0.5e12 / 40))
    found = plan(measured, "--passages", str(int(one)), "--terms", terms, *exact)["plans"][WORDS]
    assert (found["nodes_by_disk"], found["nodes"]) == (14, 14)
    assert found["disk"] == pytest.approx(3e12 + 14 * 0.025e12)


def test_memory_decides_where_it_is_short(measured: Path) -> None:
    # 548 bytes a passage, 2 copies: 1,096 GB in nodes of 64 GiB x .75 = 51.5 GB
    found = plan(measured, "--passages", "1000000000", "--terms", "0", "--node-disk-tb", "1000")["plans"][WORDS]
    assert (found["nodes_by_disk"], found["nodes_by_memory"], found["nodes"]) == (1, 22, 22)
    assert found["nodes_by_disk"] < 3


def test_few_passages_still_need_nodes_that_agree(measured: Path) -> None:
    found = plan(measured, "--passages", "1000", "--terms", "0", "--shards-per-node", "2")["plans"][WORDS]
    assert (found["nodes_by_disk"], found["nodes_by_memory"], found["nodes"], found["shards"]) == (1, 1, 3, 6)


def test_what_a_query_reads(measured: Path) -> None:
    arguments = ("--passages", "1000", "--terms", "0", "--candidates", "100", "--top-k", "5", "--page-bytes", "1000")
    found = plan(measured, *arguments)["plans"][TURBO]
    assert found["reads"] == 3 * 105
    assert found["read_bytes"] == 3 * (100 * (6_600 + 1_000) + 5 * (400 + 1_000))


def test_what_is_sent(measured: Path) -> None:
    plans = plan(measured, "--passages", "1000", "--request-bytes", "1000000")["plans"]
    # float32 numbers whatever they are kept as, two for each word, and the payload
    assert plans[HALVES]["sent_bytes"] == plans[TURBO]["sent_bytes"]
    assert plans[TURBO]["sent_bytes"] == {
        "gRPC": 1000 * (4 * (50 * 128 + 120) + 400),
        "REST": 1000 * (20 * (50 * 128 + 120) + 400),
    }
    assert plans[CENTROIDS]["sent_bytes"]["gRPC"] == 1000 * (4 * (50 * 128 + 120 + 180) + 400)
    assert plans[MUVERA]["sent_bytes"]["gRPC"] == 1000 * (4 * (50 * 128 + 120 + 2_048) + 400)
    assert plans[TURBO]["requests"] == {"gRPC": 27, "REST": 131}  # 26.48 and 130.8


def test_device_hours_are_those_that_were_measured_or_given(measured: Path) -> None:
    assert plan(measured, "--passages", "72000")["device hours"] == {"encoding": 2.0}
    found = plan(measured, "--passages", "72000", "--passages-per-second-per-device", "100")["device hours"]
    assert found == {"encoding": 2.0, "encoding, your device": 0.2}


def test_everything_is_linear_in_passages_but_nodes(measured: Path) -> None:
    small, large = (plan(measured, "--passages", str(n), "--terms", "0") for n in (10**6, 10**7))
    for name, found in small["plans"].items():
        for what in ("disk", "memory"):
            assert large["plans"][name][what] == pytest.approx(10 * found[what])
        assert large["plans"][name]["sent_bytes"]["gRPC"] == pytest.approx(10 * found["sent_bytes"]["gRPC"])
    assert large["device hours"]["encoding"] == pytest.approx(10 * small["device hours"]["encoding"])


def test_nodes_too_small_for_a_vocabulary_are_no_plan(measured: Path) -> None:
    done = run(measured, "--node-memory-gib", "0.1")
    assert done.returncode == 1
    assert "this cannot be planned: a node has room for 80,530,637 bytes" in done.stderr
    assert done.stdout == ""


def test_the_page_says_what_the_json_says(measured: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = run(measured, "--passages", "1000", "--terms", "0", "--output", str(page))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# What 1,000 passages cost\n")
    assert f"| {WORDS} | 40,530 | 40.5 MB | 548 kB | **3** (1, 1) | 3 |" in text
    assert "**No GPU was measured**" in text


def test_the_page_in_the_tree_is_that_of_this_script() -> None:
    text = SCRIPT.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith("# What 100,000,000 passages cost\n")
    help_ = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True).stdout
    arguments = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `--")]
    assert len(arguments) == 18
    assert all(argument in help_ for argument in arguments)
