"""Identity in the sample captures: the values that the bytes say, and the types of known devices.

The values are those of public, byte-checked vectors. Captures named there that are not at hand are
umas, beckhoff_ads, modbus_example, omron_test and profinet_io_cm_mixed_1.
"""

from __future__ import annotations

import pytest

from support.program import SHARED, document, needs_shared

pytestmark = needs_shared


@pytest.mark.parametrize(
    ("capture", "told"),
    [
        (
            "nDPI--s7comm-plus.pcap",
            {("order_number", "6ES7 211-1BE31-0XB0"), ("firmware", "V3.0")},
        ),
        ("nDPI--fins.pcap", {("model", "CP1L-EL20DR-D"), ("firmware", "01.00")}),
        ("nDPI--hart_ip.pcap", {("vendor_id", "38"), ("name", "wihartgw")}),
        (
            "icsnpp-enip--enip_cip_example.pcap",
            {("model", "1756-ENBT/A"), ("serial", "0x00524d8e")},
        ),
        (
            "icsnpp-s7comm--s7ident.pcap",
            {
                ("order_number", "6ES7 315-2EH14-0AB0"),
                ("model", "CPU 315-2 PN/DP"),
                ("serial", "S C-C2UR28922012"),
                ("name", "SNAP7-SERVER"),
            },
        ),
        (
            "ICS-Security-Tools--c37_pmu_unclean.pcap",
            {("description", "Hirschmann MAR - SW: L2P-09.0.00")},
        ),
    ],
)
def test_the_vectors(capture: str, told: set[tuple[str, str]]) -> None:
    """Each value is a claim."""
    devices = document(SHARED / "captures" / capture)["devices"]
    claims = {(c["attribute"], c["value"]) for device in devices for c in device["claims"]}

    assert told <= claims


@pytest.mark.parametrize(
    ("capture", "model", "kind"),
    [
        ("ICS-Pcaps--s3.pcap", "IM151-8 PN/DP CPU", "PLC"),
        ("ICS-Pcaps--omrontest.pcap", "CP1L-EL20DR-D", "PLC"),
        ("ICS-Pcaps--lldpmed_civicloc.pcap", "J8762A", "Switch"),
        ("ICS-Security-Tools--mb2.pcap", "SCALANCE X212-2", "Switch"),
        ("icsnpp-enip--enip_cip_example.pcap", "1756-ENBT/A", "I/O Adapter"),
        ("icsnpp-s7comm--s7ident.pcap", "CPU 315-2 PN/DP", "PLC"),
        ("ICS-Pcaps--packet.pcap", "Unified IP Phone 7911G", "IP Telephone"),
    ],
)
def test_known_devices_have_their_type(capture: str, model: str, kind: str) -> None:
    """Every device of this model is what its maker sells it as."""
    devices = document(SHARED / "captures" / capture)["devices"]

    assert {kind} == {device["type"] for device in devices if device["model"] == model}
