"""Runs the notebooks of the examples; ``python -m tests.examples.notebooks`` renews the outputs kept in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

EXAMPLES = Path(__file__).parents[2] / "examples"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""All that a notebook says of itself; an editor adds versions, times and the names of environments."""

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # sums in one order
    "PYTHONSTARTUP": "",  # a script that IPython would run as well
    "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm misses ipywidgets, which nothing here needs
}

_PATIENCE = 600  # seconds: only what hangs takes so long

# A path from the root, but not of an address in the net or the end of an HTML element; and a place in memory.
_OF_A_MACHINE = re.compile(r"(?<![\w.:/<])/[\w.-]+/[\w./-]*|\b[A-Z]:\\\w+|\b0x[0-9a-f]{6,}\b")


def notebooks() -> list[Path]:
    """The files, in order."""
    return sorted(EXAMPLES.glob("*.ipynb"))


def read(file: Path) -> NotebookNode:
    """A notebook with what is stored in it."""
    notebook: NotebookNode = nbformat.read(file, as_version=nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


def executed(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook as a fresh run leaves it; the one given stays as it is.

    The kernel is this interpreter, whatever kernels are installed. It works in ``folder``, and has no settings of the
    user's.

    Args:
        notebook: Its stored outputs are not looked at.
        folder: Empty; files of the run are left there.

    Raises:
        CellExecutionError: If a cell fails.
    """
    fresh = cleared(notebook)
    with TemporaryDirectory() as settings:  # not below the folder: names of sockets have to be short
        kernel = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),  # so only ipykernel's own, of this interpreter
            connection_file=f"{settings}/kernel.json",
            transport="ipc",
            ip=f"{settings}/kernel",
        )
        client = NotebookClient(
            fresh,
            km=kernel,
            timeout=_PATIENCE,
            startup_timeout=_PATIENCE,
            iopub_timeout=_PATIENCE,  # after which it would go on without the rest of a cell's outputs
            raise_on_iopub_timeout=True,
            record_timing=False,
        )
        client.execute(cwd=str(folder), env={**os.environ, **_ENVIRONMENT, "IPYTHONDIR": settings}, cleanup_kc=True)
    fresh["metadata"] = deepcopy(METADATA)
    for cell in code_cells(fresh):
        cell["outputs"] = joined(cell["outputs"])
    return fresh


def cleared(notebook: NotebookNode) -> NotebookNode:
    """A copy without outputs, counts and metadata of its cells."""
    copy = deepcopy(notebook)
    for cell in copy["cells"]:
        cell["metadata"].clear()
    for cell in code_cells(copy):
        cell["outputs"], cell["execution_count"] = [], None
    return copy


def code_cells(notebook: NotebookNode) -> list[dict[str, Any]]:
    """Its cells of code, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs with neighbouring pieces of a stream as one: in how many pieces text arrives is chance."""
    whole: list[dict[str, Any]] = []
    for output in outputs:
        last = whole[-1] if whole else None
        if last is not None and output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            whole.append(output)
    return whole


def problems(stored: NotebookNode, fresh: NotebookNode) -> Iterator[str]:
    """What is wrong with a stored notebook: what a fresh run does not give, and what does not belong into a file.

    Args:
        stored: As it was read.
        fresh: From :func:`executed`.
    """
    if stored["metadata"] != METADATA:
        yield f"the notebook has the metadata {stored['metadata']}, but should have {METADATA}"
    for cell in stored["cells"]:
        if cell["metadata"]:
            yield f"cell {cell['id']!r} has metadata: {dict(cell['metadata'])}"
    for number, (old, new) in enumerate(zip(code_cells(stored), code_cells(fresh), strict=True), start=1):
        if old["execution_count"] != number:
            yield f"cell {old['id']!r} has the count {old['execution_count']}, but is number {number}"
        if old["outputs"] != new["outputs"]:
            yield f"cell {old['id']!r} has stale outputs: {old['outputs']} is stored, {new['outputs']} is fresh"
        if any(output.get("name") == "stderr" for output in old["outputs"]):
            yield f"cell {old['id']!r} has outputs of stderr"
        for text in _strings(old["outputs"]):
            if found := _OF_A_MACHINE.search(text):
                yield f"cell {old['id']!r} shows something of a machine: {found[0]}"


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _strings(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def renew(file: Path) -> None:
    """Writes a notebook with the outputs of a fresh run; one of which a cell fails stays as it is."""
    with TemporaryDirectory() as folder:
        fresh = executed(read(file), Path(folder))
    nbformat.write(fresh, file)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    for file in notebooks():
        renew(file)
        print(file.relative_to(EXAMPLES.parent))
