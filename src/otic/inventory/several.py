"""Several values by key, for the many keys that have one."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", bound=Hashable)


FEW = 8
"""Up to so many values are in a list, which is smaller than a set."""

_HELD = (list, set)


class Several(Generic[_K, _V]):
    """Sets of values by key. A key without values takes no room, one value takes no set.

    Asking for an unknown key gives nothing and changes nothing.
    """

    def __init__(self) -> None:
        # Values can be hashed: a list or a set is never one of them.
        self._known: dict[_K, _V | list[_V] | set[_V]] = {}

    def __getitem__(self, key: _K) -> Collection[_V]:
        """The values of a key, as they are now: not to be kept while values are added."""
        found = self._known.get(key)
        if found is None:
            return ()
        return found if isinstance(found, _HELD) else (found,)

    def __contains__(self, key: _K) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[_K]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: _K, value: _V) -> None:
        """One more value of a key."""
        known = self[key]
        if value in known:
            return
        if isinstance(known, set):
            known.add(value)
        elif len(known) >= FEW:
            self._known[key] = {*known, value}
        else:
            self._known[key] = [*known, value] if known else value

    def discard(self, key: _K, value: _V) -> None:
        """One value less, where it is there."""
        known = self[key]
        if value not in known:
            return
        if isinstance(known, set):
            known.remove(value)
            if len(known) <= FEW // 2:
                self._known[key] = list(known)
            return
        left = [other for other in known if other != value]
        if len(left) > 1:
            self._known[key] = left
        elif left:
            self._known[key] = left[0]
        else:
            del self._known[key]

    def pop(self, key: _K) -> Collection[_V]:
        """The values of a key, which are forgotten."""
        found = self[key]
        self._known.pop(key, None)
        return found
