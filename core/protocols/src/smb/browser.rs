//! The NetBIOS side of SMB: datagrams that carry mailslots, announcements of the browser in them,
//! the request that opens a session on port 139, and frames without IP (NetBEUI, IPX).
//!
//! Sources: RFC 1002 §4.3.2 (session request), §4.4.1 and §4.4.2 (datagram header), RFC 1001 §14.1
//! (encoded names), [MS-BRWS] §2.2.1 to §2.2.3 (HostAnnouncement, DomainAnnouncement,
//! LocalMasterAnnouncement); IBM SC30-3587 (Local Area Network Technical Reference) chapter 5 (NetBIOS
//! frames: DATAGRAM, DATA ONLY LAST).

use compact_str::format_compact;

use super::{FRAME, claim};
use crate::fields::{array_at, part_at, u8_at};
use crate::out::{Decode, Out};
use crate::session::Input;
use crate::text;

/// Letters of an encoded name, and what else stands around it: its length and the empty scope.
const LETTERS: usize = 32;
const ENCODED: usize = LETTERS + 2;

/// A datagram to one or many.
pub(super) struct Datagram<'a> {
    /// The SMB message it carries; empty where it carries none.
    pub message: &'a [u8],
}

/// Reads the datagram header: type 0x10 to 0x12, flags, id, sender's address and port, length,
/// offset, both names. Errors and queries (0x13 to 0x16) have no names of this kind.
pub(super) fn datagram(bytes: &[u8]) -> Option<Datagram<'_>> {
    let &[0x10..=0x12, flags, ..] = bytes else { return None };
    let is_name = |at: usize| {
        u8_at(bytes, at) == Some(32)
            && part_at(bytes, at + 1, LETTERS).iter().all(|letter| (b'A'..=b'P').contains(letter))
    };
    if flags & 0xf0 != 0 || !is_name(14) || !is_name(14 + ENCODED) {
        return None;
    }
    let data = bytes.get(14 + 2 * ENCODED..)?;
    let message = if data.starts_with(b"\xffSMB") { data } else { &[] };
    Some(Datagram { message })
}

/// Frame commands that carry a whole message.
const DATAGRAM: u8 = 0x08;
pub(super) const DATA_ONLY_LAST: u8 = 0x16;

/// Reads a NetBIOS frame (LLC SAP 0xf0): length of its header, delimiter, command; behind the header
/// an SMB message. Other frames look for names and keep sessions.
pub(super) fn netbeui(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let &[length, 0, 0xff, 0xef, command @ (DATAGRAM | DATA_ONLY_LAST), ..] = bytes else {
        return None;
    };
    let message = bytes.get(usize::from(length)..)?;
    (matches!(length, 14 | 44) && message.starts_with(b"\xffSMB")).then_some((command, message))
}

/// Header of an IPX packet: checksum, length, hops, type, network, node and socket of both ends.
const IPX: usize = 30;
const IPX_DESTINATION_SOCKET: usize = 16;
/// Name Management Protocol over IPX.
const NMPI: [u8; 2] = [0x05, 0x53];
/// The networks that a packet of NMPI has passed.
const PASSED: usize = 32;
/// Operation, type of name, number, both names.
const NMPI_HEADER: usize = 36;
const MAILSLOT_SEND: u8 = 0xfc;

/// Reads a mailslot message over IPX (observed in `Misc_NetBIOS_Traffic`, frame 2, and
/// `LANtastic1_00028`, frame 103); its other operations look for names.
pub(super) fn ipx(bytes: &[u8]) -> Option<&[u8]> {
    if array_at(bytes, IPX_DESTINATION_SOCKET) != Some(NMPI)
        || u8_at(bytes, IPX + PASSED) != Some(MAILSLOT_SEND)
    {
        return None;
    }
    let message = bytes.get(IPX + PASSED + NMPI_HEADER..)?;
    message.starts_with(b"\xffSMB").then_some(message)
}

/// The calling name of a session request is the client's own: what it called comes first.
pub(super) fn session_request(input: &Input<'_>, body: &[u8], out: &mut Out) {
    const _: () = assert!(FRAME == 4, "the trailer of four bytes is not part of the body");
    let letters = part_at(body, ENCODED + 1, LETTERS);
    if letters.len() < LETTERS || !letters.iter().all(|letter| (b'A'..=b'P').contains(letter)) {
        return;
    }
    let name: Vec<u8> = letters
        .chunks_exact(2)
        .take(15)
        .filter_map(|pair| {
            let [high, low] = *pair.as_array()?;
            Some((high - b'A') << 4 | (low - b'A'))
        })
        .collect();
    let name = text::trim(&name);
    claim(input, "session-request", "name", text::utf8(name), letters, Decode::NbnsName, out);
}

/// An announcement: the machine's name, the version of its system, its comment.
pub(super) fn announcement(input: &Input<'_>, data: &[u8], out: &mut Out) {
    let message = match data.first() {
        Some(1) => "host-announcement",
        Some(12) => "domain-announcement",
        Some(15) => "local-master-announcement",
        _ => return,
    };
    // command, update count, periodicity (4), name (16), major, minor, server type (4), browser
    // version and signature (4), comment
    let name = text::trim(part_at(data, 6, 16));
    let comment = text::trim(data.get(32..).unwrap_or_default());
    if message == "domain-announcement" {
        // The domain's master speaks; the comment is its own name (§2.2.3).
        claim(input, message, "domain", text::utf8(name), name, Decode::Utf8, out);
        claim(input, message, "name", text::utf8(comment), comment, Decode::Utf8, out);
        return;
    }
    claim(input, message, "name", text::utf8(name), name, Decode::Utf8, out);
    let version = part_at(data, 22, 2);
    if let [major, minor] = *version {
        let value = format_compact!("{major}.{minor}");
        claim(input, message, "browser_os_version", value, version, Decode::Dotted, out);
    }
    claim(input, message, "description", text::utf8(comment), comment, Decode::Utf8, out);
}
