"""A training step on a processor: torch's fused attention beside attention operation by operation.

    python benchmarks/training.py

A step is forward, loss, backward and optimizer, for 16 questions and the passages that answer them, of jacolbert-small
and of a BERT-base of random weights. Both ways take turns. ``train`` computes operation by operation where a model on a
processor is trained in bfloat16 (``training/attention.py``). On two cores with AMX, a step was so much faster by that:

| | float32 | bfloat16 |
|---|--:|--:|
| jacolbert-small | 0.82 | 1.67 |
| BERT-base | 1.01 | 1.11 |
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from transformers import BertConfig, BertModel

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.hub import BUNDLED
from jacolbert_integrations.checkpoints.layouts import inspect_checkpoint
from jacolbert_integrations.encoding.saving import save_scratch
from jacolbert_integrations.evaluation.jsquad import load_jsquad
from jacolbert_integrations.training.losses import LateInteractionLoss

QUESTIONS = 16
TURNS = 5


def bert_base(folder: Path) -> JaColBERT:
    """The shape of JaColBERT, with the tokenizer of jacolbert-mini."""
    mini = JaColBERT.from_pretrained("jacolbert-mini")
    transformer: Any = mini.model[0]
    torch.manual_seed(0)
    backbone = BertModel(BertConfig(vocab_size=len(transformer.hf_tokenizer)), add_pooling_layer=False)
    settings = inspect_checkpoint(BUNDLED["jacolbert-mini"]).settings
    assert settings is not None
    save_scratch(folder, backbone, torch.nn.Linear(768, 128, bias=False), transformer.hf_tokenizer, settings)
    return JaColBERT.from_pretrained(folder)


def step(model: JaColBERT, features: list[dict[str, Any]], precision: torch.dtype) -> float:
    """Seconds of a step, on the model's own device."""
    loss = LateInteractionLoss(model.model, {"in_batch": 1.0})
    optimizer = torch.optim.SGD(model.model.parameters(), lr=1e-12)  # the weights stay what they are
    model.model.train()
    begun = perf_counter()
    with torch.autocast(model.model.device.type, dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
        value = loss([dict(feature) for feature in features])["in_batch"]
    value.backward()
    optimizer.step()
    next(model.model.parameters()).flatten()[0].item()  # which waits for a GPU
    optimizer.zero_grad()
    return perf_counter() - begun


def main() -> None:
    jsquad = load_jsquad()
    texts = {passage.id: passage.text for passage in jsquad.passages}
    asked = {question.passage_id: question.text for question in jsquad.questions}  # one of each passage
    pairs = [(question, texts[passage]) for passage, question in asked.items()][:QUESTIONS]
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "jacolbert-small": JaColBERT.from_pretrained("jacolbert-small"),
            "BERT-base": bert_base(Path(folder) / "base"),
        }
    for name, model in models.items():
        transformer: Any = model.model[0]
        features = [
            model.model.preprocess([question for question, _ in pairs], task="query"),
            model.model.preprocess([passage for _, passage in pairs], task="document"),
        ]
        for precision in (torch.float32, torch.bfloat16):
            taken: dict[str, list[float]] = {"sdpa": [], "eager": []}
            for turn in range(TURNS + 1):
                for way, seconds in taken.items():
                    transformer.auto_model.set_attn_implementation(way)
                    took = step(model, features, precision)
                    if turn:  # the first warms up
                        seconds.append(took)
            ratio = median(taken["sdpa"]) / median(taken["eager"])
            print(f"{name}, {str(precision).removeprefix('torch.')}: {ratio:.2f} times as fast operation by operation")


if __name__ == "__main__":
    main()
