"""How documents are split where nobody has said it: as the model reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llama_index.core
from llama_index.core import Settings
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TransformComponent

from .node_parser import JaColBERTSentenceSplitter


def default_transformations(splitter: Callable[[], JaColBERTSentenceSplitter]) -> list[TransformComponent]:
    """Returns the transformations of LlamaIndex's ``Settings`` where a user has set them or the node parser.

    LlamaIndex's own default counts the tokens of another model, and its chunks end within Japanese sentences. It is
    passed over, also where LlamaIndex has already put it into ``Settings``, as it does when it first needs one: what
    came before in a program is not to decide how documents are split.

    Args:
        splitter: Makes the splitter that is taken otherwise.
    """
    given, parser = Settings._transformations, Settings._node_parser  # Settings.transformations would make the default
    if given is not None and not _is_the_default(given):
        return given
    if parser is not None and not _is_the_default([parser]):
        return [Settings.node_parser]
    return [splitter()]


def _is_the_default(steps: Sequence[TransformComponent]) -> bool:
    if len(steps) != 1 or type(steps[0]) is not SentenceSplitter:
        return False
    changed = steps[0].model_dump(exclude_defaults=True).keys() - {"class_name"}
    return not changed and steps[0]._tokenizer is llama_index.core.global_tokenizer
