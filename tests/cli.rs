//! The commands that are not the server, run as a user runs them.
#![allow(clippy::unwrap_used)] // the helpers are tests too
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A folder of its own for one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("boatswain-cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run_in(folder: &Path, arguments: &[&str], environment: &[(&str, &str)], stdin: &[u8]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boatswain"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("BOATSWAIN_")) {
        command.env_remove(name);
    }
    let mut child = command
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended before it read anything.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let done = child.wait_with_output().unwrap();
    Said {
        code: done.status.code(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Said {
    run_in(Path::new("/"), arguments, &[], b"")
}

fn one_line(text: &str) -> bool {
    text.ends_with('\n') && text.matches('\n').count() == 1
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for word in
        ["Usage:", "passwd FILE USER", "check -c FILE", "--listen", "--www", "--users", "--seats", "Exit status"]
    {
        assert!(help.out.contains(word), "{word}");
    }
    assert!(help.out.lines().all(|line| line.chars().count() <= 120));
    let version = run(&["--version"]);
    assert_eq!((version.code, version.out), (Some(0), format!("boatswain {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn bad_usage_is_one_line_on_stderr_and_status_2() {
    for (arguments, words) in [
        (&["--lisen", "x"][..], "did you mean --listen?"),
        (&["sevre"], "there is no command"),
        (&["check"], "check needs a settings file"),
        (&["passwd", "x"], "passwd needs a users file and a name"),
        (&["--demo", "check", "-c", "x"], "--demo is an option of serve"),
        (&["link", "--server", "a:1"], "link needs --name"),
        (&["--tls-cert", "x"], "TLS is not in this version"),
    ] {
        let said = run(arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(said.err.starts_with("boatswain: ") && said.err.contains(words) && one_line(&said.err), "{}", said.err);
    }
}

#[test]
fn a_start_with_mistakes_tells_them_on_stderr_with_status_2() {
    for (arguments, words) in [
        (&["--seats", "0"][..], "--seats: seats.max: 0 is out of range"),
        (&["--listen", "nowhere"], "--listen: listen: \"nowhere\" is no address and port"),
        (
            &["--users", "/nowhere/users"],
            "--users: auth.users: \"/nowhere/users\" cannot be read: it does not exist; create it with `boatswain passwd",
        ),
        (&["--www", "/nowhere"], "--www: www: \"/nowhere\" cannot be read: it does not exist; create it"),
        (&["--www", "/etc/passwd"], "--www: www: \"/etc/passwd\" cannot be read: it is no folder"),
        (
            &["-c", "/nowhere.toml"],
            "/nowhere.toml: the settings file cannot be read: it does not exist; check the name after -c",
        ),
        (&["-c", "/"], "it is a folder"),
        (&["-c", "/dev/zero"], "no regular file"),
    ] {
        let said = run(arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(said.err.contains(words) && one_line(&said.err), "{}", said.err);
    }
}

#[test]
fn what_is_said_on_a_terminal_has_nothing_that_moves_its_cursor() {
    let folder = Folder::new("cursor");
    let odd = "a\u{9b}31m\u{202e}b\u{200b}\u{1b}]0;x\u{7}";
    for (settings, arguments) in [
        ("www = \"a\\u0000b\\u001b[31m\\u202e\"\n".to_string(), &["check", "-c", "s.toml"][..]),
        ("listen = [\"\\u0000\\u009b2J\"]\n".into(), &["check", "-c", "s.toml"]),
        (String::new(), &["--www", odd]),
        (String::new(), &["-c", odd]),
        (String::new(), &[odd]),
        (String::new(), &["passwd", odd, "ann"]),
        (String::new(), &["passwd", "users", odd]),
        (String::new(), &["link", "--server", odd, "--name", "x"]),
    ] {
        folder.write("s.toml", &settings);
        let said = run_in(&folder.0, arguments, &[], b"secret-1\n");
        let all = said.out + &said.err;
        assert!(all.contains("\\u{"), "{arguments:?}: {all:?}");
        let bad = |c: char| (c.is_control() && c != '\n') || ('\u{200b}'..='\u{202e}').contains(&c);
        assert!(!all.contains(bad), "{arguments:?}: {all:?}");
    }
}

#[test]
fn check_says_ok_or_every_mistake_on_stdout() {
    let folder = Folder::new("check");
    fs::create_dir(folder.0.join("pages")).unwrap();
    folder.write("users", "");
    folder.write("good.toml", "www = \"pages\"\n[auth]\nusers = \"users\"\nadmins = [\"ann\"]\n");
    let made = run_in(&folder.0, &["passwd", "users", "ann"], &[], b"secret\n");
    assert_eq!(made.code, Some(0), "{}", made.err);
    let said = run_in(&folder.0, &["check", "-c", "good.toml"], &[], b"");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "ok\n", ""));

    folder.write("users", "ann:$apr1$x$y\n");
    folder.write(
        "bad.toml",
        "wwww = \"pages\"\nuser = \"nemo-the-unknown\"\n[auth]\nusers = \"users\"\n[seats]\nmax = \"ten\"\n",
    );
    let environment = [("BOATSWAIN_DRAIN", "2"), ("BOATSWAIN_NONSENSE", "x")];
    let said = run_in(&folder.0, &["check", "-c", "bad.toml"], &environment, b"");
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""));
    let starts: Vec<&str> = said.out.lines().map(|l| l.split(": ").next().unwrap()).collect();
    assert_eq!(
        starts,
        ["bad.toml:1:1", "bad.toml:2:9", "bad.toml:6:8", "users:1:5", "BOATSWAIN_DRAIN"],
        "{}",
        said.out
    );
    assert!(said.out.contains("`boatswain passwd users ann`"), "{}", said.out);
}

#[test]
fn what_is_odd_is_a_warning_and_still_ok() {
    let folder = Folder::new("odd");
    folder.write("users", "# nobody yet\n");
    folder.write("odd.toml", "[auth]\nusers = \"users\"\nadmins = [\"ann\"]\n[limits]\nbody_bytes = \"1KiB\"\n");
    let said = run_in(&folder.0, &["check", "-c", "odd.toml"], &[("BOATSWAIN_SEAT_MAX", "3")], b"");
    assert_eq!((said.code, said.out.as_str()), (Some(0), "ok\n"));
    for words in [
        "did you mean BOATSWAIN_SEATS_MAX?",
        "users names no user",
        "auth.admins: \"ann\" is not in the users file",
        "limits.body_bytes (1KiB) may cut off a text",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[test]
fn a_file_that_is_not_utf8_is_told_with_its_place() {
    let folder = Folder::new("utf8");
    fs::write(folder.0.join("b.toml"), b"www = \"x\"\nuser = \"\xff\"\n").unwrap();
    let said = run_in(&folder.0, &["check", "-c", "b.toml"], &[], b"");
    assert_eq!((said.code, said.out.as_str()), (Some(2), "b.toml:2:9: the file is not UTF-8, as TOML has to be\n"));
}

#[test]
fn what_only_looks_like_a_file_and_waits_for_something_to_tell_is_refused() {
    let folder = Folder::new("waits");
    // a regular file by its mode, in which a reader waits for the next line of the kernel's log
    let settings = folder.write("b.toml", "[auth]\nusers = \"/proc/kmsg\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_boatswain"));
    let mut check = command.args(["check", "-c"]).arg(settings).stdout(Stdio::null()).spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let status = loop {
        match check.try_wait().unwrap() {
            None if std::time::Instant::now() < until => {
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            }
            status => break status,
        }
    };
    let _ = check.kill();
    let _ = check.wait();
    assert_eq!(status.and_then(|s| s.code()), Some(2));
}

#[test]
fn passwd_creates_a_private_file_and_changes_one_line_only() {
    let folder = Folder::new("passwd");
    let file = folder.0.join("users");
    let said = run_in(&folder.0, &["passwd", "users", "ann"], &[], b"secret\n");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "users: user added: ann\n", ""));
    let first = fs::read_to_string(&file).unwrap();
    assert!(first.starts_with("ann:$2y$10$") && one_line(&first), "{first}");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);

    // Somebody else's line, and a mode of its own.
    fs::write(&file, format!("# people\nbob:whatever\n{first}zoe:x")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let said = run_in(&folder.0, &["passwd", "users", "ann"], &[], b"another one\r\n");
    assert_eq!((said.code, said.out.as_str()), (Some(0), "users: password changed: ann\n"));
    let second = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = second.lines().collect();
    assert_eq!((lines[0], lines[1], lines[3]), ("# people", "bob:whatever", "zoe:x"));
    assert!(lines[2].starts_with("ann:$2y$10$") && lines[2] != first.trim_end());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(folder.names(), ["users"], "nothing is left over");
}

#[test]
fn two_hashes_of_one_password_differ() {
    let folder = Folder::new("salt");
    for user in ["ann", "bob"] {
        assert_eq!(run_in(&folder.0, &["passwd", "users", user], &[], b"same").code, Some(0));
    }
    let text = fs::read_to_string(folder.0.join("users")).unwrap();
    let hashes: Vec<&str> = text.lines().map(|l| &l[4..]).collect();
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn passwd_follows_a_link_and_leaves_it_a_link() {
    let folder = Folder::new("link");
    folder.write("real", "");
    symlink("real", folder.0.join("users")).unwrap();
    assert_eq!(run_in(&folder.0, &["passwd", "users", "ann"], &[], b"secret\n").code, Some(0));
    assert!(fs::symlink_metadata(folder.0.join("users")).unwrap().is_symlink());
    assert!(fs::read_to_string(folder.0.join("real")).unwrap().starts_with("ann:"));
}

#[test]
fn passwd_makes_the_file_that_a_link_leads_to() {
    let folder = Folder::new("dangling");
    symlink("real", folder.0.join("users")).unwrap();
    assert_eq!(run_in(&folder.0, &["passwd", "users", "ann"], &[], b"secret\n").code, Some(0));
    assert!(fs::symlink_metadata(folder.0.join("users")).unwrap().is_symlink());
    assert!(fs::read_to_string(folder.0.join("real")).unwrap().starts_with("ann:"));
}

#[test]
fn of_many_runs_at_once_none_undoes_what_another_has_done() {
    let folder = Folder::new("parallel");
    folder.write("real", "# people\n");
    fs::set_permissions(folder.0.join("real"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real", folder.0.join("users")).unwrap();
    // What a run left that was cut off is in nobody's way.
    folder.write(".real.new", "half a li");
    std::thread::scope(|scope| {
        for i in 0..20 {
            let folder = &folder.0;
            scope.spawn(move || {
                let said = run_in(folder, &["passwd", "users", &format!("user-{i}")], &[], b"secret\n");
                assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
            });
        }
    });
    let text = fs::read_to_string(folder.0.join("real")).unwrap();
    for i in 0..20 {
        assert!(text.contains(&format!("\nuser-{i}:$2")), "user-{i} is lost: {text}");
    }
    assert_eq!(text.lines().count(), 21);
    assert_eq!(fs::metadata(folder.0.join("real")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(folder.names(), ["real", "users"]);
}

#[test]
fn a_locked_folder_is_waited_for() {
    let folder = Folder::new("locked");
    let mut flock = Command::new("flock");
    flock.arg(&folder.0).args(["sh", "-c", "echo held; read line"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = flock.spawn().unwrap();
    let mut held = [0; 5];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut held).unwrap();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| run_in(&folder.0, &["passwd", "users", "ann"], &[], b"secret\n"));
        // As long as two other runs take, one after the other.
        let other = Folder::new("not-locked");
        for user in ["ann", "bob"] {
            assert_eq!(run_in(&other.0, &["passwd", "users", user], &[], b"secret\n").code, Some(0));
        }
        assert!(!folder.0.join("users").exists(), "nothing is written while another holds the lock");
        drop(holder.stdin.take());
        assert_eq!(run.join().unwrap().code, Some(0));
    });
    holder.wait().unwrap();
    assert!(fs::read_to_string(folder.0.join("users")).unwrap().starts_with("ann:"));
}

#[test]
fn invisible_characters_are_named_by_check_and_by_passwd() {
    let folder = Folder::new("invisible");
    fs::write(folder.0.join("b.toml"), "\u{feff}# a comment\u{a0}\r\n[seats]\r\nmax = 3\r\n").unwrap();
    let said = run_in(&folder.0, &["check", "-c", "b.toml"], &[], b"");
    assert_eq!((said.code, said.out.as_str()), (Some(0), "ok\n"));
    fs::write(folder.0.join("b.toml"), "[auth]\noperators = [\"an\u{200b}n\"]\n").unwrap();
    let said = run_in(&folder.0, &["check", "-c", "b.toml"], &[], b"");
    let want = "b.toml:2:17: the invisible character U+200B is here; remove it\n";
    assert_eq!((said.code, said.out.as_str()), (Some(2), want));
    let made = run_in(&folder.0, &["passwd", "users", "ann"], &[], "sec\u{a0}ret\n".as_bytes());
    assert_eq!(made.code, Some(2));
    assert!(made.err.contains("the password contains the invisible character U+00A0"), "{}", made.err);
    assert_eq!(run_in(&folder.0, &["passwd", "users", "an\u{200b}n"], &[], b"secret\n").code, Some(2));
    folder.write("users", "an\u{200b}n:$2y$10$abc\n");
    fs::write(folder.0.join("b.toml"), "[auth]\nusers = \"users\"\n").unwrap();
    let said = run_in(&folder.0, &["check", "-c", "b.toml"], &[], b"");
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(2), "users:1:3: the invisible character U+200B is here; remove it\n")
    );
}

#[test]
fn a_token_for_a_name_that_no_device_can_have_is_a_mistake() {
    let folder = Folder::new("tokens");
    for name in ["pump-1", "hall/pump"] {
        assert_eq!(run_in(&folder.0, &["passwd", "tokens", name], &[], b"secret\n").code, Some(0));
    }
    fs::write(folder.0.join("b.toml"), "[devices]\ntokens = \"tokens\"\n").unwrap();
    let said = run_in(&folder.0, &["check", "-c", "b.toml"], &[], b"");
    assert_eq!(said.code, Some(2));
    assert!(said.out.starts_with("tokens:2:1: no device can have this name: ") && one_line(&said.out), "{}", said.out);
}

#[test]
fn passwd_refuses_what_cannot_work_and_changes_nothing() {
    let folder = Folder::new("refused");
    folder.write("users", "bob:x\n");
    let long = [b'x'; 73];
    for (user, password, words) in [
        ("ann", &b""[..], "the password is empty"),
        ("ann", b"\n", "the password is empty"),
        ("ann", &long, "73 bytes"),
        ("ann", b"a\tb\n", "control character"),
        ("ann", b"\xff\n", "not UTF-8"),
        ("logout", b"secret\n", "reserved"),
        ("a:b", b"secret\n", "colon"),
        ("", b"secret\n", "empty"),
        ("*", b"secret\n", "everybody"),
        ("#ann", b"secret\n", "comment"),
    ] {
        let said = run_in(&folder.0, &["passwd", "users", user], &[], password);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{user:?}");
        assert!(said.err.contains(words) && one_line(&said.err), "{user:?}: {}", said.err);
    }
    for (file, words) in [(".", "no regular file"), ("nowhere/users", "create it first"), ("/dev/null", "no regular")] {
        let said = run_in(&folder.0, &["passwd", file, "ann"], &[], b"secret\n");
        assert_eq!(said.code, Some(2), "{file}");
        assert!(said.err.contains(words) && one_line(&said.err), "{file}: {}", said.err);
    }
    assert_eq!(fs::read_to_string(folder.0.join("users")).unwrap(), "bob:x\n");
    assert_eq!(folder.names(), ["users"]);
}

#[test]
fn a_full_disk_at_stdout_is_a_failure_at_run_time() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_boatswain"))
        .arg("--help")
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
