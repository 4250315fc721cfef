"""These tests run the real core and the real program."""

import pytest

pytest.importorskip("otic._core", reason="the core is not built: make install")
