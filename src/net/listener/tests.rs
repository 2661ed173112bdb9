use super::*;
use crate::engine::driver::Socket as _;
use crate::sys::process::tests::{alone, rerun, rerun_with};
use socket2::{Domain, Socket, Type};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Instant;

fn tcp_any() -> Listener {
    Listener::tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("boatswain-{}-{name}.sock", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

/// A connection that is on its way: on loopback it is there when connect returns, but for the last step of the handshake.
fn accepted(listener: &Listener) -> (Stream, PeerAddr) {
    #[allow(clippy::disallowed_methods)] // The deadline of a test.
    let start = Instant::now();
    loop {
        match listener.accept() {
            Accept::Stream(stream, peer) => return (stream, peer),
            Accept::Empty => assert!(start.elapsed() < Duration::from_secs(10), "nobody came"),
            Accept::Pause(e) => panic!("{e}"),
        }
    }
}

#[test]
fn port_0_becomes_a_real_port_and_connections_come_in() {
    let listener = tcp_any();
    assert_ne!(listener.port(), 0);
    assert_eq!(listener.address().to_string(), format!("127.0.0.1:{}", listener.port()));
    assert!(matches!(listener.accept(), Accept::Empty));
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.port())).unwrap();
    let (stream, peer) = accepted(&listener);
    assert_eq!((stream.kind, peer), (Kind::Tcp, PeerAddr::Ip(Ipv4Addr::LOCALHOST.into())));
    let mut buf = [0; 10];
    assert_eq!(stream.read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.writev(&[io::IoSlice::new(b"hi"), io::IoSlice::new(b"!")], false).unwrap();
    stream.shutdown_write().unwrap();
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "hi!");
    assert!(matches!(listener.accept(), Accept::Empty));
}

#[test]
fn reset_is_heard_as_a_reset() {
    let listener = tcp_any();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.port())).unwrap();
    let (stream, _) = accepted(&listener);
    stream.reset();
    drop(stream);
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_taken_port_is_said() {
    let first = tcp_any();
    let second = Listener::tcp((Ipv4Addr::LOCALHOST, first.port()).into());
    assert_eq!(second.unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn ipv6_listeners_leave_ipv4_alone() {
    if !ipv6_exists() {
        println!("skipped: no IPv6 here");
        return;
    }
    // The IPv4 port would be taken if the IPv6 socket took IPv4 too; that somebody else has it is possible once, not always.
    let v6 = (0..5).find_map(|_| {
        let v6 = Listener::tcp((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        Listener::tcp((Ipv4Addr::UNSPECIFIED, v6.port()).into()).is_ok().then_some(v6)
    });
    let v6 = v6.expect("the IPv4 port beside it is free");
    let _client = TcpStream::connect((Ipv6Addr::LOCALHOST, v6.port())).unwrap();
    assert_eq!(accepted(&v6).1, PeerAddr::Ip(Ipv6Addr::LOCALHOST.into()));
}

#[test]
fn a_mapped_address_is_told_as_the_ipv4_one() {
    if !ipv6_exists() {
        println!("skipped: no IPv6 here");
        return;
    }
    // Passed sockets may take both.
    let both = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    both.set_only_v6(false).unwrap();
    both.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).unwrap();
    both.listen(8).unwrap();
    let listener = Listener::over(both.into()).unwrap();
    let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.port())).unwrap();
    assert_eq!(accepted(&listener).1, PeerAddr::Ip(Ipv4Addr::LOCALHOST.into()));
}

#[test]
fn a_unix_socket_has_mode_0660_and_its_file_goes_with_it() {
    let path = socket_path("mode");
    let listener = Listener::unix(&path).unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o7777, 0o660);
    assert_eq!(listener.address().to_string(), format!("unix:{}", path.display()));
    let mut client = UnixStream::connect(&path).unwrap();
    let (stream, peer) = accepted(&listener);
    assert_eq!((peer, stream.kind, listener.port()), (PeerAddr::Unix, Kind::Unix, 0));
    client.write_all(b"x").unwrap();
    assert_eq!(stream.read(&mut [0; 4]).unwrap(), 1);
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let path = socket_path("stale");
    let live = UnixListener::bind(&path).unwrap();
    let e = Listener::unix(&path).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::AddrInUse);
    drop(live); // std leaves the file behind
    assert!(path.exists());
    let ours = Listener::unix(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    drop(ours);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let path = socket_path("file");
    fs::write(&path, "precious").unwrap();
    assert_eq!(Listener::unix(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    fs::remove_file(&path).unwrap();
}

#[test]
fn the_socket_file_of_another_server_is_not_removed() {
    let path = socket_path("other");
    let ours = Listener::unix(&path).unwrap();
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap(); // keeps our inode in use, so that the other one is another
    let _other = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
    fs::remove_file(&path).unwrap();
    fs::remove_file(&aside).unwrap();
}

#[test]
fn without_descriptors_the_listener_pauses_and_the_visitor_is_served_later() {
    if !alone() {
        rerun(
            "net::listener::tests::without_descriptors_the_listener_pauses_and_the_visitor_is_served_later",
            "ulimit -n 32;",
        );
        return;
    }
    let listener = tcp_any();
    let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.port())).unwrap();
    let mut hogs: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).take(64).collect();
    assert!(hogs.len() < 64, "the limit is not in force");
    let Accept::Pause(e) = listener.accept() else { panic!("accepted without a descriptor") };
    assert!(e.to_string().contains("Too many open files"), "{e}");
    hogs.pop();
    accepted(&listener);
}

#[test]
fn only_listening_stream_sockets_are_taken_over() {
    let (one, _other) = UnixStream::pair().unwrap();
    assert_eq!(Listener::over(one.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert_eq!(Listener::over(datagrams.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
    let file = File::open("/dev/null").unwrap();
    assert_eq!(Listener::over(file.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn passed_sockets_are_sorted_by_name() {
    let socket = || OwnedFd::from(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let named = |names: &[&str]| Passed::sort(names.iter().map(|n| (socket(), n.to_string())).collect());
    let passed = named(&["web", "", "devices", "unknown", "boatswain.socket"]).unwrap();
    assert_eq!((passed.web.len(), passed.devices.len()), (4, 1));
    let complaint = named(&["wbe"]).unwrap_err();
    assert!(complaint.contains("`wbe`") && complaint.contains("FileDescriptorName="), "{complaint}");
    let (one, _other) = UnixStream::pair().unwrap();
    let complaint = Passed::sort(vec![(one.into(), "web".into())]).unwrap_err();
    assert!(complaint.contains("not a listening stream socket"), "{complaint}");
}

#[test]
fn sockets_passed_by_a_supervisor_are_taken_once() {
    let name = "net::listener::tests::sockets_passed_by_a_supervisor_are_taken_once";
    if !alone() {
        // A shell keeps its process number through exec, as systemd's child does. Here both sockets are the same one.
        let socket = tcp_any();
        let setup = "exec 3<&0 4<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:devices";
        rerun_with(name, &format!("{setup} PORT={};", socket.port()), socket.fd.try_clone().unwrap().into());
        return;
    }
    let passed = Passed::take().unwrap();
    let (web, devices) = (&passed.web[0], &passed.devices[0]);
    let port = std::env::var("PORT").unwrap().parse().unwrap();
    assert_eq!((web.port(), devices.port()), (port, port));
    let flags = fs::read_to_string(format!("/proc/self/fdinfo/{}", web.as_raw_fd())).unwrap();
    let flags = flags.lines().find_map(|l| l.strip_prefix("flags:")).unwrap().trim().to_owned();
    let flags = u32::from_str_radix(&flags, 8).unwrap();
    assert_eq!(flags & 0o2004000, 0o2004000, "close-on-exec and non-blocking");
    let again = Passed::take().unwrap();
    assert!(again.web.is_empty() && again.devices.is_empty());
    assert!(std::env::vars().all(|(key, _)| !key.starts_with("LISTEN_")));
}
