"""pyads against its own test server."""

from __future__ import annotations

import pyads
from making import CLIENT, SERVER, Made, until_open
from pyads.constants import ADST_INT16, PORT_TC3PLC1
from pyads.testserver import AdsTestServer, AdvancedHandler, PLCVariable

HANDLE = "port 851 group 0xf006 offset 0x0"
"""Where a handle is given back."""

handler = AdvancedHandler()
handler.add_variable(PLCVariable("MAIN.speed", bytes(2), ads_type=ADST_INT16, symbol_type="INT"))
server = AdsTestServer(handler, ip_address=SERVER, port=48898, logging=False)
server.start()
until_open(48898)

made = Made("ads")
pyads.open_port()
pyads.set_local_address(f"{CLIENT}.1.1")
plc = pyads.Connection(f"{SERVER}.1.1", PORT_TC3PLC1, SERVER)
plc.open()
made.claim("ams_net_id", f"{SERVER}.1.1")
made.claim("ams_net_id", f"{CLIENT}.1.1")
plc.read_device_info()
made.call("read-device-info")
made.breaks("ads-length")  # the test server's name is not filled up to its 16 bytes
plc.read_state()
made.call("read-state")
plc.write_by_name("MAIN.speed", 300, pyads.PLCTYPE_INT)
made.call("read-write", "port 851 MAIN.speed")
made.call("write", "port 851 MAIN.speed", new=300)
made.call("write", HANDLE)
assert plc.read_by_name("MAIN.speed", pyads.PLCTYPE_INT) == 300
made.call("read-write", "port 851 MAIN.speed")
made.call("read", "port 851 MAIN.speed")
made.call("write", HANDLE)
speed = plc.get_symbol("MAIN.speed")
made.call("read-write", "port 851 MAIN.speed")
place = f"port 851 group {speed.index_group:#x} offset {speed.index_offset:#x}"
plc.write(speed.index_group, speed.index_offset, 7, pyads.PLCTYPE_INT)
made.call("write", place, new=7)
assert plc.read(speed.index_group, speed.index_offset, pyads.PLCTYPE_INT) == 7
made.call("read", place)
plc.write_control(pyads.ADSSTATE_STOP, 0, 0, pyads.PLCTYPE_INT)
made.call("write-control", "port 851 stop")
plc.close()
server.stop()
made.tell()
