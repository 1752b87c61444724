"""A database of records that thousands of conversations share and each may change.

Tables map keys to JSON records. All conversations read the same tables; a record is copied when a
conversation first changes it, so that a conversation holds no more than what it changed. A change
belongs to a call and is kept only when the call succeeds. Not here: what the tables mean.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]
Tables: TypeAlias = Mapping[str, Mapping[str, Record]]


class Refused(Exception):
    """What a tool does not do; the sentence is what the model is told."""


class Database:
    """One conversation's view of shared tables, which are never written to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._changed: dict[tuple[str, str], Record] = {}
        self._under_way: dict[tuple[str, str], Record] = {}

    def read(self, table: str, key: Any, what: str) -> Record:
        """A record, which the caller must not change.

        Raises:
            Refused: there is none; names `what`.
        """
        found = self._find(table, key)
        if found is None:
            raise Refused(f"{what} not found")
        return found

    def has(self, table: str, key: Any) -> bool:
        """Whether there is such a record."""
        return self._find(table, key) is not None

    def _find(self, table: str, key: Any) -> Record | None:
        place = (table, key)
        for layer in (self._under_way, self._changed):
            if place in layer:
                return layer[place]
        return self._tables[table].get(key)

    def rows(self, table: str) -> Iterator[tuple[str, Record]]:
        """All records with their keys in the order of the table, new ones last; not to be changed."""
        base = self._tables[table]
        for key, record in base.items():
            yield key, self._find(table, key) or record
        layers = {**self._changed, **self._under_way}
        yield from (
            (key, own) for (name, key), own in layers.items() if name == table and key not in base
        )

    def edit(self, table: str, key: str, what: str) -> Record:
        """A record that the call under way may change.

        Raises:
            Refused: there is none; names `what`.
        """
        place = (table, key)
        if place not in self._under_way:
            self._under_way[place] = copy.deepcopy(self.read(table, key, what))
        return self._under_way[place]

    def add(self, table: str, key: str, record: Record) -> None:
        """A new record of the call under way."""
        self._under_way[table, key] = record

    def keep(self) -> None:
        """The call succeeded."""
        self._changed |= self._under_way
        self._under_way.clear()

    def discard(self) -> None:
        """The call failed: nothing of it stays."""
        self._under_way.clear()

    def changes(self) -> dict[tuple[str, str], str]:
        """What differs from the shared tables, by table and key.

        Equal changes of the same tables are equal databases: the text of a record is what tau-bench
        hashes of it.
        """
        shown = {place: str(ordered(record)) for place, record in self._changed.items()}
        return {
            place: text
            for place, text in shown.items()
            if text != str(ordered(self._tables[place[0]].get(place[1])))
        }


def ordered(value: Any) -> Any:
    """JSON as nested tuples, mappings sorted by key: the form in which tau-bench compares."""
    if isinstance(value, dict):
        return tuple((key, ordered(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return tuple(ordered(element) for element in value)
    return value
