//! `boatswain pump`: a pump that does not exist, for `--demo` and for trying things out. It is an ordinary program on
//! standard input and output, and becomes a device by `boatswain link`, as anybody's would.
//!
//! It has speed, temperature and flow, a safe state (it runs down), an emergency stop that anybody may press, and it trips
//! when it gets too hot. Never does: anything that a program of a user could not do.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::say::{FAILED, fail};
use crate::link::lines::{DeviceLine, LineBuffer, Raw, ServerLine};
use crate::msg::Moment;
use crate::net::clock;
use crate::sys::child::{Watch, wait};

/// What it says first.
const DESCRIBE: &str = concat!(
    r#"{"describe":{"commands":{"start":{},"speed":{"args":{"rpm":{"type":"number","min":0,"max":3000}}},"#,
    r#""cooling":{"args":{"fan":{"type":"string","choices":["off","slow","fast"]}}},"stop":{"anyone":true}},"#,
    r#""telemetry":{"rpm":"1/min","temp":"°C","flow":"l/min","state":""}}}"#
);

/// A step of the simulation, and the time between two lines of telemetry while anything moves.
const STEP: Duration = Duration::from_millis(200);

/// The time between two lines of telemetry at rest.
const AT_REST: Duration = Duration::from_secs(1);

/// Runs until the end of standard input.
pub fn run() -> ExitCode {
    match pump() {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody listens any more: the same as the end of the input.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => fail(FAILED, &format!("pump: {e}; it is run by boatswain link ... -- boatswain pump")),
    }
}

#[allow(clippy::disallowed_methods)] // it is a program behind boatswain link: its lines are for no person
fn pump() -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    writeln!(output, "{DESCRIBE}")?;
    let mut pump = Pump::new(clock::read().mono);
    let (mut lines, mut buffer) = (LineBuffer::default(), [0; 4096]);
    let mut next = pump.now;
    loop {
        let now = clock::read().mono;
        pump.advance(now);
        if now >= next {
            writeln!(output, "{}", pump.telemetry())?;
            next = now + if pump.is_at_rest() { AT_REST } else { STEP };
        }
        let mut watch = [Watch::read(&input)];
        wait(&mut watch, Some(next.since(now)))?;
        if !watch[0].ready {
            continue;
        }
        let n = input.read(&mut buffer)?;
        if n == 0 {
            // A real pump would be run down here, before the program ends.
            return Ok(());
        }
        lines.feed(&buffer[..n]);
        while let Some(line) = lines.line() {
            let Ok(line) = line else { continue };
            pump.advance(clock::read().mono);
            if let Some(reply) = pump.handle(&line) {
                let mut line = Vec::new();
                reply.write(&mut line);
                line.push(b'\n');
                output.write_all(&line)?;
            }
            next = pump.now;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Runs down or stands; `start` starts it.
    Stopped,
    Running,
    /// It went to its safe state by itself or was sent there.
    Safe,
    /// Too hot: has to cool down first.
    Tripped,
}

/// The simulation. Time comes in as a value.
struct Pump {
    now: Moment,
    state: State,
    /// What was asked for; it turns so fast while running.
    wanted: f64,
    rpm: f64,
    temp: f64,
    /// Degrees a second and degree above the room.
    cooling: f64,
}

/// Change of speed in revolutions a minute, each second.
const RAMP: f64 = 600.0;
const ROOM: f64 = 21.0;
const TRIPS_AT: f64 = 80.0;
const STARTS_BELOW: f64 = 60.0;
const STILL: f64 = 0.02;

impl Pump {
    fn new(now: Moment) -> Pump {
        Pump { now, state: State::Stopped, wanted: 1200.0, rpm: 0.0, temp: ROOM, cooling: STILL }
    }

    fn advance(&mut self, now: Moment) {
        let mut left = now.since(self.now).as_secs_f64();
        self.now = now;
        while left > 0.0 {
            let step = left.min(STEP.as_secs_f64());
            left -= step;
            let target = if self.state == State::Running { self.wanted } else { 0.0 };
            self.rpm += (target - self.rpm).clamp(-RAMP * step, RAMP * step);
            // 3000/min without a fan settles at about 96 degrees: too hot
            self.temp += (self.rpm / 2000.0 - (self.temp - ROOM) * self.cooling) * step;
            if self.temp >= TRIPS_AT {
                self.state = State::Tripped;
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.rpm < 1.0 && self.temp < ROOM + 0.5
    }

    fn telemetry(&self) -> Value {
        let tenth = |v: f64| (v * 10.0).round() / 10.0;
        let state = match self.state {
            State::Stopped => "stopped",
            State::Running => "running",
            State::Safe => "safe",
            State::Tripped => "too hot",
        };
        json!({"telemetry": {
            "rpm": self.rpm.round(), "temp": tenth(self.temp), "flow": tenth(self.rpm / 60.0), "state": state
        }})
    }

    /// What to answer to a line of the server's or of `boatswain link`.
    fn handle(&mut self, line: &[u8]) -> Option<DeviceLine<'static>> {
        match ServerLine::read(line).ok()? {
            ServerLine::Ping(n) => Some(DeviceLine::Pong(n.into_value())),
            // Whatever ends the link: nobody watches it any more.
            ServerLine::Safe { .. } | ServerLine::Link(false) => {
                if self.state != State::Tripped {
                    self.state = State::Safe;
                }
                None
            }
            ServerLine::Command { command, args, id, .. } => {
                let outcome = self.command(&command, &args.into_value());
                let (ok, result) = outcome.map_or_else(|why| (false, why.into()), |result| (true, result));
                Some(DeviceLine::Answer { to: id, ok, result: Some(Raw::Value(result)) })
            }
            _ => None,
        }
    }

    /// The server has checked `args` against what we described; a program does not rely on that.
    fn command(&mut self, name: &str, args: &Value) -> Result<Value, String> {
        match name {
            "start" if self.temp >= STARTS_BELOW => Err(format!("too hot: wait until it is below {STARTS_BELOW} °C")),
            "start" => {
                self.state = State::Running;
                Ok(json!({"rpm": self.wanted}))
            }
            "stop" => {
                self.state = State::Stopped;
                Ok(Value::Null)
            }
            "speed" => {
                let rpm = args["rpm"].as_f64().filter(|r| (0.0..=3000.0).contains(r));
                self.wanted = rpm.ok_or("rpm is to be from 0 to 3000")?;
                Ok(json!({"rpm": self.wanted, "running": self.state == State::Running}))
            }
            "cooling" => {
                self.cooling = match args["fan"].as_str() {
                    Some("off") => STILL,
                    Some("slow") => 2.0 * STILL,
                    Some("fast") => 4.0 * STILL,
                    _ => return Err("fan is to be off, slow or fast".into()),
                };
                Ok(Value::Null)
            }
            other => Err(format!("there is no command {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pump: &mut Pump, seconds: u64) -> Value {
        pump.advance(Moment::from_millis(seconds * 1000));
        pump.telemetry()["telemetry"].take()
    }

    fn said(pump: &mut Pump, line: &str) -> Value {
        let Some(reply) = pump.handle(line.as_bytes()) else { return Value::Null };
        let mut line = Vec::new();
        reply.write(&mut line);
        serde_json::from_slice(&line).unwrap()
    }

    fn command(name: &str, args: &str) -> String {
        format!(r#"{{"command":"{name}","args":{args},"id":"k-1","by":"ann"}}"#)
    }

    #[test]
    fn it_says_what_it_can_in_one_line_of_json() {
        let described: Value = serde_json::from_str(DESCRIBE).unwrap();
        let commands = described["describe"]["commands"].as_object().unwrap();
        for name in commands.keys() {
            let mut pump = Pump::new(Moment::from_millis(0));
            let answer = said(&mut pump, &command(name, "{}"));
            assert!(!answer["result"].as_str().unwrap_or_default().contains("no command"), "{name}: {answer}");
        }
        let telemetry = Pump::new(Moment::from_millis(0)).telemetry();
        let named: Vec<_> = telemetry["telemetry"].as_object().unwrap().keys().collect();
        let units: Vec<_> = described["describe"]["telemetry"].as_object().unwrap().keys().collect();
        assert_eq!(named, units);
    }

    #[test]
    fn it_runs_up_to_its_speed_and_safe_runs_it_down() {
        let mut pump = Pump::new(Moment::from_millis(0));
        assert_eq!(said(&mut pump, &command("start", "{}"))["ok"], true);
        assert_eq!(at(&mut pump, 1)["rpm"], 600.0);
        assert_eq!(at(&mut pump, 2)["rpm"], 1200.0);
        assert_eq!(said(&mut pump, &command("speed", r#"{"rpm":600}"#))["result"]["rpm"], 600.0);
        assert_eq!(at(&mut pump, 3)["rpm"], 600.0);
        for end in [r#"{"safe":"lost","by":"ann","after_ms":2310}"#, r#"{"link":"down"}"#] {
            let mut pump = Pump::new(Moment::from_millis(0));
            said(&mut pump, &command("start", "{}"));
            at(&mut pump, 10);
            assert_eq!(said(&mut pump, end), Value::Null);
            assert_eq!(at(&mut pump, 12)["rpm"], 0.0);
            said(&mut pump, r#"{"link":"up"}"#);
            said(&mut pump, r#"{"control":{"holder":"bob"}}"#);
            assert_eq!(at(&mut pump, 100)["state"], "safe", "nothing brings it back but start");
        }
    }

    #[test]
    fn it_trips_when_it_gets_too_hot_and_the_fan_keeps_it_from_that() {
        let mut pump = Pump::new(Moment::from_millis(0));
        said(&mut pump, &command("speed", r#"{"rpm":3000}"#));
        said(&mut pump, &command("start", "{}"));
        assert_eq!(at(&mut pump, 300)["state"], "too hot");
        said(&mut pump, &command("speed", r#"{"rpm":3000}"#));
        let mut cooled = Pump::new(Moment::from_millis(0));
        said(&mut cooled, &command("cooling", r#"{"fan":"fast"}"#));
        said(&mut cooled, &command("speed", r#"{"rpm":3000}"#));
        said(&mut cooled, &command("start", "{}"));
        assert_eq!(at(&mut cooled, 300)["state"], "running");
    }

    #[test]
    fn what_cannot_be_done_is_said_so() {
        let mut pump = Pump::new(Moment::from_millis(0));
        assert_eq!(said(&mut pump, r#"{"ping":7}"#), json!({"pong":7}));
        for (name, args) in [("speed", r#"{"rpm":9000}"#), ("speed", "{}"), ("cooling", r#"{"fan":1}"#), ("x", "{}")] {
            let answer = said(&mut pump, &command(name, args));
            assert_eq!((&answer["answer"], &answer["ok"]), (&json!("k-1"), &json!(false)), "{name} {args}");
        }
        assert_eq!(said(&mut pump, "nonsense"), Value::Null);
    }
}
