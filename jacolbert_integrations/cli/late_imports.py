"""Packages that a search imports for nothing: in the process of a command they load when something of them is used.

sentence-transformers imports scikit-learn, SciPy, datasets and accelerate, for its trainers and evaluations;
transformers imports torch's compiler, and what shares a model among machines. That is a third of the processor time of
a search. So a command that trains and measures nothing has modules in their place that hand out :class:`LateName` for
whatever is imported from them. The first use of a name (a call, an attribute, a subclass) ends that for all of them,
since compiled modules of one may want another's in earnest: from then on names stand for what they name, and imports
are those of Python. And transformers is told that this process is one of one: as where torch
was built without torch.distributed, it then imports nothing of it.

Only the process of such a command does that, before it imports anything else; the library never does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, version
from threading import RLock
from types import ModuleType
from typing import Any, Optional

LATE = ("accelerate", "datasets", "scipy", "sklearn", "torch._dynamo")
"""The packages, with all that is in them."""

_MARKS = {"torch._dynamo": {"allow_in_graph", "assume_constant_result", "disable"}}
"""Decorators that tell torch's compiler, and nobody else, something of a function, which they leave as it is."""


_ASKED_BY_TYPING = {"__origin__", "__parameters__", "__typing_is_unpacked_typevartuple__", "__typing_subst__"}
"""What typing asks of a class in an annotation, and no class has."""

_ASKED_IN_EARNEST = {"__all__", "__pyx_capi__"}
"""What an import of all names, and a compiled module, ask a module for."""


class LateName:
    """What an import from a late package gave: it becomes what it names when it is used."""

    def __init__(self, finder: LateFinder, module: str, name: str) -> None:
        self.__dict__["_late"] = (finder, module, name)

    def _use(self) -> Any:
        finder, module, name = self.__dict__["_late"]
        if "_loaded" not in self.__dict__:
            finder.load()
            try:
                found = getattr(importlib.import_module(module), name)
            except AttributeError as error:
                raise ImportError(f"cannot import name {name!r} from {module!r}", name=module) from error
            self.__dict__["_loaded"] = found
        return self.__dict__["_loaded"]

    def _is_late(self) -> bool:
        finder, module, _ = self.__dict__["_late"]
        return bool(finder.is_late(module))

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: D102
        finder, module, name = self.__dict__["_late"]
        if name in _MARKS.get(module, ()) and finder.is_late(module):
            return arguments[0] if arguments and arguments[0] is not None else lambda function: function
        return self._use()(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        if name in _ASKED_BY_TYPING and self._is_late():
            raise AttributeError(name)
        return getattr(self._use(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._use(), name, value)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._use(),)

    def __instancecheck__(self, instance: object) -> bool:
        # Of a class that nobody has loaded there are no instances.
        finder, module, _ = self.__dict__["_late"]
        return not finder.is_late(module) and isinstance(instance, self._use())

    def __subclasscheck__(self, kind: type) -> bool:
        finder, module, _ = self.__dict__["_late"]
        return not finder.is_late(module) and issubclass(kind, self._use())

    def __getitem__(self, key: Any) -> Any:
        return self._use()[key]

    def __iter__(self) -> Any:
        return iter(self._use())

    def __or__(self, other: Any) -> Any:
        # An annotation, such as `ProcessGroup | None`, is no use: typing has a form for it that loads nothing.
        return Optional[self] if other is None and self._is_late() else self._use() | other  # noqa: UP045

    def __ror__(self, other: Any) -> Any:
        return Optional[self] if other is None and self._is_late() else other | self._use()  # noqa: UP045

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LateName):
            return bool(self.__dict__["_late"][1:] == other.__dict__["_late"][1:])
        if self._is_late() and (isinstance(other, type) or type(other).__module__ == "typing"):
            return False  # of a class that nobody has loaded nobody has another name
        return bool(self._use() == other)

    def __hash__(self) -> int:
        return hash(self.__dict__["_late"][1:])

    def __repr__(self) -> str:
        _, module, name = self.__dict__["_late"]
        return f"<{module}.{name}, which loads when it is used>"


class LateModule(ModuleType):
    """A module of a late package, until that is loaded."""

    def __init__(self, finder: LateFinder, name: str) -> None:
        super().__init__(name)
        self.__dict__["_finder"] = finder

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            try:
                return version(self.__name__)
            except PackageNotFoundError:
                pass
        finder = self.__dict__["_finder"]
        if name in _ASKED_IN_EARNEST:
            finder.load()
        if not finder.is_late(self.__name__):
            return getattr(importlib.import_module(self.__name__), name)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return LateName(finder, self.__name__, name)


class LateFinder:
    """A finder of modules, on :data:`sys.meta_path`, and the loader of those that it finds."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._late = set(packages)
        self._lock = RLock()

    def is_late(self, module: str) -> bool:
        """Says whether a module is of a package that has not been loaded."""
        return self._package(module) is not None

    def load(self) -> None:
        """Ends it: no module stands in for another from now on, and whoever imports one imports it in earnest."""
        with self._lock:
            self._late.clear()
            for name, found in list(sys.modules.items()):
                if isinstance(found, LateModule):
                    del sys.modules[name]
                    parent, _, own = name.rpartition(".")
                    if isinstance(vars(sys.modules.get(parent, sys)).get(own), LateModule):
                        delattr(sys.modules[parent], own)

    def find_spec(self, name: str, path: Sequence[str] | None = None, _: object = None) -> ModuleSpec | None:
        """Finds the module that stands in for a late one; a package that is not installed is not found."""
        if name == "transformers":
            _work_alone()
        package = self._package(name)
        if package is None or (name == package and PathFinder.find_spec(name, path) is None):
            return None
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Makes the module that stands in."""
        return LateModule(self, spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Runs nothing: that is the point."""

    def _package(self, module: str) -> str | None:
        return next((package for package in self._late if self._within(module, package)), None)

    @staticmethod
    def _within(module: str, package: str) -> bool:
        return module == package or module.startswith(f"{package}.")


def import_late(packages: Sequence[str] = LATE) -> LateFinder:
    """Has packages of this process load when something of them is used; those that are loaded already stay.

    Args:
        packages: Their names; of a package's own, dotted.

    Returns:
        What finds them now, at the head of :data:`sys.meta_path`.
    """
    finder = LateFinder([package for package in packages if package not in sys.modules])
    sys.meta_path.insert(0, finder)
    return finder


def _work_alone() -> None:
    """Has torch say that there is no torch.distributed, before transformers asks."""
    importlib.import_module("torch.distributed").__dict__["is_available"] = lambda: False
