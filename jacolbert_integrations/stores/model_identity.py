"""What it takes for a model to use a collection: the two must match."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

from ..errors import ModelMismatchError, QueryLengthWarning, StoreFileError
from ..types import ModelIdentity

logger = logging.getLogger(__name__)

_HASHES = ("fingerprint", "configuration")


def check_vectors(recorded: ModelIdentity, given: ModelIdentity, where: str) -> None:
    """Refuses a model whose vectors cannot be compared with those of a collection.

    Args:
        recorded: What made the collection.
        given: What wants to use it.
        where: How to call the collection.

    Raises:
        ModelMismatchError: If the two differ in anything that changes document vectors.
    """
    differences = [
        f"{name} {_shown(name, recorded)} there, {_shown(name, given)} here"
        for name in ("fingerprint", "dimension", "document_maxlen", "pooling")
        if getattr(recorded, name) != getattr(given, name)
    ]
    if None not in (recorded.configuration, given.configuration) and recorded.configuration != given.configuration:
        differences.append(
            f"configuration {_shown('configuration', recorded)} there, {_shown('configuration', given)} here (the "
            "tokenizer, the markers, the skipped tokens or an activation: are all files of the checkpoint here?)"
        )
    if differences:
        raise ModelMismatchError(
            f"{where} was made by the model {recorded.name!r}, not by {given.name!r}: {'; '.join(differences)}. "
            f"Load the model that made it, or index into a new collection."
        )
    if recorded.configuration is None and given.configuration is not None:
        logger.info(
            "%s records its model's weights but not its tokenizer and settings; they are "
            "taken to be those of %r.", where, given.name,
        )  # fmt: skip


def _shown(name: str, identity: ModelIdentity) -> str:
    value = str(getattr(identity, name))
    return value[:12] if name in _HASHES else value


def check_identity(recorded: ModelIdentity, given: ModelIdentity, where: str) -> None:
    """Does the same as :func:`check_vectors`, and warns of another query-length rule, which changes no vector.

    Raises:
        ModelMismatchError: If the two differ in anything that changes document vectors.

    Warns:
        QueryLengthWarning: If only the query-length rules differ.
    """
    check_vectors(recorded, given, where)
    if recorded.query_length != given.query_length:
        warnings.warn(
            f"{where} was recorded with the query-length rule {recorded.query_length!r}, and the model now uses "
            f"{given.query_length!r}. The documents are the same; scores will differ.",
            QueryLengthWarning,
            stacklevel=3,
        )


def identity_from_dict(values: Mapping[str, Any], where: str) -> ModelIdentity:
    """Reads a recorded identity; keys of later versions are left alone.

    Raises:
        StoreFileError: If something is missing.
    """
    known = {name: values[name] for name in ModelIdentity.__dataclass_fields__ if name in values}
    try:
        return ModelIdentity(**known)
    except TypeError as error:
        raise StoreFileError(f"{where} has an incomplete record of its model ({error}).") from None
