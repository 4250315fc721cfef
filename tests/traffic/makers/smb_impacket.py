"""impacket's SMB server and its client: dialects 1 and 2, log-ins, files."""

from __future__ import annotations

import io
import logging
import os
import tempfile
import threading
from pathlib import Path

from impacket.ntlm import compute_lmhash, compute_nthash
from impacket.smb3structs import SMB2_DIALECT_002
from impacket.smbconnection import SMB_DIALECT, SessionError, SMBConnection
from impacket.smbserver import SimpleSMBServer
from making import SERVER, Made, until_open

logging.disable(logging.CRITICAL)
DIALECTS = {
    "smb1": (SMB_DIALECT, "nt-create-andx", "read-andx", "write-andx"),
    "smb2": (SMB2_DIALECT_002, "create", "read", "write"),
}


def talk(made: Made, protocol: str) -> None:
    """One log-in that fails, one that does not, a file written and one read."""
    dialect, create, read, write = DIALECTS[protocol]
    refused = SMBConnection(SERVER, SERVER, preferredDialect=dialect)
    try:
        refused.login("visitor", "wrong", "WITNESS")
    except SessionError:
        made.event("login-failed", "visitor")
    client = SMBConnection(SERVER, SERVER, preferredDialect=dialect)
    client.login("operator", "secret", "WITNESS")
    made.event("login", "operator")
    client.putFile("PLANT", "new.txt", io.BytesIO(b"salt").read)
    made.call(create, r"PLANT\new.txt", protocol=protocol)
    made.call(write, r"PLANT\new.txt", protocol=protocol)
    got = io.BytesIO()
    client.getFile("PLANT", "recipe.txt", got.write)
    assert got.getvalue() == b"sugar"
    made.call(create, r"PLANT\recipe.txt", protocol=protocol)
    made.call(read, r"PLANT\recipe.txt", protocol=protocol)
    client.logoff()


made = Made("smb2")
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "recipe.txt").write_text("sugar")
    server = SimpleSMBServer(listenAddress=SERVER, listenPort=445)
    server.addShare("PLANT", folder, "Witness", readOnly="no")
    server.setSMB2Support(True)
    server.addCredential("operator", 0, compute_lmhash("secret"), compute_nthash("secret"))
    server.setLogFile(os.devnull)
    threading.Thread(target=server.start, daemon=True).start()
    until_open(445)
    for name in DIALECTS:
        talk(made, name)
made.claim("smb_dialect", "NT LM 0.12")
made.claim("smb_dialect", "2.0.2")
made.tell()
