"""These tests run the real core and the real program."""

import pytest

pytest.importorskip("otic._core", reason="the core is not built: make install")

from support.cables import silent_cable  # noqa: E402

__all__ = ["silent_cable"]
