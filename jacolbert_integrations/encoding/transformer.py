"""The sentence-transformers module that makes ColBERT inputs right to the last token.

It replaces :class:`~sentence_transformers.base.modules.Transformer` in the pipeline and changes only
how texts become ids, so that everything around it (encoding, losses, trainer, evaluators, mteb)
works as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from ..checkpoints.files import int8_weights
from ..checkpoints.int8 import read_int8
from ..checkpoints.layouts import SETTINGS_KEY, ColBERTSettings, settings_from_dict
from ..errors import CorruptCheckpointError, IncompleteCheckpointError, InputError
from ..query_length import QueryLength, padded_query_length
from ..text.cleaning import clean
from ..text.tokenization import JapaneseTokenizer
from .hf_tokenizer import text_tokenizer
from .packed_attention import Row

Task = Literal["query", "document"]

_COUNTED_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one text, ready for the encoder.

    Attributes:
        ids: [CLS], marker, tokens, [SEP], and [MASK] tokens for queries.
        length: How many of the ids are no [MASK] of the query expansion.
        cut: Whether the text was longer than its limit.
    """

    ids: list[int]
    length: int
    cut: bool


class ColBERTTransformer(Transformer):
    """A transformer that inserts ColBERT's markers and pads queries by the published rules.

    Marker ids are inserted, never tokenised, and text is never parsed for control tokens. Each
    query is padded by its own length, so that its vectors do not depend on its batch.

    Args:
        model_name_or_path: Directory of the backbone and its tokenizer.
        colbert_settings: Markers, lengths and masks.
        query_length: The query-length rule; None takes the settings' own, or ``"fixed"``.
        **kwargs: As for :class:`~sentence_transformers.base.modules.Transformer`.

    Raises:
        IncompleteCheckpointError: If weights or markers are missing.
        CorruptCheckpointError: If weights have a wrong shape.
    """

    def __init__(
        self,
        model_name_or_path: str,
        *,
        colbert_settings: ColBERTSettings | Mapping[str, Any],
        query_length: QueryLength | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(colbert_settings, ColBERTSettings):
            colbert_settings = settings_from_dict(colbert_settings, model_name_or_path)
        for name in ("query_length", "document_length", "query_expansion", "max_seq_length"):
            kwargs.pop(name, None)  # sentence-transformers' own knobs for what the settings say here
        super().__init__(model_name_or_path, **kwargs)
        self._adopt(colbert_settings, query_length)

    @classmethod
    def from_transformer(
        cls, transformer: Transformer, settings: ColBERTSettings, query_length: QueryLength | None
    ) -> ColBERTTransformer:
        """Builds this module from a loaded transformer of sentence-transformers; it shares the weights."""
        own = cls.__new__(cls)
        own.__dict__.update(transformer.__dict__)
        own.query_length = own.document_length = own.query_expansion = None
        own._adopt(settings, query_length)
        return own

    def _adopt(self, settings: ColBERTSettings, query_length: QueryLength | None) -> None:
        self.settings = settings
        rule = query_length if query_length is not None else settings.query_length
        self.query_length_rule: QueryLength = "fixed" if rule is None else rule
        tokenizer = self.hf_tokenizer
        self.text_tokenizer = text_tokenizer(tokenizer)
        self.query_marker_ids = _marker_ids(tokenizer, settings.query_marker)
        self.document_marker_ids = _marker_ids(tokenizer, settings.document_marker)
        self._cls = _special_id(tokenizer, "cls_token_id", "bos_token_id")
        self._sep = _special_id(tokenizer, "sep_token_id", "eos_token_id")
        self._mask = _special_id(tokenizer, "mask_token_id") if settings.query_expansion else self._sep
        self._pad = tokenizer.pad_token_id or 0

    @property
    def hf_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the checkpoint, as transformers knows it."""
        tokenizer = self.tokenizer
        if tokenizer is None:
            raise IncompleteCheckpointError("the checkpoint has no text tokenizer.")
        return tokenizer

    @property
    def max_tokens(self) -> int:
        """The most tokens that the backbone has positions for."""
        return int(min(self.hf_tokenizer.model_max_length, 1 << 20))

    def limit(self, task: Task) -> int:
        """Returns the most tokens of a text, control tokens included, before it is cut."""
        settings = self.settings
        if task == "document":
            return min(settings.document_maxlen, self.max_tokens)
        if self.query_length_rule == "fixed" or not settings.query_expansion:
            return min(settings.query_maxlen, self.max_tokens)
        return self.max_tokens

    def tokenize_texts(self, texts: Sequence[str], task: Task, *, max_length: int | None = None) -> list[Encoded]:
        """Computes the token ids of each text, with control tokens and, for queries, [MASK] tokens.

        A lone surrogate, which no valid text holds, is read as U+FFFD, and a NUL as a space.

        Args:
            texts: The texts.
            task: Which marker, limit and padding to use.
            max_length: A lower limit than the checkpoint's own.

        Raises:
            InputError: If something is no string.
        """
        markers = self.query_marker_ids if task == "query" else self.document_marker_ids
        limit = self.limit(task) if max_length is None else min(self.limit(task), max_length)
        room = max(limit - 2 - len(markers), 0)
        encoded = []
        check_texts(texts)
        readable = [clean(text) for text in texts]
        for tokens in self.text_tokenizer.encode_batch(readable, room + 1):  # one more says that the text is cut
            ids = [self._cls, *markers, *tokens[:room], self._sep]
            length = len(ids)
            if task == "query" and self.settings.query_expansion:
                padded = padded_query_length(length, self.query_length_rule, self.settings.query_maxlen)
                ids += [self._mask] * (min(padded, self.max_tokens) - length)
            encoded.append(Encoded(ids, length, cut=len(tokens) > room))
        return encoded

    def text_lengths(self, texts: Sequence[str], task: Task) -> list[int]:
        """Counts the tokens of each text with its control tokens, before any cut, and without [MASK] tokens.

        Raises:
            InputError: If something is no string.
        """
        markers = self.query_marker_ids if task == "query" else self.document_marker_ids
        check_texts(texts)
        readable = [clean(text) for text in texts]
        lengths: list[int] = []
        for start in range(0, len(readable), _COUNTED_TOGETHER):  # so that not all ids are in memory at once
            ids = self.text_tokenizer.encode_batch(readable[start : start + _COUNTED_TOGETHER])
            lengths += [2 + len(markers) + len(tokens) for tokens in ids]
        return lengths

    def are_short(self, texts: Sequence[str], limit: int, task: Task) -> list[bool]:
        """Returns which texts surely have at most so many tokens (:meth:`text_lengths`); none is tokenized for that."""
        tokenizer = self.text_tokenizer
        if not isinstance(tokenizer, JapaneseTokenizer):
            return [False for _ in texts]
        room = limit - 2 - len(self.query_marker_ids if task == "query" else self.document_marker_ids)
        return [tokenizer.most(text) <= room for text in texts]

    def collate(self, batch: Sequence[Encoded], task: Task) -> dict[str, Any]:
        """Pads encoded texts into the features that the pipeline takes.

        Returns:
            ``input_ids`` and ``attention_mask`` (texts, longest), and for queries
            ``query_expansion_positions``: where the [MASK] tokens that count in MaxSim are.
        """
        width = max(len(text.ids) for text in batch)
        ids = torch.full((len(batch), width), self._pad, dtype=torch.long)
        lengths = torch.tensor([[text.length] for text in batch])
        ends = torch.tensor([[len(text.ids)] for text in batch])
        for row, text in enumerate(batch):
            ids[row, : len(text.ids)] = torch.tensor(text.ids)
        place = torch.arange(width)
        features: dict[str, Any] = {"input_ids": ids, "modality": "text"}
        if task == "query":
            features["query_expansion_positions"] = (place >= lengths) & (place < ends)
            attended = ends if self.settings.attend_to_mask_tokens else lengths
        else:
            attended = lengths
        features["attention_mask"] = (place < attended).long()
        return features

    def preprocess(
        self,
        inputs: Sequence[Any],
        prompt: str | None = None,
        processing_kwargs: Any = None,  # noqa: ARG002 - part of the interface; there is no processor to pass it to
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Tokenizes as sentence-transformers does; a prompt is put before each text, after the marker."""
        if not inputs:
            return {}
        task: Task = "query" if kwargs.get("task") == "query" else "document"
        texts = [f"{prompt}{text}" for text in inputs] if prompt else inputs
        return self.collate(self.tokenize_texts(texts, task, max_length=kwargs.get("max_length")), task)

    def forward(self, features: dict[str, Tensor], **kwargs: Any) -> dict[str, Tensor]:
        """Runs the forward pass as sentence-transformers does, or for one row of texts (:class:`~.Row`)."""
        row: Any = features.get("row")
        if isinstance(row, Row):
            every = row.ids.new_ones(1, 1, 1, 1)  # what has four dimensions is taken for a mask that is made already
            passed = self.auto_model(input_ids=row.ids, position_ids=row.positions, attention_mask=every, row=row)
            return {"token_embeddings": passed.last_hidden_state}
        outputs: dict[str, Tensor] = super().forward(features, **kwargs)
        return outputs

    def get_config_dict(self) -> dict[str, Any]:
        """Returns sentence-transformers' configuration together with the ColBERT settings."""
        config: dict[str, Any] = super().get_config_dict()
        config.pop("query_length", None)
        settings = asdict(self.settings) | {"query_length": self.query_length_rule}
        return config | {SETTINGS_KEY: settings}

    def _load_model(
        self,
        model_name_or_path: str,
        transformer_task: Any,
        config: Any,
        backend: str,
        is_peft_model: bool,
        **kwargs: Any,
    ) -> PreTrainedModel:
        if backend != "torch" or is_peft_model:
            return super()._load_model(model_name_or_path, transformer_task, config, backend, is_peft_model, **kwargs)
        return load_strictly(AutoModel, model_name_or_path, config=config, **kwargs)


def load_strictly(loader: Any, source: str, **kwargs: Any) -> PreTrainedModel:
    """Loads a backbone, or says what its weights lack; transformers would fill that with random values.

    Args:
        loader: ``AutoModel``, or the model's own class.
        source: The checkpoint's directory.
        **kwargs: As for ``from_pretrained``.

    Raises:
        IncompleteCheckpointError: If a weight is missing.
        CorruptCheckpointError: If one has a wrong shape.
    """
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)  # its report calls the projection unexpected; ours follows
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it takes a second at most
    origin: str | None = source
    if (int8 := int8_weights(Path(source))) is not None:
        origin, kwargs = None, {**kwargs, "state_dict": read_int8(int8)}
        if loader is AutoModel:  # which cannot tell a model's class without a directory
            with torch.device("meta"):
                trusted = kwargs.get("trust_remote_code")
                loader = type(AutoModel.from_config(kwargs["config"], trust_remote_code=trusted))  # type: ignore[no-untyped-call]
    try:
        model, report = loader.from_pretrained(origin, output_loading_info=True, **kwargs)
    except RuntimeError as error:
        raise CorruptCheckpointError(
            f"the weights in {source} do not fit its config.json: {_first_line(error)}"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    _check_report(source, report, len(model.state_dict()))
    loaded: PreTrainedModel = model
    return loaded


def _check_report(source: str, report: Mapping[str, Any], total: int) -> None:
    # Nothing of a ColBERT goes through the pooler; Stanford's own code leaves it out at times.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise IncompleteCheckpointError(
            f"{source} has no weights for {len(missing)} of the backbone's {total} parameters ({', '.join(missing[:4])}"
            f"{' ...' if len(missing) > 4 else ''}), which would be random. Its config.json may be of another model; "
            "if it names an auto_map, the model needs its own code: pass trust_remote_code=True if you trust it."
        )
    if report["mismatched_keys"]:
        raise CorruptCheckpointError(f"{source} has weights of a wrong shape: {sorted(report['mismatched_keys'])}.")


def _marker_ids(tokenizer: PreTrainedTokenizerBase, marker: str) -> list[int]:
    if not marker:
        return []
    for token in (marker, marker.strip()):
        index = tokenizer.convert_tokens_to_ids(token)
        if isinstance(index, int) and (index != tokenizer.unk_token_id or token == tokenizer.unk_token):
            return [index]
    raise IncompleteCheckpointError(
        f"the marker {marker!r} is not in the tokenizer's vocabulary of {len(tokenizer)} tokens. The tokenizer files "
        "are not those of this checkpoint."
    )


def _special_id(tokenizer: PreTrainedTokenizerBase, *names: str) -> int:
    for name in names:
        index = getattr(tokenizer, name, None)
        if index is not None:
            return int(index)
    raise IncompleteCheckpointError(f"the tokenizer has no {names[0]}, which ColBERT inputs need.")


def check_texts(texts: Sequence[object]) -> None:
    """Refuses what holds something other than strings.

    Raises:
        InputError: If it does.
    """
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {place} is a {type(text).__name__} ({text!r:.60}), but a string is expected.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]
