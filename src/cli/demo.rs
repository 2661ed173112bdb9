//! `boatswain --demo`: the server with a simulated pump attached, so that a newcomer sees control, telemetry and the dead
//! man's switch at once. Nothing in it is special: the pump is `boatswain link -- boatswain pump` in a process of its own, at
//! a device listener on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::sys::child::{self, End, Tie};

/// Where its device listener is bound: a free port that only this machine reaches.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The pump's name.
pub const NAME: &str = "pump-1";

/// How long the pump's process has to end when the server ends.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Looked at so often meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// The pump's process; it ends with this value, and also if this process is killed.
#[derive(Debug)]
pub struct Demo {
    child: Child,
}

impl Demo {
    /// Starts it towards the device listener at `addr`. Errors: the kernel's.
    pub fn start(addr: SocketAddr) -> io::Result<Demo> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command.args(["link", "--server", &addr.to_string(), "--name", NAME, "--"]).arg(&program).arg("pump");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("RUST_LOG").is_none() {
            // the server says what there is to know of its devices
            command.env("RUST_LOG", "error");
        }
        child::prepare(&mut command, Tie::DiesWithUs);
        Ok(Demo { child: command.spawn()? })
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Whatever fails here: it sees the end of the server as well, and is no use to anybody after that.
        let _ = child::end_group(self.child.id(), End::Please);
        for _ in 0..END_WITHIN.as_millis() / LOOK.as_millis() {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            let _ = child::wait(&mut [], Some(LOOK));
        }
        let _ = child::end_group(self.child.id(), End::Now);
        let _ = self.child.wait();
    }
}
