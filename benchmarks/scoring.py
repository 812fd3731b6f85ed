"""Exact MaxSim on 2,000 documents of 20 to 300 tokens beside sentence-transformers and maxsim-cpu."""

from __future__ import annotations

import resource

import numpy as np
import torch
from maxsim_cpu import maxsim_scores_variable
from sentence_transformers.util.similarity import maxsim as sentence_transformers_maxsim
from side_by_side import compare

from jacolbert_integrations import maxsim
from jacolbert_integrations.scoring.maxsim import MEMORY_BUDGET, PackedDocuments
from jacolbert_integrations.types import TokenVectors

DIMENSION = 128


def unit_rows(rng: np.random.Generator, rows: int) -> TokenVectors:
    matrix = rng.standard_normal((rows, DIMENSION), dtype=np.float32)
    normalised: TokenVectors = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return normalised


def main() -> None:
    rng = np.random.default_rng(0)
    documents = [unit_rows(rng, int(length)) for length in rng.integers(20, 301, 2000)]
    query = unit_rows(rng, 32)
    packed = PackedDocuments(documents)
    as_tensors = [torch.from_numpy(document) for document in documents]
    query_tensor, everything = torch.from_numpy(query), torch.from_numpy(np.concatenate(documents))
    print(
        f"{len(documents):,} documents, {packed.n_tokens:,} tokens, {len(query)} query tokens, dimension {DIMENSION}, "
        f"{torch.get_num_threads()} threads\n"
    )
    medians = compare(
        {
            "ours, documents laid out before": lambda: packed.score([query]),
            "ours, from a list of arrays": lambda: maxsim([query], documents),
            "maxsim-cpu": lambda: maxsim_scores_variable(query, documents),
            "sentence-transformers' maxsim": lambda: sentence_transformers_maxsim([query_tensor], as_tensors),
            "the bare matrix product (no max)": lambda: everything @ query_tensor.T,
        },
        rounds=25,
    )
    own = medians["ours, documents laid out before"]
    own_list = medians["ours, from a list of arrays"]
    for peer in ("sentence-transformers' maxsim", "maxsim-cpu"):
        print(f"\n{medians[peer] / own:.1f} times the speed of {peer}; {medians[peer] / own_list:.1f} from a list")

    measure_many(rng, documents)
    expected = np.array(
        [(document.astype(np.float64) @ query.astype(np.float64).T).max(0).sum() for document in documents]
    )
    print(f"\ngreatest difference from float64: {np.abs(packed.score([query])[0] - expected).max():.1e}")


def measure_many(rng: np.random.Generator, documents: list[TokenVectors]) -> None:
    queries = [unit_rows(rng, int(length)) for length in rng.integers(12, 41, 64)]
    some = [torch.from_numpy(document) for document in documents[:500]]
    own, tensors = PackedDocuments(documents[:500]), [torch.from_numpy(query) for query in queries]
    together = torch.from_numpy(np.concatenate(queries)).T
    everything = torch.from_numpy(np.concatenate(documents[:500]))
    print(f"\n{len(queries)} queries of {min(map(len, queries))} to {max(map(len, queries))} tokens, 500 documents\n")
    medians = compare(
        {
            "ours": lambda: own.score(queries),
            "sentence-transformers' maxsim": lambda: sentence_transformers_maxsim(tensors, some),
            "the bare matrix product (no max)": lambda: everything @ together,
        },
        rounds=7,
    )
    peer = "sentence-transformers' maxsim"
    print(f"\n{medians[peer] / medians['ours']:.1f} times the speed of {peer}")


def measure_memory() -> None:
    rng = np.random.default_rng(1)
    million = [unit_rows(rng, int(length)) for length in rng.integers(20, 301, 6400)]
    query = unit_rows(rng, 32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    maxsim([query], million)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{sum(map(len, million)):,} tokens scored with {used:.0f} MiB above the earlier peak "
        f"(budget: {MEMORY_BUDGET >> 20} MiB)"
    )


if __name__ == "__main__":
    measure_memory()
    main()
