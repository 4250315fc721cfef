"""The service file: what it grants is enough for a sensor, and no more is granted."""

from __future__ import annotations

import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cable import Cable
from support.doctor import FRAME, SETTINGS, doctor
from support.frames import START_NS, pcap
from support.program import ROOT
from support.sensor import Sensor

UNIT = ROOT / "packaging" / "systemd" / "otic-sensor.service"
NOBODY = "65534"


def unit() -> dict[str, list[str]]:
    """The lines of the service file by key."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def as_service(cable: Cable) -> list[str]:
    """A command in front of the sensor's: an unprivileged user with the unit's rights only."""
    said = unit()
    [bounding], [ambient] = said["CapabilityBoundingSet"], said["AmbientCapabilities"]
    rights = ["-all", *(f"+{one.removeprefix('CAP_').lower()}" for one in ambient.split())]
    bound = ["-all", *(f"+{one.removeprefix('CAP_').lower()}" for one in bounding.split())]
    assert ["yes"] == said["NoNewPrivileges"]
    return [
        *cable.enter(cable.sensor, "setpriv", "--reuid", NOBODY, "--regid", NOBODY),
        *("--clear-groups", "--no-new-privs", "--bounding-set", ",".join(bound)),
        *("--inh-caps", ",".join(rights), "--ambient-caps", ",".join(rights)),
    ]


def held(process: int | None) -> int:
    """The capabilities that a process has or may use."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    sets = dict(line.split(":\t", 1) for line in lines if line.startswith("Cap"))
    return int(sets["CapEff"], 16) | int(sets["CapPrm"], 16) | int(sets["CapAmb"], 16)


def command() -> list[str]:
    """`otic` under Debian's Python: the one of the tests may be where only root can go."""
    places = [str(ROOT / "src"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    path = f"PYTHONPATH={':'.join(dict.fromkeys(places))}"
    return ["env", path, "PYTHONDONTWRITEBYTECODE=1", "/usr/bin/python3", "-m", "otic"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A data folder that everyone may write."""
    with tempfile.TemporaryDirectory(prefix="otic-service-") as path:
        Path(path).chmod(0o755)
        folder = Path(path) / "data"
        folder.mkdir()
        folder.chmod(0o777)
        yield folder


def test_a_sensor_captures_with_the_rights_of_the_service(
    silent_cable: Cable, open_folder: Path, tmp_path: Path
) -> None:
    """It reads every frame, proves that it cannot transmit, and its processes hold no right."""
    cable = silent_cable
    sensor = Sensor(open_folder, SETTINGS, as_service(cable), command())
    try:
        frames = tmp_path / "frames.pcap"
        frames.write_bytes(pcap([(START_NS, FRAME)] * 100))
        cable.send(frames)
        sensor.until(lambda: sensor.frames() == 100)

        names = ("capture", "analysis", "web")
        assert dict.fromkeys(names, 0) == {name: held(sensor.process_id(name)) for name in names}
        code, proof = doctor(cable.enter(cable.sensor), "--data", open_folder, "--proof")
        assert (0, "yes") == (code, proof["cannot_transmit"]), proof["reasons"]
    finally:
        sensor.stop()
        sensor.close()


def test_the_service_is_told_how_the_sensor_is() -> None:
    """It says that it is ready and alive, refuses settings by code 2, and knows its folders."""
    said = unit()

    assert ["notify"] == said["Type"]
    assert 10 <= int(said["WatchdogSec"][0])
    assert ["always"] == said["Restart"]
    assert ["2"] == said["RestartPreventExitStatus"]
    assert ["otic"] == said["User"] == said["StateDirectory"]
    assert "--data /var/lib/otic --config /etc/otic/otic.toml" in said["ExecStart"][0]
    assert {"AF_PACKET", "AF_INET", "AF_INET6", "AF_UNIX"} == set(
        said["RestrictAddressFamilies"][0].split()
    )
