//! `boatswain serve`: from settings to a running server. Order matters: sockets passed by systemd and signals are taken
//! before any thread, ports are bound before privileges are dropped, files that are needed later are read after that.

use std::net::IpAddr;
use std::process::ExitCode;

use crate::cli::args::Start;
use crate::cli::demo::{self, Demo};
use crate::cli::machine::ThisMachine;
use crate::cli::say::{FAILED, MISUSED, complain, fail, misconfigured};
use crate::config::users::{Hash, Users};
use crate::config::{Config, ListenAddr, Loaded};
use crate::diag::KEPT;
use crate::net::listener::{Address, Listener, Passed, ipv6_exists};
use crate::net::server::{Ended, Entrance, Reloaded, Server};
use crate::net::stderr;
use crate::sys::process::{self, Signals, User};
use crate::sys::tcp;

/// The user that exists where no users file does.
const FIRST_USER: &str = "operator";

/// Files and sockets beside the connections: listeners, the poller, the log, pages being read.
const FILES_BESIDE: u64 = 64;

/// Switches kernel features off, to see what a board without them does; a list as in `rto_max,nudge`. For tests.
pub const WITHOUT: &str = "BOATSWAIN_WITHOUT";

/// Runs the server until it is told to stop.
pub fn serve(start: Start) -> ExitCode {
    let mut loaded = match start.source.load(&ThisMachine) {
        Ok(loaded) => loaded,
        Err(mistakes) => return misconfigured(&mistakes),
    };
    if start.demo {
        if loaded.tokens.is_some() {
            let what =
                "--demo: its pump has no token, and devices.tokens asks every device for one; leave one of them out";
            return fail(MISUSED, what);
        }
        // the last one, so that it is found again below
        loaded.config.devices.listen.push(ListenAddr::Tcp(demo::LISTEN));
    }
    stderr::start(loaded.config.log.level);
    match prepare(start, loaded) {
        Ok((mut server, _demo)) => match server.run() {
            Ok(Ended::Stopped) => {
                log::info!(target: KEPT, "stopped");
                ExitCode::SUCCESS
            }
            Ok(Ended::AtOnce) => ExitCode::from(FAILED),
            Err(e) => fail(FAILED, &format!("the event loop failed: {e}")),
        },
        Err((code, what)) => fail(code, &what),
    }
}

type Failure = (u8, String);

/// From settings to a server. Not inlined: what the start puts on the stack would stay there below the running loop.
#[inline(never)]
fn prepare(Start { source, demo }: Start, loaded: Loaded) -> Result<(Server, Option<Demo>), Failure> {
    let failed = |what: &'static str| move |e: std::io::Error| (FAILED, format!("{what}: {e}"));
    process::ignore_sigpipe();
    let passed = Passed::take().map_err(|what| (MISUSED, what))?;
    let signals = Signals::take().map_err(failed("signals"))?;
    let mut config = loaded.config;
    for warning in &loaded.warnings {
        log::warn!("{warning}");
    }
    let has_devices = !config.devices.listen.is_empty() || !passed.devices.is_empty();
    let device_connections = if has_devices { config.devices.connections } else { 0 };
    let want = u64::from(config.limits.connections) + u64::from(device_connections) + FILES_BESIDE;
    match process::raise_file_limit(want) {
        Ok(limit) if limit < want => log::warn!(
            "open files: {limit} are allowed, limits.connections needs {want}; raise the hard limit (ulimit -Hn) or lower the setting"
        ),
        Ok(_) => {}
        Err(e) => log::warn!("open files: {e}"),
    }
    let web = if passed.web.is_empty() { bind_web(&config)? } else { passed.web };
    let devices = if passed.devices.is_empty() {
        bind(&config.devices.listen, "devices.listen", "`devices.listen` in the settings")?
    } else {
        passed.devices
    };
    let (mut users, mut tokens) = (loaded.users, loaded.tokens);
    if let Some(name) = config.user.clone() {
        if process::is_root() {
            become_user(&name)?;
            // what a reload will need must be readable now, with fewer rights
            let again = source.load(&ThisMachine).map_err(|mistakes| {
                mistakes.iter().for_each(|m| complain(&m.to_string()));
                (MISUSED, format!("user: {name:?} cannot read what the settings name; give it the right, see above"))
            })?;
            config = Config { devices: config.devices, ..again.config };
            users = again.users;
            tokens = again.tokens;
        }
    }
    let features = tcp::probe(&std::env::var(WITHOUT).unwrap_or_default());
    let users = users.unwrap_or_else(|| first_user(&web));
    let reload = move || match source.load(&ThisMachine) {
        Ok(mut loaded) => {
            if demo {
                loaded.config.devices.listen.push(ListenAddr::Tcp(demo::LISTEN)); // not written, but in force
            }
            loaded.warnings.iter().for_each(|w| log::warn!("{w}"));
            Ok(Reloaded { config: loaded.config, users: loaded.users, tokens: loaded.tokens })
        }
        Err(mistakes) => Err(mistakes.iter().map(|m| m.to_string()).collect()),
    };
    let demo = demo.then(|| devices.last().map(|l| l.address().clone())).flatten();
    let entrance = Entrance { web, devices, users, tokens };
    let server = Server::new(config, entrance, signals, features, Box::new(reload)).map_err(failed("start"))?;
    log::info!(target: KEPT, "{}", server.kernel_line());
    log::info!(target: KEPT, "started version={} pid={}", env!("CARGO_PKG_VERSION"), std::process::id());
    let demo = match demo {
        Some(Address::Tcp(addr)) => Some(Demo::start(addr).map_err(failed("--demo: the pump"))?),
        Some(Address::Unix(_)) | None => None,
    };
    Ok((server, demo))
}

fn bind_web(config: &Config) -> Result<Vec<Listener>, Failure> {
    let default = config.listen.is_empty();
    let addresses = if default { Config::default_listen(ipv6_exists()) } else { config.listen.clone() };
    bind(&addresses, "listen", "--listen or `listen` in the settings")
}

/// Binds `addresses`, which `setting` names; another one is chosen with `how`.
fn bind(addresses: &[ListenAddr], setting: &str, how: &str) -> Result<Vec<Listener>, Failure> {
    let mut listeners = Vec::new();
    for address in addresses {
        let (bound, name) = match address {
            ListenAddr::Tcp(addr) => (Listener::tcp(*addr), addr.to_string()),
            ListenAddr::Unix(path) => (Listener::unix(path), format!("unix:{}", path.display())),
        };
        listeners.push(bound.map_err(|e| {
            let unix = matches!(address, ListenAddr::Unix(_));
            let remedy = match e.kind() {
                std::io::ErrorKind::AddrInUse | std::io::ErrorKind::AlreadyExists if unix => String::new(), // it says so itself
                std::io::ErrorKind::NotFound if unix => "; create its folder first".into(),
                std::io::ErrorKind::PermissionDenied if unix => {
                    "; give this user the right to write to its folder".into()
                }
                std::io::ErrorKind::AddrInUse => {
                    format!("; another program listens there: stop it or choose another with {how}")
                }
                std::io::ErrorKind::PermissionDenied => {
                    "; ports below 1024 need root (and `user`), CAP_NET_BIND_SERVICE or a socket passed by systemd"
                        .into()
                }
                std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address".into(),
                _ => format!("; choose another with {how}"),
            };
            (FAILED, format!("{setting}: {name}: {e}{remedy}"))
        })?);
    }
    Ok(listeners)
}

fn become_user(name: &str) -> Result<(), Failure> {
    let found = User::find(name).map_err(|e| (FAILED, format!("user: {name:?}: {e}")))?;
    let user =
        found.ok_or_else(|| (MISUSED, format!("user: there is no user {name:?} on this machine; see /etc/passwd")))?;
    process::drop_privileges(&user).map_err(|e| (FAILED, format!("user: cannot become {name:?}: {e}")))
}

/// Without a users file: one user with a password that is shown once, here, and kept nowhere.
fn first_user(listeners: &[Listener]) -> Users {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 12];
    if let Err(e) = process::getrandom(&mut random) {
        log::error!("the kernel gives no random bytes: {e}; stopping");
        stderr::exit_failed();
    }
    let password: String = random.iter().map(|b| LETTERS[usize::from(b & 31)] as char).collect();
    let url = listeners.iter().find_map(|l| match l.address() {
        Address::Tcp(addr) => Some(format!("http://{}:{}/", shown_host(addr.ip()), addr.port())),
        Address::Unix(_) => None,
    });
    complain(&format!(
        "no users file (auth.users, --users): open {} as user {FIRST_USER} with password {password} (this run only)",
        url.as_deref().unwrap_or("the socket")
    ));
    Users::single(FIRST_USER, Hash::OneTime(password))
}

/// A name under which a browser finds that address.
fn shown_host(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_unspecified() => process::host_name().ok().filter(|n| !n.is_empty()).unwrap_or("localhost".into()),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    }
}
