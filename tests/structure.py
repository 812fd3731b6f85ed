"""The package as rooms and arrows: its folders and root files, and which of them import which.

``python -m tests.structure [FOLDER]`` counts them, for this package or for another copy of it. Imports are read from
the code, at any depth, those for type checking included. ``--picture`` prints the picture of ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "jacolbert_integrations"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE


@dataclass(frozen=True)
class Structure:
    """What a package imports.

    Attributes:
        inside: Of each module the modules of the package that it imports. Names are relative to the package, and a
            folder's own name is that of its ``__init__``.
        outside: Of each module the other packages that it imports.
        docstrings: Of each module its docstring.
    """

    inside: Mapping[str, frozenset[str]]
    outside: Mapping[str, frozenset[str]]
    docstrings: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path = ROOT) -> Structure:
        files = {_name(file.relative_to(folder)): file for file in sorted(folder.rglob("*.py"))}
        inside: dict[str, frozenset[str]] = {}
        outside: dict[str, frozenset[str]] = {}
        docstrings: dict[str, str] = {}
        for name, file in files.items():
            tree = ast.parse(file.read_text(encoding="utf-8"))
            imported = set(_imported(tree, name, file.name == "__init__.py"))
            ours = {i.removeprefix(PACKAGE).lstrip(".") for i in imported if (i + ".").startswith(PACKAGE + ".")}
            inside[name] = frozenset(_module(i, files) for i in ours)
            outside[name] = frozenset(i.split(".")[0] for i in imported if not (i + ".").startswith(PACKAGE + "."))
            docstrings[name] = ast.get_docstring(tree) or ""
        return cls(inside, outside, docstrings)

    def within(self, folder: str = "") -> dict[str, set[str]]:
        """Of what lies directly in a folder, files and folders, which imports which."""
        inner = folder + "." if folder else ""
        found: dict[str, set[str]] = {}
        for module, imports in self.inside.items():
            if not module.startswith(inner):
                continue
            child = module.removeprefix(inner).split(".")[0]
            found.setdefault(child, set()).update(
                i.removeprefix(inner).split(".")[0] for i in imports if i.startswith(inner)
            )
        return {child: {i for i in named if i != child and i in found} for child, named in found.items()}

    @property
    def folders(self) -> list[str]:
        """Every folder of the package; the package itself is the empty name."""
        return sorted({module.rpartition(".")[0] for module in self.inside})

    def circles(self) -> list[list[str]]:
        """Modules that import each other in a loop, and what lies in one folder and does."""
        found = {tuple(circle) for circle in _loops(self.inside)}
        for folder in self.folders:
            inner = folder + "." if folder else ""
            found |= {tuple(inner + child for child in circle) for circle in _loops(self.within(folder))}
        return [list(circle) for circle in sorted(found)]


def _name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _module(name: str, files: Mapping[str, Path]) -> str:
    """The module of a name, which may be something that a module defines."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or "__init__"


def _imported(tree: ast.Module, name: str, is_folder: bool) -> Iterator[str]:
    parts = [] if name == "__init__" else name.split(".")
    base = parts if is_folder else parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = [] if node.level == 0 else [PACKAGE, *base[: len(base) - (node.level - 1)]]
            target = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{target}.{alias.name}" for alias in node.names)


def _loops(graph: Mapping[str, set[str] | frozenset[str]]) -> list[list[str]]:
    """The strongly connected components of more than one member."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for following in graph.get(waiting.pop(), ()):
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        return seen

    reach = {node: reached(node) for node in graph}
    loops = {frozenset({n} | {m for m in reach[n] if n in reach.get(m, ())}) for n in graph if n in reach[n]}
    return sorted(sorted(loop) for loop in loops)


GROUND = {"errors", "query_length", "types"}
"""What nearly every room imports: one box of the picture."""


def picture(structure: Structure) -> str:
    """The rooms as a Mermaid flow chart. An arrow that other arrows lead along anyway is left out."""
    rooms = {
        "ground" if room in GROUND else room: {"ground" if i in GROUND else i for i in imports}
        for room, imports in structure.within().items()
        if room != "__init__"
    }
    rooms["ground"] = set()
    for imports in rooms.values():
        imports.discard("__init__")

    def above(room: str) -> set[str]:
        return rooms[room].union(*(above(i) for i in rooms[room]))

    lines = ["flowchart TD", '    ground["types, errors, query_length"]']
    for room in sorted(rooms):
        direct = rooms[room] - set().union(*(above(i) for i in rooms[room]))
        lines += [f"    {room} --> {imported}" for imported in sorted(direct)]
    return "\n".join(lines) + "\n"


def main() -> None:
    if sys.argv[1:] == ["--picture"]:
        print(picture(Structure.read()), end="")
        return
    structure = Structure.read(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    rooms = structure.within()
    circles = structure.circles()
    print(
        f"{len(rooms)} rooms at the root, {sum(map(len, rooms.values()))} arrows between them, {len(circles)} circles"
    )
    print(f"{len(structure.inside)} modules, {sum(map(len, structure.inside.values()))} arrows between them")
    for circle in circles:
        print("circle:", ", ".join(circle))
    for folder in structure.folders:
        print(f"{folder or PACKAGE}: {len(structure.within(folder))}")


if __name__ == "__main__":
    main()
