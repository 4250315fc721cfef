//! The Python module `otic._core`: the only file that knows Python.
#![allow(unsafe_code, reason = "pyo3's macros expand to the unsafe calls of Python's C interface")]

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Mutex;

use otic_capture::write::PcapngWriter;
use otic_capture::{CaptureFile, LinkType};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::facts::SCHEMA;
use crate::spaces::SpaceMap;

create_exception!(_core, CaptureError, PyException, "A file that is no readable capture.");

/// A run over capture files: an iterator of MessagePack batches (`otic.facts.Batch`).
///
/// `spaces` holds (kind, match, space name) rules, kind `vlan`, `interface`, `tunnel` or `subnet`;
/// the first that fits a frame wins.
#[pyclass]
struct Replay {
    run: Mutex<crate::replay::Replay>,
}

#[pymethods]
impl Replay {
    #[new]
    #[pyo3(signature = (paths, *, threads = 1, spaces = Vec::new()))]
    fn new(
        paths: Vec<String>,
        threads: usize,
        spaces: Vec<(String, String, String)>,
    ) -> PyResult<Self> {
        let spaces = SpaceMap::new(&spaces).map_err(PyValueError::new_err)?;
        let run = crate::replay::Replay::open(&paths, threads, spaces)
            .map_err(|error| CaptureError::new_err(error.to_string()))?;
        Ok(Self { run: Mutex::new(run) })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let run = self.run.get_mut().map_err(|_| poisoned())?;
        let batch = py.detach(|| run.next_batch().map(|batch| rmp_serde::to_vec(&batch)));
        match batch {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(PyBytes::new(py, &bytes))),
            Some(Err(error)) => Err(PyValueError::new_err(error.to_string())),
        }
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
                found.push((header, bytes.to_vec()));
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

/// Rows of the protocol table: (name, title, client role, server role, source).
#[pyfunction]
fn protocols() -> Vec<(&'static str, &'static str, &'static str, &'static str, &'static str)> {
    otic_protocols::registry::PROTOCOLS
        .iter()
        .map(|row| (row.name, row.title, row.roles.0, row.roles.1, row.source))
        .collect()
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Replay>()?;
    module.add("CaptureError", module.py().get_type::<CaptureError>())?;
    module.add("SCHEMA", SCHEMA)?;
    module.add_function(wrap_pyfunction!(read_frames, module)?)?;
    module.add_function(wrap_pyfunction!(write_pcapng, module)?)?;
    module.add_function(wrap_pyfunction!(protocols, module)?)?;
    Ok(())
}
