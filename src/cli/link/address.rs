//! Where the server is: what the user wrote, and the addresses behind it.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::msg::Moment;
use crate::sys::process;
use crate::sys::socket::{self, Local};

/// Addresses of one name that are tried in turn.
const ADDRESSES_MAX: usize = 8;

/// Longest name of a network interface (IFNAMSIZ without its end).
const INTERFACE_MAX: usize = 15;

/// A name is looked up again after so long without a connection: the board may have moved.
const AGAIN: Duration = Duration::from_secs(5);

/// Bytes of the helper's stack: the resolver of a C library keeps buffers of 64 KiB and more there.
const STACK: usize = 256 * 1024;

/// `--server`, understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Server {
    /// Found already.
    At(Local),
    /// An address that counts on one network only, and the name of the interface that leads there. Its number is looked up at
    /// each attempt: an adapter that is plugged in anew gets another.
    Zoned(Ipv6Addr, u16, String),
    /// HOST:PORT with a name for HOST.
    Named(String),
}

impl Server {
    /// `HOST:PORT`, `[IPV6]:PORT`, `[IPV6%INTERFACE]:PORT` or `unix:/PATH`. `Err` is one line for the user.
    pub fn parse(text: &str) -> Result<Server, String> {
        const WANTED: &str = "write HOST:PORT, [IPV6]:PORT, [IPV6%INTERFACE]:PORT or unix:/PATH";
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!("--server: {text:?}: the path of a unix socket begins with /; {WANTED}"));
            }
            return Ok(Server::At(Local::Unix(PathBuf::from(path))));
        }
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Server::At(Local::Ip(addr)));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("--server: {text:?} has no port; {WANTED}"))?;
        let number = port.parse::<u16>().ok().filter(|n| *n > 0);
        let number = number.ok_or_else(|| format!("--server: {port:?} is no port; {WANTED}"))?;
        if let Some((addr, zone)) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')?.split_once('%')) {
            let addr = addr.parse().map_err(|_| format!("--server: {addr:?} is no IPv6 address; {WANTED}"))?;
            let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'%' | b'[' | b']' | b':');
            if zone.is_empty() || zone.len() > INTERFACE_MAX || !zone.bytes().all(plain) {
                return Err(format!("--server: {zone:?} is no name of a network interface; {WANTED}"));
            }
            return Ok(Server::Zoned(addr, number, zone.to_owned()));
        }
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(named) {
            return Err(format!("--server: {host:?} is no name of a host; {WANTED}"));
        }
        Ok(Server::Named(text.to_owned()))
    }
}

/// The addresses of the server, as far as they are known. A name is looked up on a thread that exists only meanwhile: the
/// C library's resolver waits for seconds when the network is gone, and the program must hear `link` `down` all the same.
#[derive(Debug)]
pub struct Addresses {
    server: Server,
    known: Vec<Local>,
    turns: usize,
    asked: Option<(JoinHandle<io::Result<Vec<SocketAddr>>>, UnixStream)>,
    answered: Option<Moment>,
}

impl Addresses {
    /// Nothing is asked yet.
    pub fn new(server: Server) -> Addresses {
        let known = match &server {
            Server::At(local) => vec![local.clone()],
            Server::Named(_) | Server::Zoned(..) => Vec::new(),
        };
        Addresses { server, known, turns: 0, asked: None, answered: None }
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// The next one in turn.
    pub fn turn(&mut self) -> Option<Local> {
        if self.known.is_empty() {
            return None;
        }
        let found = self.known[self.turns % self.known.len()].clone();
        self.turns = self.turns.wrapping_add(1);
        Some(found)
    }

    /// Looks a name up if that is due. Does not wait; `Err`: no thread could be started, or there is no such interface.
    pub fn ask(&mut self, now: Moment) -> io::Result<()> {
        if let Server::Zoned(addr, port, zone) = &self.server {
            let scope = socket::interface(zone)?;
            self.known = vec![Local::Ip(SocketAddrV6::new(*addr, *port, 0, scope).into())];
        }
        let Server::Named(name) = &self.server else { return Ok(()) };
        if self.asked.is_some() || self.answered.is_some_and(|at| now.since(at) < AGAIN) {
            return Ok(());
        }
        let name = name.clone();
        let (ours, theirs) = UnixStream::pair()?;
        let asked = thread::Builder::new().name("resolver".into()).stack_size(STACK).spawn(move || {
            // Signals are the main thread's. Without that one could be lost here, but nothing worse.
            let _ = process::block_all_signals();
            let found = name.to_socket_addrs().map(|all| all.take(ADDRESSES_MAX).collect());
            // Its end is what the other side waits for.
            drop(theirs);
            found
        })?;
        self.asked = Some((asked, ours));
        Ok(())
    }

    /// What becomes readable when an answer is there.
    pub fn pending(&self) -> Option<&UnixStream> {
        self.asked.as_ref().map(|(_, end)| end)
    }

    /// Takes the answer, once [`Addresses::pending`] is readable. An error leaves what was known before.
    pub fn take(&mut self, now: Moment) -> Result<(), String> {
        let Some((asked, _)) = self.asked.take() else { return Ok(()) };
        self.answered = Some(now);
        let Server::Named(name) = &self.server else { return Ok(()) };
        match asked.join() {
            Ok(Ok(found)) if !found.is_empty() => {
                self.known = found.into_iter().map(Local::Ip).collect();
                Ok(())
            }
            Ok(Err(e)) => Err(format!("{name}: {e}; is the name right, and is there a name server?")),
            Ok(Ok(_)) | Err(_) => Err(format!("{name}: no address is known for it")),
        }
    }

    /// As the user wrote it, for the log.
    pub fn shown(&self) -> String {
        match &self.server {
            Server::Named(name) => name.clone(),
            Server::Zoned(addr, port, zone) => format!("[{addr}%{zone}]:{port}"),
            Server::At(local) => shown(local),
        }
    }
}

/// An address as the user writes it.
pub fn shown(local: &Local) -> String {
    match local {
        Local::Ip(addr) => addr.to_string(),
        Local::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child::{Watch, wait};

    #[test]
    fn addresses_are_understood_and_mistakes_named() {
        assert_eq!(Server::parse("10.0.0.1:7070"), Ok(Server::At(Local::Ip("10.0.0.1:7070".parse().unwrap()))));
        assert_eq!(Server::parse("[::1]:1"), Ok(Server::At(Local::Ip("[::1]:1".parse().unwrap()))));
        assert_eq!(Server::parse("unix:/run/x"), Ok(Server::At(Local::Unix("/run/x".into()))));
        assert_eq!(Server::parse("board.local:7070"), Ok(Server::Named("board.local:7070".into())));
        for (text, words) in [
            ("board", "has no port"),
            ("board:http", "is no port"),
            ("board:0", "is no port"),
            ("board:70000", "is no port"),
            (":7070", "is no name of a host"),
            ("http://board:7070", "is no name of a host"),
            ("::1:7070:", "is no port"),
            ("unix:run/x", "begins with /"),
            ("[fe80::1%]:7070", "is no name of a network interface"),
            ("[fe80::1%a/b]:7070", "is no name of a network interface"),
            ("[fe80::1%sixteen-letters-]:7070", "is no name of a network interface"),
            ("[10.0.0.1%eth0]:7070", "is no IPv6 address"),
            ("[fe80::1%eth0]:0", "is no port"),
            ("[fe80::1%eth0]", "is no port"),
            ("fe80::1%eth0:7070", "is no name of a host"),
        ] {
            let what = Server::parse(text).unwrap_err();
            assert!(what.starts_with("--server: ") && what.contains(words), "{text}: {what}");
        }
    }

    #[test]
    fn a_zone_is_the_number_or_the_name_of_an_interface() {
        let at = |text: &str| match Server::parse(text) {
            Ok(Server::At(Local::Ip(SocketAddr::V6(addr)))) => (addr.ip().to_string(), addr.port(), addr.scope_id()),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(at("[fe80::1%3]:7070"), ("fe80::1".into(), 7070, 3));
        let mut addresses = Addresses::new(Server::parse("[::1%lo]:7070").unwrap());
        assert_eq!(addresses.shown(), "[::1%lo]:7070");
        addresses.ask(Moment::from_millis(0)).unwrap();
        let Some(Local::Ip(SocketAddr::V6(addr))) = addresses.turn() else { panic!("{addresses:?}") };
        assert_eq!((addr.ip().is_loopback(), addr.port(), addr.scope_id() > 0), (true, 7070, true));
        let mut gone = Addresses::new(Server::parse("[fe80::1%none-such]:7070").unwrap());
        let why = gone.ask(Moment::from_millis(0)).unwrap_err().to_string();
        assert!(why.contains("none-such"), "{why}");
    }

    #[test]
    fn a_name_is_looked_up_beside_the_loop_and_only_now_and_then() {
        let mut addresses = Addresses::new(Server::parse("localhost:7070").unwrap());
        let at = Moment::from_millis;
        assert_eq!(addresses.turn(), None);
        addresses.ask(at(0)).unwrap();
        let mut watches = [Watch::read(addresses.pending().unwrap())];
        wait(&mut watches, Some(Duration::from_secs(8))).unwrap();
        assert!(watches[0].ready);
        addresses.take(at(10)).unwrap();
        assert!(addresses.count() > 0);
        let first = addresses.turn().unwrap();
        assert!(matches!(first, Local::Ip(addr) if addr.port() == 7070 && addr.ip().is_loopback()));
        addresses.ask(at(5000)).unwrap();
        assert!(addresses.pending().is_none());
        addresses.ask(at(5010)).unwrap();
        assert!(addresses.pending().is_some());
    }
}
