"""dnp3py against itself."""

from __future__ import annotations

import asyncio

from dnp3.database import (
    AnalogInputConfig,
    AnalogOutputConfig,
    BinaryInputConfig,
    BinaryOutputConfig,
    Database,
)
from dnp3.master import DefaultSOEHandler, Master, MasterConfig, MasterTcpRunner
from dnp3.outstation import (
    CommandResult,
    DefaultCommandHandler,
    Outstation,
    OutstationConfig,
    OutstationTcpRunner,
)
from making import SERVER, Made, until_open


class Switchgear(DefaultCommandHandler):
    """Takes commands for binary outputs and none for analog ones."""

    def select_binary_output(self, *_: object, **__: object) -> CommandResult:
        return CommandResult.success()

    def operate_binary_output(self, *_: object, **__: object) -> CommandResult:
        return CommandResult.success()


async def main() -> None:
    database = Database()
    for index in range(3):
        database.add_binary_input(index, BinaryInputConfig())
        database.add_analog_input(index, AnalogInputConfig())
        database.add_binary_output(index, BinaryOutputConfig())
        database.add_analog_output(index, AnalogOutputConfig())
    database.update_analog_input(1, value=42)
    outstation = Outstation(
        database=database, config=OutstationConfig(address=10), handler=Switchgear()
    )
    server = OutstationTcpRunner(outstation=outstation, host=SERVER, port=20000)
    running = asyncio.create_task(server.run())
    await asyncio.to_thread(until_open, 20000)

    made = Made("dnp3")
    handler = DefaultSOEHandler()
    master = Master(handler=handler, config=MasterConfig(address=1, outstation_address=10))
    async with MasterTcpRunner(master=master, host=SERVER, port=20000) as runner:
        made.call("reset-link-states", protocol="dnp3-link")
        await runner.integrity_poll()
        assert handler.analog_inputs[1].value == 42
        made.call("read", "g60v2 g60v3 g60v4 g60v1")
        await runner.class_poll(class_1=True, class_2=False, class_3=False)
        made.call("read", "g60v2")
        await runner.disable_unsolicited()
        made.call("disable-unsolicited", "g60v2 g60v3 g60v4")
        await runner.enable_unsolicited()
        made.call("enable-unsolicited", "g60v2 g60v3 g60v4")
        await runner.request(master.build_delay_measure())
        made.call("delay-measurement")
        await runner.request(master.build_range_poll(1, 0, 0, 2))
        made.call("read", "g1v0 0-2")
        commands = master.command_builder().latch_on(2)
        await runner.request(master.build_select(commands.build_select()))
        made.call("select", "g12v1 2")
        await runner.request(master.build_operate(commands.build_operate()))
        made.call("operate", "g12v1 2")
        commands = master.command_builder().add_analog(1, 77)
        await runner.request(master.build_direct_operate(commands.build_direct_operate()))
        made.call("direct-operate", "g41v1 1", "error")
    await server.stop()
    running.cancel()
    made.tell()


asyncio.run(main())
