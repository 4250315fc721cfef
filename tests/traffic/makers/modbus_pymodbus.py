"""pymodbus against itself: Modbus/TCP on port 502, RTU frames over TCP on port 4660."""

from __future__ import annotations

import asyncio

from making import SERVER, Made
from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

UNIT = 17


def server(port: int, framer: FramerType) -> ModbusTcpServer:
    """A server of one unit with a hundred of everything."""
    identity = ModbusDeviceIdentification(
        info_name={
            "VendorName": "Witness Works",
            "ProductCode": "WW-100",
            "MajorMinorRevision": "2.7",
        }
    )
    bits = [SimData(0, count=100, values=[False], datatype=DataType.BITS)]
    registers = [SimData(0, count=100, values=7, datatype=DataType.REGISTERS)]
    unit = SimDevice(UNIT, simdata=(bits, bits, registers, registers), identity=identity)
    return ModbusTcpServer([unit], identity=identity, framer=framer, address=(SERVER, port))


def fine(answer: ModbusPDU) -> None:
    """The server did what it was asked."""
    assert not answer.isError(), answer


async def talk(made: Made, port: int, framer: FramerType) -> None:
    """Each call that the server knows, and one that it refuses."""
    listening = server(port, framer)
    await listening.serve_forever(background=True)
    client = AsyncModbusTcpClient(SERVER, port=port, framer=framer)
    assert await client.connect()
    unit = {"device_id": UNIT}

    fine(await client.read_coils(3, count=5, **unit))
    made.call("read-coils", "coil 3-7")
    fine(await client.read_discrete_inputs(4, count=2, **unit))
    made.call("read-discrete-inputs", "discrete-input 4-5")
    fine(await client.read_holding_registers(10, count=3, **unit))
    made.call("read-holding-registers", "holding-register 10-12")
    fine(await client.read_input_registers(20, count=1, **unit))
    made.call("read-input-registers", "input-register 20")
    fine(await client.write_coil(9, True, **unit))
    made.call("write-single-coil", "coil 9", new=1)
    fine(await client.write_register(30, 1234, **unit))
    made.call("write-single-register", "holding-register 30", new=1234)
    fine(await client.write_coils(16, [True, False, True, True], **unit))
    made.call("write-multiple-coils", "coil 16-19", new="0d")
    fine(await client.write_registers(40, [1, 2, 3], **unit))
    made.call("write-multiple-registers", "holding-register 40-42", new="000100020003")
    fine(await client.mask_write_register(address=50, and_mask=0xFF00, or_mask=0x12, **unit))
    made.call("mask-write-register", "holding-register 50", new="and 0xff00 or 0x0012")
    fine(
        await client.readwrite_registers(
            read_address=60, read_count=2, write_address=70, values=[5], **unit
        )
    )
    made.call("read-write-multiple-registers", "holding-register 70", new=5)
    fine(await client.read_device_information(**unit))
    made.call("read-device-identification", "device-identification 1")
    fine(await client.diag_query_data(b"ab", **unit))
    made.call("diagnostics-return-query-data", "sub-function 0")
    fine(await client.report_device_id(**unit))
    made.call("report-server-id")
    assert (await client.read_holding_registers(900, count=1, **unit)).isError()
    made.call("read-holding-registers", "holding-register 900", "error")

    client.close()
    await listening.shutdown()


async def main() -> None:
    made = Made("modbus")
    made.claim("vendor", "Witness Works")
    made.claim("model", "WW-100")
    made.claim("firmware", "2.7")
    await talk(made, 502, FramerType.SOCKET)
    await talk(made, 4660, FramerType.RTU)
    made.tell()


asyncio.run(main())
