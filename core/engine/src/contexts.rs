//! What long-lived connections agreed at their start, kept over a restart of capture and over long
//! silence: sessions of industrial systems live for months, and who joins in the middle does not know
//! which interface a context number stands for.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Name of the file in the journal's folder.
pub const FILE: &str = "contexts";
/// How old what was kept may be, ns: ports are used again.
const MOST_AGE_NS: i64 = 24 * 3_600_000_000_000;
/// Largest file read, bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Both ends of a TCP connection, address and port, the smaller one first.
pub type Ends = [(IpAddr, u16); 2];

/// What one connection agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Who speaks.
    pub ends: Ends,
    /// Address space.
    pub space: CompactString,
    /// Protocol of the session.
    pub protocol: CompactString,
    /// The second end is the client.
    pub client_is_second: bool,
    /// When a frame of it was last seen, ns.
    pub last_ns: i64,
    /// What [`otic_protocols::Session::context`] gave.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Keeps them in this folder; the file is replaced whole.
///
/// # Errors
/// The folder cannot be written.
pub fn save(folder: &Path, contexts: &[Context]) -> Result<(), String> {
    let bytes = rmp_serde::to_vec(contexts).map_err(|error| error.to_string())?;
    let new = folder.join(format!("{FILE}.new"));
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, folder.join(FILE)))
        .map_err(|error| format!("{}: {error}", new.display()))
}

/// What was kept in this folder and is not too old; nothing where there is no such file, or one that
/// cannot be read.
#[must_use]
pub fn load(folder: &Path, now_ns: i64) -> Vec<Context> {
    let path = folder.join(FILE);
    if !fs::metadata(&path).is_ok_and(|file| file.len() <= MOST_BYTES) {
        return Vec::new();
    }
    let bytes = fs::read(path).unwrap_or_default();
    let mut contexts: Vec<Context> = rmp_serde::from_slice(&bytes).unwrap_or_default();
    contexts.retain(|one| (0..=MOST_AGE_NS).contains(&now_ns.saturating_sub(one.last_ns)));
    contexts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_come_back_until_they_are_too_old_or_damaged() {
        let folder = std::env::temp_dir().join(format!("otic-contexts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let one = Context {
            ends: [("10.0.0.1".parse().unwrap(), 40_000), ("10.0.0.2".parse().unwrap(), 135)],
            space: "default".into(),
            protocol: "dcerpc".into(),
            client_is_second: false,
            last_ns: 1_000,
            bytes: vec![1, 2, 3],
        };

        assert!(load(&folder, 2_000).is_empty());
        save(&folder, std::slice::from_ref(&one)).unwrap();
        assert_eq!(vec![one.clone()], load(&folder, 2_000));
        assert!(load(&folder, MOST_AGE_NS + 1_001).is_empty());
        assert!(load(&folder, 999).is_empty());
        fs::write(folder.join(FILE), b"\x91\x96damaged").unwrap();
        assert!(load(&folder, 2_000).is_empty());
        assert!(save(&folder.join("none"), &[one]).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
