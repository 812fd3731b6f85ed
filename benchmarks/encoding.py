"""Encoding by token budget beside MultiVectorEncoder.encode_document at its default, same weights."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder
from side_by_side import compare
from transformers import BertConfig, BertModel

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.evaluation.jsquad import load_jsquad

REFERENCE = Path(__file__).parent.parent / "tests" / "data" / "reference" / "stanford"


def checkpoint_of_base_shape(folder: Path) -> Path:
    """JaColBERT's own shape (12 layers, 768 wide) with random weights: speed does not depend on them."""
    torch.manual_seed(0)
    backbone = BertModel(BertConfig(vocab_size=32768), add_pooling_layer=False)
    tensors = {f"bert.{name}": tensor.clone() for name, tensor in backbone.state_dict().items()}
    tensors["linear.weight"] = torch.randn(128, 768)
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(backbone.config.to_dict() | {"architectures": ["HF_ColBERT"]}))
    for name in ("artifact.metadata", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(REFERENCE / name, folder / name)
    return folder


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 96
    passages = [passage.text for passage in load_jsquad().passages[:: 1145 // count]][:count]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = checkpoint_of_base_shape(Path(folder) / "base")
        ours = JaColBERT.from_pretrained(checkpoint, device="cpu")
        theirs = MultiVectorEncoder(str(checkpoint), device="cpu")
    print(f"{count} passages of JSQuAD, BERT-base shape, {torch.get_num_threads()} threads\n")
    medians = compare(
        {
            "ours": lambda: ours.encode_document(passages),
            "MultiVectorEncoder": lambda: theirs.encode_document(passages, convert_to_numpy=True),
        },
        rounds=3,
    )
    for name, seconds in medians.items():
        print(f"{name}: {count / seconds:.1f} passages a second")
    print(f"\n{medians['MultiVectorEncoder'] / medians['ours']:.2f} times the speed of MultiVectorEncoder")
    pairs = zip(ours.encode_document(passages), theirs.encode_document(passages, convert_to_numpy=True), strict=True)
    print(f"greatest difference of any value: {max(np.abs(one - other).max() for one, other in pairs):.1e}")


if __name__ == "__main__":
    main()
