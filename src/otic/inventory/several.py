"""Several values by key, for the many keys that have one."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", bound=Hashable)


class Several(Generic[_K, _V]):
    """Sets of values by key. A key without values takes no room, one value takes no set.

    Asking for an unknown key gives nothing and changes nothing.
    """

    def __init__(self) -> None:
        self._known: dict[_K, _V | set[_V]] = {}

    def __getitem__(self, key: _K) -> Collection[_V]:
        """The values of a key, as they are now: not to be kept while values are added."""
        found = self._known.get(key)
        if found is None:
            return ()
        return found if isinstance(found, set) else (found,)

    def __contains__(self, key: _K) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[_K]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: _K, value: _V) -> None:
        """One more value of a key."""
        found = self._known.setdefault(key, value)
        if isinstance(found, set):
            found.add(value)
        elif found != value:
            self._known[key] = {found, value}

    def discard(self, key: _K, value: _V) -> None:
        """One value less, where it is there."""
        found = self._known.get(key)
        if isinstance(found, set):
            found.discard(value)
            if len(found) == 1:
                (self._known[key],) = found
        elif found is not None and found == value:
            del self._known[key]

    def pop(self, key: _K) -> Collection[_V]:
        """The values of a key, which are forgotten."""
        found = self[key]
        self._known.pop(key, None)
        return found
