//! The sandbox: capture goes on, everything else is refused, nothing ever leaves the interface.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use otic_capture::filter::FilterInstruction;
use otic_capture::nic::NicFacts;
use otic_capture::ring::{Link, Ring};
use otic_capture::sandbox::{Proof, SandboxOptions, drop_rights};
use rustix::io::IoSlice;
use rustix::net::{AddressFamily, SendFlags, SocketType};
use rustix::thread::move_into_link_name_space;

use crate::Test;
use crate::cable::{Cable, MIRROR, MONITOR};
use crate::ring::{everything, numbered, options};

pub const TESTS: &[Test] = &[
    ("without_rights_capture_goes_on_and_nothing_leaves", as_nobody),
    ("root_without_rights_is_held_by_landlock", as_root),
    ("rights_are_given_up_only_before_there_are_threads", with_threads),
];

/// Debian's user and group without any file.
const NOBODY: u32 = 65534;
const FRAMES: u32 = 1000;

/// A folder that anyone may write into, removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Self {
        let path = std::env::temp_dir().join(format!("otic-sandbox-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs [`sandboxed`] and is the witness on both ends of the cable.
fn witness(cable: &Cable, user: &str) {
    let folder = Folder::make();
    let inside = folder.0.join("allowed");
    fs::create_dir(&inside).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o777)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--sandboxed", user, inside.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // One line says that the child is in the sandbox; none, that it failed.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    cable.send((0..FRAMES).map(|at| numbered(0x88b5, at)).collect());

    assert!(child.wait().unwrap().success());
    assert_eq!(0, cable.their_counter("rx_packets"), "frames came out of the monitored interface");
    let facts = NicFacts::read(MONITOR).unwrap();
    assert_eq!((Some(0), Some(false)), (facts.tx_packets, facts.has_address));
    assert!(cable.their_counter("tx_packets") >= u64::from(FRAMES), "{MIRROR} was heard");
}

fn as_nobody(cable: &Cable) {
    witness(cable, "nobody");
}

fn as_root(cable: &Cable) {
    witness(cable, "root");
}

fn with_threads(_: &Cable) {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let waiting = std::thread::spawn(move || stopped.recv());
    let error = drop_rights(&SandboxOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("2 threads run already"), "{error}");
    stop.send(()).unwrap();
    waiting.join().unwrap().unwrap();

    let nowhere = PathBuf::from("/otic/nowhere");
    let options = SandboxOptions { write_folders: vec![nowhere], ..SandboxOptions::default() };
    // A thread that has ended is gone from the kernel's list a moment later.
    while fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        std::thread::yield_now();
    }
    let error = drop_rights(&options).unwrap_err();
    assert!(error.to_string().starts_with("/otic/nowhere: No such file"), "{error}");
    // Nothing was given up by the refusals.
    assert!(Ring::open(&crate::ring::options()).is_ok());
}

/// The kernel refuses for want of a right.
fn refused<T, E: Into<std::io::Error>>(what: &str, outcome: Result<T, E>) {
    match outcome.map_err(Into::into) {
        Ok(_) => panic!("{what} was allowed"),
        Err(error) => assert_eq!(ErrorKind::PermissionDenied, error.kind(), "{what}: {error}"),
    }
}

/// The process in the sandbox: `USER FOLDER`.
pub fn sandboxed(words: &[String]) -> ExitCode {
    let folder = Path::new(&words[1]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ring = Ring::open(&options()).unwrap();
    let existing = folder.parent().unwrap().join("existing");
    fs::write(&existing, "kept").unwrap();
    fs::set_permissions(&existing, fs::Permissions::from_mode(0o666)).unwrap();
    let user = (words[0] == "nobody").then_some((NOBODY, NOBODY));
    let proof = drop_rights(&SandboxOptions {
        user,
        write_folders: vec![folder.to_owned()],
        sockets: vec![ring.fd()],
    })
    .unwrap();
    let landlock = proof.landlock.abi.is_some();
    check_proof(&proof, user.map_or(0, |(user, _)| user), folder);

    let raw = || rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, None);
    let frame = numbered(0x88b5, 7);
    refused("send", rustix::net::send(ring.fd(), &frame, SendFlags::empty()));
    refused("write", rustix::io::write(ring.fd(), &frame));
    refused("writev", rustix::io::writev(ring.fd(), &[IoSlice::new(&frame)]));
    refused("pwrite", rustix::io::pwrite(ring.fd(), &frame, 0));
    refused("copy of the ring", rustix::io::dup(ring.fd()));
    refused("copy of the ring", ring.fd().try_clone_to_owned());
    refused("packet socket", raw());
    refused("UDP socket", UdpSocket::bind("0.0.0.0:0"));
    refused("TCP connection", TcpStream::connect(listener.local_addr().unwrap()));
    refused("TCP listener", TcpListener::bind("127.0.0.1:0"));
    refused("local socket", UnixDatagram::unbound());
    refused("accept", listener.accept());
    refused("program", Command::new("/bin/true").spawn());
    refused("exec", Err::<(), _>(Command::new("/bin/true").exec()));
    let parent = rustix::process::getppid().unwrap();
    refused("signal", rustix::process::kill_process(parent, rustix::process::Signal::USR1));
    refused("user 0", rustix::thread::set_thread_uid(rustix::process::Uid::ROOT));
    let memory = format!("/proc/{}/mem", std::os::unix::process::parent_id());
    refused("memory of another process", File::open(memory));
    if landlock {
        // The process' own memory is the way around what its pages may be used for.
        refused("own memory", OpenOptions::new().write(true).open("/proc/self/mem"));
    }
    let namespace = File::open("/proc/self/ns/net").unwrap();
    refused("namespace", move_into_link_name_space(namespace.as_fd(), None));
    refused("option", rustix::net::sockopt::set_socket_broadcast(ring.fd(), true));
    std::thread::spawn(move || {
        refused(
            "packet socket of a thread",
            rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, None),
        );
    })
    .join()
    .unwrap();
    write_files(folder, &existing, landlock);

    // Capture goes on, with everything that belongs to it.
    assert_eq!(Link::Up, ring.link().unwrap());
    assert!(ring.reattach().unwrap());
    assert!(NicFacts::read_by(ring.fd(), MONITOR).exists);
    ring.set_filter(&[FilterInstruction::returning(1000)]).unwrap();
    println!("ready");
    ExitCode::from(u8::from(!captured(&mut ring)))
}

/// Whether all frames came through the sandbox.
fn captured(ring: &mut Ring) -> bool {
    let mut frames = Vec::new();
    while frames.len() < FRAMES as usize {
        if !ring.poll(10_000).unwrap() {
            break;
        }
        frames.extend(everything(ring));
    }
    let expected: Vec<_> = (0..FRAMES).map(|at| (numbered(0x88b5, at), 64)).collect();
    assert_eq!(expected, frames);
    u64::from(FRAMES) == ring.counters().unwrap().received
}

fn check_proof(proof: &Proof, user: u32, folder: &Path) {
    assert!(proof.cannot_transmit(), "{proof:?}");
    assert_eq!(vec![user; 4], proof.user_ids);
    assert_eq!(vec![user; 4], proof.group_ids);
    assert!(proof.capabilities.values().all(|bits| *bits == 0), "{proof:?}");
    assert_eq!((true, 2), (proof.no_new_privs, proof.seccomp_mode));
    assert_eq!(6, proof.attempts.len());
    assert!(proof.write_elsewhere.refused || proof.landlock.abi.is_none(), "{proof:?}");
    assert_eq!(vec![folder.to_owned()], proof.landlock.write_folders);
    match proof.landlock.abi {
        Some(abi) if abi >= 6 => assert_eq!(None, proof.landlock.missing),
        _ => assert!(proof.landlock.missing.is_some()),
    }
}

fn write_files(folder: &Path, existing: &Path, landlock: bool) {
    let path = folder.join("segment");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"facts").unwrap();
    file.sync_data().unwrap();
    let mut copy = file.try_clone().unwrap();
    copy.write_all(b" and more").unwrap();
    fs::rename(&path, folder.join("renamed")).unwrap();
    assert_eq!("facts and more", fs::read_to_string(folder.join("renamed")).unwrap());
    fs::create_dir(folder.join("deeper")).unwrap();
    fs::remove_file(folder.join("renamed")).unwrap();

    assert_eq!("kept", fs::read_to_string(existing).unwrap());
    // Without Landlock, the rights of files are all that holds: here they allow everything.
    if landlock {
        refused("file elsewhere", File::create(folder.parent().unwrap().join("new")));
        refused("existing file", OpenOptions::new().append(true).open(existing));
        refused("truncation", OpenOptions::new().write(true).truncate(true).open(existing));
        refused("removal", fs::remove_file(existing));
        let nameless = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open("/tmp");
        refused("file without a name", nameless);
    }
}
