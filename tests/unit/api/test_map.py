"""The route `/api/map`, on the demo plant and on made-up plants that are too large to draw."""

from __future__ import annotations

from typing import Any

from otic.store.queries import map as queries
from otic.store.queries.map import INTERNET, MOST_EDGES, MOST_NODES, Graph, MapFilter, MapNode
from otic.store.queries.talks import Layer, Said, Talks


def _named(answer: Any, name: str) -> Any:
    found = [node for node in answer["nodes"] if node["name"] == name]
    assert len(found) == 1, [node["name"] for node in answer["nodes"]]
    return found[0]


def test_every_top_level_device_is_on_the_map_once(viewer: Any) -> None:
    """Nodes are the machines of the device list, with its levels and alerts."""
    answer = viewer.get("/api/map")
    listed = viewer.get("/api/devices", limit=500)["items"]
    tops = {row["id"]: row for row in listed if row["parent"] is None and row["type"] != "Internet"}
    devices = {node["id"]: node for node in answer["nodes"] if node["kind"] == "device"}

    assert devices.keys() == tops.keys()
    assert len(devices) == answer["devices"] > 5
    for id_, node in devices.items():
        row = tops[id_]
        assert (node["name"], node["type"], node["vendor"], node["level"], node["alerts"]) == (
            row["name"],
            row["type"],
            row["vendor"],
            row["purdue_level"],
            row["alerts"],
        )
        assert node["addresses"] == len(row["ips"]) + len(row["macs"])
    assert any(node["alerts"] for node in devices.values())
    assert not answer["grouped"]
    assert (answer["nodes_left_out"], answer["edges_left_out"]) == (0, 0)


def test_edges_are_the_connections_of_the_device_pages(viewer: Any) -> None:
    """Each pair of devices with a connection has one edge, with all its protocols."""
    answer = viewer.get("/api/map")
    on_map = {node["id"] for node in answer["nodes"]}
    rows = viewer.get("/api/connections", limit=500)["items"]
    expected: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        ends = [row[side]["device"]["id"] for side in ("client", "server") if row[side]["device"]]
        if len(set(ends)) == 2 and on_map.issuperset(ends):
            expected.setdefault(tuple(sorted(ends)), set()).add(row["protocol"])

    found = {(edge["first"], edge["second"]): set(edge["protocols"]) for edge in answer["edges"]}

    assert expected
    assert found == expected | {pair: found[pair] for pair in found if INTERNET in pair}
    assert any(edge["industrial"] for edge in answer["edges"])
    assert any(not edge["industrial"] for edge in answer["edges"])


def test_words_show_the_device_and_who_it_talks_to(viewer: Any) -> None:
    """What matches is told apart from its peers; lines between peers are not drawn."""
    answer = viewer.get("/api/map", q="palletizer")
    device = _named(answer, "PALLETIZER")

    assert answer["devices"] == 1
    assert not device["peer"]
    assert len(answer["nodes"]) > 1
    assert all(node["peer"] for node in answer["nodes"] if node["id"] != device["id"])
    assert all(device["id"] in (edge["first"], edge["second"]) for edge in answer["edges"])
    assert viewer.get("/api/map", q="no_such")["nodes"] == []


def test_protocols_cut_lines_and_devices(viewer: Any) -> None:
    """Only what speaks the protocol is left, and only in that protocol."""
    answer = viewer.get("/api/map", protocol="s7comm")
    assert {name for edge in answer["edges"] for name in edge["protocols"]} == {"s7comm"}
    ends = {edge[side] for edge in answer["edges"] for side in ("first", "second")}
    assert {node["id"] for node in answer["nodes"]} == ends

    whole = viewer.get("/api/map")
    industrial = viewer.get("/api/map", industrial=True)
    assert 0 < len(industrial["edges"]) < len(whole["edges"])
    assert all(edge["industrial"] for edge in industrial["edges"])
    known = {row["protocol"] for row in industrial["protocols"] if row["industrial"]}
    assert known.issuperset(name for edge in industrial["edges"] for name in edge["protocols"])


def test_it_is_not_for_strangers(client: Any) -> None:
    """Without a log-in there is no answer."""
    assert client.get("/api/map").status_code == 401


def _plant(controllers: int, sensors: int) -> Graph:
    """Controllers on level 1 in a row, each asked by one station; sensors on level 0 are silent."""

    def node(id_: str, type_: str, level: int | None, **alerts: int) -> MapNode:
        return MapNode(
            id=id_,
            kind="device",
            name=id_,
            type=type_,
            vendor=None,
            level=level,
            devices=1,
            addresses=2,
            named=[],
            alerts=alerts,
        )

    nodes = [node(f"plc{at:05}", "PLC", 1) for at in range(controllers - 1)]
    nodes += [node("plc-z", "PLC", 1, critical=1, minor=2), node("station", "HMI", 2)]
    nodes += [node(f"sensor{at:05}", "Sensor", None) for at in range(sensors)]
    said = [
        Said("station", other.id, Layer(protocol, "tcp", port), packets, last_ns)
        for protocol, port, packets, last_ns in (
            ("modbus", 502, 10, 5),
            ("modbus-rtu", 502, 4, 7),
            ("modbus", 503, 1, 5),
        )
        for other in nodes
        if other.type == "PLC"
    ]
    return Graph(
        nodes={one.id: one for one in nodes},
        search={one.id: one.id for one in nodes},
        talks=Talks(said),
    )


def test_layers_of_one_conversation_count_once() -> None:
    """Of two protocols on one port the larger counts, other ports are added."""
    (edge,) = queries.view(_plant(1, 0), MapFilter()).edges
    assert edge.packets == 11
    assert edge.last_seen.startswith("1970-01-01T00:00:00.000000007")


def test_a_large_plant_is_drawn_as_groups() -> None:
    """Groups say how many they stand for, and sum the lines and alerts of their devices."""
    plant = _plant(300, 200)
    answer = queries.view(plant, MapFilter())

    assert answer.grouped
    assert answer.devices == 501
    assert {(node.id, node.kind, node.devices) for node in answer.nodes} == {
        ("1:PLC", "group", 300),
        ("2:HMI", "group", 1),
        ("-:Sensor", "group", 200),
    }
    (controllers,) = (node for node in answer.nodes if node.id == "1:PLC")
    assert controllers.alerts == {"critical": 1, "minor": 2}
    (edge,) = answer.edges
    assert (edge.first, edge.second, edge.packets) == ("1:PLC", "2:HMI", 300 * 11)
    assert answer.nodes_left_out == 0


def test_an_opened_group_shows_the_gravest_first_and_counts_the_rest() -> None:
    """Of a group too large to draw, devices with alerts are drawn, the others are counted."""
    answer = queries.view(_plant(MOST_NODES + 50, 0), MapFilter(open=["1:PLC"]))

    drawn = [node for node in answer.nodes if node.kind == "device"]
    assert len(drawn) == MOST_NODES
    assert answer.nodes_left_out == 50
    assert "plc-z" in {node.id for node in drawn}
    assert len(answer.edges) == MOST_NODES


def test_lines_are_capped_and_counted() -> None:
    """The busiest lines stay; how many are not drawn is said."""
    plant = _plant(80, 0)
    names = sorted(plant.nodes)
    said = [
        Said(one, other, Layer("modbus", "tcp", 502), at * 100 + after, 1)
        for at, one in enumerate(names)
        for after, other in enumerate(names[at + 1 :])
    ]
    whole = Graph(nodes=plant.nodes, search=plant.search, talks=Talks(said))
    answer = queries.view(whole, MapFilter())
    assert len(answer.edges) == MOST_EDGES
    assert answer.edges_left_out == len(said) - MOST_EDGES > 0
    busiest = sorted((one.packets for one in said), reverse=True)
    assert answer.edges[-1].packets == busiest[MOST_EDGES - 1]


def test_connections_of_one_pair_are_one_talk() -> None:
    """Who asked does not matter; two connections on one layer are added, a node's own are none."""
    layer = Layer("modbus", "tcp", 502)
    said = [
        Said("b", "a", layer, 3, 9),
        Said("b", "c", layer, 1, 1),
        Said("a", "b", layer, 4, 7),
        Said("a", "a", layer, 5, 5),
    ]
    talks = Talks(said)
    layers = talks.numbers(lambda name: name == "modbus")
    apart = {node: node for node in "abc"}

    assert sorted(talks.pairs(layers)) == [("a", "b"), ("b", "c")]
    lines = talks.lines(layers, apart, set())
    assert {pair: (line.packets, line.last_ns) for pair, line in lines.items()} == {
        ("a", "b"): (7, 9),
        ("b", "c"): (1, 1),
    }
    assert list(talks.pairs(set())) == []
    assert list(talks.lines(layers, apart, {"a", "b"})) == [("b", "c")]


def test_a_redundancy_group_is_drawn_with_its_members() -> None:
    """A line joins the group and each member, also where they never talk."""

    def node(id_: str, type_: str) -> MapNode:
        return MapNode(
            id=id_,
            kind="device",
            name=id_,
            type=type_,
            vendor=None,
            level=1,
            devices=1,
            addresses=1,
            named=[id_],
            alerts={},
        )

    whole = Graph(
        nodes={"a": node("a", "PLC"), "b": node("b", "PLC"), "g": node("g", "Group")},
        search={"a": "a", "b": "b", "g": "g"},
        talks=Talks([Said("a", "g", Layer("arp", "ethernet", None), 3, 0)]),
        members={("a", "g"), ("b", "g")},
    )

    edges = queries.view(whole, MapFilter()).edges

    assert [("a", "g", 3, True), ("b", "g", 0, True)] == [
        (edge.first, edge.second, edge.packets, edge.member) for edge in edges
    ]
