"""A vector store in files, where LlamaIndex's storage context has its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import fsspec

from ...errors import StoreFileError
from ...stores.memory import MemoryStore

DESCRIPTION = "vector_store.json"
"""The end of the path that LlamaIndex gives, and the name of the file that says what a vector store is."""

_FOLDER_SUFFIX = ".jacolbert"
_UNFINISHED = "unfinished.json"
_INDEX, _VECTORS = "store.json", "vectors-*.safetensors"  # as a memory store names its files


def write_vector_store(
    persist_path: str,
    fs: fsspec.AbstractFileSystem | None,
    description: Mapping[str, Any],
    memory: MemoryStore | None,
) -> None:
    """Writes a folder beside ``persist_path``: the description, and what is in memory.

    Args:
        persist_path: As LlamaIndex gives it.
        fs: Where; None is the local disk.
        description: As JSON-serialisable values.
        memory: The nodes, if they are in memory.
    """
    disk, folder = _disk(fs), _folder(persist_path)
    disk.makedirs(folder, exist_ok=True)
    if memory is not None and fs is None:
        memory.save(folder)
    elif memory is not None:
        with TemporaryDirectory() as copy:
            memory.save(copy)
            _put(Path(copy), disk, folder)
    text = json.dumps(description, ensure_ascii=False, indent=1)
    with disk.open(f"{folder}/{_UNFINISHED}", "w", encoding="utf-8") as file:
        file.write(text)
    disk.mv(f"{folder}/{_UNFINISHED}", f"{folder}/{DESCRIPTION}")  # an earlier one stays until this one is whole


def _put(saved: Path, disk: fsspec.AbstractFileSystem, folder: str) -> None:
    """Copies what a memory store saved, so that at any moment there is one that can be read, as on the local disk."""
    vectors = {file.name for file in saved.glob(_VECTORS)}
    for name in vectors:
        disk.put_file(str(saved / name), f"{folder}/{name}")
    disk.put_file(str(saved / _INDEX), f"{folder}/{_INDEX}.new")  # it names the vectors, so that it comes after them
    disk.mv(f"{folder}/{_INDEX}.new", f"{folder}/{_INDEX}")
    disk.invalidate_cache(folder)
    for found in disk.ls(folder, detail=False):
        name = PurePosixPath(found).name
        if fnmatch(name, _VECTORS) and name not in vectors:
            disk.rm_file(f"{folder}/{name}")


def read_description(persist_path: str, fs: fsspec.AbstractFileSystem | None, class_name: str) -> dict[str, Any]:
    """Reads the description that :meth:`persist` wrote.

    Raises:
        StoreFileError: If there is none, or it is of something else.
    """
    disk, file_path = _disk(fs), f"{_folder(persist_path)}/{DESCRIPTION}"
    if not disk.exists(file_path):
        raise StoreFileError(f"there is no vector store of ours at {persist_path}: there is no {file_path}.")
    with disk.open(file_path, "r", encoding="utf-8") as file:
        try:
            description = json.load(file)
        except ValueError as error:
            raise StoreFileError(f"{file_path} is no valid JSON ({error}). Persist the vector store again.") from None
    if not isinstance(description, dict) or description.get("class_name") != class_name:
        raise StoreFileError(f"{file_path} describes no {class_name}.")
    return description


def read_memory(persist_path: str, fs: fsspec.AbstractFileSystem | None) -> MemoryStore:
    """Reads the points of a store that was in memory.

    Raises:
        StoreFileError: If it is not there, or cannot be read.
    """
    disk, folder = _disk(fs), _folder(persist_path)
    if fs is None:
        return MemoryStore.open(folder)
    with TemporaryDirectory() as copy:
        disk.get(f"{folder}/", f"{copy}/", recursive=True)
        return MemoryStore.open(copy)


def holds_memory(persist_path: str, fs: fsspec.AbstractFileSystem | None) -> bool:
    """Returns whether the points of a store in memory were written, too."""
    return bool(_disk(fs).exists(f"{_folder(persist_path)}/{_INDEX}"))


def _disk(fs: fsspec.AbstractFileSystem | None) -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("file") if fs is None else fs


def _folder(persist_path: str) -> str:
    return str(persist_path).removesuffix(".json") + _FOLDER_SUFFIX
