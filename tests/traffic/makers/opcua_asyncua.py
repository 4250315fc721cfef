"""asyncua against itself: a user logs in, reads, writes and calls."""

from __future__ import annotations

import asyncio
import logging

from asyncua import Client, Server, ua, uamethod
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from making import SERVER, Made

logging.disable(logging.CRITICAL)
ADDRESS = f"opc.tcp://{SERVER}:4840"


class Gate:
    """Knows one user."""

    def get_user(
        self, _: object, *, username: str | None, password: str | None, **__: object
    ) -> User | None:
        known = (username, password) == ("operator", "secret")
        return User(role=UserRole.Admin) if known else None


@uamethod
def double(_: Node, value: int) -> int:
    return 2 * value


async def main() -> None:
    server = Server(user_manager=Gate())
    await server.init()
    server.set_endpoint(ADDRESS)
    server.set_server_name("Witness server")
    await server.set_application_uri("urn:witness:server")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("urn:witness")
    pump = await server.nodes.objects.add_object(ua.NodeId("Pump", space), "Pump")
    speed = await pump.add_variable(ua.NodeId("Pump.Speed", space), "Speed", 10)
    await speed.set_writable()
    kind = ua.VariantType.Int64
    await pump.add_method(ua.NodeId("Pump.Double", space), "Double", double, [kind], [kind])

    made = Made("opc-ua")
    client = Client(ADDRESS)
    client.name = "Witness client"
    client.set_user("operator")
    client.set_password("secret")
    async with server, client:
        made.call("hello", protocol="opc-ua-transport")
        made.call("open-secure-channel")
        made.call("create-session")
        made.call("activate-session")
        made.event("login", "operator")
        node = client.get_node(ua.NodeId("Pump.Speed", space))
        assert await node.read_value() == 10
        made.call("read", f"ns={space};s=Pump.Speed")
        await node.write_value(33)
        made.call("write", f"ns={space};s=Pump.Speed", new=33)
        await client.nodes.objects.get_children()
        made.call("browse", "i=85")
        there = client.get_node(ua.NodeId("Pump", space))
        assert await there.call_method(ua.NodeId("Pump.Double", space), 4) == 8
        made.call("call", f"ns={space};s=Pump ns={space};s=Pump.Double")
    made.call("close-session")
    made.claim("application_name", "Witness server")
    made.claim("application_uri", "urn:witness:server")
    made.claim("endpoint_url", ADDRESS)
    made.tell()


asyncio.run(main())
