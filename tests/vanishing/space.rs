//! Network namespaces without names: each lives as long as the process that holds it, and that process ends with its
//! standard input, so nothing is left behind however a test ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::Instant;

/// Why namespaces cannot be made here; `None`: they can.
pub fn missing() -> Option<String> {
    for tool in ["unshare", "nsenter", "setpriv", "ip", "nft", "ss"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
        if !found.is_ok_and(|o| o.status.success()) {
            return Some(format!("`{tool}` is not installed (packages util-linux, iproute2, nftables)"));
        }
    }
    let tried = Command::new("unshare").args(["--net", "nft", "list", "tables"]).output();
    match tried {
        Ok(o) if o.status.success() => None,
        Ok(o) => Some(format!("no network namespaces: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => Some(format!("no network namespaces: {e}")),
    }
}

/// The same for tests that take the better part of a minute each, because what they wait for does: `cargo test` alone
/// stays quick without them, `./test` runs them.
pub fn not_asked() -> Option<String> {
    let asked = std::env::var_os("TEST_SLOW").is_some();
    if asked { missing() } else { Some("it takes its time: ./test netns runs it, or TEST_SLOW=1".into()) }
}

/// One network namespace, loopback up.
pub struct Netns {
    holder: Child,
    _stdin: ChildStdin,
}

impl Netns {
    pub fn new() -> Netns {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let stdin = holder.stdin.take().expect("piped");
        let mut ready = String::new();
        BufReader::new(holder.stdout.as_mut().expect("piped")).read_line(&mut ready).expect("the holder speaks");
        assert_eq!(ready.trim(), "ready", "a namespace could not be made");
        Netns { holder, _stdin: stdin }
    }

    /// The process that holds it, as `ip` and `nsenter` name the namespace.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A command inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid().to_string(), "-n", program]);
        command
    }

    /// Runs a shell line inside; it must succeed.
    pub fn sh(&self, line: &str) {
        let out = self.command("sh").args(["-ec", line]).output().expect("nsenter runs");
        assert!(out.status.success(), "`{line}`: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// A tool that is ready to act and waits for its orders, so that its start takes no time when it counts.
    pub fn armed(&self, program: &str, args: &[&str], orders: &str) -> Armed {
        let mut child = self.command(program).args(args).stdin(Stdio::piped()).spawn().expect("nsenter runs");
        let stdin = child.stdin.take().expect("piped");
        Armed { child, stdin, orders: orders.to_owned() }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// See [`Netns::armed`].
pub struct Armed {
    child: Child,
    stdin: ChildStdin,
    orders: String,
}

impl Armed {
    /// Acts. The moment before is returned: what happens, happens after it.
    pub fn fire(mut self) -> Instant {
        let before = Instant::now();
        self.stdin.write_all(self.orders.as_bytes()).expect("the tool listens");
        drop(self.stdin);
        let status = self.child.wait().expect("the tool ends");
        assert!(status.success(), "`{}` failed", self.orders);
        before
    }
}

/// A bridge in a namespace of its own. All stations are in 10.83.0.0/16.
pub struct Switch {
    pub ns: Netns,
}

impl Switch {
    pub fn new() -> Switch {
        let ns = Netns::new();
        ns.sh("ip link add sw type bridge forward_delay 0 && ip link set sw up");
        ns.sh("nft 'add table bridge cut'");
        Switch { ns }
    }

    /// Connects `station` by a cable called `port` on this side and `eth0` on the other.
    pub fn plug(&self, station: &Netns, port: &str, addresses: &[String], mac: &str) {
        self.ns.sh(&format!(
            "nft 'add chain bridge cut {port} {{ type filter hook forward priority 0; }}'; ip link add {port} type veth peer name eth0 netns {} && ip link set {port} master sw up",
            station.pid()
        ));
        let addresses: String = addresses.iter().map(|a| format!("addr add {a}/16 dev eth0\n")).collect();
        station.sh(&format!("ip -batch - <<.\nlink set eth0 address {mac} up\n{addresses}.\n"));
    }

    /// Adds nft rules to the chain of `port`, e.g. `oifname "v1" drop`.
    pub fn rules(&self, port: &str, rules: &[String]) -> Armed {
        let orders: String = rules.iter().map(|r| format!("add rule bridge cut {port} {r}\n")).collect();
        self.ns.armed("nft", &["-f", "-"], &orders)
    }

    /// Takes the cable of `port` out for good.
    pub fn unplug(&self, port: &str) {
        self.ns.sh(&format!("ip link del {port}"));
    }

    /// Takes away the rules of one port: its chain is its own.
    pub fn unrule(&self, port: &str) -> Armed {
        self.ns.armed("nft", &["-f", "-"], &format!("flush chain bridge cut {port}\n"))
    }
}

/// A line that a child wrote, and when it came.
#[derive(Debug, Clone)]
pub struct Line {
    pub at: Instant,
    pub from: usize,
    pub text: String,
}

/// A child whose lines beginning with `@` go to a channel; it ends with this value.
pub struct Actor {
    child: Child,
    stdin: ChildStdin,
}

impl Actor {
    /// Starts `command`; its lines are marked as `from`.
    pub fn start(command: &mut Command, from: usize, to: &Sender<Line>) -> Actor {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the child of this test starts");
        let stdin = child.stdin.take().expect("piped");
        let out = child.stdout.take().expect("piped");
        let to = to.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // The test harness of a re-executed test binary writes there too, without ending its line.
                if let Some(at) = line.find('@') {
                    let _ = to.send(Line { at: Instant::now(), from, text: line[at + 1..].to_owned() });
                }
            }
        });
        Actor { child, stdin }
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the child listens");
    }

    /// Sends a signal by name; only ever to this very child.
    pub fn signal(&self, name: &str) -> Instant {
        let before = Instant::now();
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|s| s.success()), "kill -{name}");
        before
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
