//! What the tests and benchmarks in network namespaces share.
#![allow(dead_code, clippy::disallowed_methods, clippy::print_stdout)]

pub mod cells;
pub mod clients;
pub mod detector;
pub mod relay;
pub mod space;

/// Plays the role that the environment asks for; returns if there is none.
pub fn play_role() {
    match std::env::var(clients::ROLE).as_deref() {
        Ok("victims") => clients::victims(),
        Ok("observer") => clients::observer(),
        Ok("chatter") => clients::chatter(),
        Ok("classic_server") => clients::classic_server(),
        Ok("classic_clients") => clients::classic_clients(),
        Ok("relay") => relay::relay(),
        Ok("detector") => detector::detector(),
        _ => {}
    }
}

/// A folder that goes with this value.
pub struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The real server, and a folder with its settings.
pub fn boatswain(profile: &str, without: &str) -> cells::Server {
    let folder = std::env::temp_dir().join(format!("boatswain-vanish-{}-{profile}{without}", std::process::id()));
    let www = folder.join("www");
    std::fs::create_dir_all(&www).expect("a folder for settings");
    let write = |path: std::path::PathBuf, bytes: &[u8]| std::fs::write(path, bytes).expect("a file");
    write(www.join("page.html"), "x".repeat(1000).as_bytes());
    write(www.join("big.bin"), &vec![b'x'; 10_000_000]);
    let hash = bcrypt::hash_with_result("secret", 4).expect("a hash").format_for_version(bcrypt::Version::TwoY);
    write(folder.join("users"), format!("operator:{hash}\n").as_bytes());
    let settings = format!(
        "listen = [\"0.0.0.0:8080\"]\nwww = \"{folder}/www\"\n[auth]\nusers = \"{folder}/users\"\n\
         [seats]\nmax = 1000\nlinger = \"0s\"\n[liveness]\nprofile = \"{profile}\"\n\
         [chat]\nrate = \"100/s\"\n[limits]\nconnections = 4000\nlink_queue = \"4MiB\"\n",
        folder = folder.display()
    );
    write(folder.join("settings.toml"), settings.as_bytes());
    let file = folder.join("settings.toml").display().to_string();
    cells::Server::Boatswain {
        program: env!("CARGO_BIN_EXE_boatswain").to_owned(),
        arguments: vec!["serve".into(), "-c".into(), file],
        without: without.to_owned(),
        _folder: Folder(folder),
    }
}
