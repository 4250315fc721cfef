//! Slices of the packet ring: the frames that someone wants, as a pcapng file with comments.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use otic_capture::packet_ring::{Found, visit};
use otic_capture::write::PcapngWriter;
use otic_wire::packet::Kind;
use otic_wire::{Address, AddressNumber, packet};

use crate::keys::pair;

/// Which frames are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// First and last time, ns since 1970 UTC, both included.
    pub start_ns: i64,
    /// See `start_ns`.
    pub end_ns: i64,
    /// Sent or received by one of these; by anybody when there is none.
    pub hosts: Vec<Address>,
    /// Between two of these; any when there is none.
    pub pairs: Vec<(Address, Address)>,
    /// TCP or UDP port of either side.
    pub port: Option<u16>,
    /// Most frames, and most bytes of them.
    pub most_frames: u64,
    /// See `most_frames`.
    pub most_bytes: u64,
}

/// What a slice says of itself.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// Comment on all of it.
    pub section: String,
    /// Comments on frames, by segment and number.
    pub frames: BTreeMap<(u32, u64), String>,
    /// Comment on the last frame when more were wanted than may be taken.
    pub cut: String,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Frames in the file.
    pub frames: u64,
    /// Bytes of them, as captured.
    pub bytes: u64,
    /// More were wanted than may be taken.
    pub cut: bool,
}

/// Writes the wanted frames that the ring in `folder` holds. One frame is in memory at a time.
///
/// # Errors
/// The ring cannot be read, or what the sink says.
pub fn write(
    folder: &Path,
    wanted: &Wanted,
    words: &Words,
    sink: impl Write,
) -> io::Result<Written> {
    let asked = Asked::new(wanted);
    let mut writer = PcapngWriter::with_comment(sink, &words.section)?;
    let mut done = Written::default();
    // Only the frame behind it says whether one is the last that fits.
    let mut held: Option<Found> = None;
    let said = |frame: &Found| words.frames.get(&(frame.segment, frame.number)).cloned();
    visit(folder, wanted.start_ns, wanted.end_ns, &asked.hashes, |frame| {
        if !asked.wants(&frame) {
            return Ok(true);
        }
        let bytes = frame.bytes.len() as u64;
        if done.frames >= wanted.most_frames || done.bytes + bytes > wanted.most_bytes {
            done.cut = true;
            return Ok(false);
        }
        (done.frames, done.bytes) = (done.frames + 1, done.bytes + bytes);
        if let Some(before) = held.replace(frame) {
            put(&mut writer, &before, &said(&before).unwrap_or_default())?;
        }
        Ok(true)
    })?;
    if let Some(last) = held {
        let mut comment = said(&last).unwrap_or_default();
        if done.cut {
            if !comment.is_empty() {
                comment.push('\n');
            }
            comment.push_str(&words.cut);
        }
        put(&mut writer, &last, &comment)?;
    }
    writer.finish()?;
    Ok(done)
}

fn put(writer: &mut PcapngWriter<impl Write>, frame: &Found, comment: &str) -> io::Result<()> {
    let interface = writer.interface(&frame.interface, frame.link_type)?;
    writer.frame_of(interface, frame.ts_ns, frame.original_length, &frame.bytes, comment)
}

/// What is wanted, as frames are compared with it.
struct Asked {
    hosts: BTreeSet<Number>,
    pairs: BTreeSet<(Number, Number)>,
    /// Of the pairs, as the ring's index has them.
    hashes: Vec<u32>,
    port: Option<u16>,
}

type Number = (u8, u128);

const fn number(address: AddressNumber) -> Number {
    (address.kind, address.value)
}

impl Asked {
    fn new(wanted: &Wanted) -> Self {
        let ends = wanted.pairs.iter().map(|(a, b)| (Some(a.into()), Some(b.into())));
        let hashes = ends.map(|ends| pair(&ends)).collect();
        let pairs = wanted.pairs.iter().flat_map(|(a, b)| {
            let (a, b) = (number(a.into()), number(b.into()));
            [(a, b), (b, a)]
        });
        let hosts = wanted.hosts.iter().map(|host| number(host.into()));
        Self { hosts: hosts.collect(), pairs: pairs.collect(), hashes, port: wanted.port }
    }

    fn wants(&self, frame: &Found) -> bool {
        if self.hosts.is_empty() && self.pairs.is_empty() && self.port.is_none() {
            return true;
        }
        let packet = packet::decode(frame.link_type.0, &frame.bytes);
        let (a, b) = packet.ends();
        let ends = (a.map(number), b.map(number));
        if !self.pairs.is_empty()
            && !matches!(ends, (Some(a), Some(b)) if self.pairs.contains(&(a, b)))
        {
            return false;
        }
        let macs = [packet.source_mac, packet.destination_mac];
        let mut all = [ends.0, ends.1]
            .into_iter()
            .chain(macs.iter().map(|mac| mac.as_ref().map(|mac| number(mac.into()))))
            .flatten();
        if !self.hosts.is_empty() && !all.any(|end| self.hosts.contains(&end)) {
            return false;
        }
        self.port.is_none_or(|port| match packet.kind {
            Kind::Udp { source, destination } => source == port || destination == port,
            Kind::Tcp(tcp) => tcp.source == port || tcp.destination == port,
            _ => false,
        })
    }
}
