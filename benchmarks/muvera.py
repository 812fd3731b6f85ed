"""Fixed dimensional encodings of 1,000 documents of 120 tokens, beside fastembed's ``Muvera``.

fastembed cannot share an environment with this package (it wants an older huggingface_hub), so it gets one of
its own under ``build/benchmarks``. Both are given the same vectors and parameters, in turn.

The matrix products are those that an encoding cannot do without: of the vectors with the hyperplanes, and of the
cells with their projections. Their time alone is the floor.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from jacolbert_integrations.scoring.muvera import Muvera

ENVIRONMENT = Path(__file__).resolve().parent.parent / "build" / "benchmarks" / "fastembed"
REQUIREMENT = "fastembed==0.9.1"
DIMENSION = 128
ROUNDS = 5
QUERY_TOKENS = 32
PARAMETERS = {"as fastembed's defaults": (5, 16, 20), "as our defaults": (4, 8, 16)}

PEER = """
import sys
from time import perf_counter
import numpy as np
from fastembed.postprocess.muvera import Muvera
folder, planes, projection, repetitions = sys.argv[1], *map(int, sys.argv[2:])
documents = np.load(folder + "/documents.npy")
muvera = Muvera(128, planes, projection, repetitions, 42)
muvera.process_document(documents[0])
begun = perf_counter()
encodings = [muvera.process_document(document) for document in documents]
print(perf_counter() - begun)
np.save(folder + "/encodings.npy", np.stack(encodings).astype(np.float32))
np.save(folder + "/query.npy", muvera.process_query(documents[0]).astype(np.float32))
"""


def peer_python() -> str:
    """The Python of fastembed's environment, which is made if need be."""
    python = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not (ENVIRONMENT / "ready").exists():
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", REQUIREMENT], check=True)
        (ENVIRONMENT / "ready").touch()
    return str(python)


def products(documents: np.ndarray, planes: int, projection: int, repetitions: int) -> float:
    """Seconds of the bare matrix products, in blocks of ten documents."""
    sides = torch.randn(planes * repetitions, DIMENSION)
    cells = torch.randn(repetitions, 10 * 2**planes, DIMENSION)
    projections = torch.randn(repetitions, DIMENSION, projection)
    begun = perf_counter()
    for block in torch.from_numpy(documents).view(-1, 10 * documents.shape[1], DIMENSION):
        sides @ block.T
        torch.bmm(cells, projections)
    return perf_counter() - begun


def seconds_a_query(muvera: Muvera, query: np.ndarray) -> float:
    times = []
    for _ in range(200):
        begun = perf_counter()
        muvera.encode_query(query)
        times.append(perf_counter() - begun)
    return median(times)


def main() -> None:
    python = peer_python()
    rng = np.random.default_rng(0)
    documents = rng.standard_normal((1000, 120, DIMENSION)).astype(np.float32)
    documents /= np.linalg.norm(documents, axis=2, keepdims=True)
    print(f"1,000 documents of 120 tokens, dimension {DIMENSION}, {torch.get_num_threads()} threads\n")
    for name, (planes, projection, repetitions) in PARAMETERS.items():
        muvera = Muvera(DIMENSION, planes, projection, repetitions)
        muvera.encode_document(list(documents[:10]))
        ours, theirs, floor = [], [], []
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder, "documents.npy"), documents)
            command = [python, "-c", PEER, folder, str(planes), str(projection), str(repetitions)]
            for _ in range(ROUNDS):
                begun = perf_counter()
                encodings = muvera.encode_document(list(documents))
                ours.append(perf_counter() - begun)
                theirs.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
                floor.append(products(documents, planes, projection, repetitions))
            differences = np.abs(np.load(Path(folder, "encodings.npy")) - encodings).max(axis=1)
            query = np.abs(np.load(Path(folder, "query.npy")) - muvera.encode_query(documents[0])).max()
        ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
        equal = differences < 1e-5
        print(
            f"{name} ({muvera.size:,} floats): {1000 * median(ours):.0f} ms, fastembed {1000 * median(theirs):.0f} ms: "
            f"{median(ratios):.1f} times its speed ({min(ratios):.1f} to {max(ratios):.1f} in {ROUNDS} rounds)\n"
            f"  the matrix products alone: {1000 * median(floor):.0f} ms\n"
            f"  a query of {QUERY_TOKENS} tokens: {1e6 * seconds_a_query(muvera, documents[0, :QUERY_TOKENS]):.0f} us\n"
            f"  greatest difference: {equal.sum():,} documents {differences[equal].max():.1e}, a query {query:.1e}; "
            f"{(~equal).sum()} documents have a vector on a hyperplane"
        )


if __name__ == "__main__":
    main()
