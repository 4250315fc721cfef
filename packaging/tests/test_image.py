"""The OCI image: a valid layout, and its sensor captures unprivileged with NET_RAW alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cable import Cable
from support.doctor import FRAME, SETTINGS, doctor
from support.frames import START_NS, pcap
from support.program import ROOT
from support.sensor import Sensor

USER = "10001"


@pytest.fixture(scope="module")
def layout() -> dict[str, bytes]:
    """The files of the image by name."""
    subprocess.run(["make", "--no-print-directory", "image"], cwd=ROOT, check=True)
    found = {}
    with tarfile.open(ROOT / "build" / "otic-sensor.oci.tar") as members:
        for member in members:
            content = members.extractfile(member)
            assert content is not None, member.name
            found[member.name] = content.read()
    return found


def blob(layout: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """What a descriptor names; fails unless size and digest are right."""
    kind, _, digest = descriptor["digest"].partition(":")
    content = layout[f"blobs/{kind}/{digest}"]
    assert descriptor["size"] == len(content)
    assert digest == hashlib.new(kind, content).hexdigest()
    return content


def parts(layout: dict[str, bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """The configuration and the unpacked layers of the only image."""
    [told] = json.loads(layout["index.json"])["manifests"]
    manifest = json.loads(blob(layout, told))
    config = json.loads(blob(layout, manifest["config"]))
    layers = [gzip.decompress(blob(layout, layer)) for layer in manifest["layers"]]
    return config, layers


def test_every_digest_and_size_is_right(layout: dict[str, bytes]) -> None:
    """Index, manifest, configuration and layers name each other, and nothing else is there."""
    config, layers = parts(layout)
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]

    assert json.loads(layout["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert digests == config["rootfs"]["diff_ids"]
    assert 2 + 2 + len(layers) == len(layout)


def test_it_runs_the_sensor_as_nobody_special(layout: dict[str, bytes]) -> None:
    """An unprivileged user, the sensor as its program, its data in a volume."""
    config = parts(layout)[0]["config"]

    assert f"{USER}:{USER}" == config["User"]
    assert config["Entrypoint"] == ["/opt/otic/bin/otic"]
    assert config["Cmd"][0] == "sensor"
    assert list(config["Volumes"]) == ["/var/lib/otic"]


@pytest.fixture
def unpacked(layout: dict[str, bytes]) -> Iterator[Path]:
    """The image's root, as a container program makes it."""
    if os.getuid() != 0:
        pytest.skip("the kernel withholds file capabilities from users")
    with tempfile.TemporaryDirectory(prefix="otic-image-") as path:
        Path(path).chmod(0o755)
        for layer in parts(layout)[1]:
            command = ["tar", "-C", path, "--xattrs", "--xattrs-include=*", "-xpf", "-"]
            subprocess.run([*command, "--exclude=./dev/*"], input=layer, check=True)
        yield Path(path)


def test_its_sensor_captures_with_net_raw_alone(
    unpacked: Path, silent_cable: Cable, tmp_path: Path
) -> None:
    """Every frame is read by that user; the running capture cannot transmit."""
    cable, data = silent_cable, unpacked / "var/lib/otic"
    proc = unpacked / "proc"
    # As a container has it: /proc, /dev/null and randomness, and the right only as a bound.
    mount = f"mount -t proc proc {proc} && mount --rbind /dev {unpacked / 'dev'} && "
    rights = ("--reuid", USER, "--regid", USER, "--clear-groups", "--bounding-set", "-all,+net_raw")
    inside = ["chroot", str(unpacked), "setpriv", *rights, "/opt/otic/bin/otic"]
    command = ["sh", "-c", f'{mount} exec "$@"', "sh", *inside]
    enter = cable.enter(cable.sensor, *command)
    sensor = Contained(data, SETTINGS, enter, [])
    try:
        frames = tmp_path / "frames.pcap"
        frames.write_bytes(pcap([(START_NS, FRAME)] * 100))
        cable.send(frames)
        sensor.until(lambda: sensor.frames() == 100)

        assert os.stat(sensor.folder.database).st_uid == int(USER)
        code, proof = doctor(cable.enter(cable.sensor), "--data", data, "--proof")
        assert (code, proof["cannot_transmit"]) == (0, "yes"), proof["reasons"]
    finally:
        sensor.stop()
        sensor.close()


class Contained(Sensor):
    """A sensor that calls its data folder as it is named inside the image."""

    def arguments(self) -> list[str]:
        return ["sensor", "--data", "/var/lib/otic"]
