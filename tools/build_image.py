"""Builds build/otic-sensor.oci.tar, an OCI image (image-spec 1.1) without any container program.

Two layers: a small Debian 12 root, made by mmdebstrap, and the tree of the Debian package. The
image runs as an unprivileged user. Container programs give such a user no capability by itself, so
Otic's own copy of the interpreter carries CAP_NET_RAW as a file capability: it has that right where
the container may have it, and none where it may not.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import struct
import sys
import tarfile
from pathlib import Path

from build_deb import BUILD, HOME, PYTHON, ROOT, TREE, alone, run
from build_deb import main as build_deb

IMAGE = BUILD / "otic-sensor.oci.tar"
USER = 10001
DATA = "var/lib/otic"

PACKAGES = (f"python{PYTHON}", "libpcap0.8", "util-linux")
EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")

CAP_NET_RAW = 13
VFS_CAP_REVISION_2 = 0x0200_0000
VFS_CAP_EFFECTIVE = 1
"""`struct vfs_cap_data` of `linux/capability.h`."""

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def base(epoch: str) -> Path:
    """The Debian root as a tar file."""
    made = BUILD / "base.tar"
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    options.append("--dpkgopt=path-include=/usr/share/doc/*/copyright")
    options += ["--variant=essential", f"--include={','.join(PACKAGES)}"]
    run("mmdebstrap", *options, "bookworm", made, SOURCE_DATE_EPOCH=epoch)
    return made


def otic(python: bytes, epoch: int) -> bytes:
    """The layer of Otic: the package's tree, the interpreter with its right, the data folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as layer:

        def add(member: tarfile.TarInfo, content: bytes | None = None) -> None:
            member.mtime = epoch
            member.uname = member.gname = ""
            layer.addfile(member, None if content is None else io.BytesIO(content))

        for path in sorted(TREE.rglob("*")):
            name = str(path.relative_to(TREE))
            # Debian's /lib is a link to /usr/lib, which a folder of this layer would replace.
            if name.split("/")[0] in ("DEBIAN", "lib") or name == f"{HOME}/bin/python":
                continue
            member = layer.gettarinfo(path, name)
            member.uid = member.gid = 0
            add(member, path.read_bytes() if member.isreg() else None)
        member = tarfile.TarInfo(f"{HOME}/bin/python")
        member.size, member.mode = len(python), 0o755
        magic = VFS_CAP_REVISION_2 | VFS_CAP_EFFECTIVE
        right = struct.pack("<IIIII", magic, 1 << CAP_NET_RAW, 0, 0, 0)
        member.pax_headers = {"SCHILY.xattr.security.capability": right.decode("ascii")}
        add(member, python)
        folder = tarfile.TarInfo(DATA)
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o750, USER, USER
        add(folder)
    return out.getvalue()


class Layout:
    """An OCI image layout that grows in a tar file."""

    def __init__(self, out: tarfile.TarFile, epoch: int) -> None:
        self._out = out
        self._epoch = epoch

    def add(self, name: str, content: bytes) -> None:
        """A file of the layout."""
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = len(content), self._epoch, 0o644
        self._out.addfile(member, io.BytesIO(content))

    def blob(self, kind: str, content: bytes) -> dict[str, object]:
        """A blob; gives its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.add(f"blobs/sha256/{digest}", content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}


def image(layers: list[bytes], architecture: str, epoch: int) -> None:
    """Writes the image."""
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": [f"PATH=/{HOME}/bin:/usr/bin:/bin"],
            "Entrypoint": [f"/{HOME}/bin/otic"],
            "Cmd": ["sensor", "--data", f"/{DATA}", "--config", "/etc/otic/otic.toml"],
            "WorkingDir": f"/{DATA}",
            "Volumes": {f"/{DATA}": {}},
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers],
        },
    }
    with tarfile.open(IMAGE, "w", format=tarfile.PAX_FORMAT) as out:
        layout = Layout(out, epoch)
        layout.add("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": layout.blob(CONFIG, json.dumps(config).encode()),
            "layers": [layout.blob(LAYER, gzip.compress(one, 6, mtime=0)) for one in layers],
        }
        told = layout.blob(MANIFEST, json.dumps(manifest).encode())
        told["platform"] = {"architecture": architecture, "os": "linux"}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [told]}
        layout.add("index.json", json.dumps(index).encode())


def main() -> int:
    """Builds package and image, and says how large it is."""
    if shutil.which("mmdebstrap") is None:
        sys.exit("otic: mmdebstrap, which makes the image's Debian root, is missing: install it")
    build_deb()
    epoch = run("git", "log", "-1", "--format=%ct").strip()
    root = base(epoch)
    with tarfile.open(root) as members:
        interpreter = members.extractfile(f"./usr/bin/python{PYTHON}")
        if interpreter is None:
            sys.exit(f"otic: the Debian root lacks python{PYTHON}")
        python = interpreter.read()
    # OCI's names of processors are Debian's for those that Otic is built for (amd64, arm64).
    architecture = run("dpkg", "--print-architecture").strip()
    image([root.read_bytes(), otic(python, int(epoch))], architecture, int(epoch))
    print(f"{IMAGE.relative_to(ROOT)}: {IMAGE.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    with alone():
        sys.exit(main())
