"""Several values by key are sets by key, whatever is added and taken away."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from otic.inventory.several import Several

STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "add", "discard", "pop")), st.integers(0, 2), st.integers(0, 12)
    ),
    max_size=120,
)


@given(STEPS)
def test_it_is_a_dictionary_of_sets(steps: list[tuple[str, int, int]]) -> None:
    """The same values as in sets; keys without values are not there."""
    several: Several[int, int] = Several()
    sets: dict[int, set[int]] = defaultdict(set)
    for step, key, value in steps:
        if step == "pop":
            assert sets.pop(key, set()) == set(several.pop(key))
        else:
            getattr(several, step)(key, value)
            getattr(sets[key], step)(value)
        known = {key: values for key, values in sets.items() if values}
        assert known.keys() == set(several)
        assert len(known) == len(several)
        assert all((key in several) == (key in known) for key in range(3))
        assert all(sets[key] == set(several[key]) for key in range(3))
        assert all(len(sets[key]) == len(several[key]) for key in range(3))


def test_asking_changes_nothing() -> None:
    """A key that was asked for is not known by that."""
    several: Several[str, str] = Several()
    assert not several["a"]
    assert "a" not in several
