"""Encoding with ``precision="int8"`` beside float32: speed, and what it costs in the ranking of JSQuAD valid.

Beside them, of the same weights: torch's own dynamic quantization (one scale for all tokens of a batch), and torchao's,
if it is installed. ``python benchmarks/int8.py [--processor AVX2]``: as on a processor that has no more than that, as
far as torch's libraries can be told so.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from encoding import checkpoint_of_base_shape
from sentence_transformers import MultiVectorEncoder
from side_by_side import compare

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.int8 import largest_weight
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.scoring.maxsim import PackedDocuments

LIMITS = {
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "AVX512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
}
PASSAGES = 32
TOP_K = 10


def dynamically_quantized(model: MultiVectorEncoder) -> None:
    """Rounds as torch.ao does; its engine decides the bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, for torchao
        model[0].model = torch.ao.quantization.quantize_dynamic(model[0].model, {torch.nn.Linear}, torch.qint8)  # type: ignore[no-untyped-call]


def quantized_by_torchao(model: MultiVectorEncoder) -> None:
    """Rounds as torchao does: a scale for each row of weights, and for each token."""
    from torchao.quantization import (  # type: ignore[import-not-found]
        Int8DynamicActivationInt8WeightConfig,
        quantize_,
    )

    quantize_(model[0].model, Int8DynamicActivationInt8WeightConfig())


OTHERS: dict[str, Callable[[MultiVectorEncoder], None]] = {
    "torch.ao": dynamically_quantized,
    "torchao": quantized_by_torchao,
}


def loaded(checkpoint: str | Path, others: Sequence[str]) -> dict[str, JaColBERT]:
    """The model as float32 and as int8, and in each other way that is there."""
    models = {
        "float32": JaColBERT.from_pretrained(checkpoint, device="cpu"),
        "int8": JaColBERT.from_pretrained(checkpoint, device="cpu", precision="int8"),
    }
    for name in others:
        other = JaColBERT.from_pretrained(checkpoint, device="cpu")
        try:
            OTHERS[name](other.model)
        except ImportError as error:
            print(f"{name}: {error}")
        else:
            models[name] = other
    return models


def instructions() -> str:
    """What the processor has of what multiplies 8-bit integers faster."""
    known = Path("/proc/cpuinfo")
    flags = known.read_text(encoding="utf-8").split() if known.exists() else []
    found = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if name in flags]
    return ", ".join(found) or "unknown"


def speed(name: str, checkpoint: str | Path, rounds: int, others: Sequence[str]) -> None:
    """Prints the times of encoding, and how near the vectors are to those of float32."""
    passages = [passage.text for passage in load_jsquad().passages[:: 1145 // PASSAGES]][:PASSAGES]
    models = loaded(checkpoint, others)
    print(f"\n{name}, {len(passages)} passages")
    functions = {
        each: partial(model.encode_document, passages, show_progress_bar=False) for each, model in models.items()
    }
    medians = compare(functions, rounds=rounds)
    exact = functions["float32"]()
    for each, function in functions.items():
        cosines = [(own * other).sum(axis=1) for own, other in zip(function(), exact, strict=True)]
        near = float(np.concatenate(cosines).mean())
        print(f"{each}: {medians['float32'] / medians[each]:.2f} times the speed, mean cosine {near:.4f}")


def quality(checkpoint: str, questions: int, others: Sequence[str]) -> None:
    """Prints nDCG@10 of exact MaxSim over all passages of JSQuAD valid."""
    jsquad = load_jsquad()
    asked = jsquad.questions[:: max(1, len(jsquad.questions) // questions)][:questions]
    places = {passage.id: place for place, passage in enumerate(jsquad.passages)}
    right = np.array([places[question.passage_id] for question in asked])
    best: dict[str, np.ndarray] = {}
    figures: dict[str, float] = {}
    print(f"\n{checkpoint}, JSQuAD valid, {len(jsquad.passages):,} passages, {len(asked):,} questions")
    for each, model in loaded(checkpoint, others).items():
        documents = PackedDocuments(model.encode_document([p.text for p in jsquad.passages], show_progress_bar=False))
        queries = model.encode_query([question.text for question in asked], show_progress_bar=False)
        scores = documents.score(queries)
        ranks = (scores > scores[np.arange(len(asked)), right][:, None]).sum(axis=1)
        figures[each] = float(np.where(ranks < TOP_K, 1 / np.log2(ranks + 2), 0.0).mean())
        best[each] = np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K]
        pairs = zip(best[each], best["float32"], strict=True)
        shared = np.mean([len(set(own) & set(other)) / TOP_K for own, other in pairs])
        print(
            f"{each}: nDCG@10 {figures[each]:.4f}, {figures[each] / figures['float32']:.2%} of float32; "
            f"{shared:.1%} of the same ten",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processor", choices=list(LIMITS), help="use no newer instructions than these")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", nargs="*", choices=list(OTHERS), default=list(OTHERS), help="beside which ways")
    parser.add_argument("--parts", nargs="+", choices=["speed", "quality"], default=["speed", "quality"])
    arguments = parser.parse_args()
    limits = LIMITS.get(arguments.processor or "", {})
    if any(os.environ.get(name) != value for name, value in limits.items()):  # libraries read them when they start
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **limits})
    print(f"{torch.get_num_threads()} threads; {instructions()}; used as {arguments.processor or 'it is'}; ", end="")
    print(f"weights of int8 up to {largest_weight()}")
    if "speed" in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            base = checkpoint_of_base_shape(Path(folder) / "base")
            speed("BERT-base shape", base, arguments.rounds, arguments.others)
        speed("jacolbert-small", "jacolbert-small", arguments.rounds, arguments.others)
    if "quality" in arguments.parts:
        for name in ("jacolbert-small", "jacolbert-mini"):
            quality(name, arguments.questions, arguments.others)


if __name__ == "__main__":
    main()
