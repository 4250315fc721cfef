//! Gives up every right that capture does not need, for ever, and proves it.
//!
//! Source: `capabilities(7)`, `landlock(7)`, `seccomp(2)`, `packet(7)`, the kernel's
//! `Documentation/userspace-api/landlock.rst` and `seccomp_filter.rst`.
//!
//! Called once the rings are open, while the process has one thread; threads made later inherit
//! everything. Afterwards the process
//!
//! * has no capability, no way to get one, and the unprivileged user it was given;
//! * makes, connects or sends on no socket, and writes to its rings by no call: the kernel cannot
//!   make a packet socket receive-only, so the calls are taken away instead;
//! * writes files beneath the given folders only, and starts no program.
//!
//! The system calls are a list of what is allowed, so that a call nobody thought of, or that a
//! later kernel adds, is refused. A refused call fails with EPERM instead of ending the process:
//! it does nothing either way, and an attacker who can provoke one must not get a switch that
//! turns the monitor off.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use libc::c_long;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use serde::Serialize;

use crate::ring::SIOCETHTOOL;

/// The newest Landlock version whose rights are asked for; older kernels enforce what they know.
const LANDLOCK: ABI = ABI::V6;

/// What stays allowed.
#[derive(Debug, Clone, Default)]
pub struct SandboxOptions<'a> {
    /// User and group id to become; only root can. None stays who it is.
    pub user: Option<(u32, u32)>,
    /// Existing folders beneath which files may be written. The user above needs the right to.
    pub write_folders: Vec<PathBuf>,
    /// The rings' sockets ([`crate::ring::Ring::fd`]), to which nothing may be written.
    pub sockets: Vec<BorrowedFd<'a>>,
}

/// What holds for this process, as the kernel says and as trying shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Real, effective, saved and file system user id.
    pub user_ids: Vec<u32>,
    /// Real, effective, saved and file system group id.
    pub group_ids: Vec<u32>,
    /// Capability sets by the name of their line in `/proc/self/status`, as bits.
    pub capabilities: BTreeMap<String, u64>,
    /// Whether no program started from here gains rights.
    pub no_new_privs: bool,
    /// Mode of the system call filter; 2 = filtered.
    pub seccomp_mode: u32,
    /// What Landlock does.
    pub landlock: Landlock,
    /// What would lead to sending or to more rights, tried.
    pub attempts: Vec<Attempt>,
    /// Writing a file outside the folders, tried; without Landlock only the rights of files hold.
    pub write_elsewhere: Attempt,
}

/// What Landlock does for this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Landlock {
    /// Version that the kernel and Otic both know; none without Landlock.
    pub abi: Option<u32>,
    /// Folders beneath which files may be written.
    pub write_folders: Vec<PathBuf>,
    /// What is not enforced and why; none when everything is.
    pub missing: Option<String>,
}

/// A forbidden act that was tried in a form that does no harm if it is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// What was tried.
    pub act: String,
    /// Whether the kernel refused it for want of a right.
    pub refused: bool,
    /// How it ended, in the kernel's words.
    pub outcome: String,
}

impl Proof {
    /// Whether nothing can be sent from here: no right, a filter for ever, every attempt refused.
    #[must_use]
    pub fn cannot_transmit(&self) -> bool {
        let held = ["CapEff", "CapPrm", "CapInh", "CapAmb"];
        self.no_new_privs
            && self.seccomp_mode == 2
            && held.iter().all(|set| self.capabilities.get(*set) == Some(&0))
            && !self.attempts.is_empty()
            && self.attempts.iter().all(|attempt| attempt.refused)
    }
}

/// Gives the rights up and says what holds now.
///
/// # Errors
/// Other threads run already, a folder is missing, the user cannot be changed, or the kernel
/// lacks seccomp: capture must not start then. Without Landlock it goes on, and the proof says so.
pub fn drop_rights(options: &SandboxOptions<'_>) -> io::Result<Proof> {
    let threads = fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!(
            "{threads} threads run already; rights can be given up only while there is one"
        )));
    }
    // Built first: what fails here has changed nothing.
    let filters = filters(&options.sockets).map_err(io::Error::other)?;
    let ruleset = ruleset(&options.write_folders)?;

    for bit in 0..64 {
        // Needs CAP_SETPCAP; without it, or behind the last capability, the set stays as it is,
        // and as no new rights can be gained it has no effect.
        if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)).is_err() {
            break;
        }
    }
    clear_ambient_capability_set()?;
    if let Some((user, group)) = options.user {
        become_user(user, group).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot become user {user}:{group}: {error}"))
        })?;
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets)?;
    set_no_new_privs(true)?;
    // No dump of memory full of other people's traffic, no debugger of the same user.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let status = ruleset.restrict_self().map_err(io::Error::other)?;
    for filter in &filters {
        apply_filter(filter).map_err(io::Error::other)?;
    }
    prove(options, &status)
}

fn become_user(user: u32, group: u32) -> io::Result<()> {
    let (user, group) =
        (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
    let already = rustix::process::getuid() == user
        && rustix::process::geteuid() == user
        && rustix::process::getgid() == group
        && rustix::process::getegid() == group;
    if already && !user.is_root() {
        return Ok(());
    }
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

fn ruleset(write_folders: &[PathBuf]) -> io::Result<landlock::RulesetCreated> {
    let written = AccessFs::from_write(LANDLOCK);
    let folders = write_folders
        .iter()
        .map(|folder| match fs::metadata(folder) {
            Ok(kind) if kind.is_dir() => PathFd::new(folder).map_err(io::Error::other),
            Ok(_) => Err(io::Error::other(format!("{}: is not a folder", folder.display()))),
            Err(error) => {
                Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
            }
        })
        .collect::<io::Result<Vec<_>>>()?;
    let made = || -> Result<_, RulesetError> {
        // Nothing is executed and no port is used: these have no rule that allows them.
        let mut ruleset = Ruleset::default()
            .handle_access(written | AccessFs::Execute)?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?;
        for folder in folders {
            ruleset = ruleset.add_rule(PathBeneath::new(folder, written & !AccessFs::IoctlDev))?;
        }
        Ok(ruleset)
    };
    made().map_err(io::Error::other)
}

/// Calls that are allowed whatever their arguments.
const ALLOWED: &[c_long] = &[
    // memory
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mlock,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    // threads; clone3 is answered by a filter of its own
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    // signals to itself
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    // time
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    // files; Landlock says which
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    // waiting
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // facts of this process
    libc::SYS_capget,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // sockets that are open already, in the direction that only listens
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_shutdown,
];

/// What only this architecture has, or has under an older name.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_epoll_wait,
    libc::SYS_getdents,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_sync_file_range,
    libc::SYS_time,
    libc::SYS_unlink,
];
/// `renameat` and `sync_file_range` of `asm-generic/unistd.h`, which the crate leaves out here.
#[cfg(target_arch = "aarch64")]
const ALLOWED_HERE: &[c_long] = &[38, 84];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ALLOWED_HERE: &[c_long] = &[];

/// Calls that write to a descriptor, or make another number for one.
const WRITING: &[c_long] = &[
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_dup,
    libc::SYS_dup3,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
type Refusal = seccompiler::BackendError;

fn is(argument: u8, value: u64) -> Result<SeccompCondition, Refusal> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// The two filters of system calls, in the order in which they are applied.
fn filters(sockets: &[BorrowedFd<'_>]) -> Result<[BpfProgram; 2], Refusal> {
    let here = std::env::consts::ARCH.try_into()?;
    let errno = |number: i32| SeccompAction::Errno(number as u32);
    let filter = |rules: Rules, otherwise, matching| -> Result<BpfProgram, Refusal> {
        SeccompFilter::new(rules, otherwise, matching, here)?.try_into()
    };

    // clone3 has its flags in memory, where no filter sees them. Told that it does not exist, the
    // C library makes threads by clone. Applied first, because the strictest answer of all filters
    // counts, and the second one allows it.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let absent = filter(absent, SeccompAction::Allow, errno(libc::ENOSYS))?;

    let mut rules: Rules =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    let not_a_ring = || -> Result<Vec<SeccompCondition>, Refusal> {
        let (length, differs) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Ne);
        sockets
            .iter()
            .map(|fd| {
                SeccompCondition::new(0, length.clone(), differs.clone(), fd.as_raw_fd() as u64)
            })
            .collect()
    };
    for call in WRITING {
        let rule = match sockets {
            [] => Vec::new(),
            _ => vec![SeccompRule::new(not_a_ring()?)?],
        };
        rules.insert(*call, rule);
    }
    // A descriptor's flags and locks; another number only for what is no ring.
    let mut fcntl = Vec::new();
    for command in [
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_GETLK,
        libc::F_SETLK,
        libc::F_SETLKW,
        libc::F_OFD_SETLK,
        libc::F_GETPIPE_SZ,
        libc::F_SETPIPE_SZ,
    ] {
        fcntl.push(SeccompRule::new(vec![is(1, command as u64)?])?);
    }
    for command in [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC] {
        let mut conditions = not_a_ring()?;
        conditions.push(is(1, command as u64)?);
        fcntl.push(SeccompRule::new(conditions)?);
    }
    rules.insert(libc::SYS_fcntl, fcntl);
    // Threads of this process, no new process, no namespace with rights of its own.
    let elsewhere = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    let thread = libc::CLONE_THREAD as u64;
    let flags = SeccompCmpOp::MaskedEq(elsewhere as u64 | thread);
    let flags = SeccompCondition::new(0, SeccompCmpArgLen::Qword, flags, thread)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![flags])?]);
    // Signals and limits of this process only.
    let itself = SeccompRule::new(vec![is(0, u64::from(std::process::id()))?])?;
    rules.insert(libc::SYS_tgkill, vec![itself]);
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![is(0, 0)?])?]);
    // Names of threads and of memory, and questions.
    let mut prctl = Vec::new();
    for option in [
        libc::PR_SET_NAME,
        libc::PR_GET_NAME,
        libc::PR_SET_VMA,
        libc::PR_GET_DUMPABLE,
        libc::PR_GET_NO_NEW_PRIVS,
        libc::PR_GET_SECCOMP,
        libc::PR_CAPBSET_READ,
    ] {
        prctl.push(SeccompRule::new(vec![is(0, option as u64)?])?);
    }
    rules.insert(libc::SYS_prctl, prctl);
    // Questions about interfaces, terminals and pipes.
    let mut ioctl = Vec::new();
    for request in [
        libc::Ioctl::from(SIOCETHTOOL),
        libc::SIOCGIFINDEX,
        libc::SIOCGIFFLAGS,
        libc::SIOCGIFHWADDR,
        libc::SIOCGIFADDR,
        libc::FIONREAD,
        libc::FIONBIO,
        libc::FIOCLEX,
        libc::TCGETS,
        libc::TIOCGWINSZ,
    ] {
        ioctl.push(SeccompRule::new(vec![is(1, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, ioctl);
    // A ring's filter, and its interface after that was replaced: both only listen.
    let mut setsockopt = Vec::new();
    for (level, option) in [
        (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER),
        (libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP),
    ] {
        setsockopt.push(SeccompRule::new(vec![is(1, level as u64)?, is(2, option as u64)?])?);
    }
    rules.insert(libc::SYS_setsockopt, setsockopt);
    let mut bind = Vec::new();
    for fd in sockets {
        bind.push(SeccompRule::new(vec![is(0, fd.as_raw_fd() as u64)?])?);
    }
    if !bind.is_empty() {
        rules.insert(libc::SYS_bind, bind);
    }
    Ok([absent, filter(rules, errno(libc::EPERM), SeccompAction::Allow)?])
}

fn prove(options: &SandboxOptions<'_>, status: &RestrictionStatus) -> io::Result<Proof> {
    let text = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).ok_or_else(|| io::Error::other(format!("the kernel tells no {name}")))
    };
    let number = |name: &str| field(name)?.parse::<u32>().map_err(io::Error::other);
    let ids = |name: &str| -> io::Result<Vec<u32>> {
        field(name)?.split_whitespace().map(|id| id.parse().map_err(io::Error::other)).collect()
    };
    let mut capabilities = BTreeMap::new();
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let bits = u64::from_str_radix(field(name)?, 16).map_err(io::Error::other)?;
        capabilities.insert(name.to_owned(), bits);
    }
    Ok(Proof {
        user_ids: ids("Uid")?,
        group_ids: ids("Gid")?,
        capabilities,
        no_new_privs: number("NoNewPrivs")? == 1,
        seccomp_mode: number("Seccomp")?,
        landlock: landlock(options, status),
        attempts: attempts(&options.sockets),
        write_elsewhere: write_elsewhere(),
    })
}

fn landlock(options: &SandboxOptions<'_>, status: &RestrictionStatus) -> Landlock {
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => Some(effective_abi as u32),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    };
    let missing = match (&status.landlock, &status.ruleset) {
        (LandlockStatus::NotImplemented, _) => {
            Some("the kernel has no Landlock (Linux 5.13 and later can)".to_owned())
        }
        (LandlockStatus::NotEnabled, _) => {
            Some("the kernel has Landlock, but it is not switched on (lsm=landlock)".to_owned())
        }
        (_, RulesetStatus::FullyEnforced) => None,
        (_, RulesetStatus::PartiallyEnforced) => Some(format!(
            "the kernel's Landlock knows a part of what is asked for (version {LANDLOCK})"
        )),
        (_, RulesetStatus::NotEnforced) => Some("the kernel enforces nothing".to_owned()),
    };
    Landlock { abi, write_folders: options.write_folders.clone(), missing }
}

fn tried(act: String, outcome: io::Result<()>) -> Attempt {
    let refused =
        outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let outcome = outcome.map_or_else(|error| error.to_string(), |()| "done".to_owned());
    Attempt { act, refused, outcome }
}

/// Tries what is forbidden, in forms that do no harm where they succeed.
fn attempts(sockets: &[BorrowedFd<'_>]) -> Vec<Attempt> {
    let mut attempts = vec![
        tried("make a network socket".to_owned(), UdpSocket::bind("127.0.0.1:0").map(drop)),
        tried("make a local socket".to_owned(), UnixDatagram::unbound().map(drop)),
        // A folder is no program: nothing starts where it is allowed.
        tried("start a program".to_owned(), Command::new("/").spawn().map(drop)),
    ];
    for fd in sockets {
        // Nothing is too short for any link: where it is allowed, it still sends nothing.
        let sent = rustix::net::send(fd, &[], rustix::net::SendFlags::empty());
        let written = rustix::io::write(fd, &[]);
        let copied = fd.try_clone_to_owned();
        let number = fd.as_raw_fd();
        attempts.extend([
            tried(format!("send by ring {number}"), sent.map(drop).map_err(Into::into)),
            tried(format!("write to ring {number}"), written.map(drop).map_err(Into::into)),
            tried(format!("copy ring {number}"), copied.map(drop)),
        ]);
    }
    attempts
}

fn write_elsewhere() -> Attempt {
    // A file without a name, which ends when it is closed.
    let mut options = fs::OpenOptions::new();
    let nameless = options.write(true).custom_flags(libc::O_TMPFILE).open("/");
    tried("write a file in /".to_owned(), nameless.map(drop))
}
