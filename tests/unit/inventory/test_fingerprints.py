"""What software sends tells of its machine, less than the machine itself, in bounded steps."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from builders import batch, claim, endpoint
from otic import data
from otic.inventory import fingerprints
from otic.inventory.devices import Device, inventory
from otic.journal.fold import State
from otic.settings import Settings

TOOLS = Path(__file__).resolve().parents[3] / "tools"


def device(*claims: tuple[str, str, str]) -> Device:
    """The device of which these (attribute, value, protocol) were told."""
    state = State()
    here = endpoint("10.0.0.1")
    told = [claim(here, name, value, protocol=by) for name, value, by in claims]
    state.apply(batch(0, here, *told))
    (found,) = inventory(state, Settings()).devices.values()
    return found


@pytest.mark.parametrize(
    ("told", "tells"),
    [
        (
            ("ssh_banner", "SSH-2.0-OpenSSH_7.6p1 Ubuntu-4ubuntu0.3", "ssh"),
            {"os": "Ubuntu Linux", "os_version": "18.04"},
        ),
        (("server_banner", "Microsoft-IIS/6.0", "http"), {"os": "Windows Server 2003"}),
        (("server_banner", "Apache/2.2.16 (Debian)", "http"), {"os": "Debian Linux"}),
        (("server_banner", "FileZilla Server 1.9.1", "ftp"), {"os": "Windows"}),
        (
            ("http_realm", "level_15 or view_access", "http"),
            {"vendor": "Cisco", "os": "Cisco IOS", "os_version": "12"},
        ),
        (
            ("description", "SCALANCE W788-1RR", "snmp"),
            {"vendor": "Siemens", "model": "W788-1RR"},
        ),
        (
            ("description", "Siemens, SIMATIC NET, SCALANCE X212-2, 6GK5, HW: 7, FW: V4", "lldp"),
            {"vendor": "Siemens", "model": "SCALANCE X212-2"},
        ),
        (
            ("dhcp_vendor_class", "Cisco Systems, Inc. IP Phone CP-7911G", "dhcp"),
            {"vendor": "Cisco", "model": "Unified IP Phone 7911G"},
        ),
        (("sys_object_id", "1.3.6.1.4.1.8072.3.2.10", "snmp"), {"os": "Linux"}),
        (
            ("certificate_subject_dn", "CN=x,OU=RV042,O=Cisco-Linksys\\, LLC,C=US", "tls"),
            {},
        ),
        (
            (
                "certificate_subject_dn",
                "CN=00:22:6b:ef:1e:d0,OU=RV042,O=Cisco-Linksys\\, LLC",
                "tls",
            ),
            {"vendor": "Cisco", "model": "RV042"},
        ),
        (("server_banner", "nobody knows/1", "http"), {}),
    ],
)
def test_a_text_tells_its_machine(told: tuple[str, str, str], tells: dict[str, str]) -> None:
    """The reason names the fingerprint and the claim."""
    found = device(told)
    derived = {name for name, why in found.reasons.items() if why["rule"] == "fingerprint"}

    assert tells == {name: found.attributes[name] for name in derived - {"type"}}
    for name in derived:
        why = found.reasons[name]
        assert why["fingerprint"]
        assert why["confidence"] in ("low", "medium")
        assert told == (why["attribute"], why["value"], why["protocol"])


def test_a_device_knows_better() -> None:
    """What it says of itself is never replaced."""
    said = ("vendor", "Own", "bacnet"), ("model", "One", "bacnet"), ("os", "Plan 9", "niagara-fox")
    found = device(*said, ("description", "SCALANCE W788-1RR", "snmp"))

    assert ("Own", "One", "Plan 9") == tuple(found.attributes[name] for name, _, _ in said)


def test_a_fingerprint_tells_the_type() -> None:
    """A telephone by its DHCP class, with the claim as its reason."""
    found = device(("dhcp_vendor_class", "Cisco Systems, Inc. IP Phone CP-7911G", "dhcp"))
    gateway = device(("server_banner", "Cisco-SIPGateway/IOS-12.4", "sip"))

    assert "IP Telephone" == found.type
    assert "Router" == gateway.type
    why = gateway.reasons["type"]
    assert "Cisco IOS SIP Gateway w/ Full Version" == why["fingerprint"]
    assert "Cisco-SIPGateway/IOS-12.4" == why["value"]


def test_who_asks_is_not_who_serves() -> None:
    """The agent of a browser is no server's banner."""
    one = claim(endpoint("10.0.0.1"), "user_agent", "Microsoft-IIS/6.0", protocol="http")

    assert fingerprints.of(one) is None


def test_a_text_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same value of many machines costs one search."""
    asked: list[str] = []
    rows = fingerprints._rows()

    class Counting(dict[str, list[str]]):
        def __getitem__(self, kind: str) -> list[str]:
            asked.append(kind)
            return rows[kind]

    monkeypatch.setattr(fingerprints, "_rows", lambda: Counting())
    for host in range(100):
        one = claim(endpoint(f"10.0.0.{host}"), "ssh_banner", "SSH-2.0-once", protocol="ssh")
        assert fingerprints.of(one) is None

    assert ["ssh"] == asked


def test_every_pattern_is_bounded() -> None:
    """Each matches hostile texts of the longest length in steps that its form bounds."""
    sys.path.insert(0, str(TOOLS))
    try:
        import recog
    finally:
        sys.path.remove(str(TOOLS))
    count = 0
    for _, literal, flags, pattern, *_ in data.table("fingerprints.tsv.gz"):
        compiled = re.compile(f"(?{flags}){pattern}" if flags else pattern)
        assert recog.is_bounded(compiled), pattern
        for pump in ("a", "1.", " ", "-1"):
            compiled.search((literal + pump * fingerprints.MOST_TEXT)[: fingerprints.MOST_TEXT])
        count += 1

    assert count > 2000


@pytest.mark.parametrize(
    ("pattern", "bounded"),
    [
        (r"^(\S+) (\S+) (\S+) (\S+)$", True),
        (r"^a(?:\.\d+)*$", True),
        (r"^(a+)+$", False),
        (r"^(\wx|\dx)*$", False),
        (r"^(aa|a)*$", False),
        (r"^(aa?)*$", False),
        (r"^(ab?)*$", True),
        (r"^(?:a?)*$", False),
        (r"^.*x.*y.*z.*$", False),
        (r"^.*x.*y$", True),
        (r".*x.*y", False),
        (r"(?i)^[a-z]+K$", True),
    ],
)
def test_bounds_follow_from_the_form(pattern: str, bounded: bool) -> None:
    """Nested repeats that share characters are refused, and too many that follow each other."""
    sys.path.insert(0, str(TOOLS))
    try:
        import recog
    finally:
        sys.path.remove(str(TOOLS))

    assert bounded == recog.is_bounded(re.compile(pattern))


def test_nothing_is_read_before_it_is_needed() -> None:
    """Importing the inventory reads no fingerprints."""
    script = (
        "from otic.inventory import devices, fingerprints;"
        "assert not fingerprints._rows.cache_info().currsize"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
