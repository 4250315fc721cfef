"""Functions and identities that tshark does not tell, against counts by hand from captures."""

from __future__ import annotations

from collections import Counter

import pytest

from support.program import SHARED, document, needs_shared

COUNTED = {
    # Messages by hand: requests that are no mirror copies, notifications.
    ("nDPI--s7comm-plus.pcap", "s7comm-plus"): {0x04CA: 1, 0x0542: 2, 0x054C: 9},
    ("icsnpp-s7comm--s7comm_plus.pcap", "s7comm-plus"): {
        0x33: 79,
        0x04F2: 26,
        0x0542: 2,
        0x054C: 6,
    },
    ("icsnpp-c1222--c1222_rw_service_tcp.pcap", "ansi-c12.22"): {0x31: 1},
    ("icsnpp-c1222--c1222_security_service_tcp.pcap", "ansi-c12.22"): {0x51: 1},
    ("icsnpp-c1222--c1222_service_error_tcp.pcap", "ansi-c12.22"): {0x20: 1},
    # Frames to port 4000; those of opcodes of which only the response was recorded are none.
    ("icsnpp-roc-plus--all_opcodes_udp.pcap", "roc-plus"): {
        6: 1,
        7: 1,
        8: 1,
        11: 2,
        17: 5,
        24: 2,
        105: 1,
        108: 2,
        118: 2,
        137: 1,
        139: 3,
        166: 2,
        180: 3,
        181: 3,
        203: 11,
        205: 3,
        206: 3,
        224: 1,
        225: 1,
    },
    ("icsnpp-bsap--bsap-serial_example.pcapng", "bsap"): {0x04: 1356, 0x84: 63},
    ("icsnpp-genisys--genisys.pcap", "genisys"): {0xFB: 313, 0xFD: 31},
    # Frames with 0x57, without the copies behind a router.
    ("ICS-Security-Tools--melsoft_129_clean.pcap", "melsec"): {0x0410: 244, 0x0411: 245, 0x0413: 2},
    ("ICS-Security-Tools--melsoft_UDP_clean_1.pcap", "melsec"): {
        0x0121: 23,
        0x01A0: 23,
        0x0410: 204,
        0x0411: 1,
        0x0701: 1,
        0x0B2A: 19,
        0x0B2B: 2,
        0x1002: 1,
        0x1410: 106,
        0x1859: 8,
        0x185F: 43,
        0x1867: 24,
        0x1868: 34,
        0x1869: 17,
        0x186A: 24,
        0x187E: 16,
        0x18A0: 10,
    },
}
"""Operations by code."""

IDENTITIES = {
    ("nDPI--s7comm-plus.pcap", "s7comm-plus"): {
        ("order_number", "6ES7 211-1BE31-0XB0"),
        ("firmware", "V3.0"),
        ("s7_client_host", "HMI HOST"),
        ("s7_client_software", "OMS+ for SMART Runtime"),
    },
    ("ICS-Security-Tools--S7-1200-Uploading-OB1-TIAV12.pcap", "s7comm-plus"): {
        ("order_number", "6ES7 214-1HE30-0XB0"),
        ("firmware", "V2.2"),
        ("s7_client_host", "VORTEX_21032491"),
    },
    ("ICS-Security-Tools--melsoft_UDP_clean_1.pcap", "melsec"): {("model", "FX5U-32MT/ES")},
}
"""Claims by attribute."""


@needs_shared
@pytest.mark.parametrize(("capture", "protocol"), COUNTED)
def test_operations_are_those_counted_by_hand(capture: str, protocol: str) -> None:
    """Each message of the capture is one operation of its code, or the answer to one."""
    counts: Counter[int | None] = Counter()
    for operation in document(SHARED / "captures" / capture)["operations"]:
        if operation["protocol"] == protocol:
            counts[operation["code"]] += operation["count"]

    assert counts == Counter(COUNTED[capture, protocol])


@needs_shared
@pytest.mark.parametrize(("capture", "protocol"), IDENTITIES)
def test_identities_are_those_in_the_bytes(capture: str, protocol: str) -> None:
    """What the devices say of themselves, and nothing else of this protocol."""
    told = {
        (claim["attribute"], claim["value"])
        for device in document(SHARED / "captures" / capture)["devices"]
        for claim in device["claims"]
        if claim["protocol"] == protocol
    }

    assert told == IDENTITIES[capture, protocol]
