//! `/api/status`, `/metrics`, `/healthz`: how the server is.

use crate::http::response::TEXT;
use crate::hub::Counters;
use crate::metrics::Text;
use crate::msg::{ControlReason, DeviceReason, Evidence, LeftReason};
use crate::routes::reply::{Call, Ctx, Full, Reply, json};

pub(super) fn show(ctx: &mut Ctx<'_>, _: &Call<'_>) -> Reply {
    let uptime = ctx.now.mono.since(ctx.site.started.mono).as_secs();
    let (hub, site, load) = (ctx.hub.view(), &*ctx.site, ctx.load);
    let counters = hub.counters();
    json(200, |o| {
        o.text("version", env!("CARGO_PKG_VERSION")).plain("uptime_s", uptime);
        o.time("started", site.started.wall_ms).text("epoch", hub.newest().epoch.as_str());
        o.object("seats").plain("max", hub.seats_max()).plain("taken", hub.seats_taken());
        o.plain("connections", load.connections).plain("links", hub.links()).plain("devices", hub.devices_up());
        let mut c = o.object("counters");
        c.plain("accepted", site.metrics.accepted).plain("requests", site.metrics.requests);
        c.plain("joined", counters.joined).plain("left", counters.left.iter().sum::<u64>());
        c.plain("lost", counters.lost.iter().sum::<u64>()).plain("returned", counters.returned);
        c.plain("suspicions", counters.suspicions).plain("recoveries", counters.recoveries);
        c.plain("turned_away", counters.turned_away).plain("said", counters.said);
        c.plain("control", counters.control.iter().sum::<u64>())
            .plain("safe", counters.safe.counts.iter().sum::<u64>());
        c.plain("commands", counters.commands).plain("answers_ok", counters.answers_ok);
        c.plain("answers_failed", counters.answers_failed).plain("answers_unknown", counters.answers_unknown);
        c.plain("answers_late", counters.answers_late).plain("telemetry", counters.telemetry);
    })
    .into()
}

pub(super) fn metrics(ctx: &mut Ctx<'_>, _: &Call<'_>) -> Reply {
    let mut out = Vec::new();
    let mut text = Text(&mut out);
    let hub = ctx.hub.view();
    let counters = hub.counters();
    let uptime = ctx.now.mono.since(ctx.site.started.mono).as_secs();
    text.head("boatswain_build_info", "gauge", "The version that runs.");
    text.labelled("boatswain_build_info", "version", env!("CARGO_PKG_VERSION"), 1);
    text.gauge("boatswain_uptime_seconds", "Since the server started.", uptime);
    text.gauge("boatswain_seats", "Seats in all.", hub.seats_max());
    text.gauge("boatswain_seats_taken", "Seats taken.", hub.seats_taken());
    text.counter(
        "boatswain_replays_refused_total",
        "Replays and pages of the log for which there was no room.",
        ctx.site.ledger.refused(),
    );
    let (owed, most, of_devices) = ctx.site.ledger.totals();
    text.gauge("boatswain_kept_bytes", "Memory kept for connections of people and strangers.", owed);
    text.gauge("boatswain_kept_bytes_max", "Its bound, beside the largest of them.", most);
    text.gauge("boatswain_kept_device_bytes", "Memory kept for connections of devices.", of_devices);
    text.head("boatswain_remembered_bytes", "gauge", "About what the server remembers, by what it is.");
    for (what, bytes) in hub.remembered() {
        text.labelled("boatswain_remembered_bytes", "of", what, bytes);
    }
    text.gauge("boatswain_connections", "Connections open.", ctx.load.connections);
    text.gauge("boatswain_links", "Links open.", hub.links());
    text.counter("boatswain_joined_total", "Seats that were taken.", counters.joined);
    text.head("boatswain_left_total", "counter", "Members who left, by reason.");
    for (reason, n) in LeftReason::ALL.iter().zip(counters.left) {
        text.labelled("boatswain_left_total", "reason", reason, n);
    }
    text.head("boatswain_lost_total", "counter", "Members who vanished, by evidence.");
    for (evidence, n) in Evidence::ALL.iter().zip(counters.lost) {
        text.labelled("boatswain_lost_total", "evidence", evidence, n);
    }
    text.counter("boatswain_returned_total", "Lost members who came back.", counters.returned);
    text.counter("boatswain_suspicions_total", "Members who fell silent.", counters.suspicions);
    text.counter("boatswain_recoveries_total", "Silent members who were heard again.", counters.recoveries);
    text.counter("boatswain_turned_away_total", "Newcomers who found no seat.", counters.turned_away);
    text.counter("boatswain_said_total", "Messages of the chat.", counters.said);
    text.histogram(
        "boatswain_detection_seconds",
        "From a vanished member's last sign of life to the event that tells the others.",
        &Counters::DETECTION_BOUNDS_MS,
        &counters.detection,
        counters.detection_sum_ms,
    );
    devices(&mut text, counters, hub.devices_up());
    text.counter("boatswain_log_dropped_total", "Lines of the log that nobody took.", ctx.load.log_dropped as u64);
    text.counter(
        "boatswain_log_left_out_total",
        "Lines that connections caused beyond the ration.",
        ctx.site.ration.total(),
    );
    ctx.site.metrics.write(&mut text);
    Full::new(200, "text/plain; version=0.0.4; charset=utf-8", out).into()
}

fn devices(text: &mut Text<'_>, counters: &Counters, up: usize) {
    text.gauge("boatswain_devices", "Devices connected.", up);
    text.head("boatswain_device_events_total", "counter", "Devices that came or went, by reason.");
    for (reason, n) in DeviceReason::ALL.iter().zip(counters.devices) {
        text.labelled("boatswain_device_events_total", "reason", reason, n);
    }
    let suspicions = counters.device_suspicions;
    text.counter("boatswain_device_suspicions_total", "Devices that fell silent.", suspicions);
    text.counter("boatswain_telemetry_lines_total", "Lines of telemetry.", counters.telemetry);
    text.head("boatswain_control_total", "counter", "Changes of control, by reason.");
    for (reason, n) in ControlReason::ALL.iter().zip(counters.control) {
        text.labelled("boatswain_control_total", "reason", reason, n);
    }
    text.histogram(
        "boatswain_safe_seconds",
        "From the last sign that a holder could act to the safe line that the device was sent.",
        &Counters::DETECTION_BOUNDS_MS,
        &counters.safe.counts,
        counters.safe.sum_ms,
    );
    text.counter("boatswain_commands_total", "Commands sent to devices.", counters.commands);
    text.counter(
        "boatswain_stops_left_out_total",
        "Emergency stops beyond the ration, told to the device without an event of their own.",
        counters.stops_left_out,
    );
    text.head("boatswain_answers_total", "counter", "What came of commands.");
    for (ok, n) in [
        ("true", counters.answers_ok),
        ("false", counters.answers_failed),
        ("unknown", counters.answers_unknown),
        ("late", counters.answers_late),
    ] {
        text.labelled("boatswain_answers_total", "ok", ok, n);
    }
}

pub(super) fn health(_: &mut Ctx<'_>, _: &Call<'_>) -> Reply {
    Full::new(200, TEXT, b"ok\n".to_vec()).into()
}
