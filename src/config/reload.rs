//! What a reload takes up, by the word that each setting has in the schema.

use super::Config;
use super::schema::{When, slots};

/// The settings that are in force after `read` was read again over `old`, and the paths of those that are written
/// differently now and wait for a restart.
pub fn take_up(old: &Config, mut read: Config) -> (Config, Vec<&'static str>) {
    let mut kept = old.clone();
    // Without these files nobody could be asked for a password: a file that is no longer named opens no door, and where
    // local devices come without a token, they cannot be asked for one by a gate that was never made.
    let users = old.auth.users.is_some() && read.auth.users.is_none();
    let tokens = old.devices.tokens.is_some() != read.devices.tokens.is_some();
    let mut waiting = Vec::new();
    for ((path, when, new), (.., was)) in slots(&mut read).into_iter().zip(slots(&mut kept)) {
        let stays = when == When::Restart
            || match path {
                "auth.users" => users,
                "devices.tokens" => tokens,
                _ => false,
            };
        if stays && new.exchange(was) {
            waiting.push(path);
        }
    }
    (read, waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::documents::other;
    use crate::config::tests::good;

    #[test]
    fn each_setting_alone_is_taken_up_or_waits_as_its_word_says() {
        let old = Config::default();
        for (path, when, _) in slots(&mut Config::default()) {
            let read = other(path);
            assert_ne!(read, old, "{path}: the test has another value for it");
            let (now, waiting) = take_up(&old, read.clone());
            match when {
                When::Restart => assert_eq!((now, waiting), (old.clone(), vec![path]), "{path}"),
                _ if path == "devices.tokens" => assert_eq!((now, waiting), (old.clone(), vec![path]), "{path}"),
                When::Now | When::Links => assert_eq!((now, waiting), (read, vec![]), "{path}"),
            }
        }
    }

    #[test]
    fn what_waits_is_said_until_it_is_written_back() {
        let old = good("[limits]\nconnections = 100\n[control]\npage_after = \"3s\"\n");
        let read = good("listen = [\"127.0.0.1:1\"]\n[limits]\nconnections = 200\n[control]\npage_after = \"4s\"\n");
        let (now, waiting) = take_up(&old, read.clone());
        assert_eq!(waiting, ["listen", "limits.connections"]);
        assert_eq!((now.limits.connections, now.control.page_after.as_secs()), (100, 4));
        assert_eq!(take_up(&now, read).1, waiting);
        assert_eq!(take_up(&now, now.clone()), (now, vec![]));
    }

    #[test]
    fn files_of_passwords_stay_when_they_are_no_longer_named() {
        let old = good("[auth]\nusers = \"u\"\n[devices]\ntokens = \"t\"\n");
        let (now, waiting) = take_up(&old, Config::default());
        assert_eq!((now, waiting), (old.clone(), vec!["auth.users", "devices.tokens"]));
        let (now, waiting) = take_up(&old, good("[auth]\nusers = \"v\"\n[devices]\ntokens = \"w\"\n"));
        assert_eq!((now.auth.users, now.devices.tokens, waiting), (Some("v".into()), Some("w".into()), vec![]));
    }
}
