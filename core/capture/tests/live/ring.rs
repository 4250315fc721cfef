//! The receive ring: whole frames, exact counts, tags, filters, fan-out, links.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use otic_capture::LinkType;
use otic_capture::filter::FilterInstruction;
use otic_capture::nic::NicFacts;
use otic_capture::ring::{FanoutMode, Link, Ring, RingOptions};

use crate::Test;
use crate::cable::{Cable, MONITOR, stream_byte};

pub const TESTS: &[Test] = &[
    ("every_frame_comes_once_in_order_and_is_counted", every_frame),
    ("an_overload_is_counted_exactly", overload),
    ("vlan_tags_are_back_in_place", vlan_tags),
    ("joined_frames_come_whole", joined_frames),
    ("a_long_frame_is_cut_and_says_so", long_frames),
    ("a_new_filter_loses_nothing_and_lets_nothing_else_through", new_filter),
    ("a_filter_that_sees_tags_equals_the_same_filter_over_a_file", tag_filter),
    ("fan_out_gives_each_frame_once_and_a_flow_to_one_ring", fan_out_by_flow),
    ("fan_out_by_addresses_keeps_fragments_together", fan_out_by_addresses),
    ("an_interface_that_goes_and_comes_is_a_state", link_states),
    ("the_loopback_interface_gives_each_frame_once", loopback),
    ("a_missing_interface_and_bad_options_are_named", refusals),
    ("facts_of_an_interface", facts),
];

pub fn options() -> RingOptions {
    RingOptions {
        interface: MONITOR.to_owned(),
        block_bytes: 1 << 18,
        blocks: 64,
        block_timeout_ms: 20,
        fanout: None,
        promiscuous: true,
        filter: Vec::new(),
        snap_length: 262_144,
    }
}

/// A frame of 64 bytes with this ethertype and number.
pub fn numbered(ethertype: u16, number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.resize(64, 0xa5);
    frame
}

/// Ethertype and number of such a frame.
fn number(frame: &[u8]) -> (u16, u32) {
    (
        u16::from_be_bytes(frame[12..14].try_into().unwrap()),
        u32::from_be_bytes(frame[14..18].try_into().unwrap()),
    )
}

/// Frames as (bytes, length on the wire), until none came for a while.
pub fn everything(ring: &mut Ring) -> Vec<(Vec<u8>, u32)> {
    let mut frames = Vec::new();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(300) {
        ring.poll(20).unwrap();
        while ring
            .next_block(&mut |frame| frames.push((frame.bytes.to_vec(), frame.original_length)))
            .unwrap()
        {
            last = Instant::now();
        }
    }
    frames
}

/// Local experimental ethertypes (IEEE 802).
const KIND: u16 = 0x88b5;
const OTHER_KIND: u16 = 0x88b6;

fn every_frame(cable: &Cable) {
    let mut ring = Ring::open(&options()).unwrap();
    assert_eq!(LinkType::ETHERNET, ring.link_type());
    let sender = cable.start((0..100_000).map(|at| numbered(KIND, at)).collect());
    let mut numbers = Vec::new();
    let mut times = Vec::new();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(500) || numbers.is_empty() {
        ring.poll(20).unwrap();
        while ring
            .next_block(&mut |frame| {
                assert!(!frame.outgoing);
                assert_eq!((64, 64), (frame.bytes.len(), frame.original_length));
                numbers.push(number(frame.bytes).1);
                times.push(frame.ts_ns);
            })
            .unwrap()
        {
            last = Instant::now();
        }
    }
    assert_eq!(100_000, sender.sent());
    let counters = ring.counters().unwrap();
    // What the cable itself dropped for want of room is in the sender's counter.
    let lost = cable.their_counter("tx_dropped");

    assert_eq!(numbers.len() as u64, counters.received);
    assert_eq!(100_000, counters.received + counters.kernel_dropped + lost);
    assert_eq!(0, counters.kernel_dropped);
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert!(times.is_sorted());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
    assert!((0..600_000_000_000).contains(&(now - times[0])));
    assert!(times.iter().any(|ts_ns| ts_ns % 1000 != 0));
    assert_eq!(counters, ring.counters().unwrap());
}

fn overload(cable: &Cable) {
    for _ in 0..3 {
        let before = cable.their_counter("tx_dropped");
        let mut ring =
            Ring::open(&RingOptions { block_bytes: 1 << 17, blocks: 2, ..options() }).unwrap();
        let mut sender = cable.start((0..100_000).map(|at| numbered(KIND, at)).collect());
        let mut delivered = 0;
        while !sender.is_done() {
            ring.next_block(&mut |_| delivered += 1).unwrap();
            ring.counters().unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(100_000, sender.sent());
        delivered += everything(&mut ring).len() as u64;
        let counters = ring.counters().unwrap();
        let lost = cable.their_counter("tx_dropped") - before;

        assert_eq!(delivered, counters.received);
        assert_eq!(100_000, counters.received + counters.kernel_dropped + lost);
        assert!(counters.kernel_dropped > 0 && counters.freezes > 0, "{counters:?}");
        assert!(counters.received > 0);
    }
}

/// The frame with these tags behind its addresses.
fn tagged(tags: &[[u8; 4]], mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, tags.concat());
    frame
}

fn vlan_tags(cable: &Cable) {
    let mut ring = Ring::open(&options()).unwrap();
    let sent: Vec<Vec<u8>> = [
        vec![],
        vec![[0x81, 0, 0x60, 42]],
        vec![[0x81, 0, 0xf0, 0]],
        vec![[0x81, 0, 0x0f, 0xff]],
        vec![[0x88, 0xa8, 0x0a, 0xbc]],
        vec![[0x88, 0xa8, 0, 100], [0x81, 0, 0, 200]],
        vec![[0x81, 0, 0, 100], [0x81, 0, 0, 200]],
        vec![[0x91, 0, 0, 5]],
    ]
    .iter()
    .zip(0..)
    .map(|(tags, at)| tagged(tags, numbered(KIND, at)))
    .collect();
    cable.send(sent.clone());
    let expected: Vec<(Vec<u8>, u32)> =
        sent.into_iter().map(|frame| (frame.clone(), frame.len() as u32)).collect();

    assert_eq!(expected, everything(&mut ring));
}

fn joined_frames(cable: &Cable) {
    const BYTES: usize = 8_000_000;
    cable.ours(&["addr", "add", "192.0.2.1/24", "dev", MONITOR]);
    cable.theirs(&["addr", "add", "192.0.2.2/24", "dev", "mir0"]);
    let listener = TcpListener::bind("192.0.2.1:502").unwrap();
    let mut ring = Ring::open(&options()).unwrap();
    let mut plant = cable.start_plant(&["tcp", "192.0.2.1:502", &BYTES.to_string()]);
    let mut received = Vec::new();
    listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
    assert!(plant.wait().unwrap().success());
    assert_eq!(BYTES, received.len());

    let mut start = None;
    let mut seen = vec![false; BYTES];
    let mut longest = 0;
    for (frame, original_length) in everything(&mut ring) {
        assert_eq!(frame.len(), original_length as usize);
        if frame[12..14] != [8, 0] || frame[23] != 6 {
            continue;
        }
        longest = longest.max(frame.len());
        let tcp = &frame[34..];
        let sequence = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
        if tcp[13] & 2 != 0 {
            start = Some(sequence.wrapping_add(1));
        }
        let place = sequence.wrapping_sub(start.unwrap()) as usize;
        for (at, byte) in tcp[usize::from(tcp[12] >> 4) * 4..].iter().enumerate() {
            assert_eq!(stream_byte(place + at), *byte);
            seen[place + at] = true;
        }
    }
    let counters = ring.counters().unwrap();
    assert_eq!(0, counters.kernel_dropped);
    assert!(longest > 32_000, "the longest frame has {longest} bytes");
    assert!(seen.into_iter().all(|byte| byte));
}

fn long_frames(cable: &Cable) {
    let mut ring = Ring::open(&RingOptions { snap_length: 96, ..options() }).unwrap();
    let mut long = numbered(KIND, 1);
    long.resize(1500, 7);
    let tagged = tagged(&[[0x81, 0, 0, 9]], long.clone());
    cable.send(vec![long.clone(), tagged.clone(), numbered(KIND, 2)]);
    let frames = everything(&mut ring);

    assert_eq!((long[..96].to_vec(), 1500), frames[0]);
    assert_eq!((tagged[..96].to_vec(), 1504), frames[1]);
    assert_eq!((numbered(KIND, 2), 64), frames[2]);
    assert_eq!(3, frames.len());
}

/// A filter that accepts these ethertypes and no VLAN tag. One that mentions tags runs in user
/// space, over the same frames.
fn ethertypes(wanted: &[u16], mention_tags: bool) -> Vec<FilterInstruction> {
    let step = |code, jt, k| FilterInstruction { code, jt, jf: 0, k };
    let mut program = vec![step(0x28, 0, 12)];
    let mut left = wanted.len() as u8;
    if mention_tags {
        program.push(step(0x15, left, 0x8100));
    }
    for ethertype in wanted {
        program.push(step(0x15, left, u32::from(*ethertype)));
        left -= 1;
    }
    program.push(FilterInstruction::returning(0));
    program.push(FilterInstruction::returning(262_144));
    program
}

fn new_filter(cable: &Cable) {
    // Both filters want the second kind, each one kind more, neither the last.
    const KINDS: [u16; 4] = [0x88b5, 0x88b6, 0x9000, 0x88f7];
    for (mention_first, mention_second) in [(false, false), (false, true), (true, false)] {
        let first = ethertypes(&KINDS[..2], mention_first);
        let second = ethertypes(&KINDS[1..3], mention_second);
        let before = cable.their_counter("tx_dropped");
        let mut ring = Ring::open(&RingOptions { filter: first.clone(), ..options() }).unwrap();
        let mut sender =
            cable.start((0..60_000).map(|at| numbered(KINDS[at as usize % 4], at)).collect());
        let mut counts = BTreeMap::new();
        let mut swaps = 0;
        while !sender.is_done() {
            ring.poll(5).unwrap();
            ring.next_block(&mut |frame| *counts.entry(number(frame.bytes).0).or_insert(0) += 1)
                .unwrap();
            ring.set_filter(if swaps % 2 == 0 { &second } else { &first }).unwrap();
            swaps += 1;
        }
        assert_eq!(60_000, sender.sent());
        for (frame, _) in everything(&mut ring) {
            *counts.entry(number(&frame).0).or_insert(0) += 1;
        }
        let counters = ring.counters().unwrap();
        assert_eq!(0, cable.their_counter("tx_dropped") - before);
        assert_eq!(0, counters.kernel_dropped);
        assert_eq!(counts.values().sum::<u64>(), counters.received - counters.filtered);
        assert!(swaps > 20, "{swaps} changes");
        assert_eq!(15_000, counts[&KINDS[1]], "{counts:?}");
        assert!(!counts.contains_key(&KINDS[3]), "{counts:?}");
        assert!(counts[&KINDS[0]] > 0 && counts[&KINDS[2]] > 0, "{counts:?}");

        // Once the change has settled, the new filter alone decides.
        for (filter, wanted) in [(&first, &KINDS[..2]), (&second, &KINDS[1..3])] {
            ring.set_filter(filter).unwrap();
            std::thread::sleep(Duration::from_millis(150));
            cable.send((0..400).map(|at| numbered(KINDS[at as usize % 4], at)).collect());
            let kinds: Vec<u16> =
                everything(&mut ring).iter().map(|(frame, _)| number(frame).0).collect();
            assert_eq!(200, kinds.len());
            assert!(kinds.iter().all(|kind| wanted.contains(kind)));
        }
    }
    let mut ring = Ring::open(&options()).unwrap();
    let error = ring.set_filter(&[FilterInstruction::new(0xffff, 0)]).unwrap_err();
    assert!(error.to_string().contains("unknown code"), "{error}");
}

/// `vlan 7` in the way libpcap compiles it, without the ethertypes that are older than 802.1ad.
fn vlan(wanted: u32) -> Vec<FilterInstruction> {
    let step = |code, jt, jf, k| FilterInstruction { code, jt, jf, k };
    vec![
        step(0x28, 0, 0, 12),
        step(0x15, 1, 0, 0x8100),
        step(0x15, 0, 4, 0x88a8),
        step(0x28, 0, 0, 14),
        step(0x54, 0, 0, 0x0fff),
        step(0x15, 0, 1, wanted),
        step(0x06, 0, 0, 262_144),
        step(0x06, 0, 0, 0),
    ]
}

fn tag_filter(cable: &Cable) {
    let sent: Vec<Vec<u8>> = (0..400)
        .map(|at| match at % 4 {
            0 => numbered(KIND, at),
            1 => tagged(&[[0x81, 0, 0, 7]], numbered(KIND, at)),
            2 => tagged(&[[0x88, 0xa8, 0x20, 7]], numbered(OTHER_KIND, at)),
            _ => tagged(&[[0x81, 0, 0, 8], [0x81, 0, 0, 7]], numbered(KIND, at)),
        })
        .collect();
    for filter in [vlan(7), vlan(8), ethertypes(&[KIND], false), ethertypes(&[KIND], true)] {
        let program = otic_capture::filter::Program::new(&filter).unwrap();
        let expected: Vec<Vec<u8>> = sent
            .iter()
            .filter(|frame| program.accepts(LinkType::ETHERNET, frame, frame.len() as u32))
            .cloned()
            .collect();
        let mut ring = Ring::open(&RingOptions { filter, ..options() }).unwrap();
        cable.send(sent.clone());
        let frames: Vec<Vec<u8>> =
            everything(&mut ring).into_iter().map(|(frame, _)| frame).collect();
        let counters = ring.counters().unwrap();

        assert!(!expected.is_empty() && expected.len() < sent.len());
        assert_eq!(expected, frames);
        assert_eq!(frames.len() as u64, counters.received - counters.filtered);
        let by_kernel = if program.sees_tags() { 400 } else { frames.len() as u64 };
        assert_eq!(by_kernel, counters.received);
    }
}

/// An IPv4 datagram between two hosts: whole with its ports, or a later fragment without.
fn datagram(ends: [u8; 2], ports: [u16; 2], fragment: bool, number: u32) -> Vec<u8> {
    let [from, to] = ends;
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
    let offset = u8::from(fragment);
    frame.extend([0x45, 0, 0, 46, 0, 1, 0, offset, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    let sum: u32 =
        frame[14..34].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    if fragment {
        frame.extend([0x5a; 8]);
    } else {
        frame.extend(ports[0].to_be_bytes());
        frame.extend(ports[1].to_be_bytes());
        frame.extend([0, 26, 0, 0]);
    }
    frame.extend(number.to_be_bytes());
    frame.resize(60, 0);
    frame
}

/// Sends datagrams of many hosts both ways to two rings; for each ring the frames it got.
fn fanned_out(cable: &Cable, mode: FanoutMode, with_fragments: bool) -> [Vec<Vec<u8>>; 2] {
    let open = || Ring::open(&RingOptions { fanout: Some((502, mode)), ..options() }).unwrap();
    let (mut one, mut two) = (open(), open());
    let mut sent = BTreeSet::new();
    for number in 0..12_800 {
        let host = (number % 32) as u8;
        let (ends, ports) = ([100 + host, 200], [20_000 + number as u16 % 64, 502]);
        let fragment = with_fragments && number % 3 == 0;
        sent.insert(match number / 64 % 2 {
            0 => datagram(ends, ports, fragment, number),
            _ => datagram([ends[1], ends[0]], [ports[1], ports[0]], fragment, number),
        });
    }
    assert_eq!(12_800, sent.len());
    cable.send(sent.iter().cloned().collect());
    let got = [&mut one, &mut two]
        .map(|ring| everything(ring).into_iter().map(|(frame, _)| frame).collect::<Vec<_>>());
    let counters = [one.counters().unwrap(), two.counters().unwrap()];
    assert_eq!([0, 0], counters.map(|counter| counter.kernel_dropped));
    assert_eq!(0, cable.their_counter("tx_dropped"));

    assert_eq!(12_800, got[0].len() + got[1].len(), "each frame once");
    let together: BTreeSet<Vec<u8>> = got.iter().flatten().cloned().collect();
    assert_eq!(sent, together);
    assert!(got.iter().all(|frames| frames.len() > 1000), "both rings have work");
    got
}

/// The bytes at these places, as a set of which the order does not show.
fn pair<const N: usize>(frame: &[u8], places: [usize; 2]) -> BTreeSet<Vec<u8>> {
    places.map(|at| frame[at..at + N].to_vec()).into()
}

fn fan_out_by_flow(cable: &Cable) {
    let keys = fanned_out(cable, FanoutMode::Flow, false).map(|frames| {
        let flow = |frame: &Vec<u8>| (pair::<4>(frame, [26, 30]), pair::<2>(frame, [34, 36]));
        frames.iter().map(flow).collect::<BTreeSet<_>>()
    });
    assert_eq!(64, keys[0].len() + keys[1].len());
    assert!(keys[0].is_disjoint(&keys[1]));
}

fn fan_out_by_addresses(cable: &Cable) {
    let keys = fanned_out(cable, FanoutMode::AddressPair, true).map(|frames| {
        frames.iter().map(|frame| pair::<4>(frame, [26, 30])).collect::<BTreeSet<_>>()
    });
    assert_eq!(32, keys[0].len() + keys[1].len());
    assert!(keys[0].is_disjoint(&keys[1]));
}

/// Waits for a state: the kernel tells of carriers a moment later.
fn becomes(ring: &Ring, link: Link) {
    let started = Instant::now();
    while ring.link().unwrap() != link {
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", ring.link());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn link_states(cable: &Cable) {
    let mut ring = Ring::open(&options()).unwrap();
    let arrives = |ring: &mut Ring, number: u32| {
        cable.send(vec![numbered(KIND, number)]);
        assert_eq!(vec![(numbered(KIND, number), 64)], everything(ring));
    };
    becomes(&ring, Link::Up);
    arrives(&mut ring, 1);

    cable.theirs(&["link", "set", "mir0", "down"]);
    becomes(&ring, Link::NoCarrier);
    cable.theirs(&["link", "set", "mir0", "up"]);
    arrives(&mut ring, 2);

    cable.ours(&["link", "set", MONITOR, "down"]);
    assert_eq!(Link::Down, ring.link().unwrap());
    // The error is reported once; after that, waiting waits.
    assert!(!ring.poll(10).unwrap());
    let started = Instant::now();
    assert!(!ring.poll(60).unwrap());
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert!(ring.reattach().unwrap());
    cable.ours(&["link", "set", MONITOR, "up"]);
    becomes(&ring, Link::Up);
    arrives(&mut ring, 3);

    cable.ours(&["link", "del", MONITOR]);
    assert_eq!(Link::Gone, ring.link().unwrap());
    assert!(!ring.poll(10).unwrap());
    assert!(!ring.reattach().unwrap());
    cable.plug_again();
    // The new interface has the old name, but the ring is not on it yet.
    assert_eq!(Link::Gone, ring.link().unwrap());
    assert!(ring.reattach().unwrap());
    becomes(&ring, Link::Up);
    arrives(&mut ring, 4);
    assert_eq!(4, ring.counters().unwrap().received);

    // A ring may be opened while its interface is still off.
    cable.ours(&["link", "set", MONITOR, "down"]);
    let mut early = Ring::open(&options()).unwrap();
    assert!(!early.poll(10).unwrap());
    assert_eq!(Link::Down, early.link().unwrap());
    cable.ours(&["link", "set", MONITOR, "up"]);
    arrives(&mut early, 5);
}

fn loopback(cable: &Cable) {
    cable.ours(&["link", "set", "lo", "up"]);
    let mut ring = Ring::open(&RingOptions { interface: "lo".to_owned(), ..options() }).unwrap();
    assert_eq!(LinkType::ETHERNET, ring.link_type());
    let (from, to) = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap()).into();
    for number in 0..10_u8 {
        from.send_to(&[number; 30], to.local_addr().unwrap()).unwrap();
    }
    let payloads: Vec<Vec<u8>> =
        everything(&mut ring).into_iter().map(|(frame, _)| frame[42..].to_vec()).collect();

    assert_eq!((0..10).map(|number| vec![number; 30]).collect::<Vec<_>>(), payloads);
}

fn refusals(_: &Cable) {
    let refusal = |change: fn(&mut RingOptions)| {
        let mut options = options();
        change(&mut options);
        Ring::open(&options).unwrap_err().to_string()
    };
    let missing = refusal(|options| options.interface = "mon1".to_owned());
    assert!(missing.starts_with("mon1: No such device"), "{missing}");
    assert!(refusal(|options| options.block_bytes = 65_536).contains("at least 131072"));
    assert!(refusal(|options| options.block_bytes = 200_000).contains("power of two"));
    assert!(refusal(|options| options.blocks = 1).contains("1 blocks"));
    assert!(refusal(|options| options.blocks = usize::MAX).contains("too large"));
    let filter = refusal(|options| options.filter = vec![FilterInstruction::new(7, 0)]);
    assert!(filter.contains("does not end with a return"), "{filter}");
}

fn facts(cable: &Cable) {
    let before = NicFacts::read(MONITOR).unwrap();
    assert!(before.exists);
    assert_eq!((Some(true), Some(true)), (before.up, before.carrier));
    assert_eq!((Some(1500), Some(false)), (before.mtu, before.has_address));
    assert_eq!((Some(false), Some(0)), (before.promiscuous, before.tx_packets));
    assert!(before.gro.is_some() && before.lro == Some(false));

    let ring = Ring::open(&options()).unwrap();
    cable.send((0..10).map(|at| numbered(KIND, at)).collect());
    cable.ours(&["addr", "add", "192.0.2.1/24", "dev", MONITOR]);
    let after = NicFacts::read_by(ring.fd(), MONITOR);
    assert_eq!((Some(true), Some(true)), (after.promiscuous, after.has_address));
    assert_eq!(before.rx_packets.map(|count| count + 10), after.rx_packets);
    drop(ring);
    assert_eq!(Some(false), NicFacts::read(MONITOR).unwrap().promiscuous);
    cable.ours(&["link", "set", MONITOR, "down"]);
    let down = NicFacts::read(MONITOR).unwrap();
    assert_eq!((Some(false), None), (down.up, down.carrier));
    assert!(!NicFacts::read("mon1").unwrap().exists);
}
