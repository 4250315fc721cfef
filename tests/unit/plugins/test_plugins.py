"""Plug-ins: what a manifest must say, what the worker does, and what comes of their failures."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from otic.errors import PluginError
from otic.plugins import read, read_all
from otic.plugins.pool import FAILURES, Pool

MANIFEST = """
name = "acme-card"
version = "1"
payloads = ["acme-card"]
entry-point = "acme:read"
deadline-ms = {deadline}
"""


def folder_with(folder: Path, code: str, deadline: int = 2000) -> Path:
    (folder / "plugin.toml").write_text(MANIFEST.format(deadline=deadline))
    (folder / "acme.py").write_text(textwrap.dedent(code))
    return folder


@pytest.fixture
def pool_of(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    made = []

    def make(code: str, **options: int) -> Pool:
        pool = Pool([read(folder_with(tmp_path, code, **options))])
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.close()


def ask(pool: Pool, data: bytes = b"model=M-3", kind: str = "acme-card") -> list[object]:
    return [row for row, _ in pool.read(kind, "acme", data)]


SPLIT = """
    def read(kind, protocol, data):
        print("what a plug-in prints is not an answer")
        key, _, value = data.decode().partition("=")
        yield key, value
        yield protocol, kind, "low"
"""


def test_its_rows_come_back(pool_of: Callable[..., Pool]) -> None:
    pool = pool_of(SPLIT)

    assert ask(pool) == [("model", "M-3", "medium"), ("acme", "acme-card", "low")]
    assert pool.read("other-kind", "acme", b"model=M-3") == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def read(kind, protocol, data): return [('Model', 'M-3')]", "'Model'"),
        ("def read(kind, protocol, data): return [('model', 'M', 'sure')]", "'sure'"),
        ("def read(kind, protocol, data): return [('model', 3)]", "3 is no text"),
        ("def read(kind, protocol, data): return data[99]", "IndexError"),
        ("import os\ndef read(kind, protocol, data): os._exit(3)", "the worker ended"),
        ("def read(kind, protocol, data): return bytearray(1 << 33)", "MemoryError"),
        (
            "def read(kind, protocol, data): open('left-behind', 'wb', 0).write(b'x')",
            "File too large",
        ),
        ("import nothing_like_this\ndef read(*_): return []", "ModuleNotFoundError"),
        ("def other(kind, protocol, data): return []", "has no attribute 'read'"),
    ],
)
def test_a_failure_gives_nothing_and_says_why(
    pool_of: Callable[..., Pool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with capture_logs() as logs:
        assert ask(pool_of(code)) == []

    assert [log["event"] for log in logs][:1] == ["plugin_failed"]
    assert reason in logs[0]["reason"]


SLOW = """
    import time
    def read(kind, protocol, data):
        if data == b"slow":
            while True:
                time.sleep(1)
        return [("model", data.decode())]
"""


def test_one_that_is_too_slow_is_killed_and_the_next_payload_is_read(
    pool_of: Callable[..., Pool],
) -> None:
    pool = pool_of(SLOW, deadline=300)
    assert ask(pool, b"one")
    worker = pool._worker
    assert worker is not None

    with capture_logs() as logs:
        assert ask(pool, b"slow") == []

    assert "no answer after 0.3 s" in logs[0]["reason"]
    assert worker.returncode == -9
    assert ask(pool, b"two") == [("model", "two", "medium")]


def test_one_that_keeps_failing_is_left_out(pool_of: Callable[..., Pool]) -> None:
    pool = pool_of("import os\ndef read(kind, protocol, data): os._exit(1)")

    with capture_logs() as logs:
        for number in range(FAILURES + 2):
            assert ask(pool, b"%d" % number) == []

    assert [log["event"] for log in logs].count("plugin_failed") == FAILURES
    assert "plugin_left_out" in [log["event"] for log in logs]
    assert pool._worker is None


def test_the_same_payload_is_asked_about_once(pool_of: Callable[..., Pool]) -> None:
    pool = pool_of(
        """
        calls = []
        def read(kind, protocol, data):
            calls.append(data)
            return [("count", str(len(calls)))]
        """
    )

    assert ask(pool, b"a") == ask(pool, b"a") == [("count", "1", "medium")]
    assert ask(pool, b"b") == [("count", "2", "medium")]


def test_the_worker_sees_no_environment_and_ends_with_its_children(
    pool_of: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTIC_SECRET", "hidden")
    pool = pool_of(
        """
        import os, subprocess
        def read(kind, protocol, data):
            child = subprocess.Popen(["/bin/sleep", "600"])
            return [("secret", os.environ.get("OTIC_SECRET", "none")), ("child", str(child.pid))]
        """
    )

    secret, child = ask(pool)
    assert secret == ("secret", "none", "medium")
    assert isinstance(child, tuple)
    pool.close()
    for _ in range(100):
        if not _runs(int(child[1])):
            break
        time.sleep(0.05)
    assert not _runs(int(child[1]))


def _runs(pid: int) -> bool:
    """Whether a process runs: one that ended may wait for its parent."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("", "missing required field"),
        (MANIFEST.format(deadline=0), "deadline-ms"),
        (MANIFEST.format(deadline=1) + "more = 1", "more"),
        (MANIFEST.format(deadline=1).replace("acme-card", "Acme"), "lower-case"),
        (MANIFEST.format(deadline=1).replace("acme:read", "acme"), "module:function"),
        (MANIFEST.format(deadline=1).replace("acme:read", "../acme:read"), "module:function"),
        (MANIFEST.format(deadline=1).replace("acme:read", "other:read"), "no other.py"),
        ("payloads = [", "plugin.toml"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, manifest: str, reason: str) -> None:
    folder_with(tmp_path, "def read(*_): return []")
    (tmp_path / "plugin.toml").write_text(manifest)

    with pytest.raises(PluginError) as caught:
        read(tmp_path)

    assert reason in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_two_of_a_name_and_none_at_all_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        folder_with(folder, "def read(*_): return []")

    with pytest.raises(PluginError, match="as well"):
        read_all([os.fspath(one), os.fspath(two)])
    with pytest.raises(PluginError, match="No such file"):
        read_all([os.fspath(tmp_path / "three")])
