"""python-snap7 against itself."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from making import SERVER, Made, until_open
from snap7 import Block, Client, Server, SrvArea
from snap7.error import S7ProtocolError

logging.disable(logging.CRITICAL)
USER_DATA = "s7comm-userdata"

server = Server(log=False)
server.register_area(SrvArea.DB, 5, bytearray(64))
server.register_area(SrvArea.MK, 0, bytearray(64))
server.start_to(SERVER, 102)
until_open(102)

made = Made("s7comm")
client = Client()
client.connect(SERVER, 0, 2)
made.call("setup-communication")
made.claim("tsap", "0102")  # rack 0, slot 2
client.db_read(5, 4, 8)
made.call("read-var", "DB 5: 4-11")
client.db_write(5, 10, bytearray(b"\x12\x34"))
made.call("write-var", "DB 5: 10-11", new="1234")
client.mb_read(3, 1)
made.call("read-var", "M 3")
try:
    client.db_read(99, 0, 2)
except S7ProtocolError:
    made.call("read-var", "DB 99: 0-1", "error")
made.claim("order_number", client.get_order_code().OrderCode.decode().strip())
made.call("read-szl", "szl 0x0011/0x0000", protocol=USER_DATA)
client.list_blocks()
made.call("list-blocks", protocol=USER_DATA)
client.list_blocks_of_type(Block.DB, 10)
made.call("list-blocks-of-type", "DB", protocol=USER_DATA)
client.get_plc_datetime()
made.call("read-clock", protocol=USER_DATA)
client.set_plc_datetime(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
made.call("set-clock", protocol=USER_DATA)
client.plc_stop()
made.call("plc-stop")
client.plc_hot_start()
made.call("pi-service-start", "P_PROGRAM")
client.plc_cold_start()
made.call("pi-service-start", "P_PROGRAM C")
client.disconnect()
server.stop()
made.tell()
