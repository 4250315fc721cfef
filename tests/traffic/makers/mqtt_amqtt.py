"""amqtt's broker and paho's client."""

from __future__ import annotations

import asyncio
import logging
import threading

import paho.mqtt.client as mqtt
from amqtt.broker import Broker
from making import PATIENCE_S, SERVER, Made

logging.disable(logging.CRITICAL)
SETTINGS = {
    "listeners": {"default": {"type": "tcp", "bind": f"{SERVER}:1883"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}


def talk(made: Made) -> None:
    """What a client does with a broker."""
    subscribed, arrived, left = threading.Event(), threading.Event(), threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="witness-7")
    client.username_pw_set("operator", "secret")
    client.on_connect = lambda *_: client.subscribe("plant/pump/#", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda *_: arrived.set()
    client.on_unsubscribe = lambda *_: left.set()
    client.connect(SERVER, 1883)
    client.loop_start()
    assert subscribed.wait(PATIENCE_S)
    made.call("connect")
    made.claim("mqtt_client_id", "witness-7")
    made.event("login", "operator")
    made.call("subscribe", "plant/pump/#")
    client.publish("plant/pump/speed", b"33", 1).wait_for_publish(PATIENCE_S)
    made.call("publish", "plant/pump/speed")
    assert arrived.wait(PATIENCE_S)
    made.call("publish", "plant/pump/speed")  # the broker's
    client.unsubscribe("plant/pump/#")
    assert left.wait(PATIENCE_S)
    made.call("unsubscribe", "plant/pump/#")
    client.publish("plant/pump/state", b"on", 0).wait_for_publish(PATIENCE_S)
    made.call("publish", "plant/pump/state", "none")
    client.disconnect()
    made.call("disconnect", outcome="none")
    client.loop_stop()


async def main() -> None:
    broker = Broker(SETTINGS)
    await broker.start()
    made = Made("mqtt")
    await asyncio.to_thread(talk, made)
    await broker.shutdown()
    made.tell()


asyncio.run(main())
