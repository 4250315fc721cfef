"""aiocoap against itself."""

from __future__ import annotations

import asyncio

import aiocoap
from aiocoap import DELETE, GET, POST, PUT, resource
from making import SERVER, Made


class Valve(resource.Resource):
    """May be read, set and made, not deleted."""

    async def render_get(self, _: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=b"open")

    async def render_put(self, _: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=aiocoap.CHANGED)

    async def render_post(self, _: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=aiocoap.CREATED)


async def main() -> None:
    site = resource.Site()
    site.add_resource(["plant", "valve"], Valve())
    known = resource.WKCResource(site.get_resources_as_linkheader)
    site.add_resource([".well-known", "core"], known)
    server = await aiocoap.Context.create_server_context(site, bind=(SERVER, 5683))
    client = await aiocoap.Context.create_client_context()
    made = Made("coap")
    for code, path in (
        (GET, "/plant/valve"),
        (PUT, "/plant/valve"),
        (POST, "/plant/valve"),
        (DELETE, "/plant/valve"),
        (GET, "/.well-known/core"),
        (GET, "/nothing"),
    ):
        text = b"" if code == GET else b"closed"
        asked = aiocoap.Message(code=code, uri=f"coap://{SERVER}{path}", payload=text)
        answer = await client.request(asked).response
        outcome = "ok" if answer.code.is_successful() else "error"
        made.call(code.name.lower(), path, outcome)
    await client.shutdown()
    await server.shutdown()
    made.tell()


asyncio.run(main())
