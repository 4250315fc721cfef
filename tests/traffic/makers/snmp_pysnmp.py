"""pysnmp's agent and its manager: versions 1, 2c and 3."""

from __future__ import annotations

import asyncio

from making import SERVER, Made
from pysnmp.carrier.asyncio.dgram import udp
from pysnmp.entity import config
from pysnmp.entity.engine import SnmpEngine
from pysnmp.entity.rfc3413 import cmdrsp, context
from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    ObjectIdentity,
    ObjectType,
    OctetString,
    UdpTransportTarget,
    UsmUserData,
    bulk_cmd,
    get_cmd,
    next_cmd,
    set_cmd,
    usmAesCfb128Protocol,
    usmHMACSHAAuthProtocol,
)

AUTHENTICATION, PRIVACY = "authentication-1", "privacy-secret-1"
DESCRIPTION, CONTACT = "1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.4.0"


def agent() -> SnmpEngine:
    """An agent whose whole tree may be read and written."""
    engine = SnmpEngine()
    ear = udp.UdpTransport().open_server_mode((SERVER, 161))
    config.add_transport(engine, udp.DOMAIN_NAME, ear)
    config.add_v1_system(engine, "area", "witness")
    config.add_v3_user(
        engine,
        "keeper",
        config.USM_AUTH_HMAC96_SHA,
        AUTHENTICATION,
        config.USM_PRIV_CFB128_AES,
        PRIVACY,
    )
    for model, name, level in (
        (1, "area", "noAuthNoPriv"),
        (2, "area", "noAuthNoPriv"),
        (3, "keeper", "authPriv"),
    ):
        config.add_vacm_user(engine, model, name, level, (1, 3, 6), (1, 3, 6))
    there = context.SnmpContext(engine)
    for responder in (
        cmdrsp.GetCommandResponder,
        cmdrsp.SetCommandResponder,
        cmdrsp.NextCommandResponder,
        cmdrsp.BulkCommandResponder,
    ):
        responder(engine, there)
    return engine


async def main() -> None:
    made = Made("snmp")
    server, asker = agent(), SnmpEngine()
    target = await UdpTransportTarget.create((SERVER, 161))
    described = ObjectType(ObjectIdentity(DESCRIPTION))
    for version in (0, 1):
        asked = asker, CommunityData("witness", mpModel=version), target, ContextData()
        told = await get_cmd(*asked, described)
        made.claim("description", str(told[3][0][1]))
        made.call("get-request", DESCRIPTION)
        await next_cmd(*asked, described)
        made.call("get-next-request", DESCRIPTION)
        await set_cmd(*asked, ObjectType(ObjectIdentity(CONTACT), OctetString("keeper")))
        made.call("set-request", CONTACT, new="keeper")
    await bulk_cmd(*asked, 0, 5, described)
    made.call("get-bulk-request", DESCRIPTION)
    user = UsmUserData(
        "keeper",
        AUTHENTICATION,
        PRIVACY,
        authProtocol=usmHMACSHAAuthProtocol,
        privProtocol=usmAesCfb128Protocol,
    )
    told = await get_cmd(asker, user, target, ContextData(), described)
    assert not told[0], told
    # A manager asks for the engine's id with an empty message; the real one is encrypted.
    made.call("get-request", None, "error")
    asker.close_dispatcher()
    server.close_dispatcher()
    made.tell()


asyncio.run(main())
