"""docs/limits.md names every bound of the core with its value, and every counter."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")

ROWS = re.findall(r"\| ([^|]+) \| `(\w+)` in `([\w/.]+)` \|", PAGE)
"""Value, constant and file of each row that has a constant."""

BOUNDED = (
    "engine/src/shard.rs",
    "engine/src/conversation.rs",
    "engine/src/attempts.rs",
    "engine/src/holders.rs",
    "engine/src/lans.rs",
    "engine/src/merge.rs",
    "wire/src/defragment.rs",
    "wire/src/stream.rs",
)
"""Files in which every constant that counts something is a bound."""


def source(name: str) -> str:
    folder = ROOT / "src" if name.endswith(".py") else ROOT / "core"
    return (folder / name).read_text(encoding="utf-8")


def constants(name: str) -> dict[str, int]:
    """The constants of a source file that are whole numbers."""
    pattern = r"^(?:pub )?const (\w+): (?:usize|u32|u64) = ([^;]+);|^([A-Z_]+) = (\d+)$"
    found: dict[str, int] = {}
    for rust, value, python, number in re.findall(pattern, source(name), re.M):
        terms = (value or number).replace("_", " ").split()
        text = "".join(terms) if all(term.isdigit() for term in terms) else value
        found[rust or python] = evaluated(text, found)
    return found


def evaluated(text: str, known: dict[str, int]) -> int:
    """A number, a product or a shift of numbers and constants."""
    result = 1
    for factor in text.split("*"):
        low, _, shift = factor.strip().partition("<<")
        low = low.strip()
        number = known[low] if low in known else int(low.replace("_", ""))
        result *= number << int(shift or 0)
    return result


def test_every_value_is_that_of_the_code() -> None:
    """The page's numbers are the constants'."""
    assert len(ROWS) > 30
    for value, name, file in ROWS:
        assert constants(file)[name] == int(value.replace(",", "")), f"{name} in {file}"


def test_every_bound_has_its_row() -> None:
    """A constant that bounds what is kept is on the page."""
    told = {(name, file) for _, name, file in ROWS}
    for file in BOUNDED:
        for name in constants(file):
            assert (name, file) in told, f"{name} in {file} is not in docs/limits.md"


def test_every_counter_has_its_row() -> None:
    """What coverage counts as capped is on the page, and the page names nothing else."""
    counters = set(re.findall(r'"(packet-ring-[a-z]+)"', source("engine/src/live.rs")))
    for path in (ROOT / "core" / "engine" / "src").glob("*.rs"):
        counters |= set(re.findall(r'\.cap\("([a-z-]+)"\)', path.read_text(encoding="utf-8")))
    counters |= set(
        re.findall(r'capped = Some\("([a-z]+)"\)', source("engine/src/conversation.rs"))
    )
    counters |= set(re.findall(r'capped\["([a-z-]+)"\]', source("otic/journal/fold.py")))
    merger = source("engine/src/merge.rs")
    counters |= set(re.findall(r'capped\.entry\("([a-z-]+)"\)', merger))
    assert {"flows", "operations", "packet-ring-disk", "event-buckets"} <= counters
    for counter in counters:
        assert f"`{counter}`" in PAGE, counter
    causes = {"ring", "fragments-lost", "tcp-gap"}
    named = set(re.findall(r"`([a-z-]+)` \|$", PAGE, re.M))
    assert named - counters <= causes
    for cause in causes:
        files = (ROOT / "core").glob("*/src/*.rs")
        assert any(f'"{cause}"' in path.read_text(encoding="utf-8") for path in files), cause
