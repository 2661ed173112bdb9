use super::*;

fn asked(line: &str) -> Result<Command, String> {
    parse(line.split_whitespace().map(OsString::from), Environment::new())
}

fn serve(line: &str) -> Source {
    match asked(line) {
        Ok(Command::Serve(Start { source, demo: false })) => source,
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
fn the_demo_is_asked_for_with_the_server() {
    for line in ["--demo", "serve --demo", "--demo serve"] {
        assert_eq!(asked(line), Ok(Command::Serve(Start { demo: true, ..Start::default() })), "{line}");
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
fn all_after_the_two_dashes_is_the_command_of_link() {
    let line = "link --server=unix:/run/d.sock --name pump-1 --token-file t -- sh -c --server -- x";
    let Ok(Command::Link(options)) = asked(line) else { panic!("{:?}", asked(line)) };
    assert_eq!(options.server, Server::parse("unix:/run/d.sock").unwrap());
    assert_eq!((options.name.as_str(), options.token_file), ("pump-1", Some("t".into())));
    assert_eq!(options.command, ["sh", "-c", "--server", "--", "x"]);
    let Ok(Command::Link(options)) = asked("link --name a --server b:1") else { panic!() };
    assert_eq!((options.token_file, options.command), (None, vec![]));
    assert_eq!(asked("link --help"), Ok(Command::Help));
}

#[test]
fn bad_usage_is_told_in_one_line_that_names_what_is_wrong() {
    for (line, words) in [
        ("sevre", "there is no command \"sevre\""),
        ("--lisen 1", "no option --lisen; did you mean --listen?"),
        ("check -c a --seats 4", "check has no option --seats (see"),
        ("-x", "no option -x"),
        ("serve extra", "serve takes no argument \"extra\""),
        ("--listen", "--listen needs an address"),
        ("--seats", "--seats needs a number"),
        ("-c", "-c needs the settings file"),
        ("-c a -c b", "twice"),
        ("--www a --www b", "--www was given twice"),
        ("--www=", "empty"),
        ("--demo passwd u ann", "--demo is an option of serve, not of passwd"),
        ("--demo link --server x:1 --name a", "options of link come after `link`"),
        ("link --server x:1", "link needs --name"),
        ("link --name x", "link needs --server"),
        ("link --server x --name a", "--server: \"x\" has no port"),
        ("link --server x:1 --name a/b", "--name: the name has to have"),
        ("link --server x:1 --server y:1", "--server was given twice"),
        ("link --server x:1 --name a cat", "write -- before COMMAND: ... -- cat"),
        ("link --server x:1 --name a --", "no COMMAND after --"),
        ("link --sever x:1", "link has no option --sever"),
        ("-c x link --server x:1 --name a", "options of link come after `link`"),
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
