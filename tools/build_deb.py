"""Builds build/otic_<version>_<architecture>.deb for Debian 12, with dpkg-deb alone.

Under /opt/otic stands a virtual environment of Debian's python3.11 with the wheel of this tree and
the packages it needs, in the versions and with the hashes of requirements.lock.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
TREE = BUILD / "deb"
PACKAGING = ROOT / "packaging"
PYTHON = "3.11"
HOME = "opt/otic"

CONTROL = """\
Package: otic
Version: {version}
Architecture: {architecture}
Maintainer: The Otic project <maintainers@otic.invalid>
Installed-Size: {kib}
Depends: python{python}, libpcap0.8, libc6 (>= 2.34), passwd
Recommends: iproute2, ethtool
Section: net
Priority: optional
Description: Passive security monitoring for OT and IoT networks
 Otic listens to an OT or IoT network and never speaks on it. From copied
 traffic it says which devices there are, what they do to each other, and
 what just changed that should not have.
"""

PROGRAM = f"""\
#!/{HOME}/bin/python -I
from otic.cli import main

main()
"""

PYVENV = f"""\
home = /usr/bin
include-system-site-packages = false
version = {PYTHON}
"""


def run(*command: str | Path, **variables: str) -> str:
    """Runs a command; what it prints. Ends the program in one line when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **variables},
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        sys.exit(f"otic: {Path(command[0]).name} failed: {' '.join(last)}")
    return done.stdout


def wheel() -> Path:
    """The wheel of this tree."""
    folder = BUILD / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    maturin = Path(sys.executable).with_name("maturin")
    run(maturin, "build", "--release", "--locked", "--quiet", "--out", folder)
    [made] = folder.glob("otic-*.whl")
    return made


def needed() -> set[str]:
    """Names of the packages that Otic needs to run, and those that they need."""
    found: set[str] = set()
    waiting = ["otic"]
    while waiting:
        for line in requires(waiting.pop()) or ():
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and name not in found:
                found.add(name)
                waiting.append(name)
    return found


LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==.*(?:\n    .*)*", re.M)


def locked(names: set[str]) -> str:
    """The lines of requirements.lock about these packages."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    rows = {canonicalize_name(row[1]): row[0] for row in LOCKED.finditer(lock)}
    if missing := names - rows.keys():
        sys.exit(f"otic: requirements.lock lacks {', '.join(sorted(missing))}: make lock")
    return "\n".join(rows[name] for name in sorted(names)) + "\n"


def environment(made: Path) -> None:
    """The virtual environment; made by hand, because it will stand elsewhere than it is built."""
    home = TREE / HOME
    packages = home / "lib" / f"python{PYTHON}" / "site-packages"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(f"/usr/bin/python{PYTHON}")
    (home / "pyvenv.cfg").write_text(PYVENV)
    program = home / "bin" / "otic"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    lock = BUILD / "deb.lock"
    lock.write_text(locked(needed()))
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    install += ("--no-compile", "--target", str(packages))
    run(sys.executable, *install, "--only-binary", ":all:", "--require-hashes", "-r", lock)
    run(sys.executable, *install, "--no-index", made)
    # Programs of those packages, with this machine's paths in them; nobody calls them.
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for direct in packages.glob("*.dist-info/direct_url.json"):
        direct.unlink()
    [told] = packages.glob("otic-*.dist-info")
    # The bill of materials names where the sources stood; dpkg's md5sums replace pip's record.
    for bill in told.glob("sboms/*.json"):
        bill.write_text(bill.read_text().replace(str(ROOT), "/usr/src/otic"))
    (told / "RECORD").unlink()


def place(source: Path, target: str, mode: int = 0o644) -> None:
    """Puts a file into the tree."""
    path = TREE / target
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    path.chmod(mode)


def files() -> list[Path]:
    """What the package installs."""
    return sorted(
        path
        for path in TREE.rglob("*")
        if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.parts
    )


@contextmanager
def alone() -> Iterator[None]:
    """Waits until nobody else builds a package or an image of this tree."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Builds the package and says where it is and how large."""
    if sys.version_info[:2] != (3, 11):
        sys.exit(
            f"otic: the package is for Python {PYTHON} (Debian 12): make PYTHON=python{PYTHON}"
        )
    if shutil.which("dpkg-deb") is None:
        sys.exit("otic: dpkg-deb is missing: the package can be built on Debian only")
    shutil.rmtree(TREE, ignore_errors=True)
    environment(wheel())
    place(PACKAGING / "systemd" / "otic-sensor.service", "lib/systemd/system/otic-sensor.service")
    place(PACKAGING / "debian" / "otic.toml", "etc/otic/otic.toml")
    place(ROOT / "LICENSE", "usr/share/doc/otic/copyright")
    changelog = TREE / "usr/share/doc/otic/changelog.gz"
    changelog.write_bytes(gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0))
    (TREE / "usr/bin").mkdir(parents=True)
    (TREE / "usr/bin/otic").symlink_to(f"/{HOME}/bin/otic")
    architecture = run("dpkg", "--print-architecture").strip()
    control = CONTROL.format(
        version=version("otic"),
        architecture=architecture,
        kib=sum(path.stat().st_size for path in files()) // 1024,
        python=PYTHON,
    )
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"
        f"  {path.relative_to(TREE)}\n"
        for path in files()
    ]
    (TREE / "DEBIAN").mkdir()
    (TREE / "DEBIAN" / "control").write_text(control)
    (TREE / "DEBIAN" / "conffiles").write_text("/etc/otic/otic.toml\n")
    (TREE / "DEBIAN" / "md5sums").write_text("".join(sums))
    for name in ("postinst", "prerm", "postrm"):
        place(PACKAGING / "debian" / name, f"DEBIAN/{name}", 0o755)
    package = BUILD / f"otic_{version('otic')}_{architecture}.deb"
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    run("dpkg-deb", "--root-owner-group", "--build", TREE, package, SOURCE_DATE_EPOCH=epoch)
    installed = sum(path.stat().st_size for path in files())
    size = package.stat().st_size
    print(f"{package.relative_to(ROOT)}: {size / 1e6:.1f} MB, installed {installed / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    with alone():
        sys.exit(main())
