//! All dissectors behind one entry: the first byte chooses the protocol, then messages follow as
//! (flags, length, bytes). Flag bit 0 is the sender, bit 1 a gap before, bit 2 a cut frame.
#![no_main]

use std::net::Ipv4Addr;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use otic_protocols::registry::{Carrier, define, protocols};
use otic_protocols::{Input, Out, Side, Transport};
use otic_wire::{Cursor, FrameSpan, Mac, SpanMap};

static DEFINED: Once = Once::new();

/// Lets the definitions that come with Otic hold.
fn take_definitions() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/otic/protocols");
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("the definitions are beside the core")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|path| Some((path.display().to_string(), std::fs::read_to_string(path).ok()?)))
        .collect();
    files.sort();
    define(&files).expect("the definitions are valid");
}

fuzz_target!(|data: &[u8]| {
    DEFINED.call_once(take_definitions);
    let mut cursor = Cursor::new(data);
    let Ok(choice) = cursor.u8() else { return };
    let Some(protocol) = protocols().nth(usize::from(choice) % protocols().count()) else { return };
    let (transport, port) = match protocol.carriers.first() {
        Some(Carrier::Tcp(ports)) => (Transport::Tcp, ports.first().copied().unwrap_or(4000)),
        Some(Carrier::Udp(ports)) => (Transport::Udp, ports.first().copied().unwrap_or(4000)),
        Some(Carrier::Ip(_)) => (Transport::Ip, 0),
        _ => (Transport::Ethernet, 0),
    };
    let mut session = protocol.session();
    let mut out = Out::default();
    let mut streams = [(Vec::new(), SpanMap::default()), (Vec::new(), SpanMap::default())];
    let mut frame = 0;
    while let (Ok(flags), Ok(length)) = (cursor.u8(), cursor.u16_le()) {
        let piece = cursor.take(usize::from(length).min(cursor.remaining())).unwrap_or_default();
        let side = if flags & 1 == 0 { Side::A } else { Side::B };
        let (source_port, destination_port) =
            if side == Side::A { (40_000, port) } else { (port, 40_000) };
        frame += 1;
        let span = FrameSpan { file: 0, frame, offset: 54, length: piece.len() as u32 };
        let (buffer, spans) = &mut streams[side as usize];
        if transport != Transport::Tcp || flags & 2 != 0 {
            buffer.clear();
            spans.clear();
        }
        buffer.extend_from_slice(piece);
        spans.push(span);
        let input = Input {
            bytes: buffer,
            spans,
            side,
            transport,
            source_port,
            destination_port,
            source: Ipv4Addr::new(192, 0, 2, 1 + side as u8).into(),
            destination: Ipv4Addr::new(192, 0, 2, 2 - side as u8).into(),
            source_mac: Some(Mac([2, 0, 0, 0, 0, side as u8])),
            ts_ns: i64::from(frame as u32) * 1_000_000,
            stream_start: false,
            after_gap: flags & 2 != 0,
            truncated: flags & 4 != 0,
        };
        let _ = protocol.probe(&input);
        let used = session.read(&input, &mut out);
        assert!(used <= buffer.len(), "{} used more than it was given", protocol.name);
        assert!(out.items.len() <= 64 + 16 * data.len(), "{} floods", protocol.name);
        if transport == Transport::Tcp {
            buffer.drain(..used);
            spans.consume(used);
            if buffer.len() > session.stream_cap() {
                buffer.clear();
                spans.clear();
            }
        }
    }
    session.finish(&mut out);
});
