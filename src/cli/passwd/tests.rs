use super::*;

fn line(old: &str, user: &str) -> String {
    String::from_utf8(with_line(old.as_bytes(), user, "NEW").0).unwrap()
}

#[test]
fn only_the_line_of_that_user_changes() {
    for (old, new) in [
        ("", "ann:NEW\n"),
        ("bob:x\n", "bob:x\nann:NEW\n"),
        ("bob:x", "bob:x\nann:NEW\n"),
        ("ann:x\nbob:y\n", "ann:NEW\nbob:y\n"),
        ("# people\r\n\r\nann:x\r\nbob:y\r\n", "# people\r\n\r\nann:NEW\nbob:y\r\n"),
        ("annette:x\n#ann:x\nan:y\n", "annette:x\n#ann:x\nan:y\nann:NEW\n"),
        ("ann:x\nbob:y\nann:z\n", "ann:NEW\nbob:y\n"),
        ("bob:y\nann:x", "bob:y\nann:NEW\n"),
        ("\u{feff}ann:x\r\nbob:y\r\n", "ann:NEW\nbob:y\r\n"),
        ("bob:y\n ann : x\n", "bob:y\nann:NEW\n"),
    ] {
        assert_eq!(line(old, "ann"), new, "{old:?}");
    }
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    assert_eq!(with_line(b"\xff\xfe:x\n", "ann", "NEW"), (b"\xff\xfe:x\nann:NEW\n".to_vec(), false));
}

#[test]
fn whether_the_user_was_there_is_known() {
    assert!(with_line(b"ann:x\n", "ann", "NEW").1);
    assert!(!with_line(b"annx:x\n", "ann", "NEW").1);
}
