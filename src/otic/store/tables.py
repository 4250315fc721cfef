"""All tables. Every row carries tenant, site, zone and sensor; ids are 16 bytes; times are ns.

Facts are rows of their own; small lists in them (spans, VLANs, values) are MessagePack. Counts of
connections, operations and occurrences are brought up to date at checkpoints; between two of them
`tallies` holds the packed columns of each batch, so that a batch costs one row however many facts
it counts.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()

SCOPE = ("tenant", "site", "zone", "sensor")


def _text(name: str, *, null: bool = False, key: bool = False) -> Column[str]:
    return Column(name, String, nullable=null, primary_key=key)


def _id(name: str, *, null: bool = False, key: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(16), nullable=null, primary_key=key)


def _number(name: str, *, null: bool = False, key: bool = False) -> Column[int]:
    kind: type[TypeEngine[int]] = BigInteger
    return Column(name, kind, nullable=null, primary_key=key, autoincrement=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, autoincrement=False, server_default="0")


def _packed(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _table(name: str, *columns: Column[Any]) -> Table:
    """A table whose key is scoped to tenant and sensor."""
    scope = (
        Column("tenant", String, primary_key=True),
        Column("sensor", String, primary_key=True),
        Column("site", String, nullable=False),
        Column("zone", String, nullable=False),
    )
    return Table(name, metadata, *scope, *columns, sqlite_with_rowid=False)


positions = _table(
    "positions",
    _text("stream", key=True),
    _number("batch"),
    _text("fingerprint"),
    _number("schema"),
    _number("clock_ns"),
    _packed("coverage"),
    Column("segment", BigInteger, nullable=False, autoincrement=False, server_default="0"),
)
captures = _table(
    "captures",
    _number("ordinal", key=True),
    _text("file"),
    _packed("body"),
    Column("path", String, nullable=False, server_default=""),
)
endpoints = _table(
    "endpoints",
    _id("id", key=True),
    _text("space"),
    _text("address"),
    _text("child"),
    Column("spoke", Boolean, nullable=False),
    _number("first_ns"),
    _packed("spans"),
)
sightings = _table(
    "sightings",
    _id("mac", key=True),
    _id("ip", key=True),
    _number("first_ns"),
    _number("last_ns"),
    _packed("vlans"),
    _packed("interfaces"),
    _packed("hop_limits"),
    _packed("spans"),
)
bindings = _table(
    "bindings",
    _id("first", key=True),
    _id("second", key=True),
    _text("protocol", key=True),
    _text("message", key=True),
    _number("first_ns"),
    _packed("spans"),
)
connections = _table(
    "connections",
    _id("id", key=True),
    _id("client_id"),
    _id("server_id"),
    _text("space"),
    _text("client"),
    _text("server"),
    _text("client_child"),
    _text("server_child"),
    _text("transport"),
    _number("port", null=True),
    _text("protocol"),
    _number("first_ns"),
    _packed("spans"),
    _number("forward_packets"),
    _number("reverse_packets"),
    _number("bytes"),
    _number("last_ns"),
    _count("missing"),
    _count("truncated"),
    _count("one_way"),
)
observations = _table(
    "observations", _id("connection", key=True), _packed("vlans"), _packed("interfaces")
)
operations = _table(
    "operations",
    _id("id", key=True),
    _id("connection"),
    _text("protocol"),
    Column("reversed", Boolean, nullable=False),
    _number("code", null=True),
    _text("name"),
    _text("action"),
    _text("object"),
    _text("outcome"),
    _text("client_child"),
    _text("server_child"),
    _number("first_ns"),
    _packed("spans"),
    _number("count"),
    _number("unpaired"),
    _number("last_ns"),
)
claims = _table(
    "claims",
    _id("id", key=True),
    _id("endpoint"),
    _text("attribute"),
    _text("value"),
    _text("protocol"),
    _text("message"),
    _text("confidence"),
    _number("valid_from"),
    _number("valid_to", null=True),
    _packed("spans"),
    _text("decode"),
)
changes = _table(
    "changes",
    _id("id", key=True),
    _id("connection"),
    _text("protocol"),
    Column("reversed", Boolean, nullable=False),
    _text("object"),
    _packed("old"),
    _packed("new"),
    Column("min", Float, nullable=True),
    Column("max", Float, nullable=True),
    _number("count"),
    _number("last_ns"),
    _packed("spans"),
    _text("decode"),
)
events = _table(
    "events",
    _id("id", key=True),
    _text("kind"),
    _text("space"),
    _id("client_id"),
    _id("server_id"),
    _text("client"),
    _text("server"),
    _text("protocol"),
    _packed("details"),
    _number("first_ns"),
    _packed("spans"),
    _number("count"),
    _number("last_ns"),
)
violations = _table(
    "violations",
    _id("id", key=True),
    _id("connection"),
    Column("reversed", Boolean, nullable=False),
    _text("rule"),
    _text("protocol"),
    _packed("details"),
    _number("first_ns"),
    _packed("spans"),
    _number("count"),
    _number("last_ns"),
)
payloads = _table(
    "payloads",
    _id("id", key=True),
    _id("connection"),
    Column("reversed", Boolean, nullable=False),
    _text("protocol"),
    _text("kind"),
    _packed("content"),
    _number("first_ns"),
    _packed("spans"),
)
attempts = _table(
    "attempts",
    _id("source", key=True),
    _text("transport", key=True),
    _number("start_ns", key=True),
    _packed("body"),
)
corrections = _table("corrections", _id("old", key=True), _id("new"), _number("ts_ns"))
epochs = _table(
    "epochs",
    _number("before_ns", key=True),
    _number("after_ns", key=True),
    _text("cause", key=True),
    _packed("spans"),
)
interfaces = _table(
    "interfaces",
    _text("name", key=True),
    _number("first_ns"),
    _number("last_ns"),
    Column("up", Boolean, nullable=False),
    Column("up_ns", BigInteger, nullable=True, autoincrement=False),
    _number("frames"),
    _number("bytes"),
    _packed("drops"),
    _packed("last"),
)
minutes = _table(
    "minutes",
    _text("interface", key=True),
    _number("start_ns", key=True),
    _number("frames"),
    _number("bytes"),
    _packed("drops"),
)
blinds = _table(
    "blinds",
    _text("interface", key=True),
    _number("start_ns", key=True),
    _number("end_ns"),
    _text("cause"),
)
lanes = _table(
    "lanes",
    _text("interface", key=True),
    Column("vlans", LargeBinary, primary_key=True),
    _number("start_ns", key=True),
    _packed("body"),
)
marks = _table("marks", _text("name", key=True), _packed("value"))
buckets = _table("buckets", _id("id", key=True), _number("start_ns", key=True), _number("count"))
tallies = _table("tallies", _number("batch", key=True), _packed("body"))

devices = _table(
    "devices",
    _id("id", key=True),
    _text("space"),
    _id("parent", null=True),
    _text("child_address"),
    _text("name"),
    _text("type"),
    _text("vendor", null=True),
    _text("model", null=True),
    _text("firmware", null=True),
    _text("serial", null=True),
    _text("os", null=True),
    Column("purdue_level", Integer, nullable=True),
    _number("first_ns"),
    _packed("body"),
    Column("search", String, nullable=False, server_default=""),
    Column("address", String, nullable=False, server_default=""),
)
memberships = _table(
    "memberships",
    _id("endpoint", key=True),
    _number("valid_from", key=True),
    _id("device"),
    _text("reason"),
    _number("valid_to", null=True),
)
alerts = _table(
    "alerts",
    _id("id", key=True),
    _text("rule"),
    _text("title"),
    _text("engine"),
    _text("severity"),
    _text("category"),
    _text("space"),
    Column("policy", Boolean, nullable=False),
    _number("first_ns"),
    _number("last_ns"),
    _number("count"),
    _text("message"),
    _packed("body"),
    Column("search", String, nullable=False, server_default=""),
)
alert_parties = _table(
    "alert_parties", _text("address", key=True), _id("alert", key=True), _text("role", key=True)
)
alert_states = _table(
    "alert_states",
    _id("alert", key=True),
    _number("valid_from", key=True),
    _text("state"),
    _text("person"),
    _text("reason"),
    _number("valid_to", null=True),
)
users = _table(
    "users",
    _text("name", key=True),
    _text("role"),
    _text("password"),
    _number("created_ns"),
    _number("failures"),
    _number("locked_until_ns"),
)
sessions = _table(
    "sessions",
    Column("token", LargeBinary, primary_key=True),
    _text("person"),
    _text("csrf"),
    _number("created_ns"),
    _number("last_ns"),
)
audit = _table(
    "audit",
    _id("id", key=True),
    _number("ts_ns"),
    _text("person"),
    _text("action"),
    _text("target"),
)

Index("endpoints_address", endpoints.c.address)
Index("connections_client", connections.c.client_id)
Index("connections_server", connections.c.server_id)
Index("operations_connection", operations.c.connection)
Index("claims_endpoint", claims.c.endpoint)
Index("changes_connection", changes.c.connection)
Index("devices_type", devices.c.type)
Index("memberships_device", memberships.c.device)
Index("alerts_rule", alerts.c.rule)
Index("alerts_last", alerts.c.last_ns)
Index("alerts_order", alerts.c.policy, alerts.c.severity, alerts.c.engine, alerts.c.last_ns)
Index("alert_parties_alert", alert_parties.c.alert)
Index("audit_time", audit.c.ts_ns)
Index("devices_parent", devices.c.parent)
Index("violations_connection", violations.c.connection)
