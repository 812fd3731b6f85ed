"""Checkpoints for other libraries: PyLate's layout, and that of plain sentence-transformers.

What is written is what the library's own ``save_pretrained`` writes, and is read by it without this
package. Neither layout has a place for a dynamic query-length rule: both libraries pad queries as
``"fixed"`` does, and cut them there. The rule is recorded as ``query_length_rule``, which they pass over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers import __version__ as sentence_transformers_version
from sentence_transformers.base.modules import Transformer
from sentence_transformers.util import fullname
from transformers import AutoTokenizer

from ..checkpoints.files import listing
from ..checkpoints.layouts import ColBERTSettings, Layout, inspect_checkpoint
from ..encoding.saving import (
    colbert_parts,
    save_stanford,
    whole_directory,
    with_own_padding,
    write_config,
    write_tensors,
    write_tokenizer,
)
from ..encoding.transformer import ColBERTTransformer, Task
from ..errors import CheckpointError, InputError

if TYPE_CHECKING:
    from ..encoding.encoder import JaColBERT

StoredDtype = Literal["float32", "float16"]
LAYOUTS = {
    "stanford": Layout.STANFORD,
    "pylate": Layout.PYLATE,
    "sentence-transformers": Layout.SENTENCE_TRANSFORMERS,
}

_DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}
_PROBES = ("日本の首都は東京です。", "Late interaction (ColBERT), 2020!")


def export(
    model: JaColBERT,
    path: str | Path,
    layout: Layout | str = Layout.STANFORD,
    *,
    dtype: StoredDtype = "float32",
    card: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a checkpoint in the layout of a library, whole or not at all.

    Centroids that come with the model go along, where weights stay as they are.

    Args:
        model: The model.
        path: The directory to write.
        layout: ``"stanford"`` (for colbert-ai and this package), ``"pylate"`` or
            ``"sentence-transformers"``; or a :class:`~jacolbert_integrations.checkpoints.layouts.Layout`.
        dtype: How weights are stored; all three libraries, and this package, compute with float32.
            ``"float16"`` halves the files, and keeps about 3 digits of a weight.
        card: The model card, in Markdown, to write as ``README.md``.
        overwrite: Replace the checkpoint that is at ``path``, with all that lies in its directory.

    Returns:
        The directory.

    Raises:
        InputError: If the layout is unknown or cannot hold the model, or if there is something at
            ``path`` already: a checkpoint without ``overwrite``, or anything else.
    """
    save, path = _saver(layout), Path(path)
    if dtype not in _DTYPES:
        raise InputError(f"dtype is {dtype!r}, but weights are stored as {' or '.join(map(repr, _DTYPES))}.")
    _check_free(path, overwrite)
    with whole_directory(path) as folder:
        whole = model.in_float32
        save(whole.model, folder, dtype=_DTYPES[dtype])
        if dtype == "float32":
            whole.save_centroids(folder)
        if card is not None:
            (folder / "README.md").write_text(card, encoding="utf-8")
    return path


def save_pylate(model: MultiVectorEncoder, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Writes the layout of PyLate 1.6, whole or not at all.

    PyLate pads and cuts queries to ``query_maxlen``, and gives the vectors that this package gives
    with the rule ``"fixed"``. It puts a prompt before texts only when asked to
    (``encode(..., prompt_name="query")``), and takes a control token that a text spells out for one.

    Raises:
        InputError: If the model is none that PyLate builds: a transformer of ours with a marker for
            queries and one for documents, and projections.
    """
    parts = colbert_parts(model)
    if parts is None or list(parts.mask.skiplist_tasks) != ["document"] or parts.mask.keep_only_token_ids is not None:
        raise InputError(
            "PyLate's layout holds one transformer with ColBERT markers, projections, and a skiplist for documents, "
            f"but this model is {list(model.children())}. Use the layout 'sentence-transformers'."
        )
    settings, tokenizer = parts.settings, with_own_padding(parts.transformer)
    # PyLate takes a word that the vocabulary lacks for [UNK], and every [UNK] would lose its vector
    unknown = tokenizer.unk_token_id
    skiplist = [word for word in settings.skiplist if tokenizer.convert_tokens_to_ids(word) != unknown]
    with whole_directory(path) as folder:
        modules = {"": "sentence_transformers.models.Transformer"}
        for position, projection in enumerate(parts.projections, 1):
            name = f"{position}_Dense"
            modules[name] = "pylate.models.Dense.Dense"
            shape = {
                "in_features": projection.in_features,
                "out_features": projection.out_features,
                "bias": projection.bias,
                "activation_function": fullname(projection.activation_function),
                "use_residual": projection.use_residual,
            }
            (folder / name).mkdir()
            write_tensors(folder / name / "model.safetensors", projection.state_dict(), dtype)
            _write_files(folder / name, {"config.json": shape})
        _write_transformer(folder, parts.transformer, dtype)
        write_tokenizer(folder, tokenizer)
        config = {
            "model_type": "ColBERT",
            "prompts": {task: model.prompts.get(task) or "" for task in ("query", "document")},
            "default_prompt_name": None,
            "similarity_fn_name": "MaxSim",
            "query_prefix": settings.query_marker,
            "document_prefix": settings.document_marker,
            "query_length": settings.query_maxlen,
            "document_length": settings.document_maxlen,
            "attend_to_expansion_tokens": settings.attend_to_mask_tokens,
            "skiplist_words": skiplist,
            "do_query_expansion": settings.query_expansion,
            "query_length_rule": settings.query_length,
        }
        inputs = {"max_seq_length": settings.document_maxlen, "do_lower_case": False}
        _write_pipeline(folder, modules, inputs, config)


def save_sentence_transformers(model: MultiVectorEncoder, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Writes the layout that ``sentence_transformers.MultiVectorEncoder`` reads by itself, whole or not at all.

    The markers become prompts, and tokens that the tokenizer knows in running text. Ids and vectors
    are those of this package with the rule ``"fixed"``. What cannot be carried over:

    - the dynamic query-length rules: queries are padded and cut to ``query_maxlen``;
    - control tokens as ordinary text: a text that spells out "[MASK]" or "[unused0]" gets that token;
    - the fast tokenizer.

    Raises:
        InputError: If the tokenizer splits a text in another way once a marker stands before it.
    """
    with whole_directory(path) as folder:
        if isinstance(model[0], ColBERTTransformer):
            _write_plain(folder, model, model[0], dtype)
        else:
            model.save(str(folder), create_model_card=False)
        for file in folder.rglob("*.safetensors"):
            tensors = load_file(file)
            if any(t.is_floating_point() and t.dtype is not dtype for t in tensors.values()):
                write_tensors(file, tensors, dtype)


def _write_plain(folder: Path, model: MultiVectorEncoder, transformer: ColBERTTransformer, dtype: torch.dtype) -> None:
    settings = transformer.settings
    markers: dict[Task, str] = {"query": settings.query_marker, "document": settings.document_marker}
    prompts: dict[Task, str] = {task: marker + (model.prompts.get(task) or "") for task, marker in markers.items()}
    modules = {"": fullname(Transformer)}
    rest: list[Any] = list(model.children())[1:]
    for position, module in enumerate(rest, 1):
        name = f"{position}_{type(module).__name__}"
        modules[name] = fullname(module)
        (folder / name).mkdir()
        module.save(str(folder / name))
    _write_transformer(folder, transformer, dtype)
    write_tokenizer(folder, with_own_padding(transformer), markers=[m for m in markers.values() if m])
    inputs = Transformer.get_config_dict(transformer) | _lengths(settings)
    config = {
        "model_type": "MultiVectorEncoder",
        "__version__": {
            "sentence_transformers": sentence_transformers_version,
            "transformers": transformers.__version__,
            "pytorch": torch.__version__,
        },
        "prompts": prompts,
        "default_prompt_name": None,
        "similarity_fn_name": "maxsim",
        "query_length_rule": transformer.query_length_rule,
    }
    _write_pipeline(folder, modules, inputs, config)
    _check_ids(folder, transformer, markers, prompts)


def _lengths(settings: ColBERTSettings) -> dict[str, Any]:
    if not settings.query_expansion:
        return {"query_length": settings.query_maxlen, "document_length": settings.document_maxlen}
    expansion = {"strategy": "fixed", "attend": settings.attend_to_mask_tokens, "length": settings.query_maxlen}
    return {"document_length": settings.document_maxlen, "query_expansion": expansion}


def _check_ids(
    folder: Path, transformer: ColBERTTransformer, markers: Mapping[Task, str], prompts: Mapping[Task, str]
) -> None:
    """Checks that a tokenizer gives a word the same tokens at the start of a text and after a marker."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for task, prompt in prompts.items():
        texts = [prompt.removeprefix(markers[task]) + probe for probe in _PROBES]
        own = [text.ids[: text.length] for text in transformer.tokenize_texts(texts, task)]
        theirs: list[list[int]] = tokenizer([prompt + probe for probe in _PROBES])["input_ids"]
        if own != theirs:
            raise InputError(
                f"the tokenizer, a {type(tokenizer).__name__}, makes other ids of a {task} once the marker "
                f"{markers[task]!r} stands before it, so that plain sentence-transformers would give other vectors. "
                "Use the layout 'pylate' or 'stanford', or model.model.save_pretrained."
            )


def _write_transformer(folder: Path, transformer: ColBERTTransformer, dtype: torch.dtype) -> None:
    backbone = transformer.auto_model
    write_config(folder, backbone, type(backbone).__name__)
    write_tensors(folder / "model.safetensors", backbone.state_dict(), dtype)


def _write_pipeline(
    folder: Path, modules: Mapping[str, str], inputs: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    listed = [
        {"idx": index, "name": str(index), "path": name, "type": kind}
        for index, (name, kind) in enumerate(modules.items())
    ]
    _write_files(
        folder,
        {
            "modules.json": listed,
            "sentence_bert_config.json": inputs,
            "config_sentence_transformers.json": config,
        },
    )


def _write_files(folder: Path, files: Mapping[str, Any]) -> None:
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _saver(layout: Layout | str) -> Callable[..., None]:
    savers: dict[Layout, Callable[..., None]] = {
        Layout.STANFORD: save_stanford,
        Layout.PYLATE: save_pylate,
        Layout.SENTENCE_TRANSFORMERS: save_sentence_transformers,
    }
    found = LAYOUTS.get(layout) if isinstance(layout, str) else layout
    if found not in savers:
        raise InputError(f"layout is {layout!r}, but the layouts are {', '.join(map(repr, LAYOUTS))}.")
    return savers[found]


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        inspect_checkpoint(path)
    except CheckpointError:
        what = f"holds {listing(path)}" if path.is_dir() else "is a file"
        raise InputError(f"{path} {what}, and is no checkpoint to replace. Give another directory.") from None
    if not overwrite:
        raise InputError(f"{path} holds a checkpoint already. Give another directory, or pass overwrite=True.")
