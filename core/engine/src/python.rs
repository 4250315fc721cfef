//! The Python module `otic._core`: the only file that knows Python.
#![allow(unsafe_code, reason = "pyo3's macros expand to the unsafe calls of Python's C interface")]

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use otic_capture::filter::FilterInstruction;
use otic_capture::interface::InterfaceSource;
use otic_capture::nic::NicFacts;
use otic_capture::packet_ring::{self, Limits};
use otic_capture::ring::{FanoutMode, RingOptions};
use otic_capture::sandbox::{SandboxOptions, drop_rights};
use otic_capture::source::{PcapStream, Source};
use otic_capture::write::PcapngWriter;
use otic_capture::{CaptureFile, LinkType};
use otic_wire::Address;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::facts::SCHEMA;
use crate::journal;
use crate::live::{Live, Options, Packets, Passed};
use crate::slice;
use crate::spaces::SpaceMap;

/// How often a follower that waits looks for more.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

create_exception!(_core, JournalError, PyException, "A journal that cannot be read or written.");
create_exception!(_core, DefinitionError, PyException, "A protocol definition that is refused.");
create_exception!(_core, CaptureError, PyException, "A file that is no readable capture.");

/// A run over capture files: an iterator of MessagePack batches (`otic.facts.Batch`).
///
/// `spaces` holds (kind, match, space name) rules, kind `vlan`, `interface`, `tunnel` or `subnet`;
/// the first that fits a frame wins. With `journal`, each batch is appended to the segments of the
/// stream `facts` in that folder before it is handed over.
#[pyclass]
struct Replay {
    run: Mutex<crate::replay::Replay>,
    journal: Option<Mutex<journal::Writer>>,
}

#[pymethods]
impl Replay {
    #[new]
    #[pyo3(signature = (paths, *, threads = 1, spaces = Vec::new(), journal = None))]
    fn new(
        paths: Vec<String>,
        threads: usize,
        spaces: Vec<(String, String, String)>,
        journal: Option<String>,
    ) -> PyResult<Self> {
        let map = SpaceMap::new(&spaces).map_err(PyValueError::new_err)?;
        let run = crate::replay::Replay::open(&paths, threads, map)
            .map_err(|error| CaptureError::new_err(error.to_string()))?;
        let journal = match journal {
            Some(folder) => {
                let opened = journal::Writer::open(Path::new(&folder), "facts", "", &spaces, "");
                Some(Mutex::new(opened.map_err(journal_error)?.0))
            }
            None => None,
        };
        Ok(Self { run: Mutex::new(run), journal })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let run = self.run.get_mut().map_err(|_| poisoned())?;
        let journal = match &mut self.journal {
            Some(journal) => Some(journal.get_mut().map_err(|_| poisoned())?),
            None => None,
        };
        let bytes = py.detach(|| next(run, journal))?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// What is known of the files by now: a MessagePack list of `otic.facts.Capture`.
    fn captures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let captures = self.run.lock().map_err(|_| poisoned())?.captures();
        let bytes = rmp_serde::to_vec(&captures)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Bytes of the files read so far, and in all.
    fn progress(&self) -> PyResult<(u64, u64)> {
        Ok(self.run.lock().map_err(|_| poisoned())?.progress())
    }
}

/// The next batch, in the journal before anybody else sees it.
fn next(
    run: &mut crate::replay::Replay,
    journal: Option<&mut journal::Writer>,
) -> PyResult<Option<Vec<u8>>> {
    let Some(journal) = journal else {
        return run.next_batch().map(|batch| encode(&batch)).transpose();
    };
    if run.take_rotation() {
        journal.rotate().map_err(journal_error)?;
    }
    let Some(batch) = run.next_batch() else {
        journal.sync().map_err(journal_error)?;
        return Ok(None);
    };
    let bytes = encode(&batch)?;
    journal.append(&bytes, batch.end_ns).map_err(journal_error)?;
    if journal.is_full(batch.end_ns) {
        run.request_rotation();
    }
    Ok(Some(bytes))
}

fn encode(batch: &crate::facts::Batch) -> PyResult<Vec<u8>> {
    rmp_serde::to_vec(batch).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn journal_error(error: journal::Error) -> PyErr {
    JournalError::new_err(error.to_string())
}

/// A run over live sources, in threads of its own: facts into the journal, frames into the packet
/// ring.
///
/// `interfaces` holds (name, filter program as (code, jt, jf, k), rings, bytes of a ring,
/// promiscuous); `pipes` holds (interface name, path, filter program): pcap streams that other
/// programs write. `packets` is (folder, bytes, age in ns, bytes a second, bytes that the disk shall
/// have left); 0 for no limit but the first. With `sandbox`, (user and group id or none, folders to write in), the process gives up
/// all other rights once the sources are open; it must have one thread then.
#[pyclass]
struct Capture {
    live: Mutex<Live>,
    proof: Option<String>,
}

type ProgramRow = Vec<(u16, u8, u8, u32)>;
type InterfaceRow = (String, ProgramRow, u16, usize, bool);
type SandboxRow = (Option<(u32, u32)>, Vec<PathBuf>);

fn instructions(program: ProgramRow) -> Vec<FilterInstruction> {
    let row = |(code, jt, jf, k)| FilterInstruction { code, jt, jf, k };
    program.into_iter().map(row).collect()
}

/// Bytes of a block of a ring: frames that the kernel joined fit.
const BLOCK_BYTES: usize = 1 << 20;
/// Longest time that a frame waits for a block to fill, ms.
const BLOCK_TIMEOUT_MS: u32 = 10;
/// Most bytes of a frame that are read: more than joined frames have.
const SNAP_LENGTH: u32 = 1 << 18;

fn open_rings(interfaces: Vec<InterfaceRow>) -> PyResult<Vec<InterfaceSource>> {
    let mut opened = Vec::new();
    for (at, (name, program, rings, ring_bytes, promiscuous)) in interfaces.into_iter().enumerate()
    {
        let filter = instructions(program);
        // Fan-out groups are the whole machine's: two sensors must not share one.
        let group = (std::process::id() as u16).wrapping_mul(31).wrapping_add(at as u16);
        for ring in 0..rings.max(1) {
            let options = RingOptions {
                interface: name.clone(),
                block_bytes: BLOCK_BYTES,
                blocks: (ring_bytes / BLOCK_BYTES).max(2),
                block_timeout_ms: BLOCK_TIMEOUT_MS,
                fanout: (rings > 1).then_some((group, FanoutMode::AddressPair)),
                promiscuous,
                filter: filter.clone(),
                snap_length: SNAP_LENGTH,
            };
            let source = InterfaceSource::open(&options, ring == 0);
            opened.push(source.map_err(|error| {
                // The ring names its interface where the kernel's words do not.
                let text = error.to_string();
                let named = if text.contains(&name) { text } else { format!("{name}: {text}") };
                CaptureError::new_err(named)
            })?);
        }
    }
    Ok(opened)
}

#[pymethods]
impl Capture {
    #[new]
    #[pyo3(signature = (
        *, journal, interfaces = Vec::new(), pipes = Vec::new(), packets = None,
        sensor = String::new(), spaces = Vec::new(), content = String::new(), threads = 1,
        last_seen_ns = None, canary_s = 60, sandbox = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "named in every call")]
    fn new(
        py: Python<'_>,
        journal: PathBuf,
        interfaces: Vec<InterfaceRow>,
        pipes: Vec<(String, PathBuf, ProgramRow)>,
        packets: Option<(PathBuf, u64, i64, u64, u64)>,
        sensor: String,
        spaces: Vec<(String, String, String)>,
        content: String,
        threads: usize,
        last_seen_ns: Option<i64>,
        canary_s: u64,
        sandbox: Option<SandboxRow>,
    ) -> PyResult<Self> {
        let packets = packets.map(|(folder, bytes, age_ns, bytes_per_s, free_bytes)| Packets {
            folder,
            limits: Limits { bytes, age_ns, free_bytes },
            bytes_per_s,
        });
        let canary = Duration::from_secs(canary_s);
        let options =
            Options { journal, packets, sensor, spaces, content, threads, last_seen_ns, canary };
        py.detach(move || {
            let rings = open_rings(interfaces)?;
            let mut sources: Vec<Box<dyn Source>> = Vec::new();
            for (name, path, program) in pipes {
                let named = |error: std::io::Error| {
                    CaptureError::new_err(format!("{}: {error}", path.display()))
                };
                let mut source = File::open(&path)
                    .and_then(|file| PcapStream::open(&name, file))
                    .map_err(named)?;
                source.set_filter(&instructions(program)).map_err(named)?;
                sources.push(Box::new(source));
            }
            let proof = match sandbox {
                Some((user, write_folders)) => {
                    let sockets = rings.iter().map(|source| source.ring().fd()).collect();
                    let wanted = SandboxOptions { user, write_folders, sockets };
                    let proof = drop_rights(&wanted)
                        .map_err(|error| CaptureError::new_err(format!("sandbox: {error}")))?;
                    let text = serde_json::to_string(&proof);
                    Some(text.map_err(|error| CaptureError::new_err(error.to_string()))?)
                }
                None => None,
            };
            for source in rings {
                sources.push(Box::new(source));
            }
            let live = Live::start(sources, options).map_err(CaptureError::new_err)?;
            Ok(Self { live: Mutex::new(live), proof })
        })
    }

    /// What the kernel says of this process's rights, as JSON; none without a sandbox.
    fn proof(&self) -> Option<&str> {
        self.proof.as_deref()
    }

    /// Other frames of an interface are wanted from now on; false where it is not read or the program
    /// is not valid.
    fn set_filter(&self, interface: &str, program: ProgramRow) -> PyResult<bool> {
        let live = self.live.lock().map_err(|_| poisoned())?;
        Ok(live.set_filter(interface, &instructions(program)))
    }

    /// Whether it ended: all sources are over.
    fn is_over(&self) -> PyResult<bool> {
        Ok(self.live.lock().map_err(|_| poisoned())?.is_over())
    }

    /// The start of this run in ns, and of each stage: (name, number of the last canary that passed it
    /// or 0, when in ns).
    fn canaries(&self) -> PyResult<(i64, Vec<StageRow>)> {
        let live = self.live.lock().map_err(|_| poisoned())?;
        let row = |(name, passed): (&'static str, Passed)| (name, passed.sequence, passed.wall_ns);
        Ok((live.run_ns(), live.passed().into_iter().map(row).collect()))
    }

    /// What is wrong at the moment, in words.
    fn trouble(&self) -> PyResult<Option<String>> {
        Ok(self.live.lock().map_err(|_| poisoned())?.trouble())
    }

    /// Ends it: what arrived is read and written. False when a thread of it had died.
    fn stop(&mut self, py: Python<'_>) -> PyResult<bool> {
        let live = self.live.get_mut().map_err(|_| poisoned())?;
        Ok(py.detach(|| live.stop()))
    }
}

/// (stage, number of the last canary that passed it, when in ns).
type StageRow = (&'static str, u64, i64);

/// Appends records to the newest segment of a stream in `folder`.
///
/// `repaired` names a torn tail that was cut off when opening, if there was one.
#[pyclass]
struct JournalWriter {
    writer: Mutex<journal::Writer>,
    #[pyo3(get)]
    repaired: Option<String>,
}

#[pymethods]
impl JournalWriter {
    #[new]
    fn new(folder: String, stream: String, sensor: String, content: String) -> PyResult<Self> {
        let (writer, repaired) =
            journal::Writer::open(Path::new(&folder), &stream, &sensor, &[], &content)
                .map_err(journal_error)?;
        Ok(Self { writer: Mutex::new(writer), repaired })
    }

    /// Appends a record of data time `ts_ns` and makes it durable; returns (segment, sequence).
    fn append(&mut self, record: &[u8], ts_ns: i64) -> PyResult<(u64, u64)> {
        let writer = self.writer.get_mut().map_err(|_| poisoned())?;
        let position = writer.append(record, ts_ns).map_err(journal_error)?;
        writer.sync().map_err(journal_error)?;
        if writer.is_full(ts_ns) {
            writer.rotate().map_err(journal_error)?;
        }
        Ok(position)
    }
}

/// Reads a stream in `folder` while another process writes it, behind the record `after`.
#[pyclass]
struct JournalFollower {
    follower: Mutex<journal::Follower>,
}

#[pymethods]
impl JournalFollower {
    #[new]
    #[pyo3(signature = (folder, stream, after = 0))]
    fn new(folder: String, stream: String, after: u64) -> Self {
        Self { follower: Mutex::new(journal::Follower::new(Path::new(&folder), &stream, after)) }
    }

    /// The next records, at most about `most`; waits up to `wait_ms` for the first.
    fn read<'py>(
        &mut self,
        py: Python<'py>,
        most: usize,
        wait_ms: u64,
    ) -> PyResult<JournalRows<'py>> {
        let follower = self.follower.get_mut().map_err(|_| poisoned())?;
        let rows = py
            .detach(|| {
                let until = Instant::now() + Duration::from_millis(wait_ms);
                loop {
                    let records = follower.read(most)?;
                    if !records.is_empty() || Instant::now() >= until {
                        return Ok(records);
                    }
                    std::thread::sleep(LOOK_AGAIN);
                }
            })
            .map_err(journal_error)?;
        let row = |(segment, sequence, record): (u64, u64, Vec<u8>)| {
            (segment, sequence, PyBytes::new(py, &record))
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// Torn records passed over since the last call, by file.
    fn take_torn(&mut self) -> PyResult<Vec<String>> {
        Ok(self.follower.get_mut().map_err(|_| poisoned())?.take_torn())
    }

    /// Puts a damaged segment aside and goes on with the next one.
    fn quarantine(&mut self) -> PyResult<()> {
        self.follower.get_mut().map_err(|_| poisoned())?.quarantine().map_err(journal_error)
    }
}

/// (segment number, sequence, record) of every record.
type JournalRows<'py> = Vec<(u64, u64, Bound<'py, PyBytes>)>;

/// The segments of a stream in `folder`, oldest first.
#[pyfunction]
fn journal_segments(folder: String, stream: String) -> PyResult<Vec<String>> {
    let paths = journal::segments(Path::new(&folder), &stream).map_err(journal_error)?;
    Ok(paths.into_iter().map(|path| path.to_string_lossy().into_owned()).collect())
}

/// All records of one segment, and where a torn last record begins.
#[pyfunction]
fn read_journal(py: Python<'_>, path: String) -> PyResult<(JournalRows<'_>, Option<u64>)> {
    let segment = journal::Segment::open(Path::new(&path)).map_err(journal_error)?;
    let number = segment.header.segment;
    let rows = segment
        .records
        .into_iter()
        .map(|(sequence, record)| (number, sequence, PyBytes::new(py, &record)))
        .collect();
    Ok((rows, segment.torn_at))
}

fn poisoned() -> PyErr {
    PyValueError::new_err("the run was broken off")
}

/// (frame number, time in ns, length on the wire, link type name, bytes captured).
type FrameRow<'py> = (u64, i64, u32, String, Bound<'py, PyBytes>);

/// The frames of `path` with these numbers (from 1), in file order.
#[pyfunction]
fn read_frames<'py>(
    py: Python<'py>,
    path: String,
    numbers: Vec<u64>,
) -> PyResult<Vec<FrameRow<'py>>> {
    let wanted: std::collections::BTreeSet<u64> = numbers.into_iter().collect();
    let mut file = CaptureFile::open(Path::new(&path))
        .map_err(|error| CaptureError::new_err(error.to_string()))?;
    let found = py.detach(|| {
        let mut found = Vec::new();
        let last = wanted.last().copied().unwrap_or_default();
        while file.advance() {
            let (header, bytes) = file.frame();
            if wanted.contains(&header.number) {
                found.push((*header, bytes.to_vec()));
            }
            if header.number >= last {
                break;
            }
        }
        found
    });
    Ok(found
        .into_iter()
        .map(|(header, bytes)| {
            let link = header.link_type.to_string();
            let bytes = PyBytes::new(py, &bytes);
            (header.number, header.ts_ns, header.original_length, link, bytes)
        })
        .collect())
}

/// Writes frames of (time in ns, length on the wire, link type name, bytes) as a pcapng file.
#[pyfunction]
fn write_pcapng(path: String, frames: Vec<(i64, u32, String, Vec<u8>)>) -> PyResult<()> {
    let failed = |error: std::io::Error| PyOSError::new_err(format!("{path}: {error}"));
    let file = File::create(&path).map_err(failed)?;
    let mut writer = PcapngWriter::new(BufWriter::new(file)).map_err(failed)?;
    for (ts_ns, original_length, link, bytes) in frames {
        let link_type = LinkType::by_name(&link)
            .ok_or_else(|| PyValueError::new_err(format!("unknown link type {link:?}")))?;
        writer.frame(ts_ns, original_length, link_type, &bytes).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

/// (segment, frame number, time in ns, length on the wire, link type name, interface, bytes captured).
type RingRow<'py> = (u32, u64, i64, u32, String, String, Bound<'py, PyBytes>);

fn ring_rows<'py>(
    py: Python<'py>,
    folder: &Path,
    found: std::io::Result<Vec<packet_ring::Found>>,
) -> PyResult<Vec<RingRow<'py>>> {
    let found =
        found.map_err(|error| PyOSError::new_err(format!("{}: {error}", folder.display())))?;
    let row = |frame: packet_ring::Found| {
        let link = frame.link_type.to_string();
        let bytes = PyBytes::new(py, &frame.bytes);
        let (segment, number) = (frame.segment, frame.number);
        (segment, number, frame.ts_ns, frame.original_length, link, frame.interface, bytes)
    };
    Ok(found.into_iter().map(row).collect())
}

/// The frames with these numbers of a segment of the packet ring; missing ones are left out.
#[pyfunction]
fn ring_frames(
    py: Python<'_>,
    folder: PathBuf,
    segment: u32,
    numbers: Vec<u64>,
) -> PyResult<Vec<RingRow<'_>>> {
    let found = py.detach(|| packet_ring::frames(&folder, segment, &numbers));
    ring_rows(py, &folder, found)
}

/// A frame of the packet ring and up to `each_side` of the same address pair before and after it.
#[pyfunction]
fn ring_around(
    py: Python<'_>,
    folder: PathBuf,
    segment: u32,
    number: u64,
    each_side: usize,
) -> PyResult<Vec<RingRow<'_>>> {
    let found = py.detach(|| packet_ring::around(&folder, segment, number, each_side));
    ring_rows(py, &folder, found)
}

/// Frames of the packet ring between two times (ns), of these address pairs or of all.
#[pyfunction]
fn ring_slice(
    py: Python<'_>,
    folder: PathBuf,
    start_ns: i64,
    end_ns: i64,
    pairs: Vec<(String, String)>,
    most_bytes: usize,
) -> PyResult<Vec<RingRow<'_>>> {
    let mut names = Vec::new();
    for (a, b) in &pairs {
        let number = |text: &str| {
            let address = Address::by_text(text);
            address.ok_or_else(|| PyValueError::new_err(format!("{text:?} is no address")))
        };
        let ends = (Some((&number(a)?).into()), Some((&number(b)?).into()));
        names.push(crate::keys::pair(&ends));
    }
    let found = py.detach(|| packet_ring::slice(&folder, start_ns, end_ns, &names, most_bytes));
    ring_rows(py, &folder, found)
}

/// Writes frames of (time in ns, length on the wire, link type name, interface, bytes, comment) as a
/// pcapng file.
#[pyfunction]
fn write_slice(
    path: PathBuf,
    frames: Vec<(i64, u32, String, String, Vec<u8>, String)>,
) -> PyResult<()> {
    let failed = |error: std::io::Error| PyOSError::new_err(format!("{}: {error}", path.display()));
    let file = File::create(&path).map_err(failed)?;
    let mut writer = PcapngWriter::new(BufWriter::new(file)).map_err(failed)?;
    for (ts_ns, original_length, link, interface, bytes, comment) in frames {
        let link_type = LinkType::by_name(&link)
            .ok_or_else(|| PyValueError::new_err(format!("unknown link type {link:?}")))?;
        let interface = writer.interface(&interface, link_type).map_err(failed)?;
        writer.frame_of(interface, ts_ns, original_length, &bytes, &comment).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

/// Writes frames of the packet ring to a pcapng file: between two times (ns), of one of `hosts`, between
/// one of `pairs`, of a TCP or UDP port; without one of these, all. `comments` holds (segment, number,
/// comment); `cut` is the comment on the last frame when more were wanted. Gives (frames, bytes, cut).
#[pyfunction]
#[pyo3(signature = (
    folder, path, *, start_ns, end_ns, hosts, pairs, port, most_frames, most_bytes, section, comments,
    cut
))]
#[allow(clippy::too_many_arguments, reason = "named in every call")]
fn write_ring_slice(
    py: Python<'_>,
    folder: PathBuf,
    path: PathBuf,
    start_ns: i64,
    end_ns: i64,
    hosts: Vec<String>,
    pairs: Vec<(String, String)>,
    port: Option<u16>,
    most_frames: u64,
    most_bytes: u64,
    section: String,
    comments: Vec<(u32, u64, String)>,
    cut: String,
) -> PyResult<(u64, u64, bool)> {
    let address = |text: &String| {
        Address::by_text(text)
            .ok_or_else(|| PyValueError::new_err(format!("{text:?} is no address")))
    };
    let hosts = hosts.iter().map(address).collect::<PyResult<_>>()?;
    let ends = |(a, b): &(String, String)| Ok((address(a)?, address(b)?));
    let pairs = pairs.iter().map(ends).collect::<PyResult<_>>()?;
    let wanted = slice::Wanted { start_ns, end_ns, hosts, pairs, port, most_frames, most_bytes };
    let frames = comments.into_iter().map(|(segment, number, text)| ((segment, number), text));
    let words = slice::Words { section, frames: frames.collect(), cut };
    let written = py
        .detach(|| {
            let file = BufWriter::new(File::create(&path)?);
            slice::write(&folder, &wanted, &words, file)
        })
        .map_err(|error| PyOSError::new_err(format!("packet ring: {error}")))?;
    Ok((written.frames, written.bytes, written.cut))
}

/// What is known of a network interface, as JSON (`otic_capture::nic::NicFacts`).
#[pyfunction]
fn interface_facts(name: &str) -> PyResult<String> {
    let facts = NicFacts::read(name)?;
    serde_json::to_string(&facts).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Takes these protocol definitions, (file name, text), instead of those before.
#[pyfunction]
fn define(files: Vec<(String, String)>) -> PyResult<()> {
    otic_protocols::registry::define(&files)
        .map_err(|refused| DefinitionError::new_err(refused.to_string()))
}

/// A line of a trace: (frame, sender, receiver, kind, statement).
type TraceRow = (u64, String, String, &'static str, String);

/// What the dissector of `protocol` says of each frame of a capture, and the frames read.
#[pyfunction]
fn trace(py: Python<'_>, path: String, protocol: &str) -> PyResult<(Vec<TraceRow>, u64)> {
    let mut run = crate::replay::Replay::open(&[path], 1, SpaceMap::default())
        .map_err(|error| CaptureError::new_err(error.to_string()))?;
    run.trace(protocol);
    let lines = py.detach(|| {
        while run.next_batch().is_some() {}
        run.traced()
    });
    let frames = run.captures().iter().map(|capture| capture.frames).sum();
    let row =
        |line: crate::trace::Line| (line.frame.1, line.sender, line.receiver, line.kind, line.text);
    Ok((lines.into_iter().map(row).collect(), frames))
}

/// Rows of the protocol table: (name, title, client role, server role, source).
#[pyfunction]
fn protocols() -> Vec<(&'static str, &'static str, &'static str, &'static str, &'static str)> {
    otic_protocols::registry::protocols()
        .map(|row| (row.name, row.title, row.roles.0, row.roles.1, row.source))
        .collect()
}

/// What carries each protocol, in words: (name, carriers).
#[pyfunction]
fn carriers() -> Vec<(&'static str, Vec<String>)> {
    let words = |row: &otic_protocols::Protocol| {
        row.carriers.iter().map(otic_protocols::Carrier::to_text).collect()
    };
    otic_protocols::registry::protocols().map(|row| (row.name, words(row))).collect()
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("RING_BLOCK_BYTES", BLOCK_BYTES)?;
    module.add_class::<Replay>()?;
    module.add("DefinitionError", module.py().get_type::<DefinitionError>())?;
    module.add("CaptureError", module.py().get_type::<CaptureError>())?;
    module.add("JournalError", module.py().get_type::<JournalError>())?;
    module.add("SCHEMA", SCHEMA)?;
    module.add_class::<Capture>()?;
    module.add_class::<JournalWriter>()?;
    module.add_class::<JournalFollower>()?;
    module.add_function(wrap_pyfunction!(journal_segments, module)?)?;
    module.add_function(wrap_pyfunction!(read_journal, module)?)?;
    module.add_function(wrap_pyfunction!(read_frames, module)?)?;
    module.add_function(wrap_pyfunction!(write_pcapng, module)?)?;
    for function in [
        wrap_pyfunction!(interface_facts, module)?,
        wrap_pyfunction!(ring_frames, module)?,
        wrap_pyfunction!(ring_around, module)?,
        wrap_pyfunction!(ring_slice, module)?,
        wrap_pyfunction!(write_slice, module)?,
        wrap_pyfunction!(write_ring_slice, module)?,
    ] {
        module.add_function(function)?;
    }
    module.add_function(wrap_pyfunction!(define, module)?)?;
    module.add_function(wrap_pyfunction!(trace, module)?)?;
    module.add_function(wrap_pyfunction!(protocols, module)?)?;
    module.add_function(wrap_pyfunction!(carriers, module)?)?;
    Ok(())
}
