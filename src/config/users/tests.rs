use super::*;

/// Made by crypt(3) of a Linux system: password, hash.
const BY_CRYPT: &[(&str, &str)] = &[
    ("secret", "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi."),
    ("pässword", "$5$saltstring$cRBhKSfYzTy7ht1J5qVPFV0KZImJ0U5L5Ezw0UdIOW4"),
    ("secret", "$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz."),
    ("secret", "$5$rounds=1000$abc$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8"),
    (
        "pässword",
        "$6$rounds=1234$0123456789abcdef$d8EPE9AxNqmWxENaJ/i0ozYqsgvh9hkYkvC/KRZ1qliHj.OSh53bbVY.Aa.kFT/DyPP99oaELsrxrnt77QbJc0",
    ),
    (
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "$5$rounds=1000$abc$U0a3rnve4uDz/TnjfBUykaz/PBW1GETUJkfwEWBBvlA",
    ),
    ("", "$5$rounds=1000$abc$sP9FmVrTEqPcRDE7OxGDY0efugGF1dtCtqYcUsX9wmD"),
    ("secret", "$5$$o1w7HPzHt8gHmL5zUzDkRqt6Az.BjDfkvuDNNLWnXx5"),
    ("secret", "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
    ("secret", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
    ("secret", "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
    ("pässword", "$2y$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG"),
    ("", "$2y$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
];

const EIGHTY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const EIGHTY_BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuuBzzIgyKkz7xMWYSzkIjUSnxEQFQ0WNe";
const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

#[test]
fn hashes_of_the_systems_crypt_are_verified_and_nothing_else_fits_them() {
    for (password, text) in BY_CRYPT {
        let hash = Hash::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(hash.verify(password.as_bytes()), "{password:?} must fit {text}");
        assert!(!hash.verify(format!("{password}x").as_bytes()), "{password:?} and an x must not fit {text}");
        assert!(!hash.verify(b"Secret"), "{text}");
    }
}

#[test]
fn a_hash_is_written_as_it_was_read() {
    for (_, text) in BY_CRYPT {
        let hash = Hash::parse(text).unwrap();
        assert_eq!(Hash::parse(&hash.to_string()).unwrap(), hash, "{text}");
    }
    assert_eq!(Hash::parse(SECRET).unwrap().to_string(), SECRET);
}

#[test]
fn bcrypt_looks_at_72_bytes_and_a_password_ends_at_its_first_nul() {
    let hash = Hash::parse(EIGHTY_BCRYPT).unwrap();
    assert!(hash.verify(EIGHTY.as_bytes()));
    assert!(hash.verify(&EIGHTY.as_bytes()[..72]));
    assert!(!hash.verify(&EIGHTY.as_bytes()[..71]));
    assert!(Hash::parse(SECRET).unwrap().verify(b"secret\0more"));
    assert!(!Hash::parse(SECRET).unwrap().verify(b"secre\0t"));
}

#[test]
fn a_very_long_password_never_fits_and_costs_no_more_than_a_long_one() {
    // Its work grows with the square: unbounded, this would take minutes in a debug build.
    let hash = Hash::parse(BY_CRYPT[3].1).unwrap();
    assert!(!hash.verify(&vec![b'x'; 1 << 20]));
}

#[test]
fn a_new_hash_fits_its_password() {
    let hash = Hash::new("correct horse", *b"0123456789abcdef").unwrap();
    assert!(hash.verify(b"correct horse") && !hash.verify(b"correct horsf"));
    assert!(hash.to_string().starts_with("$2y$10$"));
    assert_eq!(Hash::parse(&hash.to_string()).unwrap(), hash);
    assert_ne!(Hash::new("correct horse", *b"0123456789abcdeF").unwrap(), hash);
}

#[test]
fn a_password_that_cannot_work_is_refused() {
    for (password, why) in [("", "empty"), (&EIGHTY[..73], "73 bytes"), ("a\tb", "control character")] {
        let what = Hash::new(password, [0; 16]).unwrap_err();
        assert!(what.contains(why), "{what}");
    }
    assert!(Hash::new(&EIGHTY[..72], [0; 16]).is_ok());
}

#[test]
fn the_one_time_password_fits_itself_only_and_is_never_shown() {
    let hash = Hash::OneTime("k3x9-w2ab".into());
    assert!(hash.verify(b"k3x9-w2ab"));
    for wrong in [&b"k3x9-w2aB"[..], b"", b"k3x9-w2a", b"k3x9-w2abb", b"k3x9-w2abk3x9-w2ab"] {
        assert!(!hash.verify(wrong));
    }
    assert!(!Hash::OneTime(String::new()).verify(b""));
    assert!(!format!("{hash:?}{hash}").contains("k3x9"));
}

#[test]
fn other_kinds_of_hash_are_refused_by_name_with_line_column_and_remedy() {
    for (hash, name) in [
        ("$apr1$abcdefgh$xxxxxxxxxxxxxxxxxxxxxx", "$apr1$"),
        ("$1$abcdefgh$xxxxxxxxxxxxxxxxxxxxxx", "MD5"),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA-1"),
        ("{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "LDAP"),
        ("abJnggxhB/yWI", "DES"),
        ("secret", "plain password"),
        ("board:5f4dcc3b5aa765d61d8327deb882cf99", "htdigest"),
        ("$y$j9T$abc$def", "yescrypt"),
        ("$argon2id$v=19$m=1,t=1,p=1$a$b", "Argon2"),
        ("$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "$2x$"),
        ("$99$x", "unknown kind"),
        ("", "missing"),
        ("$2y$16$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "cost 16"),
        ("$2y$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "damaged"),
        ("$2y$4$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "damaged"),
        ("$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIr", "damaged"),
        ("$2y$04$abcdefghijklmnopqrstu!2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "damaged"),
        ("$2y$04", "damaged"),
        ("$5$rounds=1000001$abc$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8", "1000001 rounds"),
        ("$5$rounds=99999999999$abc$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8", "rounds"),
        ("$5$rounds=999$abc$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8", "damaged"),
        ("$5$rounds=$abc$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8", "damaged"),
        ("$5$12345678901234567$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8", "damaged"),
        ("$6$abc$Mz4DiYKTnNKbZLo/mIp3d8Y4aQBhv3uhSwxLDy55/Y8", "damaged"),
    ] {
        let text = format!("# users\nann:{SECRET}\nbéa:{hash}\n");
        let mistakes = Users::parse(text.as_bytes()).unwrap_err();
        let [(line, column, what)] = mistakes.as_slice() else { panic!("{hash}: {mistakes:?}") };
        assert_eq!((*line, *column), (3, 5), "{hash}");
        assert!(what.contains(name) && what.contains("boatswain passwd FILE béa"), "{hash}: {what}");
    }
}

#[test]
fn names_that_cannot_work_are_refused_and_every_mistake_is_told() {
    let text =
        format!("ann:{SECRET}\n:{SECRET}\nlogout:{SECRET}\nann:{SECRET}\nno colon\n*:{SECRET}\na\u{1}b:{SECRET}\n");
    let mistakes = Users::parse(text.as_bytes()).unwrap_err();
    let found: Vec<(usize, &str)> = mistakes.iter().map(|(line, _, what)| (*line, what.as_str())).collect();
    for (i, (line, word)) in
        [(2, "empty"), (3, "reserved"), (4, "already in line 1"), (5, "no colon"), (6, "everybody"), (7, "control")]
            .into_iter()
            .enumerate()
    {
        assert_eq!(found[i].0, line);
        assert!(found[i].1.contains(word), "{found:?}");
    }
    assert_eq!(found.len(), 6);
    let long = format!("{}:{SECRET}", "x".repeat(65));
    assert!(Users::parse(long.as_bytes()).unwrap_err()[0].2.contains("65 bytes"));
    assert!(Users::parse(b"ann\xff:x").unwrap_err()[0].2.contains("UTF-8"));
    assert!(Users::parse(&vec![b'\n'; FILE_BYTES_MAX + 1]).unwrap_err()[0].2.contains("256 KiB"));
}

#[test]
fn no_name_is_taken_that_would_never_be_typed_alike() {
    for (line, column) in [
        (format!("an\u{200b}n:{SECRET}"), 3),
        (format!("\u{a0}ann:{SECRET}"), 1),
        (format!("ann:{SECRET}\u{a0}"), 65),
        (format!("\u{202e}nna:{SECRET}"), 1),
        (format!("a\u{85}nn:{SECRET}"), 2),
        (format!("ann\r:{SECRET}"), 4),
    ] {
        let mistakes = Users::parse(format!("# users\r\n{line}\r\n").as_bytes()).unwrap_err();
        let [(row, at, what)] = mistakes.as_slice() else { panic!("{mistakes:?}") };
        assert_eq!((*row, *at), (2, column), "{what}");
        assert!(what.contains("character U+"), "{what}");
    }
    let wide: Vec<u8> = format!("ann:{SECRET}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Users::parse(&[b"\xff\xfe", &*wide].concat()).unwrap_err()[0].2.contains("UTF-16"));
    assert!(Users::parse(&wide).unwrap_err()[0].2.contains("NUL"));
    for name in [" ann", "ann ", "an\u{200d}n", "a #\u{200b}"] {
        assert!(name_fault(name).is_some(), "{name:?}");
    }
}

#[test]
fn users_are_found_by_name_whatever_the_order_and_the_line_ends() {
    let text = format!("zoe:{SECRET}\r\n\r\n# a comment\r\nann smith:{SECRET}\nbob:{SECRET} ");
    let users = Users::parse(text.as_bytes()).unwrap();
    for name in ["zoe", "ann smith", "bob"] {
        assert_eq!(&*users.get(name).unwrap().name, name);
    }
    assert!(users.get("ann").is_none() && users.get("").is_none() && users.get("# a comment").is_none());
    assert_eq!(users.len(), 3);
    assert!(Users::parse(b"").unwrap().is_empty());
    let text = format!("\u{feff}ann:{SECRET}\r\n  # a comment with \u{a0}\n\tbob : {SECRET} \t\n");
    let users = Users::parse(text.as_bytes()).unwrap();
    assert!(users.get("ann").is_some() && users.get("bob").is_some() && users.len() == 2, "{users:?}");
}

#[test]
fn the_decoy_is_of_the_most_common_kind_in_the_file_and_fits_nothing() {
    let (sha, bcrypt) = (BY_CRYPT[3].1, "$2y$05$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW");
    let users = Users::parse(format!("a:{sha}\nb:{SECRET}\nc:{bcrypt}\n").as_bytes()).unwrap();
    assert_eq!(users.decoy().cost(), Cost::Bcrypt(5));
    let users = Users::parse(format!("a:{sha}\nb:{bcrypt}\nc:{bcrypt}\nd:{sha}\ne:{sha}\n").as_bytes()).unwrap();
    assert_eq!(users.decoy().cost(), Cost::Sha(Sha::Sha256, 1000), "three of five");
    let users = Users::parse(format!("a:{sha}\nb:{bcrypt}\n").as_bytes()).unwrap();
    assert_eq!(users.decoy().cost(), Cost::Bcrypt(5), "of as many of each the costliest");
    let users = Users::parse(format!("a:{sha}\n").as_bytes()).unwrap();
    assert_eq!(users.decoy().cost(), Cost::Sha(Sha::Sha256, 1000));
    let once = Users::single("operator", Hash::OneTime("x".into()));
    for hash in [users.decoy(), once.decoy()] {
        assert!(!hash.verify(b"") && !hash.verify(b"secret") && !hash.verify(b"\0"));
    }
    assert_eq!(Users::default().decoy().cost(), Cost::Bcrypt(10));
}

#[test]
fn every_reading_of_the_file_has_the_next_number() {
    let first = Users::default();
    let second = Users::default().after(&first);
    assert_eq!((first.generation(), second.generation(), Users::default().after(&second).generation()), (0, 1, 2));
}
