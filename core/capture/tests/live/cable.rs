//! Two network namespaces and the cable between them: `mon0` is ours, `mir0` the plant's.

use std::io::{BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Our end.
pub const MONITOR: &str = "mon0";
/// The plant's end.
pub const MIRROR: &str = "mir0";

/// Sends frames from standard input, each after its length, by a raw socket of the interface that
/// it is given; prints how many were sent.
const SENDER: &str = r#"
import errno, socket, struct, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
frames, sent = sys.stdin.buffer, 0
while head := frames.read(2):
    frame = frames.read(struct.unpack("<H", head)[0])
    while True:
        try:
            out.send(frame)
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
    sent += 1
print(sent)
"#;

fn run(words: &[&str]) -> Result<(), String> {
    let done = Command::new(words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|error| panic!("{} must be installed: {error}", words[0]));
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}

/// Passes on that the kernel lacks a right or a kind of interface.
fn withheld(outcome: Result<(), String>) -> Result<(), String> {
    let reasons = ["not permitted", "denied", "not supported", "Unknown device type"];
    match outcome {
        Err(why) if !reasons.iter().any(|reason| why.contains(reason)) => panic!("{why}"),
        other => other,
    }
}

/// Two namespaces with their names, removed with this value.
pub struct Namespaces([String; 2]);

impl Namespaces {
    /// Makes the namespaces and the cable, both ends up, without any address.
    ///
    /// The error is the kernel's refusal; anything else that fails is a failure of the test.
    pub fn make() -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("otic-{}-{number}-{end}", std::process::id());
        let made = Self([name("sensor"), name("plant")]);
        for namespace in &made.0 {
            withheld(run(&["ip", "netns", "add", namespace]))?;
            // No router solicitations: the tests send every frame themselves.
            let quiet = "for way in all default; do \
                         file=/proc/sys/net/ipv6/conf/$way/disable_ipv6; \
                         [ ! -e $file ] || echo 1 > $file; done";
            run(&["ip", "netns", "exec", namespace, "sh", "-c", quiet]).unwrap();
        }
        withheld(plug(made.sensor(), made.plant()))?;
        Ok(made)
    }

    pub fn sensor(&self) -> &str {
        &self.0[0]
    }

    pub fn plant(&self) -> &str {
        &self.0[1]
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in &self.0 {
            let _ = run(&["ip", "netns", "del", namespace]);
        }
    }
}

fn plug(sensor: &str, plant: &str) -> Result<(), String> {
    let peer = ["type", "veth", "peer", "name", MIRROR, "netns", plant];
    run(&[&["ip", "-n", sensor, "link", "add", MONITOR], &peer[..]].concat())?;
    run(&["ip", "-n", sensor, "link", "set", MONITOR, "up"])?;
    run(&["ip", "-n", plant, "link", "set", MIRROR, "up"])
}

/// The cable as a test inside the sensor's namespace sees it.
pub struct Cable {
    plant: String,
}

impl Cable {
    pub fn new(plant: &str) -> Self {
        Self { plant: plant.to_owned() }
    }

    /// Runs `ip` on our end.
    pub fn ours(&self, words: &[&str]) {
        run(&[&["ip"], words].concat()).unwrap();
    }

    /// Runs `ip` on the plant's end.
    pub fn theirs(&self, words: &[&str]) {
        run(&[&["ip", "-n", &self.plant], words].concat()).unwrap();
    }

    /// A new pair of interfaces in place of a removed one.
    pub fn plug_again(&self) {
        let sensor = self.plant.replace("plant", "sensor");
        plug(&sensor, &self.plant).unwrap();
    }

    fn in_plant(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.plant]);
        command
    }

    /// Starts to send these frames from the plant's end.
    pub fn start(&self, frames: Vec<Vec<u8>>) -> Sender {
        let mut child = self
            .in_plant()
            .args(["python3", "-c", SENDER, MIRROR])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || {
            let mut input = BufWriter::with_capacity(1 << 16, input);
            for frame in frames {
                input.write_all(&(frame.len() as u16).to_le_bytes()).unwrap();
                input.write_all(&frame).unwrap();
            }
            input.flush().unwrap();
        });
        Sender { child, feeder }
    }

    /// Sends these frames and waits until they are sent.
    pub fn send(&self, frames: Vec<Vec<u8>>) {
        let count = frames.len();
        assert_eq!(count, self.start(frames).sent());
    }

    /// Runs one of the programs of [`plant`] on the plant's end.
    pub fn start_plant(&self, words: &[&str]) -> Child {
        let mut command = self.in_plant();
        command.arg(std::env::current_exe().unwrap()).arg("--plant").args(words);
        command.spawn().unwrap()
    }

    /// A counter of the plant's end.
    pub fn their_counter(&self, name: &str) -> u64 {
        let path = format!("/sys/class/net/{MIRROR}/statistics/{name}");
        let done = self.in_plant().args(["cat", &path]).output().unwrap();
        String::from_utf8(done.stdout).unwrap().trim().parse().unwrap()
    }
}

/// Frames on their way.
pub struct Sender {
    child: Child,
    feeder: std::thread::JoinHandle<()>,
}

impl Sender {
    pub fn is_done(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end; frames that the socket took.
    pub fn sent(mut self) -> usize {
        self.feeder.join().unwrap();
        let mut text = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        text.trim().parse().unwrap()
    }
}

/// The byte at a place of the stream that [`plant`] sends.
pub const fn stream_byte(place: usize) -> u8 {
    (place % 251) as u8
}

/// Programs of the plant's end: `tcp ADDRESS BYTES` sends a stream.
pub fn plant(words: &[String]) -> ExitCode {
    assert_eq!("tcp", words[0]);
    let bytes: Vec<u8> = (0..words[2].parse().unwrap()).map(stream_byte).collect();
    TcpStream::connect(&words[1]).unwrap().write_all(&bytes).unwrap();
    ExitCode::SUCCESS
}
