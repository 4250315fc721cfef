"""Claims read from rare, rich messages: certificates (X.509), UPnP and ONVIF descriptions (XML),
and whatever plug-ins read.
"""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from otic.evidence import find
from otic.facts import Claim, Payload, derived_id, unpack_spans
from otic.journal.fold import Novelty, State
from otic.plugins.pool import pool

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from cryptography import x509

MOST_VALUE = 256
"""Longest value kept, in characters."""

MODBUS_ROLE = "1.3.6.1.4.1.50316.802.1"
"""The extension of a certificate that names a role of Modbus Security."""

MOST_ROLE = 127
"""Longest role read, in bytes: one whose length is one byte."""

UPNP = {
    "friendlyName": "name",
    "manufacturer": "vendor",
    "modelName": "model",
    "modelNumber": "model_number",
    "modelDescription": "description",
    "serialNumber": "serial",
    "deviceType": "upnp_device_type",
    "UDN": "upnp_udn",
}
"""Elements of a device description (UPnP Device Architecture 2.0 §2.3) and their attributes."""

ONVIF_NAMESPACE = "{http://www.onvif.org/ver10/device/wsdl}"
ONVIF = {
    "Manufacturer": "vendor",
    "Model": "model",
    "FirmwareVersion": "firmware",
    "SerialNumber": "serial",
    "HardwareId": "hardware",
}
"""Elements of GetDeviceInformationResponse (ONVIF Core Specification §8.3.1)."""

CA_CERTIFICATE = "ca-certificate"
"""Message of what a certificate says that is not its sender's own."""


class PayloadReader:
    """Reads each payload once and keeps the claims it gave about its sender."""

    def __init__(self) -> None:
        self._known: dict[bytes, list[tuple[str, str, str, str, str]]] = {}
        self._claims: dict[bytes, dict[bytes, Claim]] = {}
        self._waiting: set[bytes] = set()

    def of(self, endpoint: bytes) -> Iterable[Claim]:
        """What payloads say of this endpoint."""
        return self._claims.get(endpoint, {}).values()

    def update(self, state: State, new: Novelty) -> set[bytes]:
        """Reads new payloads; gives the endpoints about which they say something."""
        dirty: set[bytes] = set()
        payloads = new.payloads | self._waiting
        if new.corrections and any(
            payload.connection in new.corrections for payload in state.payloads.values()
        ):
            # Senders were taken for receivers: tell anew who sent what.
            dirty |= self._claims.keys()
            self._claims.clear()
            payloads = set(state.payloads)
        self._waiting = set()
        for id_ in sorted(payloads):
            payload = state.payloads[id_]
            connection, exchanged = state.resolve(payload.connection)
            if connection is None:
                self._waiting.add(id_)
                continue
            sender = connection.server_id if payload.reversed != exchanged else connection.client_id
            for claim in self._told(payload, sender):
                told = self._claims.setdefault(sender, {})
                known = told.get(claim.id)
                if known is None or (claim.ts_ns, claim.evidence.spans) < (
                    known.ts_ns,
                    known.evidence.spans,
                ):
                    told[claim.id] = claim
                    dirty.add(sender)
        return dirty

    def _told(self, payload: Payload, sender: bytes) -> Iterator[Claim]:
        for attribute, value, protocol, message, confidence in self._read(payload):
            yield Claim(
                derived_id("claim", sender, attribute, value, protocol, message),
                sender,
                attribute,
                value,
                protocol,
                message,
                confidence,
                payload.ts_ns,
                find(unpack_spans(payload.spans), payload.bytes, value),
            )

    def _read(self, payload: Payload) -> list[tuple[str, str, str, str, str]]:
        known = self._known.get(payload.id)
        if known is None:
            reader = _READERS.get(payload.kind)
            known = list(reader(payload)) if reader is not None else []
            known += [
                (attribute, value, payload.protocol, plugin, confidence)
                for (attribute, value, confidence), plugin in pool().read(
                    payload.kind, payload.protocol, payload.bytes
                )
            ]
            self._known[payload.id] = known
        return known


def _certificate(payload: Payload) -> Iterator[tuple[str, str, str, str, str]]:
    """Names, dates and fingerprint of a certificate; nothing for bytes that are none."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(payload.bytes)
            common = [
                str(attribute.value)
                for attribute in certificate.subject.get_attributes_for_oid(
                    x509.NameOID.COMMON_NAME
                )
            ]
            issuer = [
                str(attribute.value)
                for attribute in certificate.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            ]
            rows = [
                ("certificate_subject", common[0] if common else _name(certificate.subject)),
                ("certificate_issuer", issuer[0] if issuer else _name(certificate.issuer)),
                ("certificate_subject_dn", _name(certificate.subject)),
                ("certificate_issuer_dn", _name(certificate.issuer)),
                ("certificate_not_before", certificate.not_valid_before_utc.isoformat()),
                ("certificate_not_after", certificate.not_valid_after_utc.isoformat()),
                ("certificate_serial", f"{certificate.serial_number:x}"),
                ("certificate_sha256", certificate.fingerprint(hashes.SHA256()).hex()),
            ]
            organisation = certificate.subject.get_attributes_for_oid(
                x509.NameOID.ORGANIZATION_NAME
            )
            rows += [("certificate_organisation", str(item.value)) for item in organisation]
            try:
                names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
                rows += [
                    ("certificate_name", name)
                    for name in names.value.get_values_for_type(x509.DNSName)[:16]
                ]
            except x509.ExtensionNotFound:
                pass
            rows += _modbus_role(certificate.extensions)
            message = CA_CERTIFICATE if _signs_others(certificate) else "certificate"
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension):
        return
    for attribute, value in rows:
        if value:
            yield attribute, value[:MOST_VALUE], payload.protocol, message, "high"


def _signs_others(certificate: x509.Certificate) -> bool:
    """Whether it is an authority's, sent along with the sender's own; one that signed itself is
    its sender's.
    """
    from cryptography import x509

    if certificate.subject == certificate.issuer:
        return False
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return basic.value.ca


def _modbus_role(extensions: x509.Extensions) -> list[tuple[str, str]]:
    """The role that a client of Modbus Security has (MB-TCP-Security-v36, R-21 and R-22)."""
    from cryptography import x509

    try:
        extension = extensions.get_extension_for_oid(x509.ObjectIdentifier(MODBUS_ROLE))
    except x509.ExtensionNotFound:
        return []
    value = extension.value
    if not isinstance(value, x509.UnrecognizedExtension):
        return []
    # A short UTF8String: tag, length, text.
    tag, length, text = value.value[:1], value.value[1:2], value.value[2:]
    if tag != b"\x0c" or length != bytes([len(text) & 0xFF]) or len(text) > MOST_ROLE:
        return []
    return [("modbus_role", text.decode(errors="replace"))]


def _name(name: x509.Name) -> str:
    """A distinguished name as text, the most specific part first (RFC 4514)."""
    return name.rfc4514_string()


def _description(payload: Payload) -> Iterator[tuple[str, str, str, str, str]]:
    """Values of UPnP's and ONVIF's descriptions; entities and document types are refused."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(payload.bytes, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return
    answer = root.find(f".//{ONVIF_NAMESPACE}GetDeviceInformationResponse")
    if answer is not None:
        yield from _values(answer, ONVIF_NAMESPACE, ONVIF, ("onvif", "device-information"))
    if not root.tag.endswith("}root") and root.tag != "root":
        return
    namespace = root.tag[: -len("root")]
    device = root.find(f"{namespace}device")
    if device is not None:
        yield from _values(device, namespace, UPNP, ("upnp", "device-description"))


def _values(
    parent: Element, namespace: str, elements: dict[str, str], told_in: tuple[str, str]
) -> Iterator[tuple[str, str, str, str, str]]:
    """The texts of these elements within another one, each as its attribute."""
    for element, attribute in elements.items():
        text = (parent.findtext(f"{namespace}{element}") or "").strip()
        if text:
            yield attribute, text[:MOST_VALUE], *told_in, "high"


def _host_key(payload: Payload) -> Iterator[tuple[str, str, str, str, str]]:
    """The fingerprint of an SSH host key, as clients show it."""
    digest = base64.b64encode(hashlib.sha256(payload.bytes).digest()).decode().rstrip("=")
    yield "ssh_host_key", f"SHA256:{digest}", payload.protocol, "key-exchange", "high"


_READERS = {
    "x509-certificate": _certificate,
    "http-body": _description,
    "ssh-host-key": _host_key,
}
