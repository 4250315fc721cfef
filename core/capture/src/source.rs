//! Live sources of frames, and the parcels in which their frames come.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::Duration;

use crate::LinkType;
use crate::filter::{FilterInstruction, Program};

/// Bytes of a parcel after which a source hands it over.
pub const PARCEL_BYTES: usize = 1 << 20;
/// Frames of a parcel after which a source hands it over.
pub const PARCEL_FRAMES: usize = 8192;
/// Largest frame believed in a stream, bytes; libpcap's own limit is 256 KiB.
const LARGEST_FRAME: usize = 1 << 18;

/// Frames that arrived together.
#[derive(Debug, Default)]
pub struct Parcel {
    /// Bytes of all frames.
    pub bytes: Vec<u8>,
    /// Where each frame lies, and what is known of it.
    pub frames: Vec<Received>,
}

/// One frame of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Time, ns since 1970 UTC.
    pub ts_ns: i64,
    /// Length on the wire.
    pub original_length: u32,
    /// Its first byte in the parcel.
    pub start: u32,
    /// The byte behind its last one.
    pub end: u32,
}

impl Parcel {
    /// Adds a frame.
    pub fn push(&mut self, ts_ns: i64, original_length: u32, bytes: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len() as u32;
        self.frames.push(Received { ts_ns, original_length, start, end });
    }

    /// The bytes of one of its frames.
    #[must_use]
    pub fn bytes_of(&self, frame: &Received) -> &[u8] {
        self.bytes.get(frame.start as usize..frame.end as usize).unwrap_or_default()
    }

    /// Whether it should be handed over.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= PARCEL_BYTES || self.frames.len() >= PARCEL_FRAMES
    }

    /// Forgets all frames; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }
}

/// How a source is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Frames can come: the link is there.
    pub up: bool,
    /// Frames that came and were not handed over, by cause, since the source was opened.
    pub drops: BTreeMap<&'static str, u64>,
}

/// Where live frames come from.
pub trait Source: Send {
    /// Name of the interface.
    fn interface(&self) -> &str;

    /// Link type of its frames.
    fn link_type(&self) -> LinkType;

    /// Waits up to about `wait` for frames and adds those that are there, until the parcel is full.
    /// False when no more can ever come.
    ///
    /// # Errors
    /// What the system says.
    fn receive(&mut self, parcel: &mut Parcel, wait: Duration) -> io::Result<bool>;

    /// How it is now.
    ///
    /// # Errors
    /// What the system says.
    fn status(&mut self) -> io::Result<Status>;

    /// Wants other frames from now on; none of those that either filter wants is lost.
    ///
    /// # Errors
    /// A program that is not valid, or a source that has no filter.
    fn set_filter(&mut self, program: &[FilterInstruction]) -> io::Result<()>;
}

/// Frames that another program writes as a pcap file into a pipe (`tcpdump -U -w -`): as they come.
pub struct PcapStream<R> {
    interface: String,
    input: R,
    link_type: LinkType,
    big_endian: bool,
    /// Nanoseconds of a unit of the times' second half.
    unit_ns: i64,
    /// Bytes read and not yet used up.
    bytes: Vec<u8>,
    used: usize,
    filter: Program,
    filtered: u64,
}

impl<R: Read> PcapStream<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// The input ends too early, or is no pcap file.
    pub fn open(interface: &str, mut input: R) -> io::Result<Self> {
        let mut header = [0; 24];
        input.read_exact(&mut header)?;
        let (big_endian, unit_ns) = match header {
            [0xd4, 0xc3, 0xb2, 0xa1, ..] => (false, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1, ..] => (false, 1),
            [0xa1, 0xb2, 0xc3, 0xd4, ..] => (true, 1000),
            [0xa1, 0xb2, 0x3c, 0x4d, ..] => (true, 1),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "not a pcap stream")),
        };
        let [.., a, b, c, d] = header;
        let network = if big_endian {
            u32::from_be_bytes([a, b, c, d])
        } else {
            u32::from_le_bytes([a, b, c, d])
        };
        // The upper bits say whether frames end with a check sequence.
        let link_type = LinkType(network as u16);
        let interface = interface.to_owned();
        Ok(Self {
            interface,
            input,
            link_type,
            big_endian,
            unit_ns,
            bytes: Vec::new(),
            used: 0,
            filter: Program::default(),
            filtered: 0,
        })
    }

    /// Takes whole records out of the bytes read; false where one is larger than any frame.
    fn take(&mut self, parcel: &mut Parcel) -> bool {
        while !parcel.is_full() {
            let rest = self.bytes.get(self.used..).unwrap_or_default();
            let word = |at: usize| {
                let bytes = rest.get(at..at + 4).and_then(|bytes| bytes.try_into().ok())?;
                Some(if self.big_endian {
                    u32::from_be_bytes(bytes)
                } else {
                    u32::from_le_bytes(bytes)
                })
            };
            let (Some(seconds), Some(part), Some(captured), Some(original)) =
                (word(0), word(4), word(8), word(12))
            else {
                break;
            };
            let captured = captured as usize;
            if captured > LARGEST_FRAME {
                return false;
            }
            let Some(frame) = rest.get(16..16 + captured) else { break };
            let ts_ns = i64::from(seconds) * 1_000_000_000 + i64::from(part) * self.unit_ns;
            if self.filter.accepts(self.link_type, frame, original) {
                parcel.push(ts_ns, original, frame);
            } else {
                self.filtered += 1;
            }
            self.used += 16 + captured;
        }
        true
    }
}

impl<R: Read + Send> Source for PcapStream<R> {
    fn interface(&self) -> &str {
        &self.interface
    }

    fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// Waits as long as the other program writes nothing.
    fn receive(&mut self, parcel: &mut Parcel, _: Duration) -> io::Result<bool> {
        if !self.take(parcel) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a record larger than any frame",
            ));
        }
        if !parcel.frames.is_empty() {
            return Ok(true);
        }
        self.bytes.drain(..self.used);
        self.used = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + (1 << 16), 0);
        let got = match self.input.read(self.bytes.get_mut(before..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
            Ok(got) => Ok(Some(got)),
        };
        self.bytes.truncate(before + got.as_ref().ok().copied().flatten().unwrap_or_default());
        match got? {
            Some(0) => Ok(false),
            _ if self.take(parcel) => Ok(true),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a record larger than any frame")),
        }
    }

    fn status(&mut self) -> io::Result<Status> {
        Ok(Status { up: true, drops: BTreeMap::from([("filter", self.filtered)]) })
    }

    fn set_filter(&mut self, program: &[FilterInstruction]) -> io::Result<()> {
        let program = Program::new(program)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        self.filter = program;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(self.0.len()).min(into.len());
            into[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    fn stream(big_endian: bool, nanoseconds: bool) -> Vec<u8> {
        let put = |n: u32| if big_endian { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut bytes = put(if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }).to_vec();
        bytes.extend([put(0x0002_0004), put(0), put(0), put(65535), put(1)].concat());
        for number in 1..=9_u32 {
            bytes.extend([put(1000), put(number), put(60 + number), put(1500)].concat());
            bytes.extend(vec![number as u8; 60 + number as usize]);
        }
        bytes
    }

    #[test]
    fn frames_come_as_they_are_written() {
        for (big_endian, nanoseconds) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let bytes = stream(big_endian, nanoseconds);
            for piece in [1, 7, 76, 100_000] {
                let mut source = PcapStream::open("plant", Drip(&bytes, piece)).unwrap();
                let mut found = Vec::new();
                let mut parcel = Parcel::default();
                while source.receive(&mut parcel, Duration::ZERO).unwrap() {
                    found.extend(parcel.frames.iter().map(|frame| {
                        let bytes = &parcel.bytes[frame.start as usize..frame.end as usize];
                        (frame.ts_ns, frame.original_length, bytes.to_vec())
                    }));
                    parcel.clear();
                }
                let unit = if nanoseconds { 1 } else { 1000 };
                let expected: Vec<_> = (1..=9_u8)
                    .map(|n| {
                        (1_000_000_000_000 + i64::from(n) * unit, 1500, vec![n; 60 + n as usize])
                    })
                    .collect();
                assert_eq!(expected, found);
            }
        }
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        let mut bytes = stream(false, false);
        assert!(PcapStream::open("x", &bytes[..20]).is_err());
        assert!(PcapStream::open("x", &[7; 40][..]).is_err());
        bytes[24 + 11] = 0x7f; // Captured length of the first record.
        let mut source = PcapStream::open("x", bytes.as_slice()).unwrap();
        assert!(source.receive(&mut Parcel::default(), Duration::ZERO).is_err());
    }
}
