"""cpppo's server, asked by pylogix and by pycomm3. cpppo is GPL-3: it runs as a program beside."""

from __future__ import annotations

import subprocess
import sys

from making import SERVER, Made, until_open
from pycomm3 import CIPDriver, Services
from pylogix import PLC

ENIP = "ethernet-ip"
DINT = 0xC4

made = Made("cip")
server = subprocess.Popen(
    [sys.executable, "-m", "cpppo.server.enip", "--address", f"{SERVER}:44818", "SPEED=DINT[10]"],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
try:
    until_open(44818)
    told = CIPDriver.list_identity(SERVER)
    made.call("list-identity", protocol=ENIP)
    made.claim("model", told["product_name"])
    made.claim("serial", f"0x{told['serial']}")
    made.claim("product_code", str(told["product_code"]))
    with PLC(SERVER) as plc:
        assert plc.Read("SPEED[2]", 1, DINT).Value == 0
        made.call("large-forward-open", "class 0x06/1")
        made.call("read-tag", "SPEED[2]")
        plc.Write("SPEED[2]", 77, DINT)
        made.call("write-tag", "SPEED[2]", new=77)
        assert plc.Read("SPEED[2]", 1, DINT).Value == 77
        made.call("read-tag", "SPEED[2]")
    made.call("forward-close", "class 0x06/1")
    with CIPDriver(SERVER) as driver:
        driver.generic_message(
            service=Services.get_attribute_single,
            class_code=1,
            instance=1,
            attribute=7,
            connected=False,
        )
        made.call("get-attribute-single", "class 0x01/1/7")
        driver.get_module_info(0)
        made.call("unconnected-send", "class 0x06/1")
        made.call("get-attributes-all", "class 0x01/1")
    for _ in range(3):
        made.call("register-session", protocol=ENIP)
finally:
    server.terminate()
    server.wait()
made.tell()
