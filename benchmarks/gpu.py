"""What a device gives: encoding, MaxSim and a training step beside its matrix rate, and what bfloat16 costs in scores.

    python benchmarks/gpu.py [--device DEVICE] [--parts encoding maxsim training scores]

Nothing is downloaded: the texts are JSQuAD's, which the package brings, and speed is that of a BERT-base of random
weights. The matrix rate is what one large product of the same kind of numbers reaches in the same run; a share of it
counts the operations of the model's matrix products for real tokens, so padding, tokenization and copies all lower it.
On a processor everything is smaller.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from encoding import checkpoint_of_base_shape
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.util.similarity import maxsim as sentence_transformers_maxsim
from side_by_side import timed
from training import step

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.packing import should_be_packed
from jacolbert_integrations.errors import TruncationWarning
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.evaluation.measures import measure
from jacolbert_integrations.evaluation.rankings import Run
from jacolbert_integrations.scoring.maxsim import PackedDocuments
from jacolbert_integrations.text.squad import QuestionSet
from jacolbert_integrations.training.attention import attention
from jacolbert_integrations.types import Scores, TokenVectors

HALF = torch.bfloat16
PARTS = ["encoding", "maxsim", "training", "scores"]


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        texts: Texts to encode.
        side: Rows and columns of the matrices whose product gives the matrix rate.
        document_tokens: Tokens of the documents for MaxSim.
        pairs: Questions and passages of a training step.
        rounds: Times that each thing is measured; the median counts.
    """

    texts: int
    side: int
    document_tokens: int
    pairs: int
    rounds: int


ON_A_GPU = Sizes(texts=4096, side=8192, document_tokens=1_000_000, pairs=128, rounds=5)
ON_A_PROCESSOR = Sizes(texts=16, side=4096, document_tokens=1_000_000, pairs=8, rounds=3)


def matrix_rate(device: torch.device, dtype: torch.dtype, sizes: Sizes) -> float:
    """Operations a second of a large matrix product."""
    one, other = torch.randn(2, sizes.side, sizes.side, device=device).to(dtype)
    seconds = timed({"product": lambda: (one @ other)[0, 0].item()}, rounds=sizes.rounds)["product"]
    return 2 * sizes.side**3 / median(seconds)


def operations(model: JaColBERT, lengths: list[int]) -> float:
    """Operations of the matrix products of one pass, for texts of so many tokens."""
    config: Any = model.model[0].auto_model.config  # type: ignore[union-attr]
    width = config.hidden_size
    layer = 2 * (4 * width * width + 2 * width * config.intermediate_size)
    projection = 2 * width * model.dimension
    return float(
        sum(length * (config.num_hidden_layers * (layer + 4 * length * width) + projection) for length in lengths)
    )


def texts_to_encode(count: int) -> dict[str, list[str]]:
    """Texts that are all longer than the model reads, and texts of 20 to 600 characters."""
    passages = [passage.text for passage in load_jsquad().passages]
    joined = ["".join(passages[(i + j) % len(passages)] for j in range(6)) for i in range(count)]
    ends = np.random.default_rng(0).integers(20, 601, count)
    return {"of 300 tokens": joined, "ragged": [text[:end] for text, end in zip(joined, ends, strict=True)]}


def encoding(checkpoint: Path, device: torch.device, rates: dict[torch.dtype, float], sizes: Sizes) -> None:
    """Prints tokens a second beside sentence-transformers."""
    default = JaColBERT.from_pretrained(checkpoint, device=str(device))
    ours = {default.model.dtype: default}
    theirs = {}
    for dtype in (torch.float32, HALF):
        if dtype not in ours:
            ours[dtype] = JaColBERT.from_pretrained(checkpoint, device=str(device), dtype=dtype)
        theirs[dtype] = MultiVectorEncoder(str(checkpoint), device=str(device), model_kwargs={"dtype": dtype})
    plain = MultiVectorEncoder(str(checkpoint), device=str(device))
    assert plain.dtype is torch.float32  # so that theirs in float32 is their default
    transformer: Any = default.model[0]
    print("## Encoding, BERT-base shape\n")
    print("| texts | | tokens a second | share of the matrix rate | beside sentence-transformers' default |")
    print("|---|---|--:|--:|--:|")
    for kind, texts in texts_to_encode(sizes.texts).items():
        lengths = [len(text.ids) for text in transformer.tokenize_texts(texts, "document")]
        functions: dict[str, Any] = {}
        dtypes: dict[str, torch.dtype] = {}
        for dtype in (torch.float32, HALF):
            without = ", without padding" if should_be_packed(ours[dtype].model, "document") else ""
            ours_name = f"{short(dtype)}{without}{', our default' if dtype is default.model.dtype else ''}"
            theirs_name = f"sentence-transformers, {short(dtype)}{', its default' if dtype is torch.float32 else ''}"
            dtypes |= {ours_name: dtype, theirs_name: dtype}
            functions[ours_name] = partial(ours[dtype].encode_document, texts)
            functions[theirs_name] = partial(theirs[dtype].encode_document, texts, convert_to_numpy=True)
        seconds = {name: median(each) for name, each in timed(functions, rounds=sizes.rounds).items()}
        peer = next(taken for name, taken in seconds.items() if name.endswith("its default"))
        described = f"{len(texts):,} {kind} ({min(lengths)} to {max(lengths)})"
        for name, taken in sorted(seconds.items(), key=lambda each: each[1]):
            share = operations(default, lengths) / taken / rates[dtypes[name]]
            print(f"| {described} | {name} | {sum(lengths) / taken:,.0f} | {share:.0%} | {peer / taken:.2f} |")
    print()


def scoring(device: torch.device, rates: dict[torch.dtype, float], sizes: Sizes) -> None:
    """Prints the rate of MaxSim."""
    rng = np.random.default_rng(0)

    def unit_rows(length: int) -> TokenVectors:
        rows = rng.standard_normal((length, 128), dtype=np.float32)
        unit: TokenVectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    queries = [unit_rows(32) for _ in range(16)]
    documents = [unit_rows(int(length)) for length in rng.integers(20, 301, sizes.document_tokens // 160)]
    packed = PackedDocuments(documents, device=device)
    query_tensors, document_tensors = (
        [torch.from_numpy(each).to(device) for each in matrices] for matrices in (queries, documents)
    )
    theirs = "sentence-transformers' `maxsim`"
    seconds = timed(
        {
            "documents laid out once": lambda: packed.score(queries),
            theirs: lambda: sentence_transformers_maxsim(query_tensors, document_tensors).cpu(),
        },
        rounds=sizes.rounds,
    )
    print(f"## MaxSim of {len(queries)} queries of 32 tokens, {packed.n_tokens:,} document tokens, dimension 128\n")
    print(f"| float32 | document tokens a second | share of the matrix rate | beside {theirs} |\n|---|--:|--:|--:|")
    products = 2 * packed.n_tokens * sum(map(len, queries)) * 128
    for name, taken in seconds.items():
        each = median(taken)
        share = products / each / rates[torch.float32]
        print(f"| {name} | {packed.n_tokens / each:,.0f} | {share:.0%} | {median(seconds[theirs]) / each:.2f} |")
    print()


def training(checkpoint: Path, device: torch.device, rates: dict[torch.dtype, float], sizes: Sizes) -> None:
    """Prints the rate of a training step, as ``train`` computes it."""
    jsquad = load_jsquad()
    texts = {passage.id: passage.text for passage in jsquad.passages}
    asked = {question.passage_id: question.text for question in jsquad.questions}
    pairs = [(question, texts[passage]) for passage, question in asked.items()][: sizes.pairs]
    model = JaColBERT.from_pretrained(checkpoint, device=str(device), dtype=torch.float32)
    features = [
        {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in model.model.preprocess([pair[place] for pair in pairs], task=task).items()
        }
        for place, task in enumerate(("query", "document"))
    ]
    transformer: Any = model.model[0]
    lengths = [
        len(text.ids)
        for place, task in enumerate(("query", "document"))
        for text in transformer.tokenize_texts([pair[place] for pair in pairs], task)
    ]
    print(f"## A training step, BERT-base shape, {len(pairs)} questions and passages\n")
    print("| computed in | tokens a second | share of the matrix rate |\n|---|--:|--:|")
    for dtype in (torch.float32, HALF):
        with attention(model, "eager" if dtype is HALF else "sdpa"):  # on a processor; a GPU always has the fused one
            step(model, features, dtype)
            taken = median(step(model, features, dtype) for _ in range(sizes.rounds))
        share = 3 * operations(model, lengths) / taken / rates[dtype]  # forward once, backward twice that
        print(f"| {short(dtype)} | {sum(lengths) / taken:,.0f} | {share:.0%} |")
    print()


def cost_of_half(name: str, device: torch.device, asked: QuestionSet) -> None:
    """Prints how the scores and rankings of a bundled model differ in bfloat16."""
    passages = [passage.text for passage in asked.passages]
    questions = [question.text for question in asked.questions]
    ids = [passage.id for passage in asked.passages]
    names = [str(place) for place in range(len(questions))]
    qrels = {name: {question.passage_id: 1} for name, question in zip(names, asked.questions, strict=True)}
    found: dict[torch.dtype, Scores] = {}
    for dtype in (torch.float32, HALF):
        model = JaColBERT.from_pretrained(name, device=str(device), dtype=dtype)
        found[dtype] = model.score(model.encode_query(questions), model.encode_document(passages))
    whole, half = found[torch.float32], found[HALF]
    difference = np.abs(whole - half)
    best = {dtype: np.argsort(-scores, axis=1, kind="stable")[:, :10] for dtype, scores in found.items()}
    kept = np.mean([len(set(a) & set(b)) for a, b in zip(best[torch.float32], best[HALF], strict=True)]) / 10
    same = np.mean([set(a) == set(b) for a, b in zip(best[torch.float32], best[HALF], strict=True)])
    first = np.mean(best[torch.float32][:, 0] == best[HALF][:, 0])
    values = {}
    for dtype, scores in found.items():
        measured = measure(Run.of_scores(short(dtype), scores, names, ids), qrels, ["nDCG@10", "R@1", "R@10"])
        values[dtype] = {each: measured.mean(each) for each in ("nDCG@10", "R@1", "R@10")}
    gaps = np.partition(whole, -2, axis=1)[:, -2:]
    print(
        f"| {name} | {difference.mean():.4f} | {difference.max():.3f} | {np.median(gaps[:, 1] - gaps[:, 0]):.2f} |",
        end="",
    )
    print(f" {first:.1%} | {kept:.1%} | {same:.1%} |", end="")
    changes = [f" {values[torch.float32][each]:.4f} → {values[HALF][each]:.4f} |" for each in values[HALF]]
    print("".join(changes), flush=True)


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: everything)"
    )
    parser.add_argument("--questions", type=int, default=1_000, help="about so many of JSQuAD's, for the scores")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    warnings.simplefilter("ignore", TruncationWarning)
    if device.type == "cuda":
        print(f"On {torch.cuda.get_device_name(device)}, torch {torch.__version__}:\n")
    else:
        print(f"On a processor ({platform.machine()}), {torch.get_num_threads()} threads, torch {torch.__version__}:\n")
    if timed_parts := [part for part in arguments.parts if part != "scores"]:
        speed(device, timed_parts)
    if "scores" in arguments.parts:
        scores_in_half(device, arguments.questions)


def speed(device: torch.device, parts: list[str]) -> None:
    """Prints the matrix rate, and what is compared with it."""
    sizes = ON_A_GPU if device.type == "cuda" else ON_A_PROCESSOR
    rates = {dtype: matrix_rate(device, dtype, sizes) for dtype in (torch.float32, HALF)}
    print(f"| product of {sizes.side:,} x {sizes.side:,} | TFLOP/s |\n|---|--:|")
    for dtype, rate in rates.items():
        print(f"| {short(dtype)} | {rate / 1e12:.2f} |")
    print()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = checkpoint_of_base_shape(Path(folder) / "base")
        if "encoding" in parts:
            encoding(checkpoint, device, rates, sizes)
        if "maxsim" in parts:
            scoring(device, rates, sizes)
        if "training" in parts:
            training(checkpoint, device, rates, sizes)


def scores_in_half(device: torch.device, count: int) -> None:
    """Prints what bfloat16 costs."""
    jsquad = load_jsquad()
    asked = QuestionSet(jsquad.passages, jsquad.questions[:: max(len(jsquad.questions) // count, 1)])
    print(
        f"## bfloat16 beside float32: JSQuAD valid, {len(asked.questions):,} questions over {len(asked.passages):,} "
        "passages, exact MaxSim\n\n"
        "| model | mean difference of a score | largest | median lead of the first passage | same first | of the first "
        "ten, the same | same ten | nDCG@10 | R@1 | R@10 |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for name in ("jacolbert-mini", "jacolbert-small"):
        cost_of_half(name, device, asked)


if __name__ == "__main__":
    main()
