use super::*;

fn asked(line: &str) -> Result<Command, String> {
    parse(line.split_whitespace().map(OsString::from), Environment::new())
}

fn serve(line: &str) -> Source {
    match asked(line) {
        Ok(Command::Serve(source)) => source,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn without_a_command_it_serves() {
    assert_eq!(serve(""), Source::default());
    assert_eq!(serve("serve"), Source::default());
    for line in ["-c b.toml", "serve -cb.toml", "--config=b.toml serve", "serve --config b.toml"] {
        assert_eq!(serve(line).file, Some("b.toml".into()), "{line}");
    }
}

#[test]
fn options_of_serve_become_settings() {
    let source = serve("--listen 127.0.0.1:0 --listen=[::1]:80 --www w --users u --seats 4");
    assert_eq!(
        source.options,
        Options {
            listen: vec!["127.0.0.1:0".into(), "[::1]:80".into()],
            www: Some("w".into()),
            users: Some("u".into()),
            seats: Some("4".into()),
        }
    );
}

#[test]
fn the_other_commands_have_their_arguments() {
    let file = Some(PathBuf::from("b.toml"));
    assert_eq!(asked("check -c b.toml"), Ok(Command::Check(Source { file, ..Source::default() })));
    assert_eq!(asked("passwd users ann"), Ok(Command::Passwd { file: "users".into(), user: "ann".into() }));
    assert_eq!(asked("passwd -- -users- ann"), Ok(Command::Passwd { file: "-users-".into(), user: "ann".into() }));
    for line in ["--help", "-h", "help", "serve --help", "passwd -h", "check --help"] {
        assert_eq!(asked(line), Ok(Command::Help), "{line}");
    }
    for line in ["--version", "-V"] {
        assert_eq!(asked(line), Ok(Command::Version), "{line}");
    }
}

#[test]
fn bad_usage_is_told_in_one_line_that_names_what_is_wrong() {
    for (line, words) in [
        ("sevre", "there is no command \"sevre\""),
        ("--lisen 1", "no option --lisen; did you mean --listen?"),
        ("-x", "no option -x"),
        ("serve extra", "serve takes no argument \"extra\""),
        ("--listen", "--listen needs an address"),
        ("--seats", "--seats needs a number"),
        ("-c", "-c needs the settings file"),
        ("-c a -c b", "twice"),
        ("--www a --www b", "--www was given twice"),
        ("--www=", "empty"),
        ("--demo", "not in this build yet"),
        ("link --server x:1", "not in this build yet: devices come with"),
        ("--tls-cert x", "TLS is not in this version"),
        ("check", "check needs a settings file"),
        ("check -c x --listen y", "check has no option --listen"),
        ("--listen y check -c x", "check has one option"),
        ("passwd", "passwd needs a users file and a name"),
        ("passwd file", "passwd needs a users file and a name"),
        ("passwd file ann secret", "passwd takes no argument"),
        ("passwd -c x file ann", "passwd has no option -c"),
        ("-c x passwd file ann", "passwd has no options"),
        ("--help=x", "help"),
    ] {
        match asked(line) {
            Err(what) => assert!(what.contains(words) && !what.contains('\n'), "{line}: {what}"),
            // `--help=x`: asking for help wrongly is still asking for help.
            Ok(Command::Help) if line.starts_with("--help") => {}
            Ok(other) => panic!("{line}: {other:?}"),
        }
    }
}
