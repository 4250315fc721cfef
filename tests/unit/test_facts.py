"""The facts on both sides of the border."""

import re
from pathlib import Path

import msgspec
import pytest

from otic import facts

RUST = Path(__file__).parents[2] / "core" / "engine" / "src" / "facts.rs"
STRUCT = re.compile(r"pub struct (\w+) \{\n(.*?)\n\}", re.S)
FIELD = re.compile(r"^    pub (?:r#)?(\w+):", re.M)


def test_every_fact_has_the_fields_of_the_core_in_its_order() -> None:
    """facts.rs and otic.facts name the same fields in the same order."""
    structs = dict(STRUCT.findall(RUST.read_text()))
    assert {"Batch", "Connection", "Tallies", "Capture"} <= structs.keys()

    for name, body in structs.items():
        python = getattr(facts, name)
        names = [field.name for field in msgspec.structs.fields(python)]

        assert FIELD.findall(body) == names, name


def test_a_newer_schema_is_refused() -> None:
    """A batch of a newer schema is not read half understood."""
    data = facts.encode(facts.Batch(facts.SCHEMA + 1, 0, 0, 0))

    with pytest.raises(msgspec.ValidationError, match="schema"):
        facts.decode_batch(data)
