"""Ours against what colbert-ai 0.2.22 computes from the same weights, for every layout of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.transformer import ColBERTTransformer
from jacolbert_integrations.query_length import QUERY_LENGTHS, QueryLength
from jacolbert_integrations.types import TokenVectors

from ..conftest import PYLATE, STANFORD

pytestmark = pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")

LAYOUTS = [
    "stanford",
    "bert-model",
    "bin",
    "pylate",
    "sentence-transformers",
    "ours",
    "ours-sentence-transformers",
    "ours-earlier",
]


@pytest.fixture(scope="module", params=LAYOUTS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference weights in one of the layouts that people have them in."""
    import json
    import shutil

    from sentence_transformers import MultiVectorEncoder

    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    match request.param:
        case "stanford":
            return STANFORD
        case "pylate":
            return PYLATE
        case "bert-model" | "bin":
            shutil.copytree(STANFORD, folder)
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
            if request.param == "bin":
                torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
                (folder / "model.safetensors").unlink()
        case "sentence-transformers":
            MultiVectorEncoder(str(STANFORD)).save_pretrained(str(folder))
        case "ours":
            JaColBERT.from_pretrained(STANFORD).save_pretrained(folder)
        case "ours-sentence-transformers" | "ours-earlier":
            JaColBERT.from_pretrained(PYLATE).model.save_pretrained(str(folder))
            if request.param == "ours-earlier":  # before the package had rooms
                modules = folder / "modules.json"
                text = modules.read_text(encoding="utf-8")
                assert "jacolbert_integrations.encoding.transformer" in text
                modules.write_text(text.replace("integrations.encoding.", "integrations."), encoding="utf-8")
    return folder


def transformer_of(model: JaColBERT) -> ColBERTTransformer:
    first = model.model[0]
    assert isinstance(first, ColBERTTransformer)
    return first


@pytest.mark.parametrize("rule", [rule for rule in QUERY_LENGTHS if rule != "unpadded"])  # colbert-ai has no such
def test_ids_vectors_and_scores(
    checkpoint: Path, rule: QueryLength, reference: dict[str, Any], reference_arrays: dict[str, TokenVectors]
) -> None:
    model = JaColBERT.from_pretrained(checkpoint, query_length=rule)
    queries = [query["text"] for query in reference["queries"]]
    documents = [document["text"] for document in reference["documents"]]
    transformer = transformer_of(model)
    encoded = transformer.tokenize_texts(queries, "query")
    if rule == "fixed":
        assert [text.ids for text in encoded] == [query["fixed_ids"] for query in reference["queries"]]
    else:
        assert [text.length for text in encoded] == [query["length"] for query in reference["queries"]]
        assert [len(text.ids) for text in encoded] == [query[f"{rule}_length"] for query in reference["queries"]]
    ids = [text.ids for text in transformer.tokenize_texts(documents, "document")]
    assert ids == [document["ids"] for document in reference["documents"]]

    query_vectors, document_vectors = model.encode_query(queries), model.encode_document(documents)
    for index, vectors in enumerate(query_vectors):
        np.testing.assert_allclose(vectors, reference_arrays[f"query_{rule}_{index}"], atol=1e-5)
    for index, vectors in enumerate(document_vectors):
        np.testing.assert_allclose(vectors, reference_arrays[f"document_{index}"], atol=1e-5)
    scores = model.score(query_vectors, document_vectors)
    np.testing.assert_allclose(scores, reference_arrays[f"scores_{rule}"], atol=1e-4)


def test_the_released_rule_is_the_default(checkpoint: Path) -> None:
    model = JaColBERT.from_pretrained(checkpoint)
    assert model.query_length == "released"
    assert (model.dimension, model.document_maxlen) == (128, 300)


def test_every_layout_has_the_same_fingerprint(checkpoint: Path) -> None:
    expected = JaColBERT.from_pretrained(STANFORD).fingerprint
    assert JaColBERT.from_pretrained(checkpoint).fingerprint == expected
    if transformer_of(JaColBERT.from_pretrained(checkpoint)).auto_model.dtype is torch.float32:
        half = JaColBERT.from_pretrained(checkpoint, dtype=torch.bfloat16)
        assert half.fingerprint == expected


def test_the_pipeline_itself_gives_the_same_queries(
    checkpoint: Path, reference: dict[str, Any], reference_arrays: dict[str, TokenVectors]
) -> None:
    """What trainers, evaluators and mteb see: sentence-transformers' own encode, in one mixed batch."""
    pipeline = JaColBERT.from_pretrained(checkpoint).model
    queries = [query["text"] for query in reference["queries"]]
    for index, vectors in enumerate(pipeline.encode_query(queries, convert_to_numpy=True)):
        np.testing.assert_allclose(vectors, reference_arrays[f"query_released_{index}"], atol=1e-5)
