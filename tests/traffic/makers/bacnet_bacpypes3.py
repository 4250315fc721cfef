"""bacpypes3 against itself."""

from __future__ import annotations

import asyncio

from bacpypes3.apdu import ErrorRejectAbortNack
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.analog import AnalogValueObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from making import CLIENT, SERVER, Made

CONFIRMED, UNCONFIRMED = "bacnet-confirmed", "bacnet-unconfirmed"


def station(address: str, number: int, name: str) -> NormalApplication:
    """A BACnet device."""
    device = DeviceObject(
        objectIdentifier=("device", number),
        objectName=name,
        vendorIdentifier=999,
        vendorName="Witness Works",
        modelName="WW-BAC",
        firmwareRevision="3.1",
    )
    return NormalApplication(device, IPv4Address(f"{address}:47808"))


async def main() -> None:
    server, client = station(SERVER, 1001, "Witness"), station(CLIENT, 1002, "Asker")
    server.add_object(
        AnalogValueObject(
            objectIdentifier=("analog-value", 3),
            objectName="setpoint",
            presentValue=20.0,
            statusFlags=[0, 0, 0, 0],
            eventState="normal",
            outOfService=False,
            units="degrees-celsius",
        )
    )
    there = Address(SERVER)
    made = Made(CONFIRMED)
    (told,) = await client.who_is(1001, 1001, there)
    assert told.iAmDeviceIdentifier[1] == 1001
    made.call("who-is", "device 1001-1001", "none", protocol=UNCONFIRMED)
    made.call("i-am", "device 1001", "none", protocol=UNCONFIRMED)
    made.claim("bacnet_device_instance", "1001")
    made.claim("vendor_id", "999")
    for name, attribute in (
        ("object-name", "name"),
        ("vendor-name", "vendor"),
        ("model-name", "model"),
        ("firmware-revision", "firmware"),
    ):
        made.claim(attribute, await client.read_property(there, "device,1001", name))
        made.call("read-property", f"device 1001 {name}")
    assert await client.read_property(there, "analog-value,3", "present-value") == 20
    made.call("read-property", "analog-value 3 present-value")
    await client.write_property(there, "analog-value,3", "present-value", 21.5)
    made.call("write-property", "analog-value 3 present-value", new=21.5)
    await client.read_property_multiple(there, ["analog-value,3", ["present-value", "units"]])
    made.call("read-property-multiple", "analog-value 3 present-value, analog-value 3 units")
    try:
        await client.read_property(there, "analog-value,9", "present-value")
    except ErrorRejectAbortNack:
        made.call("read-property", "analog-value 9 present-value", "error")
    server.close()
    client.close()
    made.tell()


asyncio.run(main())
