"""pymcprotocol against a small server that answers as Mitsubishi Electric's SLMP manual says.

SH(NA)-080956ENG, SLMP Reference Manual: 3E frames in binary.
"""

from __future__ import annotations

import socket
import threading

from making import SERVER, Made
from pymcprotocol import Type3E
from pymcprotocol.mcprotocolerror import MCProtocolError

READ, READ_TYPE, BITS = b"\x01\x04", b"\x01\x01", b"\x01\x00"
DONE, BEYOND = b"\x00\x00", b"\x56\xc0"
DEVICES = 5000
NAME = b"WW-R04"


def answer(request: bytes) -> bytes:
    """Subheader, route, length, end code, data."""
    route, command, subcommand = request[2:7], request[11:13], request[13:15]
    end, data = DONE, b""
    if command == READ:
        points = int.from_bytes(request[19:21], "little")
        data = bytes((points + 1) // 2 if subcommand == BITS else 2 * points)
        if int.from_bytes(request[15:18], "little") >= DEVICES:
            end, data = BEYOND, route + command + subcommand
    elif command == READ_TYPE:
        data = NAME.ljust(16) + b"\x00\x48"
    body = end + data
    return b"\xd0\x00" + route + len(body).to_bytes(2, "little") + body


def serve(ear: socket.socket) -> None:
    line, _ = ear.accept()
    with line:
        while request := line.recv(4096):
            line.sendall(answer(request))


ear = socket.create_server((SERVER, 5007))
threading.Thread(target=serve, args=(ear,), daemon=True).start()

made = Made("melsec")
client = Type3E()
client.connect(SERVER, 5007)
client.batchread_wordunits("D100", 3)
made.call("device-read", "D 100-102")
client.batchread_bitunits("M10", 4)
made.call("device-read", "M 10-13")
client.batchwrite_wordunits("D200", [7, 8])
made.call("device-write", "D 200-201", new="07000800")
client.batchwrite_bitunits("Y20", [1, 0])
made.call("device-write", "Y 20-21", new="10")
client.randomwrite(["D300"], [5], ["D310"], [6])
made.call("device-write-random", "D 300, +1")
assert client.read_cputype()[0] == NAME.decode()
made.call("read-type-name")
made.claim("model", NAME.decode())
client.remote_stop()
made.call("remote-stop")
client.remote_run(0)
made.call("remote-run")
try:
    client.batchread_wordunits("D6000", 1)
except MCProtocolError:
    made.call("device-read", "D 6000", "error")
client.close()
made.tell()
