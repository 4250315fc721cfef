"""fins-driver against a small server that answers as Omron's FINS manual says.

Omron W227-E1-2, FINS Commands Reference Manual: section 3 (frames), section 5 (commands).
"""

from __future__ import annotations

import socket
import threading

from fins import FinsClient
from making import SERVER, Made

READ, WRITE, FILL = b"\x01\x01", b"\x01\x02", b"\x01\x03"
DONE, BEYOND = b"\x00\x00", b"\x11\x03"
MEMORY = bytearray(200)


def answer(request: bytes) -> bytes:
    """The header turned round, the command, the end code, data."""
    head = b"\xc0\x00\x02" + request[6:9] + request[3:6] + request[9:10]
    command, text = request[10:12], request[12:]
    end, data = DONE, b""
    if command in (READ, WRITE, FILL):
        start, size = int.from_bytes(text[1:3]) * 2, int.from_bytes(text[4:6]) * 2
        if start + size > len(MEMORY):
            end = BEYOND
        elif command == READ:
            data = bytes(MEMORY[start : start + size])
        else:
            MEMORY[start : start + size] = (text[6:] * size)[:size]
    return head + command + end + data


def serve(ear: socket.socket) -> None:
    while True:
        request, asker = ear.recvfrom(4096)
        ear.sendto(answer(request), asker)


ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind((SERVER, 9600))
threading.Thread(target=serve, args=(ear,), daemon=True).start()

made = Made("omron-fins")
client = FinsClient(host=SERVER, port=9600)
client.connect()
assert client.memory_area_read("D10", 3).code == DONE
made.call("memory-area-read", "D 10-12")
assert client.memory_area_write("D20", b"\x12\x34", 1).code == DONE
made.call("memory-area-write", "D 20", new=4660)
assert client.memory_area_fill("D30", b"\x00\x07", 4).code == DONE
made.call("memory-area-fill", "D 30-33", new=7)
assert client.memory_area_read("D500", 3).code == BEYOND
made.call("memory-area-read", "D 500-502", "error")
client.stop()
made.call("stop")
client.run("monitor")
made.call("run", "monitor")
client.close()
made.tell()
