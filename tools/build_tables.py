#!/usr/bin/env python3
"""Builds the vendor, product and technique tables in `src/otic/data` from a folder of public facts.

    build_tables.py INTEL_FOLDER

What comes from where is in `src/otic/data/SOURCES.md`. The same input gives the same bytes.
"""

import gzip
import json
import pathlib
import sys

import recog
import zstandard

DATA = pathlib.Path(__file__).resolve().parent.parent / "src" / "otic" / "data"


def rows(path: pathlib.Path) -> list[list[str]]:
    """The cells of a tab-separated file, plain or zstd."""
    raw = path.read_bytes()
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    return [line.split("\t") for line in raw.decode("utf-8").splitlines() if line.strip()]


def write(name: str, table: list[list[str]]) -> None:
    """Writes a table, packed when its name ends in `.gz` (without a time stamp inside)."""
    text = "".join("\t".join(cells) + "\n" for cells in table).encode()
    (DATA / name).write_bytes(gzip.compress(text, 9, mtime=0) if name.endswith(".gz") else text)
    print(f"{name}: {len(table)} rows")


def main() -> None:
    """Reads the folder named on the command line and writes all tables."""
    intel = pathlib.Path(sys.argv[1])
    aliases = {
        (source, spelling): maker for maker, source, spelling in rows(intel / "vendor-aliases.tsv")
    }

    def maker(source: str, spelling: str) -> str:
        return aliases.get((source, spelling), spelling)

    write(
        "oui.tsv.gz",
        sorted(
            [prefix, bits, maker("oui", name)] for prefix, bits, name in rows(intel / "oui.tsv.zst")
        ),
    )
    for source, path, name in (
        ("cip", "enip-vendors.tsv", "cip_vendors.tsv"),
        ("bacnet", "bacnet-vendors.tsv", "bacnet_vendors.tsv"),
        ("profinet", "profinet-vendors.tsv", "profinet_vendors.tsv"),
        ("pen", "iana-pen.tsv.zst", "enterprises.tsv.gz"),
    ):
        write(name, [[cells[0], maker(source, cells[1])] for cells in rows(intel / path)])
    write("cip_device_types.tsv", rows(intel / "enip-device-types.tsv"))
    write("order_prefixes.tsv", rows(intel / "order-prefixes.tsv"))
    write(
        "siemens_orders.tsv",
        [
            [cells[0].replace(" ", ""), cells[1]]
            for cells in rows(intel / "siemens-order-numbers.tsv")
        ],
    )
    write("profinet_devices.tsv", rows(intel / "profinet-devices.tsv"))
    spelled = {spelling: name for name, _, spelling in rows(intel / "vendor-aliases.tsv")}
    found, left_out = recog.rows(
        (intel / "recog.tar.zst").read_bytes(), lambda name: spelled.get(name, name)
    )
    write("fingerprints.tsv.gz", found)
    print("fingerprints left out:", ", ".join(f"{n} {why}" for why, n in left_out.items()))
    write("attack.tsv", techniques(intel / "attack-ics.json.zst"))


def techniques(path: pathlib.Path) -> list[list[str]]:
    """Active techniques of ATT&CK for ICS: id, name, tactics."""
    bundle = json.loads(zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read())
    found = []
    for item in bundle["objects"]:
        gone = item.get("revoked") or item.get("x_mitre_deprecated")
        if item["type"] != "attack-pattern" or gone:
            continue
        tactics = sorted(phase["phase_name"] for phase in item["kill_chain_phases"])
        found.append(
            [item["external_references"][0]["external_id"], item["name"], ",".join(tactics)]
        )
    return sorted(found)


if __name__ == "__main__":
    main()
