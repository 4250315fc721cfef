//! The journal: append-only segments on disk, the sensor's source of truth (contracts.md §5).
//!
//! A segment `<stream>-<number>.journal` is a header and records. The header is the magic
//! [`MAGIC`], then one record's framing around a MessagePack [`Header`]. A record is
//! `u32 length, u32 CRC32C, u64 sequence, zstd-compressed MessagePack`, all little-endian; the
//! checksum covers the sequence and the compressed bytes. Sequences run on over all segments of a
//! stream, from 1.
//!
//! A torn last record (power lost while writing) is cut off and reported; a bad record before the
//! end quarantines the segment: it is renamed to `*.quarantined` and named, never skipped silently.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// First bytes of a segment.
pub const MAGIC: &[u8; 8] = b"OTICJRN\x01";
/// Version of the segment format; a reader refuses a newer one.
pub const SCHEMA: u8 = 1;
/// Size at which a segment is full, bytes.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Time of data after which a segment is full, ns.
const SEGMENT_NS: i64 = 3_600_000_000_000;
/// Written bytes that are not left unsynced.
const SYNC_BYTES: u64 = 1 << 20;
/// Time that written bytes are not left unsynced.
const SYNC_TIME: Duration = Duration::from_secs(1);
/// Largest record, compressed or not, bytes.
const LARGEST_RECORD: usize = 256 << 20;
const FRAMING: usize = 16;

/// What is wrong with a journal.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "each variant says itself")]
pub enum Error {
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    #[error("{0}: not a journal segment")]
    NotASegment(PathBuf),
    #[error("{0}: written by a newer version (schema {1}, this one reads up to {SCHEMA})")]
    Newer(PathBuf, u8),
    #[error("{0}: record after sequence {1} is damaged; segment quarantined")]
    Damaged(PathBuf, u64),
}

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u8,
    /// Name of the stream: `facts` or `decisions`.
    pub stream: String,
    /// Number of the segment, from 1.
    pub segment: u64,
    /// Sequence of its first record.
    pub first_sequence: u64,
    /// Sensor that wrote it.
    pub sensor: String,
    /// Address space rules in force: (kind, match, name).
    pub spaces: Vec<(String, String, String)>,
    /// Hash of the content (rules, intel, settings) in force.
    pub content: String,
}

/// Appends records to the newest segment of a stream.
pub struct Writer {
    folder: PathBuf,
    header: Header,
    file: BufWriter<File>,
    path: PathBuf,
    next_sequence: u64,
    bytes: u64,
    /// Size and next sequence at the last sync.
    durable: (u64, u64),
    started_ns: Option<i64>,
    unsynced: u64,
    synced: Instant,
}

impl Writer {
    /// Starts a new segment behind those in `folder`. The last one's torn tail, if any, is cut off
    /// first; the second value names it.
    ///
    /// # Errors
    /// The file that cannot be read or written, or that is damaged in the middle.
    pub fn open(
        folder: &Path,
        stream: &str,
        sensor: &str,
        spaces: &[(String, String, String)],
        content: &str,
    ) -> Result<(Self, Option<String>), Error> {
        fs::create_dir_all(folder).map_err(|error| Error::Io(folder.to_owned(), error))?;
        let mut header = Header {
            schema: SCHEMA,
            stream: stream.to_owned(),
            segment: 1,
            first_sequence: 1,
            sensor: sensor.to_owned(),
            spaces: spaces.to_vec(),
            content: content.to_owned(),
        };
        let mut repaired = None;
        if let Some(last) = segments(folder, stream)?.pop() {
            let found = Segment::open(&last)?;
            header.segment = found.header.segment + 1;
            header.first_sequence = found.header.first_sequence + found.records.len() as u64;
            if let Some(torn) = found.torn_at {
                let failed = |error| Error::Io(last.clone(), error);
                let file = OpenOptions::new().write(true).open(&last).map_err(failed)?;
                file.set_len(torn).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                repaired =
                    Some(format!("{}: torn last record cut off at byte {torn}", last.display()));
            }
        }
        let (file, path, bytes) = start(folder, &header)?;
        let next_sequence = header.first_sequence;
        Ok((
            Self {
                folder: folder.to_owned(),
                header,
                file,
                path,
                next_sequence,
                bytes,
                durable: (bytes, next_sequence),
                started_ns: None,
                unsynced: 0,
                synced: Instant::now(),
            },
            repaired,
        ))
    }

    /// Appends a record of data time `ts_ns`; returns (segment number, sequence).
    ///
    /// # Errors
    /// What the disk says.
    pub fn append(&mut self, record: &[u8], ts_ns: i64) -> Result<(u64, u64), Error> {
        let failed = |path: &Path, error| Error::Io(path.to_owned(), error);
        let sequence = self.next_sequence;
        let framed = frame(record, sequence).map_err(|error| failed(&self.path, error))?;
        self.file.write_all(&framed).map_err(|error| failed(&self.path, error))?;
        self.next_sequence += 1;
        self.bytes += framed.len() as u64;
        self.unsynced += framed.len() as u64;
        self.started_ns.get_or_insert(ts_ns);
        if self.unsynced >= SYNC_BYTES || self.synced.elapsed() >= SYNC_TIME {
            self.sync()?;
        }
        Ok((self.header.segment, sequence))
    }

    /// Whether the segment is full at data time `now_ns`.
    #[must_use]
    pub fn is_full(&self, now_ns: i64) -> bool {
        self.bytes >= SEGMENT_BYTES
            || self.started_ns.is_some_and(|started| (now_ns - started).abs() >= SEGMENT_NS)
    }

    /// Starts the next segment. What it counts must be sent to it in full.
    ///
    /// # Errors
    /// What the disk says.
    pub fn rotate(&mut self) -> Result<(), Error> {
        self.sync()?;
        let mut header = self.header.clone();
        header.segment += 1;
        header.first_sequence = self.next_sequence;
        (self.file, self.path, self.bytes) = start(&self.folder, &header)?;
        self.header = header;
        self.durable = (self.bytes, self.next_sequence);
        self.started_ns = None;
        Ok(())
    }

    /// After an error: takes back what was appended since the last sync, so that the segment is whole
    /// and the same records can be appended again.
    ///
    /// # Errors
    /// What the disk says.
    pub fn rewind(&mut self) -> Result<(), Error> {
        let failed = |error| Error::Io(self.path.clone(), error);
        let (bytes, next_sequence) = self.durable;
        let mut file = self.file.get_ref().try_clone().map_err(failed)?;
        file.set_len(bytes).map_err(failed)?;
        file.seek(SeekFrom::Start(bytes)).map_err(failed)?;
        // What the old buffer holds is not written any more.
        let _ = std::mem::replace(&mut self.file, BufWriter::new(file)).into_parts();
        (self.bytes, self.next_sequence) = (bytes, next_sequence);
        self.unsynced = 0;
        Ok(())
    }

    /// Makes everything written so far survive a power loss.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&mut self) -> Result<(), Error> {
        let failed = |error| Error::Io(self.path.clone(), error);
        self.file.flush().map_err(failed)?;
        self.file.get_ref().sync_data().map_err(failed)?;
        self.unsynced = 0;
        self.synced = Instant::now();
        self.durable = (self.bytes, self.next_sequence);
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Best effort: a record lost here was not promised yet.
        let _ = self.sync();
    }
}

/// One segment, read whole.
pub struct Segment {
    /// Its header.
    pub header: Header,
    /// Its records in order: sequence and MessagePack.
    pub records: Vec<(u64, Vec<u8>)>,
    /// Byte at which a torn last record begins.
    pub torn_at: Option<u64>,
}

impl Segment {
    /// Reads a segment.
    ///
    /// # Errors
    /// Not a segment, newer than this program, or damaged before its end: then it is renamed to
    /// `*.quarantined`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Io(path.to_owned(), error);
        let mut bytes = Vec::new();
        File::open(path).map_err(failed)?.read_to_end(&mut bytes).map_err(failed)?;
        let (header, used) = header(path, &bytes)?;
        let mut rest = bytes.get(used..).unwrap_or_default();
        let mut records = Vec::new();
        let mut expected = header.first_sequence;
        while !rest.is_empty() {
            match unframe(rest) {
                Unframed::Record(sequence, record, after) if sequence == expected => {
                    records.push((sequence, record));
                    expected += 1;
                    rest = after;
                }
                Unframed::Torn => {
                    let torn_at = Some((bytes.len() - rest.len()) as u64);
                    return Ok(Self { header, records, torn_at });
                }
                _ => {
                    let quarantined = path.with_extension("quarantined");
                    fs::rename(path, quarantined).map_err(failed)?;
                    return Err(Error::Damaged(path.to_owned(), expected.saturating_sub(1)));
                }
            }
        }
        Ok(Self { header, records, torn_at: None })
    }
}

/// Reads a stream while another process still writes it.
///
/// A record whose end is not there yet is waited for, unless a later segment exists: then the
/// writer died over it, and it is passed over as torn.
pub struct Follower {
    folder: PathBuf,
    stream: String,
    after: u64,
    open: Option<Open>,
    torn: Vec<String>,
}

/// The segment a [`Follower`] is in.
struct Open {
    path: PathBuf,
    number: u64,
    file: File,
    /// Bytes read and not yet used up.
    bytes: Vec<u8>,
    expected: u64,
}

impl Follower {
    /// Follows `stream` in `folder` behind the record with this sequence; 0 for all of it.
    #[must_use]
    pub fn new(folder: &Path, stream: &str, after: u64) -> Self {
        let (folder, stream) = (folder.to_owned(), stream.to_owned());
        Self { folder, stream, after, open: None, torn: Vec::new() }
    }

    /// The records that are there by now, at most about `most` of them: (segment, sequence,
    /// MessagePack). Empty when the writer wrote nothing more.
    ///
    /// # Errors
    /// What the disk says; a segment that is damaged before its end, or no segment.
    pub fn read(&mut self, most: usize) -> Result<Vec<(u64, u64, Vec<u8>)>, Error> {
        let mut records = Vec::new();
        while records.len() < most {
            let Some(open) = &mut self.open else {
                match self.next_segment()? {
                    Some(open) => self.open = Some(open),
                    None => break,
                }
                continue;
            };
            let found = open.read(self.after, most - records.len(), &mut records)?;
            if let Some((_, sequence, _)) = records.last() {
                self.after = *sequence;
            }
            if found {
                continue;
            }
            // Nothing more in this segment: is it finished?
            let Some(next) = self.next_after(open_number(&self.open))? else { break };
            let Some(mut open) = self.open.replace(next) else { break };
            // The writer may have added to it before it began the next one.
            open.read(self.after, usize::MAX, &mut records)?;
            if let Some((_, sequence, _)) = records.last() {
                self.after = *sequence;
            }
            if !open.bytes.is_empty() {
                let left = open.bytes.len();
                self.torn.push(format!("{}: torn record of {left} bytes", open.path.display()));
            }
        }
        Ok(records)
    }

    /// Puts the segment at hand aside, after [`Error::Damaged`]: it is renamed to `*.quarantined`
    /// and reading goes on with the next one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn quarantine(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let failed = |error| Error::Io(open.path.clone(), error);
        fs::rename(&open.path, open.path.with_extension("quarantined")).map_err(failed)?;
        self.open = self.next_after(open.number)?;
        Ok(())
    }

    /// Torn records passed over since the last call, by file.
    pub fn take_torn(&mut self) -> Vec<String> {
        std::mem::take(&mut self.torn)
    }

    /// The segment that holds the record after the last one read.
    fn next_segment(&self) -> Result<Option<Open>, Error> {
        if !self.folder.is_dir() {
            return Ok(None);
        }
        let mut found = None;
        for path in segments(&self.folder, &self.stream)?.into_iter().rev() {
            let open = match Open::new(&path) {
                Ok(open) => open,
                // The newest may not have its header yet.
                Err(Error::NotASegment(_)) if found.is_none() => continue,
                Err(error) => return Err(error),
            };
            let early = open.expected <= self.after + 1;
            found = Some(open);
            if early {
                break;
            }
        }
        Ok(found)
    }

    /// The segment behind this one, once it has its header.
    fn next_after(&self, number: u64) -> Result<Option<Open>, Error> {
        let name = segment_name(&self.stream, number);
        let later = |path: &PathBuf| path.file_name().is_some_and(|found| *found > *name);
        let mut paths = segments(&self.folder, &self.stream)?.into_iter().filter(later);
        let Some(path) = paths.next() else { return Ok(None) };
        match Open::new(&path) {
            Ok(open) => Ok(Some(open)),
            Err(Error::NotASegment(_)) if paths.next().is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn open_number(open: &Option<Open>) -> u64 {
    open.as_ref().map_or(0, |open| open.number)
}

impl Open {
    fn new(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Io(path.to_owned(), error);
        let mut file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (header, used) = header(path, &bytes)?;
        bytes.drain(..used);
        let number = header.segment;
        Ok(Self { path: path.to_owned(), number, file, bytes, expected: header.first_sequence })
    }

    /// Takes up to `most` whole records after the one with sequence `after`; whether there was any.
    fn read(
        &mut self,
        after: u64,
        most: usize,
        records: &mut Vec<(u64, u64, Vec<u8>)>,
    ) -> Result<bool, Error> {
        let failed = |error| Error::Io(self.path.clone(), error);
        self.file.read_to_end(&mut self.bytes).map_err(failed)?;
        let (mut used, mut taken) = (0, 0);
        while taken < most {
            let rest = self.bytes.get(used..).unwrap_or_default();
            match unframe(rest) {
                Unframed::Record(sequence, record, left) if sequence == self.expected => {
                    if sequence > after {
                        records.push((self.number, sequence, record));
                    }
                    self.expected += 1;
                    taken += 1;
                    used = self.bytes.len() - left.len();
                }
                Unframed::Torn => break,
                _ => return Err(Error::Damaged(self.path.clone(), self.expected - 1)),
            }
        }
        self.bytes.drain(..used);
        Ok(taken > 0)
    }
}

/// The header of a segment, and how many bytes it takes up.
fn header(path: &Path, bytes: &[u8]) -> Result<(Header, usize), Error> {
    let not_a_segment = || Error::NotASegment(path.to_owned());
    let body = bytes.strip_prefix(MAGIC).ok_or_else(not_a_segment)?;
    let Unframed::Record(_, header, rest) = unframe(body) else {
        return Err(not_a_segment());
    };
    let version = header.get(1).copied().unwrap_or_default();
    let header: Header = rmp_serde::from_slice(&header).map_err(|_| {
        if version > SCHEMA { Error::Newer(path.to_owned(), version) } else { not_a_segment() }
    })?;
    if header.schema > SCHEMA {
        return Err(Error::Newer(path.to_owned(), header.schema));
    }
    Ok((header, bytes.len() - rest.len()))
}

/// The segments of a stream in a folder, oldest first.
///
/// # Errors
/// The folder cannot be read.
pub fn segments(folder: &Path, stream: &str) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::Io(folder.to_owned(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = name.strip_prefix(stream).is_some_and(|rest| rest.starts_with('-'));
        if ours && name.ends_with(".journal") {
            found.push(path);
        }
    }
    // Numbers have leading zeros: the order of names is the order of segments.
    found.sort();
    Ok(found)
}

fn segment_name(stream: &str, number: u64) -> String {
    format!("{stream}-{number:010}.journal")
}

fn start(folder: &Path, header: &Header) -> Result<(BufWriter<File>, PathBuf, u64), Error> {
    let path = folder.join(segment_name(&header.stream, header.segment));
    let write = || -> io::Result<(BufWriter<File>, u64)> {
        let encoded = rmp_serde::to_vec(header).map_err(io::Error::other)?;
        let framed = frame(&encoded, 0)?;
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC)?;
        file.write_all(&framed)?;
        file.flush()?;
        Ok((file, (MAGIC.len() + framed.len()) as u64))
    };
    let (file, bytes) = write().map_err(|error| {
        if error.kind() != io::ErrorKind::AlreadyExists {
            // A segment without its header would be in the way of the next try.
            let _ = fs::remove_file(&path);
        }
        Error::Io(path.clone(), error)
    })?;
    Ok((file, path, bytes))
}

fn frame(record: &[u8], sequence: u64) -> io::Result<Vec<u8>> {
    let compressed = zstd::bulk::compress(record, 1)?;
    let mut framed = Vec::with_capacity(compressed.len() + FRAMING);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&sequence.to_le_bytes()), &compressed);
    framed.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
    framed.extend_from_slice(&checksum.to_le_bytes());
    framed.extend_from_slice(&sequence.to_le_bytes());
    framed.extend_from_slice(&compressed);
    Ok(framed)
}

enum Unframed<'a> {
    Record(u64, Vec<u8>, &'a [u8]),
    /// Ends before its length says, or is the last one and does not check.
    Torn,
    Damaged,
}

fn unframe(bytes: &[u8]) -> Unframed<'_> {
    let Some((head, body)) = bytes.split_first_chunk::<FRAMING>() else { return Unframed::Torn };
    let [l0, l1, l2, l3, c0, c1, c2, c3, sequence @ ..] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > LARGEST_RECORD {
        return Unframed::Damaged;
    }
    let (Some(compressed), Some(rest)) = (body.get(..length), body.get(length..)) else {
        return Unframed::Torn;
    };
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&sequence), compressed);
    if checksum != u32::from_le_bytes([c0, c1, c2, c3]) {
        return if rest.is_empty() { Unframed::Torn } else { Unframed::Damaged };
    }
    match zstd::bulk::decompress(compressed, LARGEST_RECORD) {
        Ok(record) => Unframed::Record(u64::from_le_bytes(sequence), record, rest),
        Err(_) => Unframed::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("otic-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn write(folder: &Path, records: &[&[u8]]) -> Option<String> {
        let (mut writer, repaired) = Writer::open(folder, "facts", "s1", &[], "").unwrap();
        for record in records {
            writer.append(record, 0).unwrap();
        }
        repaired
    }

    #[test]
    fn records_read_back_in_order_over_segments() {
        let folder = folder("journal-order");
        write(&folder, &[b"one", b"two"]);
        write(&folder, &[b"three"]);
        let paths = segments(&folder, "facts").unwrap();
        let records: Vec<_> =
            paths.iter().flat_map(|path| Segment::open(path).unwrap().records).collect();
        let expected: Vec<(u64, Vec<u8>)> =
            vec![(1, b"one".to_vec()), (2, b"two".to_vec()), (3, b"three".to_vec())];
        assert_eq!(expected, records);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_journal_cut_anywhere_in_its_last_record_loses_only_that() {
        let folder = folder("journal-torn");
        write(&folder, &[b"one", b"two"]);
        let path = segments(&folder, "facts").unwrap().remove(0);
        let whole = fs::read(&path).unwrap();
        let first_ends = {
            let body = &whole[MAGIC.len()..];
            let Unframed::Record(_, _, rest) = unframe(body) else { panic!() };
            let Unframed::Record(_, _, rest) = unframe(rest) else { panic!() };
            whole.len() - rest.len()
        };
        for cut in first_ends + 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let segment = Segment::open(&path).unwrap();
            assert_eq!((1, Some(first_ends as u64)), (segment.records.len(), segment.torn_at));
        }
        assert!(write(&folder, &[b"new two"]).unwrap().contains("torn"));
        let paths = segments(&folder, "facts").unwrap();
        assert_eq!((2, b"new two".to_vec()), Segment::open(&paths[1]).unwrap().records[0]);
        assert_eq!(None, Segment::open(&paths[0]).unwrap().torn_at);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_flipped_bit_in_the_middle_quarantines_the_segment() {
        let folder = folder("journal-damaged");
        write(&folder, &[b"one", b"two", b"three"]);
        let path = segments(&folder, "facts").unwrap().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let position = bytes.len() - 40;
        bytes[position] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(Segment::open(&path), Err(Error::Damaged(..))));
        assert!(path.with_extension("quarantined").exists() && !path.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_follower_sees_each_record_once_while_it_is_written() {
        let folder = folder("journal-follow");
        let mut follower = Follower::new(&folder, "facts", 0);
        assert!(follower.read(10).unwrap().is_empty());
        let (mut writer, _) = Writer::open(&folder, "facts", "s1", &[], "").unwrap();
        assert!(follower.read(10).unwrap().is_empty());
        let mut seen = Vec::new();
        for round in 0_u8..20 {
            writer.append(&[round], 0).unwrap();
            writer.sync().unwrap();
            if round % 7 == 6 {
                writer.rotate().unwrap();
            }
            if round % 3 == 0 {
                seen.extend(follower.read(2).unwrap());
            }
        }
        loop {
            let more = follower.read(3).unwrap();
            if more.is_empty() {
                break;
            }
            seen.extend(more);
        }
        let expected: Vec<_> =
            (0_u8..20).map(|n| (u64::from(n) / 7 + 1, u64::from(n) + 1, vec![n])).collect();
        assert_eq!(expected, seen);
        let mut later = Follower::new(&folder, "facts", 15);
        assert_eq!(expected[15..], later.read(100).unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_follower_names_damage_and_goes_on_behind_it() {
        let folder = folder("journal-follow-damaged");
        write(&folder, &[b"one", b"two", b"three"]);
        write(&folder, &[b"four"]);
        let path = segments(&folder, "facts").unwrap().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let position = bytes.len() - 40;
        bytes[position] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let mut follower = Follower::new(&folder, "facts", 0);
        assert!(matches!(follower.read(10), Err(Error::Damaged(_, 1))));
        follower.quarantine().unwrap();
        assert_eq!(vec![(2, 4, b"four".to_vec())], follower.read(10).unwrap());
        assert!(path.with_extension("quarantined").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_follower_waits_for_half_a_record_and_passes_a_torn_one() {
        let folder = folder("journal-follow-torn");
        write(&folder, &[b"one", b"two"]);
        let path = segments(&folder, "facts").unwrap().remove(0);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let mut follower = Follower::new(&folder, "facts", 0);
        assert_eq!(1, follower.read(10).unwrap().len());
        assert!(follower.read(10).unwrap().is_empty());
        // The writer died there; the next one cuts it off and goes on in a new segment.
        write(&folder, &[b"new two"]);
        assert_eq!(vec![(2, 2, b"new two".to_vec())], follower.read(10).unwrap());
        assert_eq!(1, follower.take_torn().len());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_segment_is_refused() {
        let folder = folder("journal-foreign");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("facts-0000000001.journal");
        fs::write(&path, b"something else").unwrap();
        assert!(matches!(Segment::open(&path), Err(Error::NotASegment(_))));
        fs::remove_dir_all(folder).unwrap();
    }
}
