"""ColBERTs that are no JaColBERT, through the same class, each with its own tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig, BertModel, BertTokenizer, PreTrainedTokenizerFast, XLMRobertaConfig

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.layouts import Layout, inspect_checkpoint
from jacolbert_integrations.encoding.transformer import ColBERTTransformer
from jacolbert_integrations.errors import IncompleteCheckpointError, InputError, TruncationWarning

WORDS = [
    *["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    *["the", "capital", "of", "japan", "is", "tokyo", "a", "cat", "##s", "what", "?", "!", ".", ",", "mount"],
]
QUERIES = ["What is the capital of Japan?", "a cat", "the cats, the cats, the cats! " * 20]
DOCUMENTS = ["Tokyo is the capital of Japan.", "a cat!", "what? [MASK]"]
pytestmark = pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning")


def english_backbone(folder: Path) -> BertModel:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizer(str(folder / "vocab.txt"), do_lower_case=True).save_pretrained(folder)
    torch.manual_seed(0)
    return BertModel(
        BertConfig(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                   intermediate_size=32, max_position_embeddings=128, initializer_range=0.5)
    )  # fmt: skip


def stanford(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any], metadata: dict[str, Any]) -> Path:
    tensors["linear.weight"] = torch.randn(24, 16)
    save_file({name: t.contiguous().clone() for name, t in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["HF_ColBERT"]}))
    (folder / "artifact.metadata").write_text(json.dumps(metadata))
    return folder


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of colbertv2.0: Stanford's, with BERT's English tokenizer."""
    folder = tmp_path_factory.mktemp("english")
    backbone = english_backbone(folder)
    tensors = {f"bert.{name}": tensor for name, tensor in backbone.state_dict().items()}
    metadata = {"dim": 24, "doc_maxlen": 40, "query_maxlen": 32, "mask_punctuation": True}
    return stanford(folder, tensors, backbone.config.to_dict(), metadata)


def test_an_english_stanford_checkpoint_as_sentence_transformers_has_it(english: Path) -> None:
    ours, theirs = JaColBERT.from_pretrained(english), MultiVectorEncoder(str(english))
    assert ours.query_length == "fixed"
    assert (ours.dimension, ours.document_maxlen) == (24, 40)
    for mine, other in zip(
        ours.encode_query(QUERIES), theirs.encode_query(QUERIES, convert_to_numpy=True), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    plain = DOCUMENTS[:2]
    for mine, other in zip(
        ours.encode_document(plain), theirs.encode_document(plain, convert_to_numpy=True), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)


def test_control_tokens_are_text_for_any_tokenizer(english: Path) -> None:
    transformer = JaColBERT.from_pretrained(english).model[0]
    assert isinstance(transformer, ColBERTTransformer)
    ids = transformer.tokenize_texts(["what [MASK] [unused0]"], "document")[0].ids
    assert WORDS.index("[MASK]") not in ids
    assert ids.count(WORDS.index("[unused1]")) == 1
    assert WORDS.index("[unused0]") not in ids


@pytest.fixture(scope="module")
def modern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of newer models: saved by sentence-transformers, prompts as text, no [MASK] expansion."""
    folder = tmp_path_factory.mktemp("modern")
    english_backbone(folder / "bare").save_pretrained(folder / "bare")
    modules = [
        Transformer(str(folder / "bare"), query_length=12, document_length=20),
        Dense(16, 24, bias=False, activation_function=nn.Identity(), module_input_name="token_embeddings"),
        MultiVectorMask(),
        Normalize(module_input_name="token_embeddings"),
    ]
    model = MultiVectorEncoder(modules=modules, prompts={"query": "what is ", "document": "the "})
    model.save_pretrained(str(folder / "saved"))
    return folder / "saved"


def test_a_model_that_makes_its_own_queries_keeps_them(modern: Path) -> None:
    assert inspect_checkpoint(modern).layout is Layout.SENTENCE_TRANSFORMERS
    ours, theirs = JaColBERT.from_pretrained(modern), MultiVectorEncoder(str(modern))
    assert ours.query_length is None
    assert ours.document_maxlen == 20
    for mine, other in zip(
        ours.encode_query(QUERIES), theirs.encode_query(QUERIES, convert_to_numpy=True), strict=True
    ):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    documents = theirs.encode_document(DOCUMENTS, convert_to_numpy=True)
    for mine, other in zip(ours.encode_document(DOCUMENTS), documents, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, other, atol=1e-5)
    assert ours.fingerprint == JaColBERT.from_pretrained(modern).fingerprint
    with pytest.warns(TruncationWarning, match="1 of 3 queries were longer than the 12 tokens"):
        ours.encode_query(QUERIES)
    with pytest.raises(InputError, match="makes its queries in its own way"):
        JaColBERT.from_pretrained(modern, query_length="paper")


REMOTE_MODEL = """
import torch
from torch import nn
from transformers import PreTrainedModel, XLMRobertaConfig
from transformers.modeling_outputs import BaseModelOutput


class TinyModel(PreTrainedModel):
    config_class = XLMRobertaConfig
    base_model_prefix = "roberta"

    def __init__(self, config):
        super().__init__(config)
        self.emb = nn.Embedding(config.vocab_size, config.hidden_size)
        self.mixing = nn.Linear(config.hidden_size, config.hidden_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, **kwargs):
        vectors = self.emb(input_ids)
        weights = attention_mask[..., None].to(vectors.dtype)
        mean = (vectors * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
        return BaseModelOutput(last_hidden_state=vectors + torch.tanh(self.mixing(mean)))
"""


@pytest.fixture(scope="module")
def jina(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of Jina-ColBERT-v2: its markers, attended masks, no dim, code of its own."""
    folder = tmp_path_factory.mktemp("jina")
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *["▁日本", "の", "首都", "は", "東京", "▁猫", "▁!", "▁?", "▁", "。"]]
    backend = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken(t, special=True) for t in ("<mask>", "[QueryMarker]", "[DocumentMarker]")])
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    (folder / "modeling_tiny.py").write_text(REMOTE_MODEL)
    config = XLMRobertaConfig(vocab_size=len(backend.get_vocab()), hidden_size=16, num_hidden_layers=1,
                              num_attention_heads=2, intermediate_size=32, max_position_embeddings=66)  # fmt: skip
    torch.manual_seed(1)
    tensors = {
        "roberta.emb.weight": torch.randn(config.vocab_size, 16),
        "roberta.mixing.weight": torch.randn(16, 16),
        "roberta.mixing.bias": torch.randn(16),
    }
    metadata = {"query_token_id": "[QueryMarker]", "doc_token_id": "[DocumentMarker]", "attend_to_mask_tokens": True,
                "query_maxlen": 32, "doc_maxlen": 48, "mask_punctuation": True}  # fmt: skip
    auto_map = {"auto_map": {"AutoModel": "modeling_tiny.TinyModel"}}
    return stanford(folder, tensors, config.to_dict() | auto_map, metadata)


def test_jina_needs_its_own_code(jina: Path) -> None:
    with pytest.raises(
        IncompleteCheckpointError, match=r"no weights for .* pass trust_remote_code=True if you trust it"
    ):
        JaColBERT.from_pretrained(jina)


def test_jina_layout(jina: Path) -> None:
    model = JaColBERT.from_pretrained(jina, trust_remote_code=True)
    assert (model.dimension, model.document_maxlen, model.query_length) == (24, 48, "fixed")
    transformer = model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    token = transformer.hf_tokenizer.convert_tokens_to_ids
    words = [token(t) for t in ("▁日本", "の", "首都", "は")]
    query = transformer.tokenize_texts(["日本の首都は"], "query")[0]
    assert query.ids == [0, token("[QueryMarker]"), *words, 2, *[token("<mask>")] * 25]
    features = transformer.collate([query], "query")
    assert features["attention_mask"].tolist() == [[1] * 32]  # the masks are attended to

    # by hand: the checkpoint's own weights, all 32 positions attended
    with torch.inference_mode():
        weights = transformer.auto_model.state_dict()
        vectors = weights["emb.weight"][torch.tensor(query.ids)]
        mixed = vectors + torch.tanh(vectors.mean(0) @ weights["mixing.weight"].T + weights["mixing.bias"])
        projection = model.model[1]
        assert isinstance(projection, Dense)
        expected = torch.nn.functional.normalize(mixed @ projection.linear.weight.T, dim=-1).numpy()
    np.testing.assert_allclose(model.encode_query(["日本の首都は"])[0], expected, atol=1e-5)

    document = transformer.tokenize_texts(["日本の首都は ! [QueryMarker]"], "document")[0]
    assert document.ids[:6] == [0, token("[DocumentMarker]"), *words]
    assert token("[QueryMarker]") not in document.ids
    assert len(model.encode_document(["日本 !"])[0]) == len(model.encode_document(["日本"])[0])  # "▁!" is skipped


def test_jina_survives_a_save_in_both_layouts(jina: Path, tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(jina, trust_remote_code=True)
    expected = model.encode_document(DOCUMENTS)
    model.model.save_pretrained(str(tmp_path / "modules"))
    again = JaColBERT.from_pretrained(tmp_path / "modules", trust_remote_code=True)
    for mine, other in zip(again.encode_document(DOCUMENTS), expected, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    assert again.encode_query(["日本"])[0].shape == (32, 24)
