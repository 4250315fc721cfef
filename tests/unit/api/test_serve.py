"""The server: address, certificate, ports, the first password."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509

from otic.api.app import serve
from otic.api.certificate import certificate
from otic.errors import ServeError
from otic.plant import demo
from otic.store.queries.common import Store


def test_the_certificate_is_kept_and_its_key_is_private(tmp_path):
    """Browsers see the same certificate after a restart; only the owner reads the key."""
    first = certificate(tmp_path / "keys", "127.0.0.1")
    assert certificate(tmp_path / "keys", "127.0.0.1") == first
    assert os.stat(first.key).st_mode & 0o077 == 0
    made = x509.load_pem_x509_certificate(Path(first.certificate).read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "127.0.0.1" in {str(name.value) for name in names}
    assert certificate(tmp_path / "keys", "10.1.2.3").fingerprint != first.fingerprint


def test_a_taken_port_is_one_clear_line(database):
    """Nobody has to read a traceback to learn that a port is in use."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServeError, match="cannot listen on"):
            serve(Store(database), keys=database.with_name("keys"), port=taken.getsockname()[1])


def test_replay_serve_over_tls_and_a_taken_port(tmp_path):
    """`otic replay --serve` prints address and first password once; a second one is refused."""
    capture = tmp_path / "demo.pcapng"
    demo.write(capture)
    command = [sys.executable, "-m", "otic", "replay", str(capture), "--database"]
    first = subprocess.Popen(
        [*command, str(tmp_path / "a.db"), "--serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout is not None
        port = 0
        for line in first.stdout:
            if found := re.match(r"Console: https://127\.0\.0\.1:(\d+)/", line):
                port = int(found[1])
            if re.match(r"First log-in: name admin, password [a-z2-9-]{23}$", line):
                break
        assert port
        trusting = ssl.create_default_context(cafile=str(tmp_path / "a.db.keys" / "console.crt"))
        request = urllib.request.Request(f"https://127.0.0.1:{port}/api/session")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=trusting, timeout=20)
        assert refused.value.code == 401
        assert "max-age" in refused.value.headers["strict-transport-security"]
        second = subprocess.run(
            [*command, str(tmp_path / "b.db"), "--serve", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert f"port {port}" in second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(timeout=30)
    assert first.returncode == 0
