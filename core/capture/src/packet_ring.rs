//! The packet ring on disk: the latest frames in segments of pcapng, each with an index.
//!
//! A segment `<number>.pcapng` can be opened by itself; `<number>.index` has [`ENTRY`] bytes a frame,
//! all little-endian: number of the frame in the segment (u32, from 1), byte of its block in the
//! pcapng (u32), which address pair it is of (u32, see the engine's `pair`). Frames that did not fit
//! the budget are missing, so numbers may have gaps.
//!
//! The oldest segments go when the ring is larger or older than it may be, and when the disk has less
//! left than it shall: then the ring gives way to what matters more, down to nothing, and frames are
//! not kept until there is room. Age is time that passed while the ring was open. No clock on the wall
//! makes a segment old: it may have been set.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::LinkType;
use crate::write::PcapngWriter;

/// Bytes of an index entry.
pub const ENTRY: usize = 12;
/// Buffers between a frame and the disk, bytes.
const BUFFER: usize = 1 << 20;
/// Bytes between two looks at how much the disk has left.
const LOOK_BYTES: u64 = 4 << 20;
/// Two segments of another run that start further apart are that far apart because the clock was set
/// or nothing ran, ns.
const LONGEST_GAP_NS: i64 = 3_600_000_000_000;
/// Longest time between two frames of a segment, ns: the writer begins one a minute, counted from a
/// start that may lie a minute before its first frame.
const LONGEST_SEGMENT_NS: i64 = 120_000_000_000;
/// Largest captured frame that is believed when reading back, bytes.
const LARGEST_FRAME: u32 = 1 << 20;
/// pcapng: enhanced packet block and interface description block.
const ENHANCED_PACKET: u32 = 6;
const INTERFACE_DESCRIPTION: u32 = 1;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;

/// How much the ring may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all segments with their indexes.
    pub bytes: u64,
    /// Age of the newest frame of a segment that may stay, ns; 0: any.
    pub age_ns: i64,
    /// Bytes that the disk shall have left.
    pub free_bytes: u64,
}

/// One frame on its way to the disk.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Number in its segment, from 1.
    pub number: u64,
    /// Time, ns since 1970 UTC.
    pub ts_ns: i64,
    /// Length on the wire.
    pub original_length: u32,
    /// Index into the interfaces of the ring.
    pub interface: u32,
    /// Which address pair it is of.
    pub pair: u32,
    /// Bytes captured.
    pub bytes: &'a [u8],
}

/// Writes segments and takes old ones away.
pub struct PacketRing {
    folder: PathBuf,
    limits: Limits,
    interfaces: Vec<(String, LinkType)>,
    /// Finished segments, oldest first.
    finished: VecDeque<Finished>,
    open: Option<Open>,
    /// Number of the newest segment that ended: nothing is added to it any more.
    ended: u32,
    /// Time since the ring was opened, ns.
    now_ns: i64,
    /// Bytes written since the last look at the disk, and whether it had room then.
    unlooked: u64,
    room: bool,
    lost: u64,
}

/// A segment that is whole.
struct Finished {
    number: u32,
    bytes: u64,
    /// When it began on the clock of the ring, ns.
    begun_ns: i64,
}

struct Open {
    number: u32,
    packets: PcapngWriter<BufWriter<File>>,
    index: BufWriter<File>,
    indexed: u64,
    begun_ns: i64,
    /// Bytes of both files that the operating system has.
    flushed: (u64, u64),
}

impl PacketRing {
    /// A ring in `folder`, behind what is in it already.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(
        folder: &Path,
        limits: Limits,
        interfaces: Vec<(String, LinkType)>,
    ) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut finished = VecDeque::new();
        let (mut begun_ns, mut later) = (0, None);
        for number in segments(folder)?.into_iter().rev() {
            // Their numbers are seconds, as far as nobody set the clock.
            let gap = later.map_or(0, |later| i64::from(later) - i64::from(number));
            let gap_ns = gap.saturating_mul(1_000_000_000);
            begun_ns -= if gap_ns > LONGEST_GAP_NS { 0 } else { gap_ns };
            later = Some(number);
            let bytes = size(&packets_path(folder, number)) + size(&index_path(folder, number));
            finished.push_front(Finished { number, bytes, begun_ns });
        }
        Ok(Self {
            folder: folder.to_owned(),
            limits,
            interfaces,
            ended: finished.back().map_or(0, |newest| newest.number),
            finished,
            open: None,
            now_ns: 0,
            unlooked: 0,
            room: true,
            lost: 0,
        })
    }

    /// Number of the newest segment; 0 where there is none.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.open.as_ref().map_or(self.ended, |open| open.number)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.packets.written() + open.indexed);
        open + self.finished.iter().map(|one| one.bytes).sum::<u64>()
    }

    /// Adds a frame of segment `segment`; false where it is not kept, because the disk has no room or
    /// this segment ended early. Segments come in rising order.
    ///
    /// # Errors
    /// What the disk says; the segment ends there, whole up to what was flushed.
    pub fn write(&mut self, segment: u32, frame: &Kept<'_>) -> io::Result<bool> {
        if self.unlooked >= LOOK_BYTES {
            self.look();
        }
        if !self.room || segment <= self.ended {
            return Ok(false);
        }
        if self.open.as_ref().is_none_or(|open| open.number != segment) {
            self.end_segment();
            let opened = Open::new(&self.folder, segment, &self.interfaces, self.now_ns);
            if opened.is_err() {
                // What there is of it would be in the way.
                self.remove(segment);
            }
            self.open = Some(opened?);
            self.make_room();
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        let written = open.write(frame);
        self.unlooked += frame.bytes.len() as u64;
        if written.is_err() {
            self.abandon();
        }
        written.map(|()| true)
    }

    /// Hands everything written so far to the operating system, so that readers see it.
    ///
    /// # Errors
    /// What the disk says; the segment ends there.
    pub fn flush(&mut self) -> io::Result<()> {
        let done = self.open.as_mut().map_or(Ok(()), Open::flush);
        if done.is_err() {
            self.abandon();
        }
        done
    }

    /// So much time passed since the ring was opened, ns: what is too old goes, and the disk is looked
    /// at.
    pub fn pass(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
        if self.limits.age_ns > 0 {
            // A segment is as old as the one behind it is at its start.
            while let Some(next_ns) = self.after_oldest_ns()
                && now_ns - next_ns > self.limits.age_ns
            {
                self.drop_oldest();
            }
        }
        self.look();
    }

    /// Takes the oldest finished segment away; whether there was one.
    pub fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.finished.pop_front() else { return false };
        self.remove(oldest.number);
        true
    }

    /// Whether frames can be kept only in a new segment.
    #[must_use]
    pub const fn needs_segment(&self) -> bool {
        self.open.is_none()
    }

    /// Frames that were taken and then lost, since the last call.
    pub const fn take_lost(&mut self) -> u64 {
        std::mem::replace(&mut self.lost, 0)
    }

    /// Gives way until the disk has left what it shall, and notes whether it has.
    fn look(&mut self) {
        self.unlooked = 0;
        if self.limits.free_bytes == 0 {
            return;
        }
        loop {
            self.room = self.has_room();
            if self.room {
                return;
            }
            if !self.drop_oldest() {
                if self.open.is_none() {
                    return;
                }
                self.end_segment();
            }
        }
    }

    fn has_room(&self) -> bool {
        // A disk that does not say how full it is says so when it is written.
        rustix::fs::statvfs(&self.folder)
            .map_or(true, |disk| disk.f_bavail * disk.f_frsize >= self.limits.free_bytes)
    }

    fn remove(&self, number: u32) {
        for path in [packets_path(&self.folder, number), index_path(&self.folder, number)] {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }

    fn after_oldest_ns(&self) -> Option<i64> {
        let open = self.open.as_ref().map(|open| open.begun_ns);
        let _oldest = self.finished.front()?;
        self.finished.get(1).map(|next| next.begun_ns).or(open)
    }

    fn end_segment(&mut self) {
        if self.flush().is_ok()
            && let Some(open) = self.open.take()
        {
            self.finish(open.number, open.begun_ns, open.packets.written() + open.indexed);
        }
    }

    /// Ends a segment that could not be written, at what was flushed.
    fn abandon(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (number, begun_ns) = (open.number, open.begun_ns);
        self.lost += (open.indexed - open.flushed.1) / ENTRY as u64;
        // What the buffers hold is not written any more; a reader passes over an end that is torn.
        let (packets, _) = open.packets.into_sink().into_parts();
        let (index, _) = open.index.into_parts();
        let _ = packets.set_len(open.flushed.0).and_then(|()| index.set_len(open.flushed.1));
        if open.flushed.1 == 0 {
            self.ended = number;
            self.remove(number);
        } else {
            self.finish(number, begun_ns, open.flushed.0 + open.flushed.1);
        }
    }

    fn finish(&mut self, number: u32, begun_ns: i64, bytes: u64) {
        self.ended = number;
        self.finished.push_back(Finished { number, bytes, begun_ns });
    }

    fn make_room(&mut self) {
        while self.bytes() > self.limits.bytes && self.drop_oldest() {}
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        self.end_segment();
    }
}

impl Open {
    fn new(
        folder: &Path,
        number: u32,
        interfaces: &[(String, LinkType)],
        begun_ns: i64,
    ) -> io::Result<Self> {
        let create =
            |path: PathBuf| File::create(path).map(|file| BufWriter::with_capacity(BUFFER, file));
        let mut packets = PcapngWriter::new(create(packets_path(folder, number))?)?;
        for (name, link_type) in interfaces {
            packets.interface(name, *link_type)?;
        }
        let index = create(index_path(folder, number))?;
        Ok(Self { number, packets, index, indexed: 0, begun_ns, flushed: (0, 0) })
    }

    fn write(&mut self, frame: &Kept<'_>) -> io::Result<()> {
        let place = self.packets.written() as u32;
        self.packets.frame_of(
            frame.interface,
            frame.ts_ns,
            frame.original_length,
            frame.bytes,
            "",
        )?;
        for number in [frame.number as u32, place, frame.pair] {
            self.index.write_all(&number.to_le_bytes())?;
        }
        self.indexed += ENTRY as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.packets.sink().flush()?;
        self.index.flush()?;
        self.flushed = (self.packets.written(), self.indexed);
        Ok(())
    }
}

/// One frame read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its segment.
    pub segment: u32,
    /// Its number there.
    pub number: u64,
    /// Time, ns since 1970 UTC.
    pub ts_ns: i64,
    /// Length on the wire.
    pub original_length: u32,
    /// Link type.
    pub link_type: LinkType,
    /// Interface name.
    pub interface: String,
    /// Bytes captured.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct IndexEntry {
    number: u32,
    place: u32,
    pair: u32,
}

/// Numbers of the segments in `folder`, rising.
///
/// # Errors
/// The folder cannot be read.
pub fn segments(folder: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pcapng")
            && let Some(number) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok())
        {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The frames with these numbers of a segment; those that are not there are left out.
///
/// # Errors
/// The segment is gone or cannot be read.
pub fn frames(folder: &Path, segment: u32, numbers: &[u64]) -> io::Result<Vec<Found>> {
    let entries = entries(folder, segment)?;
    let mut reader = SegmentReader::open(folder, segment)?;
    let mut found = Vec::new();
    for number in numbers {
        if let Ok(at) = entries.binary_search_by_key(number, |entry| u64::from(entry.number))
            && let Some(entry) = entries.get(at)
            && let Some(frame) = reader.read(entry)?
        {
            found.push(frame);
        }
    }
    Ok(found)
}

/// Frame `number` of a segment, and up to `each_side` of the same address pair before and after it.
///
/// # Errors
/// The segment is gone or cannot be read.
pub fn around(
    folder: &Path,
    segment: u32,
    number: u64,
    each_side: usize,
) -> io::Result<Vec<Found>> {
    let entries = entries(folder, segment)?;
    let Ok(at) = entries.binary_search_by_key(&number, |entry| u64::from(entry.number)) else {
        return Ok(Vec::new());
    };
    let pair = entries.get(at).map(|entry| entry.pair);
    let same = |entry: &&IndexEntry| Some(entry.pair) == pair;
    let (before, rest) = entries.split_at(at);
    let mut chosen: Vec<_> = before.iter().rev().filter(same).take(each_side).collect();
    chosen.reverse();
    chosen.extend(rest.iter().filter(same).take(each_side + 1));
    let mut reader = SegmentReader::open(folder, segment)?;
    let mut found = Vec::new();
    for entry in chosen {
        found.extend(reader.read(entry)?);
    }
    Ok(found)
}

/// Frames between two times (ns, both included), of these address pairs (all when there is none),
/// until `most_bytes` are taken.
///
/// # Errors
/// A segment cannot be read; one that is gone meanwhile is left out.
pub fn slice(
    folder: &Path,
    start_ns: i64,
    end_ns: i64,
    pairs: &[u32],
    most_bytes: usize,
) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut left = most_bytes;
    visit(folder, start_ns, end_ns, pairs, |frame| {
        let fits = frame.bytes.len() <= left;
        if fits {
            left -= frame.bytes.len();
            found.push(frame);
        }
        Ok(fits)
    })?;
    Ok(found)
}

/// Hands over the frames between two times (ns, both included), of these address pairs (all when there
/// is none), in the order in which they came, until `take` wants no more.
///
/// # Errors
/// A segment cannot be read (one that is gone meanwhile is left out), or what `take` says.
pub fn visit(
    folder: &Path,
    start_ns: i64,
    end_ns: i64,
    pairs: &[u32],
    mut take: impl FnMut(Found) -> io::Result<bool>,
) -> io::Result<()> {
    for segment in segments(folder)? {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let (mut reader, first) =
            match (SegmentReader::open(folder, segment), first_entry(folder, segment)) {
                (Err(error), _) | (_, Err(error)) if gone(&error) => continue,
                (reader, first) => (reader?, first?),
            };
        // Not by the segment's number: after a clock was set back it is ahead of its frames' time.
        let Some(first) = first else { continue };
        let Some(first) = reader.read(&first)? else { continue };
        if first.ts_ns.saturating_add(LONGEST_SEGMENT_NS) < start_ns
            || first.ts_ns.saturating_sub(LONGEST_SEGMENT_NS) > end_ns
        {
            continue;
        }
        let entries = match entries(folder, segment) {
            Err(error) if gone(&error) => continue,
            entries => entries?,
        };
        for entry in entries {
            if !pairs.is_empty() && !pairs.contains(&entry.pair) {
                continue;
            }
            let Some(frame) = reader.read(&entry)? else { break };
            if frame.ts_ns < start_ns || frame.ts_ns > end_ns {
                continue;
            }
            if !take(frame)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads blocks of one segment by their place.
struct SegmentReader {
    file: File,
    segment: u32,
    interfaces: Vec<(String, LinkType)>,
}

impl SegmentReader {
    fn open(folder: &Path, segment: u32) -> io::Result<Self> {
        let mut file = File::open(packets_path(folder, segment))?;
        let mut interfaces = Vec::new();
        // The interfaces stand at the start, behind the section header.
        while let Some((kind, body)) = block(&mut file)? {
            match kind {
                SECTION_HEADER => {}
                INTERFACE_DESCRIPTION => interfaces.push(interface(&body)),
                _ => break,
            }
        }
        Ok(Self { file, segment, interfaces })
    }

    /// The frame of this entry; none where the segment was cut off before it.
    fn read(&mut self, entry: &IndexEntry) -> io::Result<Option<Found>> {
        self.file.seek(SeekFrom::Start(u64::from(entry.place)))?;
        let Some((ENHANCED_PACKET, body)) = block(&mut self.file)? else { return Ok(None) };
        let word = |at: usize| {
            let bytes = body.get(at * 4..at * 4 + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes)
        };
        let (Some(interface), Some(high), Some(low), Some(captured), Some(original_length)) =
            (word(0), word(1), word(2), word(3), word(4))
        else {
            return Ok(None);
        };
        let Some(bytes) = body.get(20..20 + captured as usize) else { return Ok(None) };
        let Some((name, link_type)) = self.interfaces.get(interface as usize) else {
            return Ok(None);
        };
        Ok(Some(Found {
            segment: self.segment,
            number: u64::from(entry.number),
            ts_ns: (u64::from(high) << 32 | u64::from(low)) as i64,
            original_length,
            link_type: *link_type,
            interface: name.clone(),
            bytes: bytes.to_vec(),
        }))
    }
}

/// The block at the file's position: type and body; none where it is cut off.
fn block(file: &mut File) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut head = [0; 8];
    if let Err(error) = file.read_exact(&mut head) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let [a, b, c, d, e, f, g, h] = head;
    let (kind, length) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let Some(rest) = length.checked_sub(8).filter(|rest| (4..=LARGEST_FRAME).contains(rest)) else {
        return Ok(None);
    };
    let mut body = vec![0; rest as usize];
    if let Err(error) = file.read_exact(&mut body) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    // The length stands at the end again.
    body.truncate(body.len() - 4);
    Ok(Some((kind, body)))
}

/// Name and link type of an interface description.
fn interface(body: &[u8]) -> (String, LinkType) {
    let link_type = match body {
        [low, high, ..] => LinkType(u16::from_le_bytes([*low, *high])),
        _ => LinkType::NULL,
    };
    // The writer puts the name first.
    let name = match body.get(8..) {
        Some([2, 0, low, high, rest @ ..]) => {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into_owned()
        }
        _ => String::new(),
    };
    (name, link_type)
}

fn entries(folder: &Path, segment: u32) -> io::Result<Vec<IndexEntry>> {
    let bytes = fs::read(index_path(folder, segment))?;
    Ok(bytes.chunks_exact(ENTRY).map(entry).collect())
}

/// The first entry alone, which says when a segment was; none while there is none.
fn first_entry(folder: &Path, segment: u32) -> io::Result<Option<IndexEntry>> {
    let mut bytes = Vec::with_capacity(ENTRY);
    File::open(index_path(folder, segment))?.take(ENTRY as u64).read_to_end(&mut bytes)?;
    Ok(bytes.chunks_exact(ENTRY).next().map(entry))
}

fn entry(bytes: &[u8]) -> IndexEntry {
    let word = |at: usize| {
        let word = bytes.get(at * 4..at * 4 + 4).and_then(|bytes| bytes.try_into().ok());
        word.map(u32::from_le_bytes).unwrap_or_default()
    };
    IndexEntry { number: word(0), place: word(1), pair: word(2) }
}

/// Where a segment's frames are.
#[must_use]
pub fn packets_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:010}.pcapng"))
}

fn index_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:010}.index"))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("otic-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn ring(folder: &Path, bytes: u64, age_ns: i64) -> PacketRing {
        let interfaces =
            vec![("eth1".to_owned(), LinkType::ETHERNET), ("tun0".to_owned(), LinkType::RAW)];
        let limits = Limits { bytes, age_ns, free_bytes: 0 };
        PacketRing::open(folder, limits, interfaces).unwrap()
    }

    fn kept(number: u64, second: u32, pair: u32, bytes: &[u8]) -> Kept<'_> {
        let ts_ns = i64::from(second) * 1_000_000_000 + number as i64;
        Kept { number, ts_ns, original_length: 1500, interface: pair % 2, pair, bytes }
    }

    #[test]
    fn frames_read_back_by_number_pair_and_time() {
        let folder = folder("ring-read");
        let mut ring = ring(&folder, 1 << 30, 0);
        for segment in [1000_u32, 1060] {
            for number in 1..=100_u64 {
                if number % 10 == 0 {
                    continue; // Dropped for the budget.
                }
                let bytes = [number as u8; 61];
                ring.write(segment, &kept(number, segment, number as u32 % 3, &bytes)).unwrap();
            }
        }
        ring.flush().unwrap();

        let found = frames(&folder, 1000, &[7, 10, 99, 4000]).unwrap();
        assert_eq!(vec![7, 99], found.iter().map(|frame| frame.number).collect::<Vec<_>>());
        let seventh = found.first().unwrap();
        assert_eq!((1_000_000_000_007, 1500), (seventh.ts_ns, seventh.original_length));
        assert_eq!(vec![7; 61], seventh.bytes);
        assert_eq!(("tun0", LinkType::RAW), (seventh.interface.as_str(), seventh.link_type));

        let same: Vec<u64> =
            around(&folder, 1000, 7, 2).unwrap().iter().map(|f| f.number).collect();
        assert_eq!(vec![1, 4, 7, 13, 16], same);

        let part = slice(&folder, 1_000_000_000_050, 1_060_000_000_003, &[1], usize::MAX).unwrap();
        assert!(part.iter().all(|frame| frame.number % 3 == 1));
        assert_eq!((52, 1000), part.first().map(|f| (f.number, f.segment)).unwrap());
        assert_eq!((1, 1060), part.last().map(|f| (f.number, f.segment)).unwrap());
        assert_eq!(2, slice(&folder, 0, i64::MAX, &[], 130).unwrap().len());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_oldest_go_by_size_and_by_age() {
        let folder = folder("ring-limits");
        let mut small = ring(&folder, 300_000, 0);
        for segment in 1..=20_u32 {
            for number in 1..=100 {
                small.write(segment, &kept(number, segment, 0, &[0; 500])).unwrap();
            }
        }
        assert!(small.bytes() <= 300_000 + 60_000, "{}", small.bytes());
        let left = segments(&folder).unwrap();
        assert_eq!(Some(&20), left.last());
        assert!(left.len() <= 6, "{left:?}");
        drop(small);
        // Another run goes on behind them, and keeps three seconds.
        let mut young = ring(&folder, 1 << 30, 3_000_000_000);
        assert_eq!(20, young.newest());
        for segment in 21..=30_u32 {
            young.pass(i64::from(segment - 20) * 1_000_000_000);
            young.write(segment, &kept(1, segment, 0, &[0; 60])).unwrap();
        }
        young.pass(10_000_000_001);
        assert_eq!(vec![27, 28, 29, 30], segments(&folder).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_clock_that_is_set_makes_nothing_old() {
        const YEAR: u32 = 365 * 86_400;
        let folder = folder("ring-clock");
        let begin = 1_700_000_000_u32;
        let mut ring = ring(&folder, 1 << 30, 600_000_000_000);
        let mut passed_s = 0;
        // A year ahead, then a year back and in 1970: numbers rise whatever the frames' times are.
        let mut number = begin;
        for set_to in [begin, begin + YEAR, begin, 0] {
            number = set_to.max(number + 1);
            for minute in 0..2_u32 {
                passed_s += 60;
                ring.pass(passed_s * 1_000_000_000);
                let frame = kept(1, set_to + 60 * minute, 0, &[0; 60]);
                assert!(ring.write(number + minute, &frame).unwrap());
            }
            number += 1;
        }
        ring.flush().unwrap();
        assert_eq!(8, segments(&folder).unwrap().len());
        // A slice is asked for by the times that the frames have.
        for set_to in [begin, begin + YEAR, 0] {
            let start_ns = i64::from(set_to) * 1_000_000_000;
            let found = slice(&folder, start_ns, start_ns + 1_000_000_000, &[], usize::MAX);
            let expected = if set_to == begin { 2 } else { 1 };
            assert_eq!(expected, found.unwrap().len());
        }
        drop(ring);
        // Another run: the year between two segments is no age, the minutes are.
        let mut again = super::tests::ring(&folder, 1 << 30, 600_000_000_000);
        again.pass(1_000_000_000);
        assert_eq!(8, segments(&folder).unwrap().len());
        again.pass(700_000_000_000);
        assert_eq!(1, segments(&folder).unwrap().len());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn without_room_on_the_disk_the_ring_gives_way_and_comes_back() {
        let folder = folder("ring-room");
        let mut ring = ring(&folder, 1 << 30, 0);
        for segment in 1..=5 {
            ring.write(segment, &kept(1, segment, 0, &[0; 500])).unwrap();
        }
        // No disk has that much left.
        ring.limits.free_bytes = u64::MAX;
        ring.pass(1);
        assert_eq!(0, segments(&folder).unwrap().len());
        assert!(!ring.write(5, &kept(2, 5, 0, &[0; 500])).unwrap());
        assert!(!ring.write(6, &kept(1, 6, 0, &[0; 500])).unwrap());
        ring.limits.free_bytes = 1;
        ring.pass(2);
        assert!(ring.needs_segment());
        assert!(!ring.write(5, &kept(3, 5, 0, &[0; 500])).unwrap());
        assert!(ring.write(6, &kept(2, 6, 0, &[0; 500])).unwrap());
        assert_eq!((6, 0), (ring.newest(), ring.take_lost()));
        drop(ring);
        assert_eq!(1, frames(&folder, 6, &[1, 2]).unwrap().len());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_torn_end_is_left_out() {
        let folder = folder("ring-torn");
        let mut ring = ring(&folder, 1 << 30, 0);
        for number in 1..=3 {
            ring.write(5, &kept(number, 5, 0, &[9; 100])).unwrap();
        }
        ring.flush().unwrap();
        let path = packets_path(&folder, 5);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 20]).unwrap();
        assert_eq!(2, frames(&folder, 5, &[1, 2, 3]).unwrap().len());
        drop(ring);
        fs::remove_dir_all(&folder).unwrap();
    }
}
