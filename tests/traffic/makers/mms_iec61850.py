"""iec61850 (Rust inside) against itself."""

from __future__ import annotations

import asyncio
from typing import Any

import iec61850
from making import SERVER, Made

ASSOCIATION = "iec-61850-mms-association"


def status(kind: str) -> list[dict[str, Any]]:
    """The attributes of a status."""
    told = {"stVal": kind, "q": "Quality", "t": "Timestamp"}
    return [{"name": name, "fc": "ST", "type": of} for name, of in told.items()]


ZERO = {
    "lln0": True,
    "dos": [{"name": "Mod", "das": status("Int32")}],
}
INPUTS = {
    "class": "GGIO",
    "inst": "1",
    "dos": [
        {"name": "Ind1", "das": status("Boolean")},
        {"name": "AnIn1", "das": [{"name": "db", "fc": "SP", "type": "Int32"}]},
    ],
}
MODEL = {"ied_name": "BAY1", "lds": [{"inst": "CTRL", "lns": [ZERO, INPUTS]}]}


async def main() -> None:
    server = iec61850.IedServer.from_model_spec(MODEL)
    server.bind(f"{SERVER}:102")
    made = Made("iec-61850-mms")
    async with server:
        line = await iec61850.IedConnection.connect(f"{SERVER}:102")
        made.call("initiate", protocol=ASSOCIATION)
        assert await line.get_server_directory() == ["BAY1CTRL"]
        made.call("get-name-list")
        made.claim("logical_device", "BAY1CTRL")
        await line.get_logical_device_directory("BAY1CTRL")
        made.call("get-name-list", "domain BAY1CTRL")
        await line.read_int32("BAY1CTRL/LLN0.Mod.stVal", "ST")
        made.call("read", "BAY1CTRL/LLN0$ST$Mod$stVal")
        await line.read_bool("BAY1CTRL/GGIO1.Ind1.stVal", "ST")
        made.call("read", "BAY1CTRL/GGIO1$ST$Ind1$stVal")
        await line.get_variable_specification("BAY1CTRL/GGIO1.Ind1.stVal", "ST")
        made.call("get-variable-access-attributes", "BAY1CTRL/GGIO1$ST$Ind1$stVal")
        await line.write_int32("BAY1CTRL/GGIO1.AnIn1.db", "SP", 33)
        made.call("write", "BAY1CTRL/GGIO1$SP$AnIn1$db", new=33)
        member = iec61850.DataSetMember("BAY1CTRL/GGIO1.Ind1.stVal", iec61850.FC.ST)
        await line.create_data_set("BAY1CTRL/LLN0.Mine", [member])
        made.call("define-named-variable-list", "BAY1CTRL/LLN0$Mine")
        await line.get_data_set_directory("BAY1CTRL/LLN0.Mine")
        made.call("get-named-variable-list-attributes", "BAY1CTRL/LLN0$Mine")
        await line.get_data_set_values("BAY1CTRL/LLN0.Mine")
        made.call("read", "BAY1CTRL/LLN0$Mine")
        assert await line.delete_data_set("BAY1CTRL/LLN0.Mine")
        made.call("delete-named-variable-list", "BAY1CTRL/LLN0$Mine")
        try:
            await line.read_int32("BAY1CTRL/GGIO1.Nope.stVal", "ST")
        except iec61850.IedError:
            made.call("read", "BAY1CTRL/GGIO1$ST$Nope$stVal", "error")
        await line.disconnect()
        made.call("conclude", protocol=ASSOCIATION)
    made.tell()


asyncio.run(main())
