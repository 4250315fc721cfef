"""The Debian package: what is in it, that it runs where it is unpacked, and what removal leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.doctor import FRAME
from support.frames import START_NS, pcap
from support.program import ROOT

DATABASES = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow")
DPKG = ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/parts")


def run(*command: object, code: int = 0, **variables: str) -> str:
    """What a command prints, with nothing of the tests' surroundings."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables},
    )
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree's package, which stays when it is built again."""
    subprocess.run(["make", "--no-print-directory", "deb"], cwd=ROOT, check=True)
    [made] = (ROOT / "build").glob("otic_*.deb")
    return Path(shutil.copy(made, tmp_path_factory.mktemp("package")))


class Root:
    """A root of its own for dpkg, with nothing but what dpkg and useradd read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in (*DPKG, "etc", "var/lib/otic"):
            (path / name).mkdir(parents=True, exist_ok=True)
        for name in (*DATABASES, "var/lib/dpkg/status", "var/lib/dpkg/available"):
            (path / name).touch()

    def dpkg(self, *words: object) -> None:
        """Runs dpkg there; the dependencies are this machine's."""
        alone = [] if os.getuid() == 0 else ["unshare", "--map-root-user"]
        forced = ("--force-script-chrootless", "--force-depends")
        command = (*alone, "dpkg", f"--root={self.path}", f"--log={self.path}/log", *forced)
        run(*command, *words)

    def otic(self, *words: object, code: int = 0) -> str:
        """Runs the installed program."""
        return run(self.path / "opt/otic/bin/python", "-I", "-m", "otic", *words, code=code)


@pytest.fixture(scope="module")
def root(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A root in which the package is installed."""
    made = Root(tmp_path_factory.mktemp("root"))
    if os.getuid() != 0 and subprocess.run(["unshare", "--map-root-user", "true"]).returncode:
        pytest.skip("the kernel withholds user namespaces")
    made.dpkg("--install", package)
    return made


def test_the_package_says_what_it_is(package: Path) -> None:
    """It needs Debian 12's Python and libpcap, belongs to root, and its settings are a conffile."""
    control = run("dpkg-deb", "--field", package)
    listed = run("dpkg-deb", "--contents", package)

    assert "Depends: python3.11, libpcap0.8" in control
    assert {"root/root"} == {line.split()[1] for line in listed.splitlines()}
    assert run("dpkg-deb", "--info", package, "conffiles").strip() == "/etc/otic/otic.toml"
    for name in (
        "./lib/systemd/system/otic-sensor.service",
        "./usr/bin/otic -> /opt/otic/bin/otic",
    ):
        assert name in listed


def test_it_holds_no_path_of_the_machine_that_built_it(root: Root) -> None:
    """Neither a program nor a text names the folder of the sources."""
    for path in root.path.glob("opt/otic/**/*"):
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            assert str(ROOT).encode() not in path.read_bytes(), path


def test_the_installed_program_reads_a_capture(root: Root, tmp_path: Path) -> None:
    """Alone, with nothing of the sources: its version, and the devices of a capture."""
    capture = tmp_path / "made.pcap"
    capture.write_bytes(pcap([(START_NS, FRAME)]))
    document = json.loads(root.otic("replay", capture, "--format", "json"))

    assert "0." in root.otic("--version")
    assert document["devices"]
    where = run(root.path / "opt/otic/bin/python", "-I", "-c", "import otic; print(otic.__file__)")
    assert where.startswith(str(root.path))


def test_installing_makes_the_user_and_starts_nothing(root: Root) -> None:
    """The service is not switched on, and the settings as they come name nothing to capture."""
    passwd = (root.path / "etc/passwd").read_text()
    assert passwd.startswith("otic:")
    assert passwd.rstrip().endswith(":/var/lib/otic:/usr/sbin/nologin")
    assert list(root.path.glob("etc/systemd/system/**/*.service")) == []

    config = root.path / "etc/otic/otic.toml"
    findings = json.loads(root.otic("doctor", "--config", config, "--format", "json", code=1))
    assert "names no [[interface]] to listen on" in json.dumps(findings)


def test_the_service_may_write_its_settings(root: Root) -> None:
    """The console sets the sensor up as the user `otic`: file and folder are that user's."""
    entry = next(
        line.split(":")
        for line in (root.path / "etc/passwd").read_text().splitlines()
        if line.startswith("otic:")
    )
    for path in (root.path / "etc/otic", root.path / "etc/otic/otic.toml"):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (int(entry[2]), int(entry[3])), path


def test_removal_keeps_the_data_and_purge_does_not(package: Path, tmp_path: Path) -> None:
    """What was learned stays until someone says purge; the program goes at once."""
    root = Root(tmp_path / "root")
    root.dpkg("--install", package)
    kept = root.path / "var/lib/otic/store.db"
    kept.write_bytes(b"learned")
    root.dpkg("--remove", "otic")

    assert kept.exists()
    assert (root.path / "etc/otic/otic.toml").exists()
    assert not (root.path / "opt/otic").exists()

    root.dpkg("--purge", "otic")
    assert not kept.exists()
    assert not (root.path / "etc/otic").exists()
