"""Registries behind the three decorators, filled through entry points.

Built-in and foreign tasks, stages and datasets are found the same way: an entry point names a
module, importing it runs its decorators. A Python file named by the user does the same. This file
knows nothing of what is registered.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from .errors import UnknownName, UsageError

V = TypeVar("V")


class Registry(Generic[V]):
    """Named things of one kind."""

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._items: dict[str, V] = {}
        self._loaded = False

    def add(self, name: str, value: V) -> None:
        """Register, replacing an entry of the same name from a reloaded module.

        Raises:
            UsageError: the name is empty.
        """
        if not name:
            raise UsageError(f"A {self.kind} needs a name.")
        self._items[name] = value

    def all(self) -> dict[str, V]:
        """Everything registered, after importing every entry point once.

        Raises:
            UsageError: an installed plugin cannot be imported.
        """
        if not self._loaded:
            for point in entry_points(group=self.group):
                try:
                    point.load()
                except Exception as error:
                    raise UsageError(
                        f"The {self.kind} plugin '{point.value}' cannot be imported "
                        f"({type(error).__name__}: {error}); mend or uninstall it."
                    ) from error
            self._loaded = True
        return dict(self._items)

    def get(self, name: str) -> V:
        """One entry.

        Raises:
            UnknownName: with the nearest name.
        """
        found = self._items.get(name) or self.all().get(name)
        if found is None:
            self.unknown(name, self._items)
        return found

    def unknown(self, name: str, known: Iterable[str], hint: str = "") -> NoReturn:
        """Raise the error for a name that is not there."""
        raise UnknownName.of(self.kind, name, known, hint)

    def from_file(self, path: str) -> list[V]:
        """Import a user's file and return what it registered.

        Raises:
            UsageError: the file is missing, cannot be imported, or registers nothing.
        """
        file = Path(path)
        if not file.is_file():
            raise UsageError(f"There is no file '{path}' to load a {self.kind} from.")
        before = dict(self._items)
        name = f"waterbed_user_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise UsageError(
                f"'{path}' cannot be imported ({type(error).__name__}: {error}); run it with python to "
                "see where."
            ) from error
        added = [v for k, v in self._items.items() if before.get(k) is not v]
        if not added:
            raise UsageError(f"'{path}' registers no {self.kind}; decorate a class in it.")
        return added
