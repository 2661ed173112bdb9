//! What the kernel can do.

use std::fmt;

/// Bytes of `struct tcp_info` without which no verdict can be reached (up to tcpi_total_retrans, Linux 2.6).
pub const INFO_NEEDED: usize = 104;

/// Which of the kernel's features that help to find out about a vanished peer are there. Made once at start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KernelFeatures {
    /// A congestion control with which thin streams work.
    pub control: Option<Control>,
    /// TCP_THIN_LINEAR_TIMEOUTS (Linux 2.6.34).
    pub thin: bool,
    /// TCP_RTO_MAX_MS (Linux 6.15).
    pub rto_max: bool,
    /// TCP_RTO_MIN_US (Linux 6.15).
    pub rto_min: bool,
    /// TCP_USER_TIMEOUT (Linux 2.6.37).
    pub user_timeout: bool,
    /// TCP_REPAIR (Linux 3.5 and CAP_NET_ADMIN).
    pub nudge: bool,
    /// Bytes of TCP_INFO that the kernel fills.
    pub info_len: usize,
}

/// A congestion control that links are set to. Others (BBR) keep the slow start threshold infinite, and the kernel
/// then never treats a stream as thin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// The usual one.
    Cubic,
    /// The one that is always there.
    Reno,
}

impl KernelFeatures {
    /// The names by which `without` leaves features out.
    pub const NAMES: &'static [&'static str] =
        &["control", "thin", "rto_max", "rto_min", "user_timeout", "nudge", "info"];

    /// Whether TCP_INFO says enough for a verdict.
    pub fn info(&self) -> bool {
        self.info_len >= INFO_NEEDED
    }
}

/// The start log line: `cubic thin rto_max nudge tcp_info=232`, with `no-` before what is missing.
impl fmt::Display for KernelFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.control {
            Some(Control::Cubic) => "cubic",
            Some(Control::Reno) => "reno",
            None => "no-control",
        })?;
        let flags = [
            ("thin", self.thin),
            ("rto_max", self.rto_max),
            ("rto_min", self.rto_min),
            ("user_timeout", self.user_timeout),
            ("nudge", self.nudge),
        ];
        for (name, there) in flags {
            write!(f, " {}{name}", if there { "" } else { "no-" })?;
        }
        write!(f, " tcp_info={}", self.info_len)
    }
}
