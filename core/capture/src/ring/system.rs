//! The kernel's packet sockets as safe calls: the only place of the core with `unsafe` code.
//!
//! Source: `linux/if_packet.h`, `linux/sockios.h`, `netdevice(7)`, `packet(7)`.

#![allow(unsafe_code, reason = "these calls and the mapped memory have no safe form")]

use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::filter::FilterInstruction;

/// `SIOCETHTOOL` of `linux/sockios.h`.
pub(crate) const SIOCETHTOOL: u32 = 0x8946;

/// Types that are plain numbers: any bytes are a value, and there is no padding to leak.
///
/// # Safety
/// Only for types of which that is true.
pub(crate) unsafe trait Plain: Copy {}
// SAFETY: integers and kernel structures made of integers, without padding.
unsafe impl Plain for libc::c_int {}
// SAFETY: as above.
unsafe impl Plain for libc::c_uint {}
// SAFETY: as above.
unsafe impl Plain for libc::tpacket_req3 {}
// SAFETY: as above.
unsafe impl Plain for libc::tpacket_stats_v3 {}
// SAFETY: as above.
unsafe impl Plain for libc::packet_mreq {}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets a socket option.
pub(crate) fn set_option<T: Plain>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one living value of plain numbers.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    })
}

/// Reads a socket option; what the kernel does not fill keeps its value.
pub(crate) fn get_option<T: Plain>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    mut value: T,
) -> io::Result<T> {
    let mut length = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into one living value of plain numbers.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_mut(&mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

/// Gives the socket a proven filter program, in one step in place of the one before.
pub(crate) fn attach_filter(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    program: &[FilterInstruction],
) -> io::Result<()> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|&FilterInstruction { code, jt, jf, k }| libc::sock_filter { code, jt, jf, k })
        .collect();
    let length = u16::try_from(program.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the filter is too long"))?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the structure points to `length` living instructions, which the kernel copies.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&program).cast(),
            mem::size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })
}

/// Binds a packet socket to one interface, for frames of all protocols.
pub(crate) fn bind(socket: BorrowedFd<'_>, interface_index: i32) -> io::Result<()> {
    // SAFETY: all bytes zero is a value of this structure of integers.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface_index;
    // SAFETY: pointer and length are those of one living `sockaddr_ll`.
    checked(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            ptr::from_ref(&address).cast(),
            mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    })
}

/// A request about an interface of this name.
fn request(interface: &str) -> io::Result<libc::ifreq> {
    let name = CString::new(interface)?;
    let name = name.as_bytes_with_nul();
    // SAFETY: all bytes zero is a value of this structure.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() > request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    Ok(request)
}

/// Asks the kernel about an interface by a request that answers in place.
fn asked(socket: BorrowedFd<'_>, interface: &str, what: u32) -> io::Result<libc::ifreq> {
    let mut request = request(interface)?;
    // SAFETY: the requests of this module read and write one `ifreq` and nothing behind it.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), what as _, &raw mut request) })?;
    Ok(request)
}

/// The interface's number.
pub(crate) fn interface_index(socket: BorrowedFd<'_>, interface: &str) -> io::Result<i32> {
    let answer = asked(socket, interface, libc::SIOCGIFINDEX as u32)?;
    // SAFETY: this request answers with an index.
    Ok(unsafe { answer.ifr_ifru.ifru_ifindex })
}

/// The interface's flags (`IFF_UP` and its like).
pub(crate) fn interface_flags(socket: BorrowedFd<'_>, interface: &str) -> io::Result<i32> {
    let answer = asked(socket, interface, libc::SIOCGIFFLAGS as u32)?;
    // SAFETY: this request answers with flags.
    Ok(i32::from(unsafe { answer.ifr_ifru.ifru_flags }))
}

/// The interface's kind of hardware (`ARPHRD_ETHER` and its like).
pub(crate) fn hardware_type(socket: BorrowedFd<'_>, interface: &str) -> io::Result<u16> {
    let answer = asked(socket, interface, libc::SIOCGIFHWADDR as u32)?;
    // SAFETY: this request answers with an address, whose family is the kind of hardware.
    Ok(unsafe { answer.ifr_ifru.ifru_hwaddr.sa_family })
}

/// Whether the interface has an IPv4 address.
pub(crate) fn has_ipv4(socket: BorrowedFd<'_>, interface: &str) -> io::Result<bool> {
    match asked(socket, interface, libc::SIOCGIFADDR as u32) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Runs an ethtool command that answers with one number (`struct ethtool_value`).
pub(crate) fn ethtool_value(
    socket: BorrowedFd<'_>,
    interface: &str,
    command: u32,
) -> io::Result<u32> {
    let mut request = request(interface)?;
    let mut value = [command, 0];
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: the commands of `nic.rs` read and write two numbers behind the pointer, which lives
    // until the call returns.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) })?;
    Ok(value[1])
}

/// The ring's blocks, shared with the kernel.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    block_bytes: usize,
    blocks: usize,
}

// SAFETY: the memory belongs to this value alone on our side, whichever thread holds it; what the
// kernel writes is synchronised by the blocks' status words.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the ring that `PACKET_RX_RING` made.
    pub(crate) fn new(
        socket: BorrowedFd<'_>,
        block_bytes: usize,
        blocks: usize,
    ) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                block_bytes * blocks,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(start.cast()) {
            Some(start) => Ok(Self { start, block_bytes, blocks }),
            None => Err(io::Error::other("the ring was mapped at address 0")),
        }
    }

    /// Blocks of the ring.
    pub(crate) const fn blocks(&self) -> usize {
        self.blocks
    }

    /// Where a block starts; a number behind the last one wraps around.
    fn block_start(&self, block: usize) -> NonNull<u8> {
        // SAFETY: the offset is inside the mapping, which has `blocks` blocks of `block_bytes`.
        unsafe { self.start.add(block % self.blocks * self.block_bytes) }
    }

    fn status(&self, block: usize) -> &AtomicU32 {
        let offset = mem::offset_of!(libc::tpacket_block_desc, hdr)
            + mem::offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: blocks are aligned to pages and longer than their descriptor; the status word
        // is only ever accessed through this atomic on our side.
        unsafe { AtomicU32::from_ptr(self.block_start(block).add(offset).cast().as_ptr()) }
    }

    /// The bytes of a block that the kernel has handed over, none while it is the kernel's.
    pub(crate) fn block(&self, block: usize) -> Option<&[u8]> {
        if self.status(block).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the block is inside the mapping; the kernel does not touch one that it handed
        // over until `give_back`, which needs the borrow of this slice to have ended.
        Some(unsafe {
            std::slice::from_raw_parts(self.block_start(block).as_ptr(), self.block_bytes)
        })
    }

    /// Gives a block back to the kernel, which fills it again.
    pub(crate) fn give_back(&mut self, block: usize) {
        self.status(block).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; no slice of it outlives this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.block_bytes * self.blocks) };
    }
}
