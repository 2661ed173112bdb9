//! What is taken and what is refused.

use super::*;
use serde_json::json;

fn pump() -> Describe {
    let value = json!({
        "commands": {
            "start": {},
            "speed": {"args": {"rpm": {"type": "number", "min": 0, "max": 3000}}},
            "mode": {"args": {
                "to": {"type": "string", "choices": ["eco", "boost"]},
                "level": {"type": "integer", "optional": true},
                "soft": {"type": "boolean", "optional": true},
                "gear": {"choices": [1, "r"], "optional": true},
            }},
            "stop": {"anyone": true},
        },
        "telemetry": {"rpm": "1/min"},
    });
    Describe::parse(&value).unwrap()
}

fn check(command: &str, args: Value) -> Result<(), String> {
    pump().command(command).unwrap().check(&Args::new(Some(args)).unwrap())
}

#[test]
fn arguments_that_fit_pass() {
    for (command, args) in [
        ("start", json!({})),
        ("stop", Value::Null),
        ("speed", json!({"rpm": 0})),
        ("speed", json!({"rpm": 3000})),
        ("speed", json!({"rpm": 41.5})),
        ("mode", json!({"to": "eco"})),
        ("mode", json!({"to": "boost", "level": -3, "soft": false, "gear": "r"})),
        ("mode", json!({"to": "boost", "gear": 1.0})),
    ] {
        assert_eq!(check(command, args.clone()), Ok(()), "{command} {args}");
    }
    assert!(pump().command("stop").unwrap().anyone && !pump().command("start").unwrap().anyone);
}

#[test]
fn every_argument_that_does_not_fit_is_refused_by_name_with_the_remedy() {
    for (command, args, says) in [
        ("start", json!({"x": 1}), "takes none"),
        ("speed", json!({}), "\"rpm\" is missing"),
        ("speed", json!({"rpm": null}), "a number from 0 to 3000"),
        ("speed", json!({"rpm": "900"}), "is \"900\"; it has to be a number"),
        ("speed", json!({"rpm": -0.1}), "from 0 to 3000"),
        ("speed", json!({"rpm": 3000.1}), "from 0 to 3000"),
        ("speed", json!({"rpm": 1, "Rpm": 1}), "there is no argument \"Rpm\"; there are rpm"),
        ("mode", json!({"to": "turbo"}), "one of \"eco\", \"boost\""),
        ("mode", json!({"to": "eco", "level": 1.5}), "a whole number"),
        ("mode", json!({"to": "eco", "level": 1e300}), "a whole number"),
        ("mode", json!({"to": "eco", "soft": 1}), "true or false"),
        ("mode", json!({"to": "eco", "gear": true}), "one of 1, \"r\""),
    ] {
        let found = check(command, args.clone()).expect_err(&args.to_string());
        assert!(found.contains(says), "{args}: {found}");
    }
    assert_eq!(Args::new(Some(json!([1]))), None);
    let text = Describe::parse(&json!({"commands": {"say": {"args": {"text": {"type": "string"}}}}})).unwrap();
    let long = Args::new(Some(json!({"text": "x".repeat(ARGS_TEXT_MAX)}))).unwrap();
    assert!(text.command("say").unwrap().check(&long).unwrap_err().contains("bytes"));
}

#[test]
fn a_description_that_cannot_be_meant_is_refused() {
    for (value, says) in [
        (json!([]), "an object"),
        (json!({"commands": []}), "`describe.commands`"),
        (json!({"commands": {"": {}}}), "is no name for a command"),
        (json!({"commands": {"a\n": {}}}), "is no name for a command"),
        (json!({"commands": {"go": true}}), "\"go\" has to be an object"),
        (json!({"commands": {"go": {"anyone": "yes"}}}), "`anyone` has to be true or false"),
        (json!({"commands": {"go": {"args": {"x": {}}}}}), "`type` has to be"),
        (json!({"commands": {"go": {"args": {"x": {"type": "float"}}}}}), "`type` has to be"),
        (json!({"commands": {"go": {"args": {"x": {"type": "string", "min": 1}}}}}), "numbers only"),
        (json!({"commands": {"go": {"args": {"x": {"type": "number", "min": 2, "max": 1}}}}}), "nothing fits"),
        (json!({"commands": {"go": {"args": {"x": {"choices": []}}}}}), "`choices`"),
        (json!({"telemetry": ["rpm"]}), "`describe.telemetry`"),
        (json!({"note": "x".repeat(TEXT_MAX)}), "bytes"),
        (json!({"telemetry": {"t": {"innerHTML": "<meta http-equiv=refresh content=0>"}}}), "the unit of \"t\" is {"),
        (json!({"telemetry": {"t": {"children": 1}}}), "has to be a string of at most 64 bytes"),
        (json!({"telemetry": {"t": ["C"]}}), "the unit of \"t\""),
        (json!({"telemetry": {"t": null}}), "the unit of \"t\" is null"),
        (json!({"telemetry": {"t": "x".repeat(NAME_MAX + 1)}}), "the unit of \"t\""),
        (json!({"telemetry": {"t": "C\u{202e}"}}), "invisible"),
        (json!({"telemetry": {"t\u{200b}": "C"}}), "is no name for a value"),
        (json!({"telemetry": {"t".repeat(NAME_MAX + 1): "C"}}), "is no name for a value"),
        (
            json!({"telemetry": (0..=VALUES_MAX).map(|i| (i.to_string(), "C".into())).collect::<Map<_, _>>()}),
            "257 names",
        ),
        (json!({"commands": many(COMMANDS_MAX + 1, json!({}))}), "65 commands"),
        (
            json!({"commands": {"go": {"args": many(ARGS_MAX + 1, json!({"type": "number"}))}}}),
            "\"go\" has 33 arguments",
        ),
        (json!({"commands": {"go": {"args": []}}}), "`args` of the command \"go\""),
        (json!({"commands": {"go\u{2066}": {}}}), "is no name for a command"),
        (json!({"commands": {"go": {"args": {"x\u{feff}": {"type": "number"}}}}}), "is no name for an argument"),
        (
            json!({"commands": {"go": {"args": {"x": {"type": {"innerHTML": "<b>"}}}}}}),
            "argument \"x\" of \"go\": `type`",
        ),
        (
            json!({"commands": {"go": {"args": {"x": {"type": "number", "min": "0"}}}}}),
            "argument \"x\" of \"go\": `min`",
        ),
        (json!({"commands": {"go": {"args": {"x": {"type": "number", "optional": 1}}}}}), "`optional`"),
        (json!({"commands": {"go": {"args": {"x": {"choices": (0..5000).collect::<Vec<_>>()}}}}}), "bytes"),
        (json!({"commands": {"go": {"args": {"x": {"choices": (0..65).collect::<Vec<_>>()}}}}}), "1 to 64 values"),
        (json!({"commands": {"go": {"args": {"x": {"choices": ["a", {"innerHTML": "<b>"}]}}}}}), "is no choice"),
        (json!({"commands": {"go": {"args": {"x": {"choices": [null]}}}}}), "null is no choice"),
        (
            json!({"commands": {"go": {"args": {"x": {"type": "string", "choices": ["a", 1]}}}}}),
            "the choice 1 does not fit",
        ),
        (json!({"commands": {"go": {"args": {"x": {"type": "integer", "max": 2, "choices": [3]}}}}}), "the choice 3"),
    ] {
        let found = Describe::parse(&value).expect_err(&value.to_string());
        assert!(found.contains(says), "{value}: {found}");
    }
}

fn many(n: usize, each: Value) -> Map<String, Value> {
    (0..n).map(|i| (format!("n{i}"), each.clone())).collect()
}

#[test]
fn pages_get_what_is_known_here_and_nothing_else() {
    let known = json!({
        "commands": {
            "__proto__": {"args": {"constructor": {"type": "number", "min": 0, "max": 1e300, "optional": true}}},
            "gear": {"args": {"to": {"choices": [1, 2.5, "<b>r</b>", false]}}},
            "stop": {"anyone": true},
            "start": {},
        },
        "telemetry": {"toString": "", "rpm": "1/min", "\u{645}\u{6cc}\u{200c}\u{62e}": "<i>"},
    });
    let shown = |value: &Value| Describe::parse(value).unwrap().text().to_string();
    assert_eq!(serde_json::from_str::<Value>(&shown(&known)).unwrap(), known);
    let mut more = known.clone();
    more["innerHTML"] = json!("<b>");
    more["confirms_safe"] = json!(true);
    more["commands"]["start"] =
        json!({"children": 1, "hold": {"ms": 400}, "confirm": true, "anyone": false, "args": {}});
    more["commands"]["gear"]["args"]["to"]["style"] = json!("position:fixed");
    assert_eq!(shown(&more), shown(&known), "unknown names, and what says nothing, are not passed on");
    assert_eq!(shown(&json!({"commands": {}, "telemetry": {}, "x": 1})), "{}");
    assert_eq!(shown(&serde_json::from_str(&shown(&known)).unwrap()), shown(&known));
}

#[test]
fn numbers_are_shown_as_they_were_written_and_compared_as_numbers() {
    let rpm = json!({"commands": {"speed": {"args": {"rpm": {"type": "number", "min": -5, "max": 1e300}}}}});
    let rpm = Describe::parse(&rpm).unwrap();
    let check = |n: Value| rpm.command("speed").unwrap().check(&Args::new(Some(json!({"rpm": n}))).unwrap());
    assert_eq!((check(json!(-5)), check(json!(1e300))), (Ok(()), Ok(())));
    assert!(check(json!(1e301)).unwrap_err().contains("from -5 to 1e+300"), "{:?}", check(json!(1e301)));
}

#[test]
fn equal_arguments_have_one_text() {
    let text = |s: &str| Args::new(Some(serde_json::from_str(s).unwrap())).unwrap().text();
    assert_eq!(text(r#"{"b":1,"a":"x"}"#), text(r#"{ "a":"x", "b":1 }"#));
}
