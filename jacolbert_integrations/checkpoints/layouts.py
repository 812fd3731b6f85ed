"""What kind of checkpoint a directory holds, and its facts.

A layout is recognised by what the files contain, never by a name in them: JaColBERTv2.4 and v2.5
call themselves ``BertModel`` although they carry a projection, and loaders that believe the name
replace it by a random one. Only JSON is read here (a safetensors file begins with JSON), so that a
broken checkpoint is reported before any weight is loaded.
"""

from __future__ import annotations

import enum
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import (
    CheckpointNotFoundError,
    CorruptCheckpointError,
    IncompleteCheckpointError,
    UnknownLayoutError,
)
from ..query_length import QUERY_LENGTHS, QueryLength
from .files import INT8_FILE, listing, read_json, read_object, weight_shapes

SETTINGS_KEY = "colbert_settings"
"""Where our sentence-transformers saves keep :class:`ColBERTSettings` in ``sentence_bert_config.json``."""

_OUR_MODULES = {
    "jacolbert_integrations.encoding.transformer.ColBERTTransformer",
    "jacolbert_integrations.transformer.ColBERTTransformer",  # as saves of earlier versions name it
}
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    INT8_FILE,
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_PROJECTION = "linear.weight"
_LAYER = re.compile(r"\.layers?\.(\d{1,9})\.")
_MODULES = {
    "ColBERTTransformer", "Dense", "HierarchicalTokenPooling", "MultiVectorMask", "Normalize", "Transformer",
}  # fmt: skip


class Layout(enum.Enum):
    """How a late-interaction checkpoint is laid out on disk."""

    STANFORD = "Stanford ColBERT (artifact.metadata and linear.weight)"
    PYLATE = "PyLate (modules.json and query_prefix)"
    OURS = "sentence-transformers (modules.json), saved by this package"
    SENTENCE_TRANSFORMERS = "sentence-transformers (modules.json and MultiVectorEncoder)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColBERTSettings:
    """How a ColBERT checkpoint wants its inputs.

    Attributes:
        query_marker: The token inserted after [CLS] of a query.
        document_marker: The token inserted after [CLS] of a document.
        query_maxlen: Tokens of a query under the rule ``fixed``, markers included.
        document_maxlen: Most tokens of a document, markers included.
        query_expansion: Whether queries are padded with [MASK] tokens that count in MaxSim.
        attend_to_mask_tokens: Whether the encoder attends to those [MASK] tokens.
        skiplist: Words whose tokens are left out of documents.
        query_length: The query-length rule that the checkpoint was made for, if it says.
    """

    query_marker: str
    document_marker: str
    query_maxlen: int
    document_maxlen: int
    query_expansion: bool = True
    attend_to_mask_tokens: bool = False
    skiplist: tuple[str, ...] = ()
    query_length: QueryLength | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint directory and what was found in it.

    Attributes:
        path: The directory.
        layout: How it is laid out.
        settings: Its input settings; None where sentence-transformers' own modules hold them.
        projections: Folders of the projection layers, for layouts with ``modules.json``.
        mask: Folder of the saved skiplist, if it has one of its own.
        remote_code: Whether its configuration names Python code of its own.
        japanese: Whether its tokenizer is a ``BertJapaneseTokenizer``.
        query_prompt: Text that it puts before each query, after the marker.
        document_prompt: Text that it puts before each document, after the marker.
        query_length: The query-length rule that one of our exports has noted down, in a layout
            with ``modules.json``.
    """

    path: Path
    layout: Layout
    settings: ColBERTSettings | None
    projections: tuple[str, ...]
    mask: str | None
    remote_code: bool
    japanese: bool
    query_prompt: str = ""
    document_prompt: str = ""
    query_length: QueryLength | None = None


def inspect_checkpoint(path: str | Path) -> Checkpoint:
    """Says what a checkpoint directory holds.

    Args:
        path: A directory in Stanford, PyLate or sentence-transformers layout.

    Raises:
        CheckpointNotFoundError: If there is no such directory.
        UnknownLayoutError: If it holds no late-interaction model.
        IncompleteCheckpointError: If something that its layout needs is missing.
        CorruptCheckpointError: If a file is truncated or cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        raise CheckpointNotFoundError(
            f"{path} is {'a file' if path.exists() else 'missing'}, but a checkpoint is a directory "
            "with a config.json, weights and a tokenizer."
        )
    if (path / "modules.json").is_file():
        return _inspect_modules(path)
    config = read_object(path / "config.json") if (path / "config.json").is_file() else None
    if config is None:
        raise UnknownLayoutError(
            f"{path} holds {listing(path)}, but neither config.json nor modules.json. "
            "Give the directory that holds the model's config.json."
        )
    return _inspect_stanford(path, config)


def _inspect_stanford(path: Path, config: Mapping[str, Any]) -> Checkpoint:
    metadata_file = path / "artifact.metadata"
    shapes = weight_shapes(path)
    projected = _PROJECTION in shapes if shapes is not None else None
    if not metadata_file.is_file():
        if projected:
            raise IncompleteCheckpointError(
                f"{path} has the projection {_PROJECTION!r} of a Stanford ColBERT but no artifact.metadata, "
                "which says its markers and lengths. Copy that file from the original checkpoint."
            )
        raise UnknownLayoutError(
            f"{path} is a plain {config.get('model_type', 'unknown')} model (it holds {listing(path)}): there is "
            f"neither artifact.metadata, nor a {_PROJECTION!r} among its weights, nor a modules.json. A ColBERT "
            "needs a trained projection and none will be made up. Give a ColBERT checkpoint, or train one from "
            "this model."
        )
    if shapes is None and not any((path / name).is_file() for name in _WEIGHT_FILES):
        raise IncompleteCheckpointError(
            f"{path} holds {listing(path)}, but no weights: one of {', '.join(_WEIGHT_FILES)} is needed."
        )
    if projected is False:
        raise IncompleteCheckpointError(
            f"{path} has the artifact.metadata of a Stanford ColBERT, but no {_PROJECTION!r} among its "
            f"{len(shapes or ())} weights. Without the trained projection the model is useless, and none will be "
            "made up. Save the checkpoint again with its projection."
        )
    metadata = read_object(metadata_file)
    _check_tokenizer(path)
    _check_activations(path, config)
    if shapes is not None:
        _check_layers(path, config, shapes)
        _check_projection_shape(path, shapes[_PROJECTION], config.get("hidden_size"), metadata.get("dim"))
    return Checkpoint(
        path=path,
        layout=Layout.STANFORD,
        settings=stanford_settings(metadata, metadata_file),
        projections=(),
        mask=None,
        remote_code="auto_map" in config,
        japanese=_is_japanese(path),
    )


def stanford_settings(metadata: Mapping[str, Any], source: Path | str = "artifact.metadata") -> ColBERTSettings:
    """Reads the settings of a Stanford ``artifact.metadata``; keys that it does not know are left alone.

    Raises:
        IncompleteCheckpointError: If ``doc_maxlen`` is missing.
        CorruptCheckpointError: If a setting is of a wrong kind.
    """
    if metadata.get("doc_maxlen") is None:
        raise IncompleteCheckpointError(
            f"{source} has no doc_maxlen, the length of a document (228 for JaColBERT v1, 256 for v2, 300 for v2.4)."
        )
    rule = metadata.get("query_length")
    if rule is not None and rule not in QUERY_LENGTHS:
        raise CorruptCheckpointError(f"{source} names the query_length {rule!r}; known are {QUERY_LENGTHS}.")
    query_maxlen = 32 if metadata.get("query_maxlen") is None else metadata["query_maxlen"]
    return ColBERTSettings(
        query_marker=str(metadata.get("query_token_id") or "[unused0]"),
        document_marker=str(metadata.get("doc_token_id") or "[unused1]"),
        query_maxlen=_positive(query_maxlen, "query_maxlen", source),
        document_maxlen=_positive(metadata["doc_maxlen"], "doc_maxlen", source),
        attend_to_mask_tokens=bool(metadata.get("attend_to_mask_tokens")),
        skiplist=tuple(string.punctuation) if metadata.get("mask_punctuation", True) else (),
        query_length=rule,
    )


def _inspect_modules(path: Path) -> Checkpoint:
    modules = read_json(path / "modules.json")
    if not isinstance(modules, list) or not all(isinstance(m, dict) and {"type", "path"} <= m.keys() for m in modules):
        raise CorruptCheckpointError(f"{path / 'modules.json'} is no list of modules, each with a type and a path.")
    main_file = path / "config_sentence_transformers.json"
    main = read_object(main_file) if main_file.is_file() else {}
    config = read_object(path / "config.json") if (path / "config.json").is_file() else {}
    projections = tuple(str(m["path"]) for m in modules if str(m["type"]).endswith(".Dense"))
    types = [str(m["type"]) for m in modules]

    if _OUR_MODULES & set(types):
        layout, settings = Layout.OURS, _our_settings(path / "sentence_bert_config.json")
    elif main.get("model_type") == "ColBERT" or {"query_prefix", "document_prefix"} <= main.keys():
        layout, settings = Layout.PYLATE, _pylate_settings(main, main_file)
    elif main.get("model_type") == "MultiVectorEncoder" or any(t.endswith(".MultiVectorMask") for t in types):
        layout, settings = Layout.SENTENCE_TRANSFORMERS, None
    else:
        raise UnknownLayoutError(
            f"{path} is a sentence-transformers model of type {main.get('model_type', 'SentenceTransformer')!r} with "
            f"the modules {types}: it makes no token vectors. A late-interaction model is a MultiVectorEncoder or a "
            "PyLate ColBERT; its projection must be trained and will not be made up."
        )
    if layout in (Layout.PYLATE, Layout.OURS) and not projections:
        raise IncompleteCheckpointError(
            f"{path / 'modules.json'} lists {types}, but no Dense module: the projection is missing."
        )
    if not main_file.is_file():
        raise IncompleteCheckpointError(
            f"{main_file} is missing: it holds prompts and more that vectors depend on. Copy it from the original."
        )
    unknown = [t for t in types if t.rpartition(".")[2] not in _MODULES]
    if unknown and layout is not Layout.SENTENCE_TRANSFORMERS:
        raise IncompleteCheckpointError(
            f"{path / 'modules.json'} names {unknown[0]!r}, which this package cannot build, and would leave out. "
            f"Known are {', '.join(sorted(_MODULES))}."
        )
    shapes = weight_shapes(path)
    if layout is not Layout.SENTENCE_TRANSFORMERS and not any((path / name).is_file() for name in _WEIGHT_FILES):
        raise IncompleteCheckpointError(f"{path} holds {listing(path)}, but no weights ({', '.join(_WEIGHT_FILES)}).")
    if layout is not Layout.SENTENCE_TRANSFORMERS:
        _check_tokenizer(path)
        _check_layers(path, config, shapes or {})
    _check_activations(path, config)
    width = config.get("hidden_size")
    for folder in projections:
        width = _check_dense(path / folder, width)
    return Checkpoint(
        path=path,
        layout=layout,
        settings=settings,
        projections=projections,
        mask=next((str(m["path"]) for m in modules if str(m["type"]).endswith(".MultiVectorMask")), None),
        remote_code="auto_map" in config,
        japanese=_is_japanese(path),
        query_prompt=_prompt(main, "query", settings.query_marker if settings else ""),
        document_prompt=_prompt(main, "document", settings.document_marker if settings else ""),
        query_length=_recorded_rule(main, main_file),
    )


def _prompt(main: Mapping[str, Any], task: str, marker: str) -> str:
    # PyLate inserts the marker as a token; some saves repeat it at the front of the prompt
    prompts = main.get("prompts")
    prompt = prompts.get(task) if isinstance(prompts, dict) else None
    return str(prompt or "").removeprefix(marker)


def _pylate_settings(main: Mapping[str, Any], source: Path) -> ColBERTSettings:
    if main.get("document_length") is None:
        raise IncompleteCheckpointError(f"{source} has no document_length.")
    words = main.get("skiplist_words")
    return ColBERTSettings(
        # not stripped: PyLate's own markers are the tokens "[Q] " and "[D] "
        query_marker=str(main.get("query_prefix") or ""),
        document_marker=str(main.get("document_prefix") or ""),
        query_maxlen=_positive(main.get("query_length") or 32, "query_length", source),
        document_maxlen=_positive(main["document_length"], "document_length", source),
        query_expansion=main.get("do_query_expansion") is not False,
        attend_to_mask_tokens=bool(main.get("attend_to_expansion_tokens")),
        # PyLate's own default where a save does not say
        skiplist=tuple(string.punctuation) if words is None else tuple(map(str, words)),
        query_length=_recorded_rule(main, source),
    )


def _recorded_rule(main: Mapping[str, Any], source: Path) -> QueryLength | None:
    """Returns the query-length rule that our exports record for other libraries' layouts, which have no key for it."""
    rule = main.get("query_length_rule")
    if rule is not None and rule not in QUERY_LENGTHS:
        raise CorruptCheckpointError(f"{source} names the query_length_rule {rule!r}; known are {QUERY_LENGTHS}.")
    return cast("QueryLength | None", rule)


def _our_settings(source: Path) -> ColBERTSettings:
    if not source.is_file():
        raise IncompleteCheckpointError(f"{source} is missing: it holds the markers and lengths of the model.")
    settings = read_object(source).get(SETTINGS_KEY)
    if not isinstance(settings, dict):
        raise IncompleteCheckpointError(f"{source} has no {SETTINGS_KEY!r} section with the markers and lengths.")
    return settings_from_dict(settings, source)


def settings_from_dict(values: Mapping[str, Any], source: Path | str = "the settings") -> ColBERTSettings:
    """Builds settings from a dictionary, the reverse of :func:`dataclasses.asdict`; unknown keys are ignored.

    Raises:
        CorruptCheckpointError: If a setting is missing.
    """
    known = {name: values[name] for name in ColBERTSettings.__dataclass_fields__ if name in values}
    try:
        settings = ColBERTSettings(**{**known, "skiplist": tuple(known.get("skiplist", ()))})
    except TypeError as error:
        raise CorruptCheckpointError(f"{source}: {error}.") from None
    _positive(settings.query_maxlen, "query_maxlen", source)
    _positive(settings.document_maxlen, "document_maxlen", source)
    kinds = {str: ("query_marker", "document_marker"), bool: ("query_expansion", "attend_to_mask_tokens")}
    wrong = [name for kind, names in kinds.items() for name in names if type(getattr(settings, name)) is not kind]
    if isinstance(known.get("skiplist"), str) or not all(isinstance(word, str) for word in settings.skiplist):
        wrong.append("skiplist")
    if settings.query_length not in (None, *QUERY_LENGTHS):
        wrong.append("query_length")
    if wrong:
        raise CorruptCheckpointError(f"{source}: {wrong[0]} is {values.get(wrong[0])!r:.80}, which it cannot be.")
    return settings


def _check_dense(folder: Path, width: int | None) -> int | None:
    if not (folder / "config.json").is_file():
        raise IncompleteCheckpointError(f"{folder} has no config.json: the projection's shape is unknown.")
    config = read_object(folder / "config.json")
    _check_activation(folder, config.get("activation_function"))
    shapes = weight_shapes(folder)
    if shapes is None:
        if not (folder / "pytorch_model.bin").is_file():
            raise IncompleteCheckpointError(f"{folder} holds {listing(folder)}, but no weights for the projection.")
        return config.get("out_features")
    if _PROJECTION not in shapes:
        raise IncompleteCheckpointError(f"{folder}: no {_PROJECTION!r} among the weights {sorted(shapes)}.")
    _check_projection_shape(folder, shapes[_PROJECTION], width, config.get("out_features"))
    return shapes[_PROJECTION][0]


def _check_activation(folder: Path, name: object) -> None:
    """Refuses an activation that is not torch's: sentence-transformers puts Tanh in its place."""
    torchs = isinstance(name, str) and name.startswith("torch.nn.modules.") and name.count(".") == 4
    if name is not None and not torchs:
        raise CorruptCheckpointError(
            f"{folder / 'config.json'} names the activation {name!r:.80}, which is not one of torch.nn.modules. With "
            "another in its place the model would be another. Give it the name of torch's own."
        )


def _check_tokenizer(path: Path) -> None:
    """Refuses a checkpoint of which transformers would have to guess the tokenizer."""
    if not any((path / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json")):
        raise IncompleteCheckpointError(
            f"{path} holds {listing(path)}, but neither tokenizer_config.json nor tokenizer.json: which tokenizer its "
            "vocabulary is for is unknown, and a guess would make other vectors. Copy the file from the original."
        )


def _check_layers(path: Path, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses more layers than there are weights of, before any are built."""
    layers = {int(found[1]) for name in shapes if (found := _LAYER.search(name))}
    wanted = config.get("num_hidden_layers")
    if layers and wanted is not None and (not isinstance(wanted, int) or wanted > max(layers) + 1):
        raise IncompleteCheckpointError(
            f"{path / 'config.json'} asks for {wanted!s:.40} layers, but there are weights of {max(layers) + 1}. The "
            "two are not of the same model."
        )


def _check_activations(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses what is no name of a function; not every version of transformers does, before it is called."""
    for key in ("hidden_act", "hidden_activation"):
        if not isinstance(config.get(key, ""), str | None):
            raise CorruptCheckpointError(
                f"{path / 'config.json'} has {config[key]!r:.60} under {key!r}, but the name of an activation is "
                "expected, such as 'gelu'."
            )


def _check_projection_shape(path: Path, shape: tuple[int, ...], hidden: int | None, dim: int | None) -> None:
    expected = (dim, hidden)
    fits = len(shape) == 2 and all(want is None or want == got for want, got in zip(expected, shape, strict=True))
    if not fits:
        raise CorruptCheckpointError(
            f"{path}: {_PROJECTION!r} has the shape {shape}, but ({dim or 'dim'}, {hidden or 'hidden size'}) is "
            "expected from the configuration. Weights and configuration are not of the same model."
        )


def _is_japanese(path: Path) -> bool:
    file = path / "tokenizer_config.json"
    return file.is_file() and read_object(file).get("tokenizer_class") == "BertJapaneseTokenizer"


def _positive(value: Any, name: str, source: Path | str) -> int:
    # Three tokens ([CLS], marker, [SEP]) are always there.
    if not isinstance(value, int) or isinstance(value, bool) or value < 4:
        raise CorruptCheckpointError(f"{source}: {name} is {value!r}, but a number of tokens of at least 4 is needed.")
    return value
