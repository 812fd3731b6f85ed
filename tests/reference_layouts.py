"""The reference checkpoint in PyLate's layout: what PyLate wrote beside the weights, which are Stanford's, renamed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from safetensors.torch import load_file, save_file

_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


@cache
def pylate_layout(stanford: Path, beside: Path) -> Path:
    """Makes a directory of it, once, which goes with the process.

    Args:
        stanford: The checkpoint in Stanford's layout.
        beside: All files of PyLate's but ``model.safetensors``.
    """
    folder = Path(tempfile.mkdtemp(prefix="pylate-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(beside, folder, dirs_exist_ok=True)
    weights = {}
    for name, tensor in load_file(stanford / "model.safetensors").items():
        if name.startswith("bert."):
            own = name.removeprefix("bert.")
            for new, old in _OLD_NAMES.items():
                own = own.replace(new, old)
            weights[own] = tensor
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder
