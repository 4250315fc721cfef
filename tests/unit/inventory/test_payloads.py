"""Certificates and descriptions are read into claims, and nothing hostile harms."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from builders import at, batch, connection, endpoint
from otic.evidence import decode
from otic.facts import Payload, pack_spans, unpack_spans
from otic.inventory.devices import Device, inventory
from otic.journal.fold import State
from otic.settings import Settings


def certificate(name: str, *extensions: x509.UnrecognizedExtension) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime(2024, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(names)
        .issuer_name(names)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)


def device_with(kind: str, content: bytes) -> Device:
    state = State()
    on = connection("10.0.0.2", "10.0.0.1", protocol="tls", port=443)
    spans = pack_spans([(0, 5, 100, len(content))])
    told = Payload(b"p" * 16, on.id, True, "tls", kind, content, at(0), spans)
    state.apply(batch(0, endpoint("10.0.0.1"), on, told))
    (device,) = inventory(state, Settings()).devices.values()
    return device


def test_a_certificate_says_who_sent_it() -> None:
    """Subject and dates are claims about the sender, cited where they stand in the frame."""
    content = certificate("plc7.plant")
    device = device_with("x509-certificate", content)
    told = {claim.attribute: claim for claim in device.claims}
    subject = told["certificate_subject"]
    cited = b"".join(
        content[o - 100 : o - 100 + n] for _, _, o, n in unpack_spans(subject.evidence.spans)
    )

    assert "plc7.plant" == subject.value == decode(subject.evidence.decode, cited)
    assert "2024-12-31T00:00:00+00:00" == told["certificate_not_after"].value


def test_a_role_of_modbus_security_is_a_claim() -> None:
    """It stands in an extension of the client's certificate; what is no text is passed over."""
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
    role = x509.UnrecognizedExtension(oid, b"\x0c\x08Operator")
    number = x509.UnrecognizedExtension(oid, b"\x02\x01\x07")

    told = [
        {claim.attribute: claim.value for claim in device.claims}
        for device in (
            device_with("x509-certificate", certificate("hmi", role)),
            device_with("x509-certificate", certificate("hmi", number)),
        )
    ]

    assert "Operator" == told[0]["modbus_role"]
    assert "modbus_role" not in told[1]


def test_a_description_names_maker_and_model() -> None:
    """A UPnP device description gives maker, model and name."""
    device = device_with(
        "http-body",
        b'<root xmlns="urn:schemas-upnp-org:device-1-0"><device><friendlyName>Door</friendlyName>'
        b"<manufacturer>Acme</manufacturer><modelName>D-1</modelName></device></root>",
    )

    assert ("Door", "Acme", "D-1") == tuple(
        device.attributes[name] for name in ("name", "vendor", "model")
    )


def test_a_camera_tells_what_it_is() -> None:
    """ONVIF's device information gives maker, model, firmware and serial number."""
    device = device_with(
        "http-body",
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        b'xmlns:t="http://www.onvif.org/ver10/device/wsdl"><s:Body>'
        b"<t:GetDeviceInformationResponse><t:Manufacturer>Acme</t:Manufacturer>"
        b"<t:Model>Dome 4</t:Model><t:FirmwareVersion>2.1</t:FirmwareVersion>"
        b"<t:SerialNumber>S7</t:SerialNumber></t:GetDeviceInformationResponse>"
        b"</s:Body></s:Envelope>",
    )

    assert ("Acme", "Dome 4", "2.1", "S7") == tuple(
        device.attributes[name] for name in ("vendor", "model", "firmware", "serial")
    )


def test_hostile_payloads_give_nothing() -> None:
    """Entity bombs, broken XML and bytes that are no certificate are passed over."""
    bomb = b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><root><device>&b;</device></root>'
    for kind, content in (
        ("http-body", bomb),
        ("http-body", b"<root><device>"),
        ("http-body", bytes(1000)),
        ("x509-certificate", b"\x30\x82\xff\xff"),
        ("x509-certificate", b""),
        ("unheard-of", b"x"),
    ):
        assert not device_with(kind, content).claims
