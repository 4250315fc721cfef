//! A live interface as frames: an AF_PACKET receive ring (TPACKET_V3) that never transmits.
//!
//! Source: the kernel's `Documentation/networking/packet_mmap.rst`, `linux/if_packet.h`,
//! `packet(7)`.
//!
//! * A frame is given as it was on the wire: the kernel's VLAN tag is put back behind the MAC
//!   addresses. Frames that the network card or the kernel joined (GRO) come whole up to a block's
//!   size; a longer one comes cut, as one longer than the snap length does, and its
//!   `original_length` says so.
//! * A dead interface is a state ([`Ring::link`]), not an error: the ring goes on when it is back.
//! * Nothing is lost without being counted ([`Ring::counters`]).
//!
//! A packet socket can always send: the kernel has no option against it (`shutdown` is refused,
//! filters look at what is received only). No transmit ring is made here and no call sends; that
//! the process cannot do it either is the work of [`crate::sandbox`].

mod system;

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use libc::{tpacket_block_desc, tpacket_hdr_v1, tpacket_hdr_variant1, tpacket3_hdr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::LinkType;
use crate::filter::{FilterInstruction, Program};
use system::{Mapping, attach_filter, bind, get_option, hardware_type, set_option};
pub(crate) use system::{SIOCETHTOOL, ethtool_value, has_ipv4, interface_flags, interface_index};

/// Smallest block, bytes: the largest frame that GRO makes (64 KiB) and the block's own heads.
pub const SMALLEST_BLOCK: usize = 1 << 17;
/// The kernel wants a frame size even where blocks hold frames of any length; it must divide the
/// block and hold the heads.
const FRAME_SLOT: u32 = 2048;
/// Rings live at descriptors from here up, out of reach of files opened later: the sandbox forbids
/// writing to a ring by its number.
const LOWEST_DESCRIPTOR: i32 = 900;
/// A frame that a filter has chosen gets its time at most this much later, nanoseconds.
const SETTLED_NS: i64 = 100_000_000;
/// Where a VLAN tag stands: behind the two MAC addresses.
const TAG_OFFSET: usize = 12;
/// Ethertype of a tag where the kernel names none.
const DOT1Q: u16 = 0x8100;
/// `ARPHRD_RAWIP` of `linux/if_arp.h`: IP without a link layer, as modems have it.
const ARPHRD_RAWIP: u16 = 519;

/// How several rings of one group share an interface's frames.
///
/// No mode rolls over to another ring when one is full, and none reassembles fragments: a
/// conversation stays in one ring in its order, the frames stay as they were on the wire, and what
/// does not fit is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FanoutMode {
    /// By the kernel's flow hash: addresses and ports, the same both ways. Fragments of a flow may
    /// go to another ring than its whole packets.
    Flow,
    /// By the IP address pair, else the MAC pair, the same both ways: fragments and all
    /// connections of two hosts share a ring.
    AddressPair,
}

/// What a ring is opened with.
#[derive(Debug, Clone)]
pub struct RingOptions {
    /// Name of the interface.
    pub interface: String,
    /// Bytes of a block: a power of two, at least [`SMALLEST_BLOCK`].
    pub block_bytes: usize,
    /// Number of blocks, at least 2.
    pub blocks: usize,
    /// Milliseconds after which a block that is not full is handed over.
    pub block_timeout_ms: u32,
    /// Group id and mode, when several rings share the interface's frames. While one more joins a
    /// group, the frames that fall to it are lost until it is open: open all before counting.
    pub fanout: Option<(u16, FanoutMode)>,
    /// Whether frames to other stations are wanted.
    pub promiscuous: bool,
    /// Which frames are wanted; no instruction accepts all.
    pub filter: Vec<FilterInstruction>,
    /// Most bytes of a frame that are wanted.
    pub snap_length: u32,
}

/// One frame from the wire.
#[derive(Debug, Clone, Copy)]
pub struct LiveFrame<'a> {
    /// When the kernel got it, nanoseconds since 1970 UTC.
    pub ts_ns: i64,
    /// Length on the wire, bytes, with the VLAN tag; more than `bytes` when the frame was cut.
    pub original_length: u32,
    /// The frame.
    pub bytes: &'a [u8],
    /// Sent by this machine; only kernels before 4.20 show such frames.
    pub outgoing: bool,
}

/// What became of the frames of a ring since it was opened.
///
/// `received + kernel_dropped` = the frames that the kernel's filter let through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// Put into the ring.
    pub received: u64,
    /// Dropped because the ring was full.
    pub kernel_dropped: u64,
    /// Times that the ring was full.
    pub freezes: u64,
    /// Received, but turned away by a filter that has to run in user space.
    pub filtered: u64,
}

/// State of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Up, with a carrier.
    Up,
    /// Up, but the cable or the other end is missing.
    NoCarrier,
    /// Switched off.
    Down,
    /// There is no such interface, or another one has its name now: see [`Ring::reattach`].
    Gone,
}

/// A filter that was replaced lately: the ring may still hold frames that it chose.
#[derive(Debug)]
struct Replaced {
    program: Program,
    /// Frames later than this were chosen by the filter after it, nanoseconds since 1970 UTC.
    until_ns: i64,
    /// Blocks that may still hold its frames, whatever happens to the clock.
    blocks: usize,
}

/// A receive ring of one interface.
#[derive(Debug)]
pub struct Ring {
    mapping: Mapping,
    socket: OwnedFd,
    interface: String,
    index: i32,
    link_type: LinkType,
    promiscuous: bool,
    fanout: bool,
    /// The block that is handed over next.
    next: usize,
    counters: RingCounters,
    filter: Program,
    /// Filters before the current one whose frames may still be in the ring.
    replaced: Vec<Replaced>,
    snap_length: u32,
    /// A frame with its tag back in place.
    tagged: Vec<u8>,
}

impl Ring {
    /// Opens a ring; frames are received from now on. Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// Options that do not fit, an interface that is missing or of an unknown kind, a missing
    /// right: each with its name.
    pub fn open(options: &RingOptions) -> io::Result<Self> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let name = options.interface.as_str();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        if options.block_bytes < SMALLEST_BLOCK || !options.block_bytes.is_power_of_two() {
            return Err(invalid(format!(
                "{name}: a ring's block must be a power of two of at least {SMALLEST_BLOCK} bytes, \
                 not {}",
                options.block_bytes
            )));
        }
        let (Ok(block_bytes), Ok(blocks)) =
            (u32::try_from(options.block_bytes), u32::try_from(options.blocks))
        else {
            return Err(invalid(format!("{name}: the ring is too large")));
        };
        let slots = (block_bytes / FRAME_SLOT).checked_mul(blocks);
        let (Some(slots), 2..) = (slots, blocks) else {
            return Err(invalid(format!("{name}: a ring of {blocks} blocks cannot be made")));
        };
        let filter =
            Program::new(&options.filter).map_err(|error| invalid(format!("{name}: {error}")))?;

        // Protocol 0: nothing is received before everything is in place.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let low =
            socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).map_err(|error| {
                match error {
                    rustix::io::Errno::PERM => io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        format!("{name}: no right to capture (CAP_NET_RAW is needed)"),
                    ),
                    other => named(other.into()),
                }
            })?;
        let socket = rustix::io::fcntl_dupfd_cloexec(&low, LOWEST_DESCRIPTOR)
            .map_err(|e| named(e.into()))?;
        drop(low);
        let fd = socket.as_fd();
        let index = interface_index(fd, name).map_err(named)?;
        let link_type = link_type(hardware_type(fd, name).map_err(named)?).map_err(named)?;
        let packet = |option, value: u32| set_option(fd, libc::SOL_PACKET, option, &value);
        packet(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V3 as u32).map_err(named)?;
        match packet(libc::PACKET_IGNORE_OUTGOING, 1) {
            // Kernels before 4.20: own frames come, marked as such.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {}
            other => other.map_err(named)?,
        }
        let ring = libc::tpacket_req3 {
            tp_block_size: block_bytes,
            tp_block_nr: blocks,
            tp_frame_size: FRAME_SLOT,
            tp_frame_nr: slots,
            tp_retire_blk_tov: options.block_timeout_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &ring).map_err(named)?;
        let mapping = Mapping::new(fd, options.block_bytes, options.blocks).map_err(named)?;
        if options.fanout.is_some() {
            // Until it has joined its group, the socket would get every frame.
            attach(fd, &[FilterInstruction::returning(0)]).map_err(named)?;
        } else {
            attach(fd, &kernel_program(&filter, options.snap_length)).map_err(named)?;
        }
        bind(fd, index).map_err(named)?;
        if let Some((group, mode)) = options.fanout {
            let kind = match mode {
                FanoutMode::Flow => libc::PACKET_FANOUT_HASH,
                FanoutMode::AddressPair => libc::PACKET_FANOUT_CBPF,
            };
            // The group has a switch of its own for own frames; kernels before 5.12 ignore it.
            let kind = kind | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
            packet(libc::PACKET_FANOUT, u32::from(group) | kind << 16).map_err(named)?;
            if mode == FanoutMode::AddressPair {
                let (level, option) = (libc::SOL_PACKET, libc::PACKET_FANOUT_DATA);
                attach_filter(fd, level, option, &address_pair()).map_err(named)?;
            }
            attach(fd, &kernel_program(&filter, options.snap_length)).map_err(named)?;
        }
        let ring = Self {
            mapping,
            socket,
            interface: options.interface.clone(),
            index,
            link_type,
            promiscuous: options.promiscuous,
            fanout: options.fanout.is_some(),
            next: 0,
            counters: RingCounters::default(),
            filter,
            replaced: Vec::new(),
            snap_length: options.snap_length,
            tagged: Vec::with_capacity(options.block_bytes),
        };
        ring.join().map_err(named)?;
        Ok(ring)
    }

    /// The ring's socket, to wait for it together with others: readable when a block is ready.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Name of the interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Link type of the frames: Ethernet, or IP without a link layer.
    #[must_use]
    pub const fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// Waits until a block is ready, at most this long; whether one is. A negative time waits for
    /// ever. An interface that went down is no error: ask [`Ring::link`].
    ///
    /// # Errors
    /// What the kernel reports of the socket, other than the interface's state.
    pub fn poll(&self, timeout_ms: i32) -> io::Result<bool> {
        if self.mapping.block(self.next).is_some() {
            return Ok(true);
        }
        let timeout = u32::try_from(timeout_ms).ok().map(|ms| Timespec {
            tv_sec: i64::from(ms / 1000),
            tv_nsec: i64::from(ms % 1000) * 1_000_000,
        });
        let mut events = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut events, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if events.iter().any(|event| event.revents().contains(PollFlags::ERR)) {
            // Reading the error clears it; the next call waits again.
            match rustix::net::sockopt::socket_error(&self.socket)? {
                Ok(()) | Err(rustix::io::Errno::NETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.mapping.block(self.next).is_some())
    }

    /// Gives each frame of the next ready block to `sink`, then the block back to the kernel;
    /// false if no block was ready. Allocates nothing.
    ///
    /// # Errors
    /// A block that does not fit its own description; its rest is skipped.
    pub fn next_block(&mut self, sink: &mut dyn FnMut(LiveFrame<'_>)) -> io::Result<bool> {
        let Some(block) = self.mapping.block(self.next) else { return Ok(false) };
        // Only a filter that runs here, now or until lately, leaves anything to decide.
        let kernel_decided =
            !self.filter.sees_tags() && self.replaced.iter().all(|old| !old.program.sees_tags());
        let mut reader = Frames::new(block);
        for frame in &mut reader {
            let (bytes, original_length) = match frame.tag {
                Some(tag) => match frame.bytes.split_at_checked(TAG_OFFSET) {
                    Some((addresses, rest)) => {
                        self.tagged.clear();
                        self.tagged.extend_from_slice(addresses);
                        self.tagged.extend_from_slice(&tag);
                        self.tagged.extend_from_slice(rest);
                        (self.tagged.as_slice(), frame.original_length.saturating_add(4))
                    }
                    None => (frame.bytes, frame.original_length),
                },
                None => (frame.bytes, frame.original_length),
            };
            let accepts =
                |program: &Program| program.accepts(self.link_type, bytes, original_length);
            if !kernel_decided
                && !accepts(&self.filter)
                && !self
                    .replaced
                    .iter()
                    .any(|old| frame.ts_ns <= old.until_ns && accepts(&old.program))
            {
                self.counters.filtered += 1;
                continue;
            }
            sink(LiveFrame {
                ts_ns: frame.ts_ns,
                original_length,
                bytes: bytes.get(..self.snap_length as usize).unwrap_or(bytes),
                outgoing: frame.outgoing,
            });
        }
        let whole = reader.left == 0;
        self.mapping.give_back(self.next);
        self.next = (self.next + 1) % self.mapping.blocks();
        self.replaced.retain_mut(|old| {
            old.blocks -= 1;
            old.blocks > 0
        });
        match whole {
            true => Ok(true),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: a block of the ring does not fit its description", self.interface),
            )),
        }
    }

    /// What became of the frames since the ring was opened. Ask at least every few minutes: the
    /// kernel counts in 32 bits between two calls.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn counters(&mut self) -> io::Result<RingCounters> {
        let zero = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let (level, option) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
        let since = get_option(self.fd(), level, option, zero)?;
        // The kernel counts dropped frames among the packets, and starts again at each reading.
        self.counters.received += u64::from(since.tp_packets.saturating_sub(since.tp_drops));
        self.counters.kernel_dropped += u64::from(since.tp_drops);
        self.counters.freezes += u64::from(since.tp_freeze_q_cnt);
        Ok(self.counters)
    }

    /// Changes the filter while frames come: in one step, without losing a frame that either
    /// filter wants. Frames that are in the ring already were chosen by the filter before.
    ///
    /// # Errors
    /// A program that is not valid; the filter before stays.
    pub fn set_filter(&mut self, filter: &[FilterInstruction]) -> io::Result<()> {
        let filter = Program::new(filter)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        attach(self.fd(), &kernel_program(&filter, self.snap_length))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.replaced.push(Replaced {
            program: std::mem::replace(&mut self.filter, filter),
            until_ns: now.as_nanos() as i64 + SETTLED_NS,
            // A processor in the middle of a frame may put it into one block more.
            blocks: self.mapping.blocks() + 1,
        });
        Ok(())
    }

    /// State of the interface.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn link(&self) -> io::Result<Link> {
        let told = interface_index(self.fd(), &self.interface)
            .and_then(|index| Ok((index, interface_flags(self.fd(), &self.interface)?)));
        match told {
            Ok((index, _)) if index != self.index => Ok(Link::Gone),
            Ok((_, flags)) if flags & libc::IFF_UP == 0 => Ok(Link::Down),
            Ok((_, flags)) if flags & libc::IFF_RUNNING == 0 => Ok(Link::NoCarrier),
            Ok(_) => Ok(Link::Up),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(Link::Gone),
            Err(error) => Err(error),
        }
    }

    /// Takes an interface that was removed and is there again under its name; false while it is
    /// not there. Needs no right, so it works in the sandbox.
    ///
    /// # Errors
    /// A ring of a fan-out group cannot change its interface and has to be opened anew; the new
    /// interface may be of another kind.
    pub fn reattach(&mut self) -> io::Result<bool> {
        let index = match interface_index(self.fd(), &self.interface) {
            Ok(index) if index == self.index => return Ok(true),
            Ok(index) => index,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(false),
            Err(error) => return Err(error),
        };
        let refused = |why: &str| {
            io::Error::new(io::ErrorKind::Unsupported, format!("{}: {why}", self.interface))
        };
        if self.fanout {
            return Err(refused("a ring of a fan-out group must be opened again"));
        }
        if link_type(hardware_type(self.fd(), &self.interface)?)? != self.link_type {
            return Err(refused("the interface is of another kind than before"));
        }
        bind(self.fd(), index)?;
        self.index = index;
        self.join()?;
        Ok(true)
    }

    /// Asks for frames to other stations, where wanted; ends by itself with the socket.
    fn join(&self) -> io::Result<()> {
        if !self.promiscuous {
            return Ok(());
        }
        let membership = libc::packet_mreq {
            mr_ifindex: self.index,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(self.fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
    }
}

fn attach(socket: BorrowedFd<'_>, program: &[FilterInstruction]) -> io::Result<()> {
    attach_filter(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// The part of a filter that the kernel runs: all of it, or nothing when it must see tags; with
/// the snap length in its returns.
fn kernel_program(filter: &Program, snap_length: u32) -> Vec<FilterInstruction> {
    let all = FilterInstruction::returning(snap_length);
    if filter.sees_tags() {
        // The filter may look behind the cut, which is made afterwards.
        return vec![FilterInstruction::returning(u32::MAX)];
    }
    if filter.instructions().is_empty() {
        return vec![all];
    }
    let cut = |step: &FilterInstruction| FilterInstruction {
        k: if step.code == all.code { step.k.min(snap_length) } else { step.k },
        ..*step
    };
    filter.instructions().iter().map(cut).collect()
}

/// A number of the address pair that is the same both ways, for the kernel to choose a ring by.
fn address_pair() -> Vec<FilterInstruction> {
    // Extensions of the kernel's loads (`linux/filter.h`): the ethertype behind the tag that was
    // taken away, offsets from the network header, offsets from the link header.
    const PROTOCOL: u32 = 0xffff_f000;
    const NETWORK: u32 = 0xfff0_0000;
    const LINK: u32 = 0xffe0_0000;
    const LOAD: u16 = 0x20;
    const XOR_X: u16 = 0xac;
    const TAX: u16 = 0x07;
    let step = FilterInstruction::new;
    let equal = |k, jf| FilterInstruction { code: 0x15, jt: 0, jf, k };
    // A = A xor the word at this place, by way of X.
    let with = |k| [step(TAX, 0), step(LOAD, k), step(XOR_X, 0)];
    // Folds all bits into the low ones, which alone choose: A ^= A >> 16, A ^= A >> 8.
    let fold = |by| [step(TAX, 0), step(0x74, by), step(XOR_X, 0)];
    let ending = || {
        let mut end = Vec::new();
        end.extend(fold(16));
        end.extend(fold(8));
        end.push(step(0x16, 0));
        end
    };

    let mut ipv4 = vec![step(LOAD, NETWORK + 12)];
    ipv4.extend(with(NETWORK + 16));
    ipv4.extend(ending());
    let mut ipv6 = vec![step(LOAD, NETWORK + 8)];
    for word in 1..8 {
        ipv6.extend(with(NETWORK + 8 + 4 * word));
    }
    ipv6.extend(ending());
    let mut program = vec![step(LOAD, PROTOCOL), equal(0x0800, ipv4.len() as u8)];
    program.extend(ipv4);
    program.push(equal(0x86dd, ipv6.len() as u8));
    program.extend(ipv6);
    // The last four bytes of each MAC address.
    program.push(step(LOAD, LINK + 2));
    program.extend(with(LINK + 8));
    program.extend(ending());
    program
}

fn link_type(hardware: u16) -> io::Result<LinkType> {
    match hardware {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(LinkType::ETHERNET),
        libc::ARPHRD_NONE | ARPHRD_RAWIP => Ok(LinkType::RAW),
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("interfaces of hardware type {other} (linux/if_arp.h) cannot be captured"),
        )),
    }
}

/// A frame as it stands in a block.
struct Raw<'a> {
    ts_ns: i64,
    original_length: u32,
    bytes: &'a [u8],
    /// The VLAN tag that the kernel took away: ethertype and tag control, in wire order.
    tag: Option<[u8; 4]>,
    outgoing: bool,
}

/// The frames of one block.
struct Frames<'a> {
    block: &'a [u8],
    at: usize,
    /// Frames not yet read; stays above 0 where the block does not fit its description.
    left: u32,
}

const BLOCK: usize = offset_of!(tpacket_block_desc, hdr);

impl<'a> Frames<'a> {
    fn new(block: &'a [u8]) -> Self {
        let count = u32_at(block, BLOCK + offset_of!(tpacket_hdr_v1, num_pkts));
        let first = u32_at(block, BLOCK + offset_of!(tpacket_hdr_v1, offset_to_first_pkt));
        Self { block, at: first.unwrap_or(0) as usize, left: count.unwrap_or(0) }
    }

    fn read(&mut self) -> Option<Raw<'a>> {
        let head = self.block.get(self.at..)?;
        let number = |offset| u32_at(head, offset);
        let seconds = number(offset_of!(tpacket3_hdr, tp_sec))?;
        let nanoseconds = number(offset_of!(tpacket3_hdr, tp_nsec))?;
        let status = number(offset_of!(tpacket3_hdr, tp_status))?;
        let variant = offset_of!(tpacket3_hdr, hv1);
        let start = usize::from(u16_at(head, offset_of!(tpacket3_hdr, tp_mac))?);
        let length = number(offset_of!(tpacket3_hdr, tp_snaplen))? as usize;
        let tag = if status & libc::TP_STATUS_VLAN_VALID == 0 {
            None
        } else {
            let control = number(variant + offset_of!(tpacket_hdr_variant1, tp_vlan_tci))? as u16;
            let ethertype = match status & libc::TP_STATUS_VLAN_TPID_VALID {
                0 => DOT1Q,
                _ => u16_at(head, variant + offset_of!(tpacket_hdr_variant1, tp_vlan_tpid))?,
            };
            let ([a, b], [c, d]) = (ethertype.to_be_bytes(), control.to_be_bytes());
            Some([a, b, c, d])
        };
        // The sender's address follows the head.
        let address = size_of::<tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);
        let kind = *head.get(address + offset_of!(libc::sockaddr_ll, sll_pkttype))?;
        let frame = Raw {
            ts_ns: i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds),
            original_length: number(offset_of!(tpacket3_hdr, tp_len))?,
            bytes: head.get(start..start.checked_add(length)?)?,
            tag,
            outgoing: kind == libc::PACKET_OUTGOING,
        };
        let step = number(offset_of!(tpacket3_hdr, tp_next_offset))? as usize;
        self.left -= 1;
        // The last frame has no successor.
        if self.left > 0 {
            self.at = self.at.checked_add(step).filter(|_| step > 0)?;
        }
        Some(frame)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        if self.left == 0 { None } else { self.read() }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|number| u32::from_ne_bytes(*number))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|number| u16::from_ne_bytes(*number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ethertype and tag control, and the bytes of a frame.
    type Written<'a> = (Option<(u16, u16)>, &'a [u8]);

    /// A block with frames as the kernel writes them.
    fn block(frames: &[Written<'_>]) -> Vec<u8> {
        let mut block = vec![0; 4096];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(BLOCK + offset_of!(tpacket_hdr_v1, num_pkts), &(frames.len() as u32).to_ne_bytes());
        put(BLOCK + offset_of!(tpacket_hdr_v1, offset_to_first_pkt), &48_u32.to_ne_bytes());
        let mut at = 48;
        for (tag, bytes) in frames {
            let variant = at + offset_of!(tpacket3_hdr, hv1);
            let length = bytes.len() as u32;
            put(at + offset_of!(tpacket3_hdr, tp_sec), &5_u32.to_ne_bytes());
            put(at + offset_of!(tpacket3_hdr, tp_nsec), &7_u32.to_ne_bytes());
            put(at + offset_of!(tpacket3_hdr, tp_snaplen), &length.to_ne_bytes());
            put(at + offset_of!(tpacket3_hdr, tp_len), &(length + 1).to_ne_bytes());
            put(at + offset_of!(tpacket3_hdr, tp_mac), &82_u16.to_ne_bytes());
            put(at + offset_of!(tpacket3_hdr, tp_next_offset), &256_u32.to_ne_bytes());
            if let Some((ethertype, control)) = tag {
                let mut status = libc::TP_STATUS_USER | libc::TP_STATUS_VLAN_VALID;
                if *ethertype != 0 {
                    status |= libc::TP_STATUS_VLAN_TPID_VALID;
                }
                put(at + offset_of!(tpacket3_hdr, tp_status), &status.to_ne_bytes());
                let control = u32::from(*control).to_ne_bytes();
                put(variant + offset_of!(tpacket_hdr_variant1, tp_vlan_tci), &control);
                let ethertype = ethertype.to_ne_bytes();
                put(variant + offset_of!(tpacket_hdr_variant1, tp_vlan_tpid), &ethertype);
            }
            put(at + 48 + offset_of!(libc::sockaddr_ll, sll_pkttype), &[libc::PACKET_OUTGOING]);
            put(at + 82, bytes);
            at += 256;
        }
        block
    }

    #[test]
    fn a_block_is_read_to_its_last_frame() {
        let block = block(&[
            (None, b"one"),
            (Some((0x88a8, 0x2007)), b"two"),
            // Kernels that name no ethertype mean 802.1Q.
            (Some((0, 5)), b"three"),
        ]);
        let mut frames = Frames::new(&block);
        let seen: Vec<_> = (&mut frames).map(|frame| (frame.tag, frame.bytes)).collect();
        assert_eq!(
            vec![
                (None, b"one".as_slice()),
                (Some([0x88, 0xa8, 0x20, 7]), b"two"),
                (Some([0x81, 0, 0, 5]), b"three"),
            ],
            seen
        );
        assert_eq!(0, frames.left);
        let first = Frames::new(&block).next().unwrap();
        assert_eq!((5_000_000_007, 4, true), (first.ts_ns, first.original_length, first.outgoing));
    }

    #[test]
    fn a_block_that_claims_more_than_it_has_says_so() {
        let mut block = block(&[(None, b"one"), (None, b"two")]);
        block[48..52].copy_from_slice(&8000_u32.to_ne_bytes());
        let mut frames = Frames::new(&block);
        assert_eq!(1, (&mut frames).count());
        assert_eq!(1, frames.left);
    }

    #[test]
    fn only_known_kinds_of_interfaces_are_captured() {
        assert_eq!(LinkType::ETHERNET, link_type(libc::ARPHRD_ETHER).unwrap());
        assert_eq!(LinkType::ETHERNET, link_type(libc::ARPHRD_LOOPBACK).unwrap());
        assert_eq!(LinkType::RAW, link_type(libc::ARPHRD_NONE).unwrap());
        assert_eq!(LinkType::RAW, link_type(ARPHRD_RAWIP).unwrap());
        let error = link_type(libc::ARPHRD_IEEE80211).unwrap_err();
        assert!(error.to_string().contains("hardware type 801"), "{error}");
    }

    #[test]
    fn the_kernel_cuts_frames_where_it_filters() {
        let refuse = FilterInstruction::returning(0);
        let accept = FilterInstruction::returning(262_144);
        let load = FilterInstruction::new(0x28, 12);
        let asks = FilterInstruction { code: 0x15, jt: 0, jf: 1, k: 0x8100 };
        let given =
            |program: &[FilterInstruction]| kernel_program(&Program::new(program).unwrap(), 96);
        let cut = FilterInstruction::returning(96);
        assert_eq!(vec![cut], given(&[]));
        assert_eq!(vec![load, cut], given(&[load, accept]));
        assert_eq!(vec![refuse], given(&[refuse]));
        let whole = FilterInstruction::returning(u32::MAX);
        assert_eq!(vec![whole], given(&[load, asks, accept, refuse]));
    }

    proptest! {
        #[test]
        fn any_block_ends(bytes in prop::collection::vec(any::<u8>(), 0..600), small in any::<bool>()) {
            let mut bytes = bytes;
            if small && bytes.len() > 64 {
                // Offsets that stay inside reach further.
                for word in bytes.chunks_exact_mut(4) {
                    word[1..].fill(0);
                }
            }
            let mut frames = Frames::new(&bytes);
            let count = (&mut frames).count();
            prop_assert!(count <= bytes.len());
        }
    }
}
