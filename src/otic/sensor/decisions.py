"""Decisions of people: appended to the journal first, then applied (contracts.md §5).

The console sends a decision over the socket in the data folder; analysis appends it to the stream
`decisions` with the position in the facts it was taken after, applies it, and answers.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
from pathlib import Path

import msgspec

from otic.errors import OticError

STREAM = "decisions"
SENSOR = "otic"
"""Who takes the decisions of the sensor itself."""

LARGEST = 1 << 20
"""Bytes of one decision or answer."""

TIMEOUT_S = 20

_SIZE = struct.Struct(">I")


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided, when (wall clock), and after which fact: (segment, sequence)."""

    kind: str
    person: str
    ts_ns: int
    values: dict[str, str] = {}
    after: tuple[int, int] = (0, 0)


def own_decision(kind: str, ts_ns: int, **values: str) -> Decision:
    """What the sensor itself decides, so that the journal alone tells it again."""
    return Decision(kind=kind, person=SENSOR, ts_ns=ts_ns, values=values)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a decision was applied; `error` says why not."""

    error: str = ""
    values: dict[str, str] = {}


class RefusedError(OticError):
    """A decision that cannot be applied; nothing was written."""


encode = msgspec.msgpack.Encoder().encode
_decision = msgspec.msgpack.Decoder(Decision).decode
_answer = msgspec.msgpack.Decoder(Answer).decode


def decode(record: bytes) -> Decision:
    """The decision in a journal record.

    Raises:
        msgspec.ValidationError: the bytes are none.
    """
    return _decision(record)


def send(path: Path, decision: Decision) -> Answer:
    """Sends a decision to analysis and waits for its answer.

    Raises:
        RefusedError: analysis said why it cannot be.
        OticError: analysis does not run or does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(TIMEOUT_S)
            peer.connect(str(path))
            data = encode(decision)
            peer.sendall(_SIZE.pack(len(data)) + data)
            answer = _answer(_receive(peer))
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise OticError(f"analysis does not answer: {error}") from None
    if answer.error:
        raise RefusedError(answer.error)
    return answer


def _receive(peer: socket.socket) -> bytes:
    def exactly(length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = peer.recv(length - len(data))
            if not more:
                raise EOFError("closed")
            data += more
        return data

    (length,) = _SIZE.unpack(exactly(_SIZE.size))
    if length > LARGEST:
        raise EOFError(f"{length} bytes are more than a decision has")
    return exactly(length)


class Waiting(msgspec.Struct):
    """A decision that somebody waits to be answered."""

    decision: Decision
    answer: queue.Queue[Answer]


class Inbox:
    """Takes decisions over a socket; analysis takes them out between two batches."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(16)
        self._waiting: queue.Queue[Waiting] = queue.Queue(64)
        threading.Thread(target=self._accept, name="decisions", daemon=True).start()

    def take(self) -> list[Waiting]:
        """The decisions that came since the last call."""
        found = []
        while True:
            try:
                found.append(self._waiting.get_nowait())
            except queue.Empty:
                return found

    def close(self) -> None:
        """Takes no more decisions."""
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            peer.settimeout(TIMEOUT_S)
            try:
                waiting = Waiting(decode(_receive(peer)), queue.Queue(1))
                self._waiting.put(waiting, timeout=TIMEOUT_S)
                data = encode(waiting.answer.get(timeout=TIMEOUT_S))
                peer.sendall(_SIZE.pack(len(data)) + data)
            except (OSError, EOFError, queue.Full, queue.Empty, msgspec.MsgspecError):
                return
