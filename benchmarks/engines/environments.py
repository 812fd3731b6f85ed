"""An environment of its own for each engine that shares none with this package, and what measures an index in it."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CRATE = HERE / "next_plaid"


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine.

    Attributes:
        indexes: Names of the indexes that are measured.
        module: What measures them, in this folder.
        requirements: What to install for it; none where it is in this environment.
    """

    indexes: tuple[str, ...]
    module: str
    requirements: tuple[str, ...] = ()


TYPES, STAGES = ("float16", "turbo8", "turbo4"), ("centroids", "words and centroids")
ENGINES = {
    "ours": Engine(("float16", *(f"{datatype}, {stage}" for datatype in TYPES for stage in STAGES)), "edge"),
    "fast-plaid": Engine(("4 bits", "2 bits"), "fast_plaid", ("torch==2.11.0", "fast-plaid==1.7.0.2110")),
    "NextPlaid": Engine(("4 bits", "2 bits"), CRATE.name),
    "PyLate": Engine(
        ("PLAID", "Stanford's PLAID", "Voyager"), "pylate", ("torch==2.11.0", "pylate==1.6.0", "voyager==2.1.0")
    ),
}
"""fast-plaid has a build for each torch. PyLate 1.6 allows fast-plaid up to 1.4.6, and gives Voyager what its 2.2
no longer takes."""


def command_of(name: str, environments: Path) -> list[str]:
    """The command that measures an index of an engine; the engine is installed if need be.

    Args:
        name: Of the engine.
        environments: The folder of all environments.

    Raises:
        CalledProcessError: If it cannot be installed.
        FileNotFoundError: If there is no cargo to build it with.
    """
    engine, folder = ENGINES[name], environments / name
    if engine.module == CRATE.name:
        manifest = ["--manifest-path", str(CRATE / "Cargo.toml"), "--target-dir", str(folder)]
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *manifest], check=True)
        return [str(folder / "release" / CRATE.name)]
    python = _python(folder, engine.requirements) if engine.requirements else sys.executable
    return [python, "-m", f"{HERE.name}.{engine.module}"]


def _python(folder: Path, requirements: tuple[str, ...]) -> str:
    """The Python of an environment, which is made if need be."""
    python, done, wanted = folder / "bin" / "python", folder / "installed", " ".join(requirements)
    if not done.is_file() or done.read_text(encoding="utf-8") != wanted:
        print(f"Installing {wanted} in {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *requirements], check=True)
        done.write_text(wanted, encoding="utf-8")
    return str(python)
