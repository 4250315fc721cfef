"""c104 (lib60870 inside) against itself. GPL-3: a program of its own, which no test imports."""

from __future__ import annotations

import time

import c104
from making import PATIENCE_S, SERVER, STEP_S, Made, until_open

STATION = 47

server = c104.Server(ip=SERVER, port=2404)
station = server.add_station(common_address=STATION)
station.add_point(io_address=11, type=c104.Type.M_ME_NC_1).value = 12.5
station.add_point(io_address=12, type=c104.Type.M_SP_NA_1)
station.add_point(io_address=21, type=c104.Type.C_SC_NA_1)
station.add_point(io_address=22, type=c104.Type.C_SE_NC_1)
server.start()
until_open(2404)

client = c104.Client(command_timeout_ms=1000)
line = client.add_connection(ip=SERVER, port=2404, init=c104.Init.NONE)
remote = line.add_station(common_address=STATION)
measured = remote.add_point(io_address=11, type=c104.Type.M_ME_NC_1)
switch = remote.add_point(io_address=21, type=c104.Type.C_SC_NA_1)
setpoint = remote.add_point(io_address=22, type=c104.Type.C_SE_NC_1)
client.start()
for _ in range(round(PATIENCE_S / STEP_S)):
    if line.state == c104.ConnectionState.OPEN:
        break
    time.sleep(STEP_S)

# What its calls return does not tell whether the message was sent (2.2.1): nobody asks.
made = Made("iec-104")
made.call("start-data-transfer", protocol="iec-104-control")
line.interrogation(common_address=STATION)
made.call("interrogation-command", "ioa 0", "none")
line.counter_interrogation(common_address=STATION)
made.call("counter-interrogation-command", "ioa 0", "none")
line.clock_sync(common_address=STATION)
made.call("clock-synchronization-command", "ioa 0", "none")
measured.read()
made.call("read-command", "ioa 11", "none")
switch.value = True
switch.transmit(cause=c104.Cot.ACTIVATION)
made.call("single-command", "ioa 21", "none", new=1)
setpoint.value = 3.5
setpoint.transmit(cause=c104.Cot.ACTIVATION)
made.call("set-point-command-short-float", "ioa 22", "none", new=3.5)
client.stop()
server.stop()
made.tell()
