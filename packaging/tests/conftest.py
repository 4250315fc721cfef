"""Makes the support modules of tests/ importable from here.

These tests build the packages, which asks mirrors for a Debian root and for Python packages, so
they are no part of `make test`: `make test-packages` and `make soak` run them.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from support.cables import silent_cable  # noqa: E402

__all__ = ["silent_cable"]
