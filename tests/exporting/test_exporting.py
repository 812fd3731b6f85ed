"""Checkpoints for other libraries: the same vectors in each layout, and nothing half-written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.checkpoints.layouts import ColBERTSettings, Layout, inspect_checkpoint
from jacolbert_integrations.cli import export as command
from jacolbert_integrations.encoding.saving import write_tensors
from jacolbert_integrations.encoding.transformer import ColBERTTransformer
from jacolbert_integrations.errors import InputError
from jacolbert_integrations.exporting.layouts import LAYOUTS, export
from jacolbert_integrations.types import TokenVectors

from ..conftest import PYLATE, STANFORD

Change = Callable[..., None]
QUERIES = ["日本で一番高い山は？", "ColBERT(2020年)とは何ですか!", "猫", "犬と猫の違いを詳しく教えてください。" * 4]
DOCUMENTS = ["富士山は、日本で最も高い山です(3,776m)。", "猫!", "Late interaction: ColBERT… ｶﾀｶﾅ", "鬱々とした𠮷野家"]
pytestmark = [
    pytest.mark.filterwarnings("ignore::jacolbert_integrations.errors.TruncationWarning"),
    pytest.mark.filterwarnings("ignore:.*clean_up_tokenization_spaces.*:FutureWarning"),
]


def encode(model: JaColBERT) -> list[TokenVectors]:
    return [*model.encode_query(QUERIES), *model.encode_document(DOCUMENTS)]


def largest_difference(mine: list[TokenVectors], other: list[Any]) -> float:
    assert [m.shape for m in mine] == [o.shape for o in other]
    return max(float(np.abs(m - o).max()) for m, o in zip(mine, other, strict=True))


def backbone_config(model: JaColBERT) -> Any:
    transformer = model.model[0]
    assert isinstance(transformer, ColBERTTransformer)
    return transformer.auto_model.config


@pytest.fixture(scope="module", params=["mini", "stanford", "pylate"])
def source(request: pytest.FixtureRequest) -> JaColBERT:
    path = {"mini": None, "stanford": STANFORD, "pylate": PYLATE}[request.param]
    return JaColBERT.from_pretrained(path, query_length="fixed")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_reads_back_the_same(source: JaColBERT, layout: str, tmp_path: Path) -> None:
    path = export(source, tmp_path / "exported", layout)
    assert path == tmp_path / "exported"
    assert inspect_checkpoint(path).layout is LAYOUTS[layout]
    again = JaColBERT.from_pretrained(path, query_length="fixed")
    assert again.fingerprint == source.fingerprint
    assert (again.document_maxlen, again.dimension) == (source.document_maxlen, source.dimension)
    assert again.skipped_ids == source.skipped_ids
    assert largest_difference(encode(source), encode(again)) == 0.0


@pytest.mark.parametrize(("path", "dtype"), [(None, "float16"), (STANFORD, "float32")])
def test_sentence_transformers_reads_its_layout_alone(path: Path | None, dtype: Any, tmp_path: Path) -> None:
    source = JaColBERT.from_pretrained(path, query_length="fixed")
    path = export(source, tmp_path / "exported", "sentence-transformers", dtype=dtype)
    plain = MultiVectorEncoder(str(path))
    assert [type(module) for module in plain.children()] == [Transformer, Dense, MultiVectorMask, Normalize]
    assert {weights.dtype for weights in plain.parameters()} == {torch.float32}
    own = source.model[0]
    assert isinstance(own, ColBERTTransformer)
    for task, texts in (("query", QUERIES), ("document", DOCUMENTS)):
        ids = plain.preprocess(texts, prompt=plain.prompts[task], task=task)["input_ids"]
        expected = own.collate(own.tokenize_texts(texts, task), task)["input_ids"]  # type: ignore[arg-type]
        torch.testing.assert_close(ids, expected)
    found = [
        *plain.encode_query(QUERIES, convert_to_numpy=True),
        *plain.encode_document(DOCUMENTS, convert_to_numpy=True),
    ]
    assert largest_difference(encode(source), found) < 1e-5  # the mini model's weights are of float16 to begin with


def test_sentence_transformers_reads_the_stanford_layout_too(tmp_path: Path) -> None:
    source = JaColBERT.from_pretrained(STANFORD)
    plain = MultiVectorEncoder(str(export(source, tmp_path / "exported")))
    found = plain.encode_document(DOCUMENTS, convert_to_numpy=True)
    assert largest_difference(source.encode_document(DOCUMENTS), list(found)) < 1e-5


def test_the_pylate_layout_is_as_pylate_writes_it(tmp_path: Path) -> None:
    path = export(JaColBERT.from_pretrained(PYLATE), tmp_path / "exported", Layout.PYLATE)
    for name in ("modules.json", "1_Dense/config.json"):
        assert json.loads((path / name).read_text()) == json.loads((PYLATE / name).read_text())
    main, own = (json.loads((p / "config_sentence_transformers.json").read_text()) for p in (PYLATE, path))
    assert own.pop("query_length_rule") == "released"
    assert own == {key: value for key, value in main.items() if key != "__version__"}
    theirs, ours = (load_file(folder / "1_Dense" / "model.safetensors") for folder in (PYLATE, path))
    assert theirs.keys() == ours.keys() == {"linear.weight"}
    assert torch.equal(theirs["linear.weight"], ours["linear.weight"])


def test_pylate_gets_no_word_that_stands_for_unknown(mini: JaColBERT, tmp_path: Path) -> None:
    mini.save_pretrained(tmp_path / "lacking")
    file = tmp_path / "lacking" / "vocab.txt"
    file.write_text(file.read_text(encoding="utf-8").replace("\n^\n", "\n[unused2]\n"), encoding="utf-8")
    lacking = JaColBERT.from_pretrained(tmp_path / "lacking")
    path = export(lacking, tmp_path / "exported", "pylate")
    config = json.loads((path / "config_sentence_transformers.json").read_text())
    vocabulary = (tmp_path / "exported" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert "^" not in vocabulary
    assert "!" in config["skiplist_words"]
    assert set(config["skiplist_words"]) <= set(vocabulary)


def test_the_padding_token_is_the_backbones_own(tmp_path: Path) -> None:
    # colbert-ai gives the padding token no vector: as [MASK], it would take the query's expansion with it
    model = JaColBERT.from_pretrained(PYLATE)
    assert model.model.tokenizer.pad_token == "[MASK]"
    for layout in LAYOUTS:
        path = export(model, tmp_path / layout, layout)
        assert json.loads((path / "tokenizer_config.json").read_text())["pad_token"] == "[PAD]"
    assert model.model.tokenizer.pad_token == "[MASK]"
    backbone_config(model).pad_token_id = None
    with pytest.raises(InputError, match=r"pads with '\[MASK\]'.* names no other pad_token_id"):
        export(model, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_model_is_left_as_it_is(tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(STANFORD, query_length="fixed")
    before, length = encode(model), len(model.model.tokenizer)
    for layout in LAYOUTS:
        export(model, tmp_path / layout, layout, dtype="float16")
    assert largest_difference(before, encode(model)) == 0.0
    assert len(model.model.tokenizer) == length
    assert model.model.tokenizer.tokenize("[unused0]") != ["[unused0]"]
    assert model.query_length == "fixed"


def test_nothing_of_this_machine_or_its_token_is_written(tmp_path: Path) -> None:
    secret = "hf_" + "s" * 30
    model = JaColBERT.from_pretrained(STANFORD, token=secret, local_files_only=True)
    for layout in LAYOUTS:
        for file in export(model, tmp_path / layout, layout).rglob("*"):
            if file.suffix in (".json", ".metadata"):
                text = file.read_text(encoding="utf-8")
                assert secret not in text
                assert str(STANFORD) not in text
                assert "local" not in text


def test_through_every_layout_and_back(tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(STANFORD, query_length="fixed")
    expected = encode(model)
    for step, layout in enumerate(("sentence-transformers", "stanford", "pylate", "sentence-transformers", "stanford")):
        path = export(model, tmp_path / str(step), layout)
        model = JaColBERT.from_pretrained(path, query_length="fixed")
    assert largest_difference(expected, encode(model)) == 0.0
    # transformers 4 knows lists of special tokens by this name only, and colbert-ai needs transformers 4
    assert "extra_special_tokens" not in json.loads((path / "tokenizer_config.json").read_text())


def test_float16_halves_the_files(tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(STANFORD)
    for layout in LAYOUTS:
        whole = export(model, tmp_path / f"{layout}-float32", layout)
        half = export(model, tmp_path / f"{layout}-float16", layout, dtype="float16")
        sizes = [(path / "model.safetensors").stat().st_size for path in (whole, half)]
        assert sizes[1] < 0.51 * sizes[0]
        assert all(t.dtype is torch.float16 for file in half.rglob("*.safetensors") for t in load_file(file).values())
        assert json.loads((half / "config.json").read_text())["dtype"] == "float32"
    with pytest.raises(InputError, match="dtype is 'int8', but weights are stored as 'float32' or 'float16'"):
        export(model, tmp_path / "x", dtype="int8")  # type: ignore[arg-type]


def test_weights_too_large_for_float16(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights of 'a' are too large for torch\.float16"):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.tensor([1.0, 70000.0])}, torch.float16)
    write_tensors(tmp_path / "x.safetensors", {"a": torch.tensor([1.5]), "n": torch.tensor([7])}, torch.float16)
    stored = load_file(tmp_path / "x.safetensors")
    assert (stored["a"].dtype, stored["n"].dtype) == (torch.float16, torch.int64)


def test_an_export_replaces_only_checkpoints_and_only_on_request(mini: JaColBERT, tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    export(mini, target)  # an empty directory is free
    with pytest.raises(InputError, match="holds a checkpoint already"):
        export(mini, target, "pylate")
    (target / "README.md").write_text("old")
    export(mini, target, "pylate", card="new", overwrite=True)
    assert inspect_checkpoint(target).layout is Layout.PYLATE
    assert (target / "README.md").read_text() == "new"
    work = tmp_path / "work"
    work.mkdir()
    (work / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"holds thesis\.txt, and is no checkpoint to replace"):
            export(mini, work, overwrite=overwrite)
        with pytest.raises(InputError, match="is a file, and is no checkpoint"):
            export(mini, work / "thesis.txt", overwrite=overwrite)
    assert (work / "thesis.txt").read_text() == "precious"


def test_a_failed_export_leaves_nothing(mini: JaColBERT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jacolbert_integrations.exporting.layouts._write_pipeline", lambda *_: 1 / 0)
    for layout in ("pylate", "sentence-transformers"):
        with pytest.raises(ZeroDivisionError):
            export(mini, tmp_path / "exported", layout)
    assert list(tmp_path.iterdir()) == []


def test_unknown_layouts(mini: JaColBERT, tmp_path: Path) -> None:
    for layout in ("onnx", Layout.OURS):
        with pytest.raises(InputError, match="but the layouts are 'stanford', 'pylate', 'sentence-transformers'"):
            export(mini, tmp_path / "x", layout)


def test_prompts_go_with_the_markers(pylate_copy: Path, change_json: Change, tmp_path: Path) -> None:
    change_json(
        pylate_copy / "config_sentence_transformers.json", prompts={"query": "[unused0]質問: ", "document": "文書: "}
    )
    model = JaColBERT.from_pretrained(pylate_copy, query_length="fixed")
    again = JaColBERT.from_pretrained(export(model, tmp_path / "pylate", "pylate"), query_length="fixed")
    assert again.model.prompts == {"query": "質問: ", "document": "文書: "}
    assert largest_difference(encode(model), encode(again)) == 0.0
    plain = MultiVectorEncoder(str(export(model, tmp_path / "st", "sentence-transformers")))
    assert plain.prompts == {"query": "[unused0]質問: ", "document": "[unused1]文書: "}
    found = plain.encode_query(QUERIES, convert_to_numpy=True)
    assert largest_difference(model.encode_query(QUERIES), list(found)) < 1e-5
    with pytest.raises(InputError, match="the Stanford layout has no place for the prompts"):
        export(model, tmp_path / "stanford")


def test_no_expansion(pylate_copy: Path, change_json: Change, tmp_path: Path) -> None:
    change_json(pylate_copy / "config_sentence_transformers.json", do_query_expansion=False, query_length=20)
    model = JaColBERT.from_pretrained(pylate_copy)
    again = JaColBERT.from_pretrained(export(model, tmp_path / "pylate", "pylate"))
    assert largest_difference(encode(model), encode(again)) == 0.0
    plain = MultiVectorEncoder(str(export(model, tmp_path / "st", "sentence-transformers")))
    found = plain.encode_query(QUERIES, convert_to_numpy=True)
    assert max(len(vectors) for vectors in found) == 20
    assert largest_difference(model.encode_query(QUERIES), list(found)) < 1e-5
    with pytest.raises(InputError, match=r"no place for queries without \[MASK\] expansion, which this model has"):
        export(model, tmp_path / "stanford")


def test_skiplists_of_their_own(pylate_copy: Path, change_json: Change, tmp_path: Path) -> None:
    change_json(pylate_copy / "config_sentence_transformers.json", skiplist_words=["。", "、"])
    model = JaColBERT.from_pretrained(pylate_copy, query_length="fixed")
    for layout in ("pylate", "sentence-transformers"):
        again = JaColBERT.from_pretrained(export(model, tmp_path / layout, layout), query_length="fixed")
        assert largest_difference(encode(model), encode(again)) == 0.0
    with pytest.raises(InputError, match="no place for a skiplist other than punctuation"):
        export(model, tmp_path / "stanford")
    mask = next(module for module in model.model if isinstance(module, MultiVectorMask))
    mask.skiplist_tasks = ["query", "document"]
    with pytest.raises(InputError, match=r"PyLate's layout holds .* a skiplist for documents"):
        export(model, tmp_path / "pylate-2", "pylate")
    plain = MultiVectorEncoder(str(export(model, tmp_path / "st", "sentence-transformers")))
    found = plain.encode_query(QUERIES, convert_to_numpy=True)
    assert largest_difference(model.encode_query(QUERIES), list(found)) < 1e-5


def test_a_model_that_makes_its_own_queries(tmp_path: Path) -> None:
    model = JaColBERT(MultiVectorEncoder(str(STANFORD)), name="plain")
    with pytest.raises(InputError, match="PyLate's layout holds one transformer with ColBERT markers"):
        export(model, tmp_path / "pylate", "pylate")
    path = export(model, tmp_path / "st", "sentence-transformers", dtype="float16")
    assert load_file(path / "model.safetensors")["embeddings.word_embeddings.weight"].dtype is torch.float16
    found = MultiVectorEncoder(str(path)).encode_document(DOCUMENTS, convert_to_numpy=True)
    assert largest_difference(model.encode_document(DOCUMENTS), list(found)) < 5e-3


@pytest.fixture
def prefixed(tmp_path: Path) -> JaColBERT:
    """A tokenizer that, like those of SentencePiece, has other tokens at the start of a text than after a marker."""
    words = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "[Q]", "[D]", "▁", "猫", "▁日本の首都は東京です。",
             "日本の首都は東京です。", "▁Late", "Late", "▁interaction", "▁(ColBERT),", "▁2020!"]  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    named = {
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "mask_token": "<mask>",
    }
    cast("Any", PreTrainedTokenizerFast)(tokenizer_object=tokenizer, **named).save_pretrained(tmp_path / "bare")
    config = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=32)  # fmt: skip
    BertModel(config).save_pretrained(tmp_path / "bare")
    settings = ColBERTSettings(query_marker="[Q]", document_marker="[D]", query_maxlen=16, document_maxlen=16)
    modules: list[nn.Module] = [
        ColBERTTransformer(str(tmp_path / "bare"), colbert_settings=settings),
        Dense(16, 8, bias=False, activation_function=nn.Identity(), module_input_name="token_embeddings"),
        MultiVectorMask(),
        Normalize(module_input_name="token_embeddings"),
    ]
    return JaColBERT(MultiVectorEncoder(modules=modules))


def test_a_tokenizer_that_splits_otherwise_after_a_marker(prefixed: JaColBERT, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"makes other ids of a query once the marker '\[Q\]' stands before it"):
        export(prefixed, tmp_path / "st", "sentence-transformers")
    assert not (tmp_path / "st").exists()
    again = JaColBERT.from_pretrained(export(prefixed, tmp_path / "pylate", "pylate"))
    assert largest_difference(prefixed.encode_document(["猫"]), list(again.encode_document(["猫"]))) == 0.0


def test_code_that_would_stay_behind(tmp_path: Path) -> None:
    model = JaColBERT.from_pretrained(STANFORD)
    backbone_config(model).auto_map = {"AutoModel": "modeling_own.OwnModel"}
    for layout in LAYOUTS:
        with pytest.raises(InputError, match=r"made by Python files of its checkpoint \(modeling_own\.OwnModel\)"):
            export(model, tmp_path / layout, layout)
    backbone_config(model).auto_map = {"AutoModel": "org/code--modeling_own.OwnModel"}
    export(model, tmp_path / "hub")


def run(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_command(parser.add_subparsers())
    parsed = parser.parse_args(["export", *arguments])
    parsed.run(parsed)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "exported"
    run("--layout", "pylate", "--output", str(target), "--dtype", "float16")
    out = capsys.readouterr().out
    assert f"jacolbert-mini is in {target} (pylate layout, float16)" in out
    assert "Its query-length rule here is 'released'" in out
    assert "license: cc-by-sa-3.0" in (target / "README.md").read_text(encoding="utf-8")  # goes with the weights
    run(str(STANFORD), "--output", str(target), "--overwrite")
    assert "It has no card" in capsys.readouterr().out
    assert not (target / "README.md").exists()
    (tmp_path / "card.md").write_text("a card")
    run(str(STANFORD), "--output", str(target), "--overwrite", "--card", str(tmp_path / "card.md"))
    assert (target / "README.md").read_text() == "a card"
    with pytest.raises(InputError, match=r"the card .*none\.md cannot be read"):
        run("--output", str(tmp_path / "x"), "--card", str(tmp_path / "none.md"))
