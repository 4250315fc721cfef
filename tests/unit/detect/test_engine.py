"""Windows count what happened inside them, and scans are told from polling."""

from typing import Any

from builders import Source, at, batch, endpoint, event, tallies
from otic.detect.rules import load
from otic.facts import Attempts, Batch, pack_spans
from otic.sensor.pipeline import analyse
from otic.settings import Known, Settings

SCANNER = "10.0.0.66"


def rules_fired(batches: list[Batch], settings: Settings | None = None) -> dict[str, Any]:
    settings = settings or Settings()
    result = analyse(Source(batches), settings=settings, rules=load())
    return {alert.rule: alert for alert in result.alerts if not alert.policy}


def tried(
    start: int, addresses: list[str], *, ports: list[int] | None = None, transport: str = "tcp"
) -> Attempts:
    ports = ports or [80]
    samples = [(address, port) for address in addresses for port in ports]
    return Attempts(
        endpoint(SCANNER).id,
        transport,
        at(start) // 10**10 * 10**10,
        len(addresses),
        len(samples),
        len(ports),
        len(samples),
        len(samples),
        False,
        samples[:16],
        sorted(addresses),
        pack_spans([(0, 1, 26, 8)]),
    )


def hosts(start: int, count: int) -> list[str]:
    return [f"10.0.1.{n}" for n in range(start, start + count)]


def test_fifty_addresses_in_two_minutes_are_a_scan() -> None:
    """49 addresses are none, 50 within 120 s are, 50 over longer are the slow kind only."""
    me = endpoint(SCANNER)
    assert not rules_fired([batch(0, me, tried(0, hosts(0, 49)))])
    fired = rules_fired([batch(0, me, tried(0, hosts(0, 25)), tried(100, hosts(25, 25)))])
    assert {"address-scan"} == fired.keys()
    assert 50 == fired["address-scan"].count
    fired = rules_fired([batch(0, me, tried(0, hosts(0, 25)), tried(300, hosts(25, 25)))])
    assert {"long-address-scan"} == fired.keys()


def test_the_same_addresses_again_are_no_scan() -> None:
    """Retrying few hosts for long is a fault, not a scan."""
    again = [tried(10 * n, hosts(0, 10)) for n in range(30)]

    assert not rules_fired([batch(0, endpoint(SCANNER), *again)])


def test_a_flagged_scanner_may_scan() -> None:
    """A host that people flagged as scanner raises no scan alert."""
    settings = Settings(device=[Known(address=SCANNER, flags=["scanner"])])

    assert not rules_fired([batch(0, endpoint(SCANNER), tried(0, hosts(0, 60)))], settings)


def test_ports_and_controllers_and_arp() -> None:
    """25 ports of a host, 10 hosts on industrial ports, 40 addresses by ARP."""
    me = endpoint(SCANNER)
    fired = rules_fired([batch(0, me, tried(0, ["10.0.1.1"], ports=list(range(1000, 1025))))])
    assert {"port-scan"} == fired.keys()
    fired = rules_fired([batch(0, me, tried(0, hosts(0, 10), ports=[502]))])
    assert {"plc-scan"} == fired.keys()
    fired = rules_fired([batch(0, me, tried(0, hosts(0, 40), transport="arp"))])
    assert {"arp-scan"} == fired.keys()


def test_log_ins_are_counted_in_windows() -> None:
    """20 log-ins within a minute are too many, 20 over an hour are not."""
    told = event("login-failed", SCANNER, "10.0.0.1", protocol="ssh", values={"user": "root"})
    burst = [batch(0, told, counts=tallies(occurrences=[(told.id, 20, at(1))]))]
    assert {"excessive-logins"} == rules_fired(burst).keys()
    slow = [
        batch(n, told, counts=tallies(occurrences=[(told.id, 1, at(n * 180))]), s=n * 180)
        for n in range(20)
    ]
    fired = rules_fired(slow)
    assert {"login-failed"} == fired.keys()
    assert 20 == fired["login-failed"].count
