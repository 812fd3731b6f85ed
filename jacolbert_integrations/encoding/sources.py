"""How a model was loaded, in plain values, so that another process loads the same one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.hub import BUNDLED, default_name
from ..errors import CheckpointNotFoundError, InputError, ModelMismatchError
from ..query_length import QueryLength
from .configuration import configuration_hash
from .devices import default_dtype
from .encoder import JaColBERT
from .int8 import Precision

_UNSAVED = "unsaved:"
_SNAPSHOTS = "snapshots"  # in the hub's cache: models--owner--name/snapshots/commit


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """What loads a model again. It holds no token of a hub: where one is needed, it is taken from the environment.

    Attributes:
        model: A hub id, an absolute directory, or the name of a bundled model.
        revision: The commit, of a hub id.
        query_length: The query-length rule; None takes what the checkpoint records.
        pooling: How documents are pooled, by its name; None for no further than the checkpoint does.
        dtype: Of weights and computation, as torch calls it, such as ``"float16"``; None takes the device's own,
            bfloat16 on a GPU made for it and else float32.
        precision: ``"int8"`` if it multiplies 8-bit integers.
        device: Where to; None takes a GPU if there is one.
        fingerprint: Of the weights that have to be found there; None takes any.
        configuration: Of the tokenizer and the settings that have to be found there
            (:class:`~jacolbert_integrations.types.ModelIdentity`); None takes any.
    """

    model: str
    revision: str | None = None
    query_length: QueryLength | None = None
    pooling: str | None = None
    dtype: str | None = None
    precision: Precision | None = None
    device: str | None = None
    fingerprint: str | None = None
    configuration: str | None = None

    @classmethod
    def of(cls, encoder: JaColBERT) -> ModelSource:
        """Describes where a loaded model comes from. The process that loads it again chooses the device."""
        name, revision = _place(encoder)
        dtype = next(encoder.model.parameters()).dtype
        return cls(
            model=name,
            revision=revision,
            query_length=encoder.query_length,
            pooling=None if encoder.pooling is None else str(encoder.pooling),
            dtype=None if dtype is default_dtype(str(encoder.model.device)) else str(dtype).removeprefix("torch."),
            precision=encoder.precision,
            fingerprint=encoder.fingerprint,
            configuration=configuration_hash(encoder.model),
        )

    @classmethod
    def given(cls, model: JaColBERT | str | Path | None, **loading: Any) -> ModelSource:
        """Describes where a model that a caller gives is loaded from.

        Args:
            model: A loaded model, a hub id or a directory; None is the bundled jacolbert-small.
            **loading: What is to be chosen when it is loaded, by the names of the attributes; None chooses nothing.

        Raises:
            InputError: If it is loaded already, and something is to be chosen.
        """
        if not isinstance(model, JaColBERT):
            return cls(model=default_name() if model is None else str(model), **loading)
        if chosen := [name for name, value in loading.items() if value is not None]:
            raise InputError(
                f"the model is loaded already, so {', '.join(chosen)} can no longer be chosen. Load it with what you "
                "want, or give its name."
            )
        return cls.of(model)

    def load(self) -> JaColBERT:
        """Loads the model.

        Raises:
            CheckpointError: If it is no longer there, or was never saved.
            ModelMismatchError: If other weights, or another tokenizer or settings, are there now.
            InputError: If a value cannot be used.
        """
        if self.model.startswith(_UNSAVED):
            raise CheckpointNotFoundError(
                f"the model {self.model.removeprefix(_UNSAVED)!r} was made in a program and never loaded from a "
                "checkpoint, so there is nowhere to load it from. Save it (save_pretrained), and load it from there."
            )
        encoder = JaColBERT.from_pretrained(
            self.model,
            revision=self.revision,
            query_length=self.query_length,
            pooling=self.pooling,
            dtype=_dtype(self.dtype),
            precision=self.precision,
            device=self.device,
        )
        if self.fingerprint not in (None, encoder.fingerprint):
            raise ModelMismatchError(
                f"{self.model!r} holds other weights now: the fingerprint {str(self.fingerprint)[:12]} was expected, "
                f"and {encoder.fingerprint[:12]} is there. Bring the checkpoint back, or say anew which model to use."
            )
        if self.configuration is not None and self.configuration != (found := configuration_hash(encoder.model)):
            raise ModelMismatchError(
                f"{self.model!r} has another tokenizer or other settings now: the configuration "
                f"{self.configuration[:12]} was expected, and {found[:12]} is there. Bring the checkpoint's files "
                "back, or say anew which model to use."
            )
        return encoder

    def to_dict(self) -> dict[str, Any]:
        """Returns the values as JSON-serialisable ones."""
        return asdict(self)


def _place(encoder: JaColBERT) -> tuple[str, str | None]:
    if encoder.checkpoint is None:
        return _UNSAVED + encoder.name, None
    path = Path(encoder.checkpoint.path)
    for bundled, folder in BUNDLED.items():
        if path == folder:
            return bundled, None
    if path.parent.name == _SNAPSHOTS and "/" in encoder.name:
        return encoder.name, path.name
    return str(path.resolve()), None


def _dtype(name: str | None) -> torch.dtype | None:
    if name is None:
        return None
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise InputError(f"dtype is {name!r}, but it must be the name of one of torch's, such as 'float16'.")
    return found
