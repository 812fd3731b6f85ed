"""What decides vectors beside the weights is part of a model's identity."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from jacolbert_integrations import JaColBERT
from jacolbert_integrations.encoding.configuration import configuration_hash
from jacolbert_integrations.errors import ModelMismatchError
from jacolbert_integrations.stores.memory import MemoryStore

Change = Callable[[Path], None]


def _in_json(name: str, **values: object) -> Change:
    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")

    return change


def _swap_two_tokens(folder: Path) -> None:
    file = folder / "vocab.txt"
    tokens = file.read_text(encoding="utf-8").split("\n")
    tokens[-3], tokens[-2] = tokens[-2], tokens[-3]
    file.write_text("\n".join(tokens), encoding="utf-8", newline="\n")


CHANGES: dict[str, Change] = {
    "letter case": _in_json("tokenizer_config.json", do_lower_case=True),
    "normalisation of text": _in_json(
        "tokenizer_config.json", mecab_kwargs={"mecab_dic": "unidic_lite", "normalize_text": False}
    ),
    "order of the vocabulary": _swap_two_tokens,
    "punctuation": _in_json("artifact.metadata", mask_punctuation=False),
    "attention of [MASK]": _in_json("artifact.metadata", attend_to_mask_tokens=True),
    "marker": _in_json("artifact.metadata", doc_token_id="[unused0]"),
    "attention heads": _in_json("config.json", num_attention_heads=1),
    "activation of the backbone": _in_json("config.json", hidden_act="relu"),
}


@pytest.fixture
def saved(mini: JaColBERT, tmp_path: Path) -> Path:
    mini.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_same_weights_with_other_settings_are_another_model(saved: Path, mini: JaColBERT, change: Change) -> None:
    store = MemoryStore()
    store.bind(JaColBERT.from_pretrained(saved).identity)
    change(saved)
    changed = JaColBERT.from_pretrained(saved)
    assert changed.fingerprint == mini.fingerprint
    with pytest.raises(ModelMismatchError, match=r"configuration \w{12} there, \w{12} here \(the tokenizer"):
        store.bind(changed.identity)


def test_an_activation_is_part_of_it(saved: Path) -> None:
    model = JaColBERT.from_pretrained(saved)
    before = model.identity
    model.model[1].activation_function = nn.Tanh()
    assert model.fingerprint == before.fingerprint
    assert model.identity.configuration != before.configuration


def test_it_is_the_same_in_every_layout_rule_and_dtype(mini: JaColBERT, saved: Path, tmp_path: Path) -> None:
    mini.model.save_pretrained(str(tmp_path / "ours"))
    expected = configuration_hash(mini.model)
    for folder in (saved, tmp_path / "ours"):
        for rule in (None, "fixed", "paper", "unpadded"):
            assert JaColBERT.from_pretrained(folder, query_length=rule).identity.configuration == expected
    assert JaColBERT.from_pretrained(saved, dtype=torch.bfloat16).identity.configuration == expected
    assert JaColBERT.from_pretrained(saved, pooling="hierarchical-2").identity.configuration == expected


def test_a_collection_of_an_earlier_version_opens_with_a_note(
    mini: JaColBERT, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.bind(replace(mini.identity, configuration=None))
    with caplog.at_level(logging.INFO, logger="jacolbert_integrations"):
        store.bind(mini.identity)
    assert "records its model's weights but not its tokenizer and settings" in caplog.text
