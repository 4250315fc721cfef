//! What the engine promises about counting, roles, copies, attempts, caps and time (contracts.md
//! §1 to §4), from frames in a capture file to batches.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use otic_capture::LinkType;
use otic_capture::write::PcapngWriter;
use otic_engine::facts::{Batch, Id};
use otic_engine::replay::Replay;
use otic_engine::spaces::SpaceMap;

const START_NS: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

/// A capture in the making: (time, bytes).
#[derive(Default)]
struct Wire {
    frames: Vec<(i64, Vec<u8>)>,
    id: u16,
}

#[derive(Clone, Copy)]
struct Tcp {
    client: u8,
    server: u8,
    port: u16,
    sequence: [u32; 2],
}

const READ: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 3, 0, 10, 0, 2];
const VALUES: [u8; 13] = [0, 1, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2];

impl Wire {
    fn ip(&mut self, at_ns: i64, from: u8, to: u8, protocol: u8, payload: &[u8]) {
        self.id += 1;
        let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
        frame.extend([0x45, 0]);
        frame.extend((20 + payload.len() as u16).to_be_bytes());
        frame.extend(self.id.to_be_bytes());
        frame.extend([0x40, 0, 64, protocol, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
        frame.extend(payload);
        self.frames.push((START_NS + at_ns, frame));
    }

    fn tcp(&mut self, at_ns: i64, tcp: &mut Tcp, from_server: bool, flags: u8, payload: &[u8]) {
        let side = usize::from(from_server);
        let ports = [40_000, tcp.port];
        let mut segment = Vec::new();
        segment.extend(ports[side].to_be_bytes());
        segment.extend(ports[1 - side].to_be_bytes());
        segment.extend(tcp.sequence[side].to_be_bytes());
        segment.extend(tcp.sequence[1 - side].to_be_bytes());
        segment.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        segment.extend(payload);
        tcp.sequence[side] += payload.len() as u32 + u32::from(flags & 0x02 != 0);
        let ends = [tcp.client, tcp.server];
        self.ip(at_ns, ends[side], ends[1 - side], 6, &segment);
    }

    fn udp(&mut self, at_ns: i64, from: (u8, u16), to: (u8, u16), payload: &[u8]) {
        let mut datagram = Vec::new();
        datagram.extend(from.1.to_be_bytes());
        datagram.extend(to.1.to_be_bytes());
        datagram.extend((8 + payload.len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        self.ip(at_ns, from.0, to.0, 17, &datagram);
    }

    fn poll(&mut self, at_ns: i64, tcp: &mut Tcp) {
        self.tcp(at_ns, tcp, false, 0x18, &READ);
        self.tcp(at_ns + MS, tcp, true, 0x18, &VALUES);
    }

    fn save(&self, name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("otic-{name}-{}.pcapng", std::process::id()));
        let mut writer = PcapngWriter::new(std::fs::File::create(&path).unwrap()).unwrap();
        for (ts_ns, bytes) in &self.frames {
            writer.frame(*ts_ns, bytes.len() as u32, LinkType::ETHERNET, bytes).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    fn batches(&self, name: &str) -> Vec<Batch> {
        let path = self.save(name);
        let batches = run(&[&path], 1);
        std::fs::remove_file(path).unwrap();
        batches
    }
}

fn run(paths: &[&PathBuf], threads: usize) -> Vec<Batch> {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let mut replay = Replay::open(&paths, threads, SpaceMap::default()).unwrap();
    std::iter::from_fn(|| replay.next_batch()).collect()
}

fn modbus(client: u8, server: u8) -> Tcp {
    Tcp { client, server, port: 502, sequence: [1000, 9000] }
}

/// Client, server, code, object, outcome.
type Operation = (String, String, Option<u32>, String, &'static str);

/// Each operation with its (count, unpaired).
fn operations(batches: &[Batch]) -> BTreeMap<Operation, (u64, u64)> {
    let mut counts: BTreeMap<Id, (u64, u64)> = BTreeMap::new();
    for tallies in batches.iter().map(|batch| &batch.tallies) {
        for (index, id) in tallies.operation_ids.chunks(16).enumerate() {
            let number = |column: &[u8]| {
                u64::from_le_bytes(column[index * 8..index * 8 + 8].try_into().unwrap())
            };
            let entry = counts.entry(Id(id.try_into().unwrap())).or_default();
            entry.0 += number(&tallies.operation_counts);
            entry.1 += number(&tallies.operation_unpaired);
        }
    }
    let connections: BTreeMap<Id, _> =
        batches.iter().flat_map(|batch| &batch.connections).map(|fact| (fact.id, fact)).collect();
    let mut found = BTreeMap::new();
    for fact in batches.iter().flat_map(|batch| &batch.operations) {
        let connection = connections[&fact.connection];
        let (mut client, mut server) =
            (connection.client.to_string(), connection.server.to_string());
        if fact.reversed {
            std::mem::swap(&mut client, &mut server);
        }
        let key = (client, server, fact.code, fact.object.to_string(), fact.outcome);
        found.insert(key, counts.get(&fact.id).copied().unwrap_or_default());
    }
    found
}

fn read_of(client: u8, server: u8, outcome: &'static str) -> Operation {
    let address = |host: u8| format!("10.0.0.{host}");
    (address(client), address(server), Some(3), "holding-register 10-11".into(), outcome)
}

#[test]
fn polling_is_one_operation_and_a_count() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    wire.tcp(0, &mut tcp, false, 0x02, &[]);
    wire.tcp(MS, &mut tcp, true, 0x12, &[]);
    for round in 0..50 {
        wire.poll((10 + round * 100) * MS, &mut tcp);
    }
    let batches = wire.batches("polling");
    assert_eq!(
        vec![(read_of(1, 2, "ok"), (50, 0))],
        operations(&batches).into_iter().collect::<Vec<_>>()
    );
    assert_eq!(1, batches.iter().map(|batch| batch.operations.len()).sum::<usize>());
    assert_eq!(1, batches.iter().map(|batch| batch.connections.len()).sum::<usize>());
}

#[test]
fn a_batch_of_many_frames_tells_each_count_once() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    let exchanges = 10_000;
    for round in 0..exchanges {
        let at_ns = round * 90_000;
        wire.tcp(at_ns, &mut tcp, false, 0x18, &READ);
        wire.tcp(at_ns + 40_000, &mut tcp, true, 0x18, &VALUES);
    }
    let path = wire.save("many");
    for threads in [1, 2] {
        let batches = run(&[&path], threads);
        assert_eq!(1, batches.len());
        assert_eq!(16, batches[0].tallies.connection_ids.len());
        assert_eq!(16, batches[0].tallies.operation_ids.len());
        let found = operations(&batches);
        assert_eq!(Some(&(exchanges as u64, 0)), found.get(&read_of(1, 2, "ok")));
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_client_is_known_from_the_syn_whatever_the_ports() {
    let mut wire = Wire::default();
    // The server's port is higher than the client's.
    let mut tcp = Tcp { port: 50_502, ..modbus(1, 2) };
    wire.tcp(0, &mut tcp, false, 0x02, &[]);
    wire.tcp(MS, &mut tcp, true, 0x12, &[]);
    wire.poll(2 * MS, &mut tcp);
    let batches = wire.batches("syn");
    assert_eq!(Some(&(1, 0)), operations(&batches).get(&read_of(1, 2, "ok")));
    assert_eq!(
        Some(50_502),
        batches.iter().flat_map(|batch| &batch.connections).next().unwrap().port
    );
}

#[test]
fn joined_in_the_middle_a_response_alone_is_unpaired_and_tells_who_is_the_server() {
    let mut wire = Wire::default();
    let mut tcp = Tcp { port: 30_502, ..modbus(9, 2) };
    wire.tcp(0, &mut tcp, true, 0x18, &VALUES);
    wire.poll(5 * MS, &mut tcp);
    let found = operations(&wire.batches("middle"));
    assert_eq!(Some(&(1, 0)), found.get(&read_of(9, 2, "ok")));
    assert_eq!(1, found.values().map(|(_, unpaired)| unpaired).sum::<u64>());
}

#[test]
fn a_retransmission_counts_once() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    wire.poll(0, &mut tcp);
    let mut again = Tcp { sequence: [1000, 9000], ..tcp };
    wire.tcp(5 * MS, &mut again, false, 0x18, &READ);
    wire.poll(10 * MS, &mut tcp);
    let batches = wire.batches("again");
    assert_eq!(Some(&(2, 0)), operations(&batches).get(&read_of(1, 2, "ok")));
    let copies: u64 =
        batches.iter().flat_map(|batch| batch.coverage.copies.get("tcp-retransmission")).sum();
    assert_eq!(1, copies);
}

#[test]
fn a_request_without_response_is_unseen() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    wire.tcp(0, &mut tcp, false, 0x18, &READ);
    assert_eq!(Some(&(1, 0)), operations(&wire.batches("unseen")).get(&read_of(1, 2, "unseen")));
}

#[test]
fn a_mirrored_copy_counts_once_and_is_named() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    for round in 0..4 {
        wire.poll(round * 100 * MS, &mut tcp);
    }
    let doubled: Vec<_> = wire
        .frames
        .iter()
        .flat_map(|(ts_ns, bytes)| [(*ts_ns, bytes.clone()), (ts_ns + MS / 2, bytes.clone())])
        .collect();
    wire.frames = doubled;
    let batches = wire.batches("mirror");
    assert_eq!(Some(&(4, 0)), operations(&batches).get(&read_of(1, 2, "ok")));
    assert_eq!(
        8,
        batches.iter().flat_map(|batch| batch.coverage.copies.get("mirror")).sum::<u64>()
    );
}

#[test]
fn a_routed_copy_gives_the_routers_two_macs() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    wire.poll(0, &mut tcp);
    let (ts_ns, mut routed) = wire.frames[0].clone();
    // The router 02:..:02 sends it on from 02:..:aa to 02:..:bb with one hop less.
    routed[..12].copy_from_slice(&[2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa]);
    routed[14 + 8] -= 1;
    wire.frames.insert(1, (ts_ns + MS / 4, routed));
    let batches = wire.batches("routed");
    let bindings: Vec<_> = batches.iter().flat_map(|batch| &batch.bindings).collect();
    assert_eq!(
        vec!["routed-copy"],
        bindings.iter().map(|binding| binding.protocol).collect::<Vec<_>>()
    );
}

/// How often copies of this kind were seen.
fn copies(batches: &[Batch], kind: &str) -> u64 {
    batches.iter().flat_map(|batch| batch.coverage.copies.get(kind)).sum()
}

/// The same polls, each frame twice as this way of a redundant network brings it.
fn redundant(name: &str, tagged: impl Fn(&[u8], u16, bool) -> Vec<u8>) -> Vec<Batch> {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    for round in 0..4 {
        wire.poll(round * 100 * MS, &mut tcp);
    }
    wire.frames = (wire.frames.iter().enumerate())
        .flat_map(|(at, (ts_ns, bytes))| {
            let sequence = at as u16;
            // The second LAN is slower by more than a mirror's copy could be.
            [
                (*ts_ns, tagged(bytes, sequence, false)),
                (ts_ns + 20 * MS, tagged(bytes, sequence, true)),
            ]
        })
        .collect();
    wire.frames.sort_by_key(|(ts_ns, _)| *ts_ns);
    wire.batches(name)
}

#[test]
fn the_frames_of_both_lans_of_prp_count_once() {
    let batches = redundant("prp", |bytes, sequence, second| {
        let mut frame = bytes.to_vec();
        let size = (bytes.len() - 14 + 6) as u16;
        frame.extend(sequence.to_be_bytes());
        frame.extend((size | if second { 0xb000 } else { 0xa000 }).to_be_bytes());
        frame.extend([0x88, 0xfb]);
        frame
    });
    assert_eq!(Some(&(4, 0)), operations(&batches).get(&read_of(1, 2, "ok")));
    assert_eq!(8, copies(&batches, "prp"));
}

#[test]
fn the_frames_of_both_directions_of_an_hsr_ring_count_once() {
    let batches = redundant("hsr", |bytes, sequence, second| {
        let mut frame = bytes[..12].to_vec();
        let size = (bytes.len() - 14 + 6) as u16;
        frame.extend([0x89, 0x2f]);
        frame.extend((size | u16::from(second) << 12).to_be_bytes());
        frame.extend(sequence.to_be_bytes());
        frame.extend(&bytes[12..]);
        frame
    });
    assert_eq!(Some(&(4, 0)), operations(&batches).get(&read_of(1, 2, "ok")));
    assert_eq!(8, copies(&batches, "hsr"));
}

/// An IPv4 packet between two tunnel ends, in a frame.
fn outer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 9, 2, 2, 0, 0, 0, 9, 1, 8, 0, 0x45, 0];
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 198, 51, 100, 1, 198, 51, 100, 2]);
    frame.extend(payload);
    frame
}

/// A UDP datagram to this port between the tunnel ends.
fn outer_udp(port: u16, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let mut datagram = vec![0xc0, 0];
    datagram.extend(port.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    outer(17, &datagram)
}

/// A way to carry a frame, and how.
type Tunnel = (&'static str, fn(&[u8]) -> Vec<u8>);

#[test]
fn a_poll_in_each_kind_of_tunnel_is_the_poll_itself() {
    let tunnels: &[Tunnel] = &[
        ("gre", |frame| outer(47, &[&[0, 0, 8, 0], &frame[14..]].concat())),
        ("gre-key", |frame| outer(47, &[&[0x20, 0, 8, 0, 0, 0, 0, 7], &frame[14..]].concat())),
        ("erspan-1", |frame| outer(47, &[&[0, 0, 0x88, 0xbe], frame].concat())),
        ("erspan-2", |frame| {
            let header = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0, 9, 0, 0, 0, 0];
            outer(47, &[&header, frame].concat())
        }),
        ("erspan-3", |frame| {
            let header = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1];
            outer(47, &[&header[..], &[0; 8], frame].concat())
        }),
        ("vxlan", |frame| outer_udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], frame])),
        ("geneve", |frame| {
            outer_udp(6081, &[&[1, 0, 0x65, 0x58, 0, 0, 7, 0], &[0, 1, 0x80, 0], frame])
        }),
        ("ip-in-ip", |frame| outer(4, &frame[14..])),
        ("gtp-u", |frame| {
            let length = (frame.len() - 14) as u8;
            outer_udp(2152, &[&[0x30, 0xff, 0, length, 0, 0, 0, 7], &frame[14..]])
        }),
    ];
    for (name, tunnel) in tunnels {
        let mut wire = Wire::default();
        let mut tcp = modbus(1, 2);
        for round in 0..4 {
            wire.poll(round * 100 * MS, &mut tcp);
        }
        for (_, bytes) in &mut wire.frames {
            *bytes = tunnel(bytes);
        }
        let found = operations(&wire.batches(name));
        assert_eq!(Some(&(4, 0)), found.get(&read_of(1, 2, "ok")), "{name}");
    }
}

#[test]
fn a_datagram_of_ipv6_in_ipv4_has_its_own_addresses() {
    let mut inner = vec![0x60, 0, 0, 0, 0, 12, 17, 64];
    inner.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    inner.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    inner.extend([0x9c, 0x40, 0x9c, 0x41, 0, 12, 0, 0, 1, 2, 3, 4]);
    let mut wire = Wire::default();
    wire.frames.push((START_NS, outer(41, &inner)));
    let batches = wire.batches("6in4");
    let spoke: Vec<_> = batches.iter().flat_map(|batch| &batch.endpoints).collect();
    assert!(spoke.iter().any(|endpoint| endpoint.address == "2001:db8::1" && endpoint.spoke));
    assert!(!spoke.iter().any(|endpoint| endpoint.address == "198.51.100.1"));
}

#[test]
fn takeovers_are_joined_over_shards_alike_for_any_number_of_threads() {
    let mut wire = Wire::default();
    for (second, host) in [(0, 1), (1, 2), (2, 3), (60, 2), (120, 3), (180, 1)] {
        // Each machine announces 10.0.0.9 in a frame of its own address pair.
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, host, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([2, 0, 0, 0, 0, host, 10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9]);
        wire.frames.push((START_NS + second * SECOND, frame));
    }
    let path = wire.save("takeovers");
    let (one, two) = (run(&[&path], 1), run(&[&path], 3));
    std::fs::remove_file(path).unwrap();
    assert_eq!(one, two);
    let moved: Vec<_> = (one.iter().flat_map(|batch| &batch.events))
        .map(|event| (event.kind.as_str(), event.client.as_str(), event.server.as_str()))
        .collect();
    let mac = |host: u8| format!("02:00:00:00:00:0{host}");
    let (first, second, third) = (mac(1), mac(2), mac(3));
    // The second time that the third takes it from the second is a count.
    assert_eq!(
        vec![
            ("address-moved", second.as_str(), first.as_str()),
            ("address-moved", third.as_str(), second.as_str()),
            ("address-moved", second.as_str(), third.as_str()),
            ("address-moved", first.as_str(), third.as_str()),
        ],
        moved
    );
    let counted = one.iter().map(|batch| batch.tallies.occurrence_counts.len() / 8).sum::<usize>();
    assert_eq!(5, counted);
}

#[test]
fn an_answer_from_another_port_belongs_to_the_request() {
    let mut wire = Wire::default();
    let (client, chosen) = ((1, 40_000), (2, 50_000));
    wire.udp(0, client, (2, 69), b"\0\x01a.bin\0octet\0");
    wire.udp(MS, chosen, client, b"\0\x03\0\x01data");
    wire.udp(2 * MS, client, chosen, b"\0\x04\0\x01");
    // Another machine, or another port of the same client, is nobody that was asked.
    wire.udp(3 * MS, (3, 50_000), client, b"\0\x03\0\x01data");
    wire.udp(4 * MS, (2, 50_001), (1, 40_001), b"\0\x03\0\x01data");
    let batches = wire.batches("answer");
    let key = ("10.0.0.1".into(), "10.0.0.2".into(), Some(1), "a.bin".into(), "ok");
    assert_eq!(BTreeMap::from([(key, (1, 0))]), operations(&batches));
    let connections: Vec<_> = batches.iter().flat_map(|batch| &batch.connections).collect();
    assert_eq!(1, connections.len());
    assert_eq!(("tftp", Some(69)), (connections[0].protocol.as_str(), connections[0].port));
    assert_eq!(3, packets(&batches));
}

/// Frames that all connections count.
fn packets(batches: &[Batch]) -> u64 {
    batches
        .iter()
        .flat_map(|batch| {
            batch.tallies.forward_packets.chunks(8).chain(batch.tallies.reverse_packets.chunks(8))
        })
        .map(|number| u64::from_le_bytes(number.try_into().unwrap()))
        .sum()
}

/// Protocols and frames of the connections that packets with these numbers of RTP make; number 999
/// comes from the other end.
fn numbered(name: &str, numbers: &[u16]) -> (Vec<String>, u64) {
    let mut wire = Wire::default();
    for (at, number) in (0..).zip(numbers) {
        let mut packet = vec![0x80, 8];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(*number) * 160).to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.extend(b"media");
        let (a, b) = ((1, 40_000), (2, 50_000));
        let (from, to) = if *number == 999 { (b, a) } else { (a, b) };
        wire.udp(at * MS, from, to, &packet);
    }
    let batches = wire.batches(name);
    let connections = batches.iter().flat_map(|batch| &batch.connections);
    (connections.map(|fact| fact.protocol.to_string()).collect(), packets(&batches))
}

#[test]
fn a_dissector_on_trial_is_believed_once_it_is_proven() {
    assert_eq!((vec!["rtp".to_owned()], 4), numbered("proven", &[1, 2, 3, 4]));
    assert_eq!((vec!["rtp".to_owned()], 4), numbered("both", &[1, 999, 2, 3]));
    // One side alone that is never proven is no connection, two sides are one of nobody's protocol.
    assert_eq!((vec![], 0), numbered("one-sided", &[1, 7, 20]));
    assert_eq!((vec!["unknown".to_owned()], 3), numbered("unproven", &[1, 999, 20]));
}

/// List Identity of EtherNet/IP: a request of 24 bytes that are mostly zero, and a device's answer.
fn list_identity() -> (Vec<u8>, Vec<u8>) {
    let mut request = vec![0x63];
    request.resize(24, 0);
    let mut item = vec![1, 0, 0, 2, 0xaf, 0x12, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    item.extend([1, 0, 12, 0, 0x3a, 0, 4, 3, 0x30, 0, 0x8e, 0x4d, 0x52, 0, 2, b'P', b'7', 3]);
    let mut answer = vec![0x63, 0, 6 + item.len() as u8];
    answer.resize(24, 0);
    answer.extend([1, 0, 0x0c, 0, item.len() as u8, 0]);
    answer.extend(item);
    (request, answer)
}

/// Codes and outcomes of the operations in a capture with one server.
fn codes(batches: &[Batch]) -> Vec<(Option<u32>, &'static str, u64)> {
    operations(batches).into_iter().map(|(key, count)| (key.2, key.4, count.0)).collect()
}

#[test]
fn a_request_that_proves_nothing_is_read_once_its_answer_tells_the_protocol() {
    let (request, answer) = list_identity();
    let mut wire = Wire::default();
    let mut tcp = Tcp { port: 9999, ..modbus(1, 2) };
    wire.tcp(0, &mut tcp, false, 0x18, &request);
    wire.tcp(MS, &mut tcp, true, 0x18, &answer);
    assert_eq!(vec![(Some(0x63), "ok", 1)], codes(&wire.batches("kept")));
}

#[test]
fn a_port_that_a_server_was_seen_to_serve_counts_as_usual() {
    let mut wire = Wire::default();
    let odd = [0, 1, 0, 0, 0, 6, 1, 43, 1, 10, 0, 2];
    let mut tcp = Tcp { port: 9999, ..modbus(1, 2) };
    wire.tcp(0, &mut tcp, false, 0x18, &odd);
    assert!(codes(&wire.batches("alone")).is_empty());

    let mut wire = Wire::default();
    wire.poll(0, &mut tcp);
    let mut other = Tcp { port: 9999, ..modbus(1, 2) };
    other.sequence = [7_000_000, 9_000_000];
    wire.tcp(SECOND, &mut tcp, false, 0x04, &[]);
    wire.tcp(SECOND + MS, &mut other, false, 0x02, &[]);
    wire.tcp(SECOND + 2 * MS, &mut other, true, 0x12, &[]);
    wire.tcp(SECOND + 3 * MS, &mut other, false, 0x18, &odd);
    let found = codes(&wire.batches("served"));
    assert!(found.contains(&(Some(43), "unseen", 1)), "{found:?}");
}

#[test]
fn datagrams_of_a_wrong_length_are_bacnet_once_one_answers_the_other() {
    // Reinitialize Device with a password, and Simple-ACK; both claim 17 bytes.
    let request = *b"\x81\x0a\0\x11\x01\x04\0\x05\x09\x14\x09\x06\x1d\x0a\0Breloom20";
    let answer = *b"\x81\x0a\0\x11\x01\x04\x20\x09\x14";
    let ends = ((1, 9000), (2, 9000));
    let mut wire = Wire::default();
    wire.udp(0, ends.0, ends.1, &request);
    wire.udp(MS, ends.1, ends.0, &[&answer[..7], &[0x08, 0x14]].concat());
    assert!(codes(&wire.batches("other-id")).is_empty());
    wire.udp(2 * MS, ends.1, ends.0, &answer);
    let batches = wire.batches("wrong-length");
    assert!(codes(&batches).contains(&(Some(20), "ok", 1)), "{:?}", codes(&batches));
    assert_eq!(3, packets(&batches));
}

#[test]
fn attempts_become_one_fact_a_bucket_and_no_connections() {
    let mut wire = Wire::default();
    for target in 10..60 {
        let mut tcp = modbus(1, target);
        wire.tcp(i64::from(target) * 10 * MS, &mut tcp, false, 0x02, &[]);
        wire.tcp(i64::from(target) * 10 * MS + MS, &mut tcp, true, 0x14, &[]);
    }
    // Time goes on, so that the bucket ends.
    for second in 1..40 {
        wire.ip(second * SECOND, 1, 2, 1, &[8, 0, 0, 0, 0, 0, 0, 0]);
    }
    let batches = wire.batches("attempts");
    let tcp: Vec<_> = batches
        .iter()
        .flat_map(|batch| &batch.attempts)
        .filter(|attempts| attempts.transport == "tcp")
        .collect();
    assert_eq!(1, tcp.len());
    assert_eq!(
        (50, 50, 50, 1, false),
        (tcp[0].hosts, tcp[0].attempts, tcp[0].failed, tcp[0].ports, tcp[0].more)
    );
    assert!(
        batches.iter().flat_map(|batch| &batch.connections).all(|known| known.transport != "tcp")
    );
}

#[test]
fn many_objects_of_one_code_become_a_pattern() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    for register in 0..200_u16 {
        let mut request = READ;
        request[8..10].copy_from_slice(&(register * 3).to_be_bytes());
        wire.tcp(i64::from(register) * 10 * MS, &mut tcp, false, 0x18, &request);
        wire.tcp(i64::from(register) * 10 * MS + MS, &mut tcp, true, 0x18, &VALUES);
    }
    let batches = wire.batches("objects");
    let found = operations(&batches);
    assert_eq!(65, found.len());
    let pattern = found.iter().find(|(key, _)| key.3 == "holding-register 0-999").unwrap();
    assert_eq!(136, pattern.1.0);
    assert!(batches.iter().any(|batch| batch.coverage.capped.contains_key("objects")));
}

#[test]
fn a_jump_of_the_clock_opens_an_epoch_either_way() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    wire.poll(0, &mut tcp);
    wire.poll(2 * 3600 * SECOND, &mut tcp);
    wire.poll(SECOND, &mut tcp);
    let batches = wire.batches("epochs");
    let epochs: Vec<_> =
        batches.iter().flat_map(|batch| &batch.epochs).map(|epoch| epoch.cause).collect();
    assert_eq!(vec!["gap", "backward"], epochs);
    assert_eq!(Some(&(3, 0)), operations(&batches).get(&read_of(1, 2, "ok")));
}

#[test]
fn threads_and_a_cut_in_the_file_change_nothing() {
    let mut wire = Wire::default();
    let mut pairs: Vec<Tcp> = (0..40).map(|pair| modbus(pair + 1, pair + 100)).collect();
    for round in 0..60 {
        for (offset, tcp) in pairs.iter_mut().enumerate() {
            wire.poll((round * 100 + offset as i64 * 2) * MS, tcp);
        }
    }
    let whole = wire.save("whole");
    let one = run(&[&whole], 1);
    assert_eq!(one, run(&[&whole], 2));
    assert_eq!(one, run(&[&whole], 3));
    let cut = wire.frames.len() / 2 + 1;
    let second = Wire { frames: wire.frames.split_off(cut), ..Wire::default() };
    let (first, second) = (wire.save("first"), second.save("second"));
    let split = run(&[&first, &second], 1);
    assert_eq!(operations(&one), operations(&split));
    assert_eq!(one.len(), split.len());
    for path in [whole, first, second] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn equal_addresses_on_two_vlans_are_two_when_vlans_are_spaces() {
    let mut wire = Wire::default();
    let mut tcp = modbus(1, 2);
    wire.poll(0, &mut tcp);
    // Identical machines: the second cell's packets are the first one's, to the byte.
    wire.frames = [10, 20]
        .iter()
        .flat_map(|vlan| wire.frames.iter().map(move |frame| (vlan, frame)))
        .map(|(vlan, (ts_ns, frame))| {
            let mut frame = frame.clone();
            frame.splice(12..12, [0x81, 0x00, 0x00, *vlan]);
            (*ts_ns + i64::from(*vlan), frame)
        })
        .collect();
    let path = wire.save("spaces");
    let rules = [10, 20].map(|vlan| ("vlan".to_owned(), vlan.to_string(), format!("cell-{vlan}")));
    let paths = [path.display().to_string()];
    let mut replay = Replay::open(&paths, 1, SpaceMap::new(&rules).unwrap()).unwrap();
    let batches: Vec<Batch> = std::iter::from_fn(|| replay.next_batch()).collect();
    std::fs::remove_file(path).unwrap();
    let connections = batches.iter().flat_map(|batch| &batch.connections);
    assert_eq!(2, connections.filter(|known| known.protocol == "modbus").count());
    let spaces: Vec<_> = batches
        .iter()
        .flat_map(|batch| &batch.endpoints)
        .filter(|endpoint| endpoint.address == "10.0.0.1" && endpoint.spoke)
        .map(|endpoint| endpoint.space.as_str())
        .collect();
    assert_eq!(vec!["cell-10", "cell-20"], spaces);
}
