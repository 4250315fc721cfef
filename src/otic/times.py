"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(ts_ns: int) -> str:
    """A time as ISO 8601 in UTC with nanoseconds."""
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
