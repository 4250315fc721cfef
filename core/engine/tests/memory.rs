//! What the engine keeps in memory: bytes of an open connection, and the caps under hostile input.
//! Allocations are counted; no time and no process size is measured.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::path::PathBuf;
use std::sync::Mutex;

use cap::Cap;
use otic_capture::LinkType;
use otic_capture::write::PcapngWriter;
use otic_engine::replay::Replay;
use otic_engine::spaces::SpaceMap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);
/// One measurement at a time: the allocator is everybody's.
static ALONE: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;
/// What hostile input of any kind below may make the engine keep. Measured when this was written: new
/// machines without end 530 MiB, half-open connections 252, fragments 13, operations 8.
const STATED: usize = 600 * MIB;

/// Writes these frames, one every `gap_ns`.
fn capture(name: &str, gap_ns: i64, frames: impl Iterator<Item = Vec<u8>>) -> PathBuf {
    let path = std::env::temp_dir().join(format!("otic-memory-{name}-{}", std::process::id()));
    let file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let mut writer = PcapngWriter::new(file).unwrap();
    let mut ts_ns = 1_700_000_000_000_000_000;
    for frame in frames {
        ts_ns += gap_ns;
        writer.frame(ts_ns, frame.len() as u32, LinkType::ETHERNET, &frame).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// The most that was kept between two batches, and what was capped.
fn kept(path: &PathBuf) -> (usize, u64) {
    let before = ALLOCATOR.allocated();
    let mut run = Replay::open(&[path.display().to_string()], 1, SpaceMap::default()).unwrap();
    let (mut most, mut capped) = (0, 0);
    while let Some(batch) = run.next_batch() {
        capped += batch.coverage.capped.values().sum::<u64>();
        drop(batch);
        most = most.max(ALLOCATOR.allocated().saturating_sub(before));
    }
    std::fs::remove_file(path).unwrap();
    (most, capped)
}

fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [2, 0, a, b, c, d]
}

fn ip(from: u32, to: u32, id: u16, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = [mac(to), mac(from)].concat();
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend(id.to_be_bytes());
    frame.extend(fragment.to_be_bytes());
    frame.extend([64, protocol, 0, 0]);
    frame.extend((10 << 24 | from).to_be_bytes());
    frame.extend((10 << 24 | to).to_be_bytes());
    frame.extend(payload);
    frame
}

fn tcp(
    from: (u32, u16),
    to: (u32, u16),
    id: u16,
    sequence: u32,
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(from.1.to_be_bytes());
    segment.extend(to.1.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    segment.extend(data);
    ip(from.0, to.0, id, 0x4000, 6, &segment)
}

/// A Modbus request for two registers (even) and its response (odd).
fn poll(number: u32) -> Vec<u8> {
    let connection = number / 2;
    let (client, server) = (1 + connection % 997, 2000 + connection / 7);
    let (client, server) = ((client, 40_000 + (connection / 997) as u16), (server, 502));
    let id = (number % 65_535) as u16 + 1;
    if number.is_multiple_of(2) {
        tcp(client, server, id, 1, 0x18, &[0, 1, 0, 0, 0, 6, 1, 3, 0, 10, 0, 2])
    } else {
        tcp(server, client, id, 1, 0x18, &[0, 1, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2])
    }
}

#[test]
fn an_open_connection_is_small() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let of = |connections: u32| kept(&capture("poll", 50_000, (0..2 * connections).map(poll))).0;
    let (few, many) = (of(10_000), of(60_000));
    let each = many.saturating_sub(few) / 50_000;
    println!("{each} bytes a connection");
    assert!(each > 200, "{each}: nothing was kept, so nothing was measured");
    assert!(each < BYTES_A_CONNECTION, "{each} bytes a connection");
}

/// Flow, streams, dissector, connection, operation, endpoints and sightings of a polled connection
/// between two machines of its own, as new to its shard as can be; 1605 when this was written.
const BYTES_A_CONNECTION: usize = 1700;

#[test]
fn a_flood_of_half_open_connections_is_capped() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let syn = |n: u32| tcp((100_000 + n, 1024), (1, 502), n as u16 | 1, n, 2, &[]);
    let (most, capped) = kept(&capture("syn", 1_000, (0..1_000_000).map(syn)));
    println!("{} MiB", most / MIB);
    assert!(capped > 0 && most < STATED, "{most} bytes, {capped} capped");
}

#[test]
fn fragments_without_end_are_capped() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let piece =
        |n: u32| ip(1 + n % 5000, 9000, (n / 5000) as u16, 0x2000 | (n & 63) as u16, 17, &[7; 8]);
    let (most, _) = kept(&capture("fragments", 1_000, (0..1_000_000).map(piece)));
    println!("{} MiB", most / MIB);
    assert!(most < STATED, "{most} bytes");
}

#[test]
fn new_machines_without_end_are_capped() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let arp = |n: u32| {
        let mut frame = [[0xff; 6], mac(n)].concat();
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(mac(n));
        frame.extend((10 << 24 | n & 0xff_ffff).to_be_bytes());
        frame.extend([0; 6]);
        frame.extend((10 << 24 | (n + 1) & 0xff_ffff).to_be_bytes());
        frame
    };
    let (most, capped) = kept(&capture("arp", 10_000, (0..2_000_000).map(arp)));
    println!("{} MiB", most / MIB);
    assert!(capped > 0 && most < STATED, "{most} bytes, {capped} capped");
}

/// The operations that were told, and those that were capped, by name.
fn operations(path: &PathBuf) -> (usize, u64) {
    let mut run = Replay::open(&[path.display().to_string()], 1, SpaceMap::default()).unwrap();
    let (mut told, mut capped) = (0, 0);
    while let Some(batch) = run.next_batch() {
        told += batch.operations.len();
        capped += batch.coverage.capped.get("operations").copied().unwrap_or_default();
    }
    std::fs::remove_file(path).unwrap();
    (told, capped)
}

#[test]
fn operations_of_a_shard_are_capped_and_guarded_ones_have_room_of_their_own() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // One pair of machines is one shard. Behind the server are 200 units, each a connection of its
    // own, asked for 64 addresses with 3 functions: 38,400 operations, and no connection is full.
    const UNITS: u32 = 200;
    const READS: u32 = 64 * 3;
    let ask =
        |n: u32, data: &[u8]| tcp((1, 40_000), (9000, 502), n as u16 | 1, 1 + n * 12, 0x18, data);
    let reads = (0..UNITS * READS).map(|n| {
        let (unit, at) = (1 + (n / READS) as u8, n % READS);
        let (function, address) = (1 + (at / 64) as u8, (at % 64) as u8);
        ask(n, &[0, 1, 0, 0, 0, 6, unit, function, 0, address, 0, 1])
    });
    let (told, capped) = operations(&capture("shard", 100_000, reads.clone()));
    println!("{told} reads told, {capped} capped");
    assert_eq!(32_768, told);
    assert_eq!(u64::from(UNITS * READS) - 32_768, capped);

    // Schneider's UMAS (function 90) stop: guarded, told after the reads took all their room.
    let stop = ask(UNITS * READS, &[0, 1, 0, 0, 0, 4, 1, 0x5a, 0, 0x41]);
    let both = reads.chain(std::iter::once(stop));
    assert_eq!((32_769, capped), operations(&capture("guarded", 100_000, both)));
}

#[test]
fn new_operations_without_end_are_capped() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ask = |n: u32| {
        let (client, function, start) = (1 + n % 64, 1 + (n / 64 % 4) as u8, n / 256);
        let [high, low] = (start as u16).to_be_bytes();
        let data = [0, 1, 0, 0, 0, 6, (start >> 16) as u8 + n as u8, function, high, low, 0, 1];
        let sequence = 1 + n / 64 * data.len() as u32;
        tcp((client, 40_000), (9000, 502), n as u16 | 1, sequence, 0x18, &data)
    };
    let (most, capped) = kept(&capture("operations", 10_000, (0..1_000_000).map(ask)));
    println!("{} MiB", most / MIB);
    assert!(capped > 0 && most < STATED, "{most} bytes, {capped} capped");
}
