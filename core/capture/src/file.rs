//! One pcap or pcapng file, plain or compressed with gzip or zstd, read up to the break.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{PcapBlockOwned, PcapError, create_reader};
use thiserror::Error;

use crate::LinkType;

/// Size of the read buffer at first, bytes.
const BUFFER: usize = 1 << 18;
/// Largest block that is believed, bytes; libpcap's own limit for a frame is 256 KiB, pcapng
/// name and secret blocks are larger.
const LARGEST_BLOCK: usize = 1 << 26;

/// Why a file cannot be read at all.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "each variant says itself")]
pub enum Error {
    #[error("{0}: no such file")]
    Missing(String),
    #[error("{0}: is a directory, not a capture file")]
    Directory(String),
    #[error("{0}: empty file (0 bytes), not a capture")]
    Empty(String),
    #[error("{0}: not a capture file (neither pcap nor pcapng)")]
    NotACapture(String),
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

/// What a file says of a frame beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Number of the frame in the file, from 1.
    pub number: u64,
    /// Capture time, nanoseconds since 1970 UTC.
    pub ts_ns: i64,
    /// Length on the wire, bytes.
    pub original_length: u32,
    /// Link type of its interface.
    pub link_type: LinkType,
    /// Index into [`CaptureFile::interfaces`].
    pub interface: u32,
}

/// One interface of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name; empty where the file names none.
    pub name: String,
    /// Its link type.
    pub link_type: LinkType,
    /// Timestamp units per second.
    resolution: u64,
    /// Seconds to add to each timestamp.
    offset_s: i64,
}

/// The records of a classic pcap file.
#[derive(Debug, Clone, Copy)]
struct Classic {
    big_endian: bool,
    /// Nanoseconds of one unit of a timestamp's fraction.
    nanoseconds: i64,
}

/// An open capture file with one frame in hand.
pub struct CaptureFile {
    reader: Box<dyn PcapReaderIterator + Send>,
    broken_stream: Arc<AtomicBool>,
    position: Arc<AtomicU64>,
    size: u64,
    interfaces: Vec<Interface>,
    /// Index of the current section's first interface.
    section: usize,
    /// How the records of a classic file are written, once its header was read; none for pcapng.
    classic: Option<Classic>,
    frame: FrameHeader,
    /// Where the frame in hand stands in the reader's buffer.
    place: Range<usize>,
    /// Length of its record there, given back to the reader when the next one is wanted.
    held: usize,
    cut_off: Option<String>,
    done: bool,
}

impl CaptureFile {
    /// Opens a capture; no frame is in hand yet.
    ///
    /// # Errors
    /// [`Error`] when the file is missing, a directory, empty, or not a capture.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = || path.display().to_string();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing(name()),
            _ => Error::Io(name(), error),
        };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::Directory(name()));
        }
        let mut magic = [0; 4];
        let mut got = 0;
        while let Some(space) = magic.get_mut(got..).filter(|space| !space.is_empty()) {
            match file.read(space).map_err(failed)? {
                0 => break,
                count => got += count,
            }
        }
        if got == 0 {
            return Err(Error::Empty(name()));
        }
        file.rewind().map_err(failed)?;
        let position = Arc::new(AtomicU64::new(0));
        let broken_stream = Arc::new(AtomicBool::new(false));
        let counted = Counted { file, position: Arc::clone(&position) };
        let plain: Box<dyn Read + Send> = match magic {
            [0x1f, 0x8b, ..] => {
                Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(counted)))
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                Box::new(zstd::stream::read::Decoder::new(counted).map_err(failed)?)
            }
            _ => Box::new(counted),
        };
        let whole = UpToBreak { inner: plain, broken: Arc::clone(&broken_stream) };
        let reader = create_reader(BUFFER, whole).map_err(|error| match error {
            PcapError::Eof => Error::Empty(name()),
            _ => Error::NotACapture(name()),
        })?;
        let frame = FrameHeader {
            number: 0,
            ts_ns: 0,
            original_length: 0,
            link_type: LinkType::NULL,
            interface: 0,
        };
        Ok(Self {
            reader,
            broken_stream,
            position,
            size: metadata.len(),
            interfaces: Vec::new(),
            section: 0,
            classic: None,
            frame,
            place: 0..0,
            held: 0,
            cut_off: None,
            done: false,
        })
    }

    /// Takes the next frame into hand; false at the end or the break.
    pub fn advance(&mut self) -> bool {
        while !self.done {
            match self.step() {
                Step::Frame => return true,
                Step::Other => {}
                Step::End(why) => {
                    self.done = true;
                    self.cut_off = why.or_else(|| {
                        let broken = self.broken_stream.load(Ordering::Relaxed);
                        broken.then(|| "compressed data ends early or is damaged".to_owned())
                    });
                    self.place = 0..0;
                }
            }
        }
        false
    }

    /// What the file says of the frame in hand.
    #[must_use]
    pub const fn header(&self) -> &FrameHeader {
        &self.frame
    }

    /// The frame in hand.
    #[must_use]
    pub fn frame(&self) -> (&FrameHeader, &[u8]) {
        (&self.frame, self.reader.data().get(self.place.clone()).unwrap_or_default())
    }

    /// Interfaces named so far.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Why reading stopped before the end, if it did.
    #[must_use]
    pub fn cut_off(&self) -> Option<&str> {
        self.cut_off.as_deref()
    }

    /// Bytes of the file read so far, and its size.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.position.load(Ordering::Relaxed).min(self.size), self.size)
    }

    fn step(&mut self) -> Step {
        // Bytes are moved only when the buffer is filled again.
        self.reader.consume_noshift(std::mem::take(&mut self.held));
        if self.classic_record().is_some() {
            return Step::Frame;
        }
        let after = self.frame.number;
        let buffer = self.reader.data().as_ptr().addr();
        let place = |data: &[u8]| {
            let start = data.as_ptr().addr().saturating_sub(buffer);
            start..start + data.len()
        };
        let (used, step) = match self.reader.next() {
            Ok((used, PcapBlockOwned::LegacyHeader(header))) => {
                self.classic = (!header.is_modified_format()).then_some(Classic {
                    big_endian: header.is_bigendian(),
                    nanoseconds: if header.is_nanosecond_precision() { 1 } else { 1000 },
                });
                self.interfaces.push(Interface {
                    name: String::new(),
                    link_type: LinkType((header.network.0 & 0xffff) as u16),
                    resolution: if header.is_nanosecond_precision() {
                        1_000_000_000
                    } else {
                        1_000_000
                    },
                    offset_s: 0,
                });
                (used, Step::Other)
            }
            Ok((used, PcapBlockOwned::Legacy(block))) => {
                let Some(interface) = self.interfaces.first() else {
                    return Step::End(Some("no file header".to_owned()));
                };
                let nanoseconds =
                    i64::from(block.ts_usec) * (1_000_000_000 / interface.resolution as i64);
                self.frame = FrameHeader {
                    number: after + 1,
                    ts_ns: i64::from(block.ts_sec) * 1_000_000_000 + nanoseconds,
                    original_length: block.origlen.max(block.caplen),
                    link_type: interface.link_type,
                    interface: 0,
                };
                self.place = place(block.data);
                (used, Step::Frame)
            }
            Ok((used, PcapBlockOwned::NG(block))) => match block {
                Block::SectionHeader(_) => {
                    self.section = self.interfaces.len();
                    (used, Step::Other)
                }
                Block::InterfaceDescription(block) => {
                    self.interfaces.push(Interface {
                        name: block.if_name().and_then(Result::ok).unwrap_or_default().to_owned(),
                        link_type: LinkType((block.linktype.0 & 0xffff) as u16),
                        resolution: block.ts_resolution().unwrap_or(1_000_000).max(1),
                        offset_s: block.ts_offset(),
                    });
                    (used, Step::Other)
                }
                Block::EnhancedPacket(block) => {
                    let index = self.section.saturating_add(block.if_id as usize);
                    let Some(interface) = self.interfaces.get(index) else {
                        return Step::End(Some(format!(
                            "after frame {after}: frame of interface {} that no block describes",
                            block.if_id
                        )));
                    };
                    let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                    self.frame = FrameHeader {
                        number: after + 1,
                        ts_ns: interface.nanoseconds(units),
                        original_length: block.origlen.max(block.caplen),
                        link_type: interface.link_type,
                        interface: index as u32,
                    };
                    let data = block.data.get(..block.caplen as usize).unwrap_or(block.data);
                    self.place = place(data);
                    (used, Step::Frame)
                }
                Block::SimplePacket(block) => {
                    let Some(interface) = self.interfaces.get(self.section) else {
                        return Step::End(Some(format!(
                            "after frame {after}: frame without interface description"
                        )));
                    };
                    // A simple packet block has no timestamp: it keeps its predecessor's.
                    self.frame = FrameHeader {
                        number: after + 1,
                        ts_ns: self.frame.ts_ns,
                        original_length: block.origlen,
                        link_type: interface.link_type,
                        interface: self.section as u32,
                    };
                    let data = block.data.get(..block.origlen as usize).unwrap_or(block.data);
                    self.place = place(data);
                    (used, Step::Frame)
                }
                _ => (used, Step::Other),
            },
            Err(PcapError::Eof) => return Step::End(None),
            Err(PcapError::UnexpectedEof) => {
                return Step::End(Some(format!("ends inside the record after frame {after}")));
            }
            Err(PcapError::Incomplete(_)) => {
                return match self.reader.refill() {
                    Ok(()) => Step::Other,
                    Err(_) => Step::End(Some(format!("read error after frame {after}"))),
                };
            }
            Err(PcapError::BufferTooSmall) => {
                let size = self.reader.data().len().saturating_mul(2).max(BUFFER * 2);
                let grown = size <= LARGEST_BLOCK && self.reader.grow(size);
                return match grown && self.reader.refill().is_ok() {
                    true => Step::Other,
                    false => {
                        Step::End(Some(format!("impossible record length after frame {after}")))
                    }
                };
            }
            Err(_) => {
                return Step::End(Some(format!("damaged record after frame {after}")));
            }
        };
        self.held = used;
        step
    }

    /// Takes a record of a classic file that is whole in the buffer: most are, and reading them
    /// here costs a fifth. Whatever else comes (the end, a cut or damaged record) is the reader's.
    fn classic_record(&mut self) -> Option<()> {
        let Classic { big_endian, nanoseconds } = self.classic?;
        let (header, rest) = self.reader.data().split_first_chunk::<16>()?;
        let ([seconds, fraction, captured, original], _) = header.as_chunks::<4>() else {
            return None;
        };
        let number = |bytes: &[u8; 4]| {
            if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) }
        };
        let captured = number(captured);
        let length = captured as usize;
        if rest.len() < length {
            return None;
        }
        let interface = self.interfaces.first()?;
        self.frame = FrameHeader {
            number: self.frame.number + 1,
            ts_ns: i64::from(number(seconds)) * 1_000_000_000
                + i64::from(number(fraction)) * nanoseconds,
            original_length: number(original).max(captured),
            link_type: interface.link_type,
            interface: 0,
        };
        self.place = 16..16 + length;
        self.held = 16 + length;
        Some(())
    }
}

impl Interface {
    fn nanoseconds(&self, units: u64) -> i64 {
        let seconds = units / self.resolution;
        let rest =
            u128::from(units % self.resolution) * 1_000_000_000 / u128::from(self.resolution);
        (seconds as i64)
            .saturating_add(self.offset_s)
            .saturating_mul(1_000_000_000)
            .saturating_add(rest as i64)
    }
}

enum Step {
    Frame,
    Other,
    End(Option<String>),
}

/// Counts the bytes read of a file.
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(space)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Ends where the inner reader fails, and remembers that it did: what was read stays usable.
struct UpToBreak {
    inner: Box<dyn Read + Send>,
    broken: Arc<AtomicBool>,
}

impl Read for UpToBreak {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(_) => {
                self.broken.store(true, Ordering::Relaxed);
                Ok(0)
            }
            read => read,
        }
    }
}
