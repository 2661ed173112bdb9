export default `
seconds: {n} s
millis: {n} ms
machines: Machines
people: On board
talk: Chat and log
chat_only: chat only
stops: Emergency stop
logout: Log out
enter: Come back in
send: Send
cancel: Cancel
say_label: Message to everyone on board
me: {user} · {role} · seat {seat}
role_viewer: viewer
role_operator: operator
role_admin: admin

state_connecting: Connecting
state_open: Live
state_full: Waiting
state_signed_out: Signed out
state_lost: No link
quiet: quiet for {s}
as_of: As it was at {time}: not live now.
again: Trying again every second.
coming: Coming back.
lost_silent: Nothing is heard from the board any more. {again}
lost_closed: The link to the board broke. {again}
lost_unreachable: The board does not answer. {again}
lost_shutdown: The board is shutting down. {again}
lost_lost: The board had lost us. {coming}
lost_slow: This page took no data for too long. {coming}
lost_stalled: This page did not answer, and its seat was needed. {coming}
lost_refused: The board refuses: {message}
full: Full house: {taken} of {max} seats are taken. You get the next one that is free.
over_logout: You are logged out, and this browser has forgotten the password.
over_evicted: An admin took your seat away.
over_idle: Nothing done for long: the seat was given up.
over_replaced: You came in from elsewhere, and that took this seat over.
over_expired: Your session has ended.

full_title: Full house
full_how: Seats on this board: {seats}. None is free for you now; you get in as soon as one is.
full_people: On board now
full_again: This page tries again all by itself.
full_silent: The board does not answer.

seats: {taken} of {max} seats taken
seat: Seat {n}
you: {user} (you)
since: since {time}
present: present
suspect: silent
stalled: stuck
why_suspect: nothing heard for {s}
why_page: page does not answer
why_transport: takes no data
why_nolink: plain pages or curl
round_trip: Round trip
controls: controls {devices}
evict: Evict
evict_ask: Take the seat away from {user}? They cannot come back for a minute.
evict_yes: Evict {user}
not_done: Not done: {message}

joined: {user} came on board, seat {seat}
returned: {user} is back, seat {seat}
left: {user} left
left_logout: logged out
left_evicted: evicted by an admin
left_idle: did nothing for too long
left_replaced: came in from elsewhere
left_slow: took no data for too long
left_stalled: the page was stuck and the seat was needed
left_expired: session over
lost: {user} is lost: silent for {s}, {why}
evidence_no_ack: nothing acknowledged any more
evidence_one_way: could talk but no longer hear
evidence_keepalive: probes unanswered
evidence_reset: the connection was reset
evidence_unreachable: the network says unreachable
turned_away: {user} from {addr} found no free seat
gap: Some events are missing here.
restarted: The board has started anew.
unknown_sent: The link broke. If your message does not show above, send it again.

up: up
down: down
down_left: it left
down_lost: lost, {evidence_no_ack}
down_silent: its program says nothing
down_replaced: another one of that name came
down_protocol: it broke the protocol
free: Nobody controls it
held: {user} controls it
held_here: You control it
take: Take control
release: Give back
give: Offer…
force: Take by force
give_ask: Offer {device} to whom? They have 10 s to take it.
give_nobody: No other operator is on board.
offered: Offered to {user} for 10 s.
force_ask: Take {device} away from {user}? It goes on running as it is.
offers: {user} offers it to you
taken: {user} took control of {device}
released: {user} gave {device} back
given: {was} gave {device} to {user}
forced: {user} took {device} from {was} by force
ended: {was} lost control of {device}: {why}.
ended_safe: {ended} It was told to go to its safe state.
end_lost: lost
end_left: left
end_page: page did not answer
end_lease: lease ran out
end_device: the device went
end_shutdown: the board stops
late: late
wait: {command}: waiting for the answer…
no: {command}: refused by the device
ok: {command}: done
gone: {command}: no answer, nobody knows whether it ran
refusal: {command}: not sent on: {message}
choose: choose
values_of: values of {time}
optional: optional
trend: {name}, last 3 minutes: now {now}, {min} to {max} {unit}
stop_more: {stops}…
stop_which: Stop which one?
`;
