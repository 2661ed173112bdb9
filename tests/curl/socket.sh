#!/bin/sh
# The WebSocket, as far as curl can see it: the handshake, what is refused, and the first frame.
. "$(dirname "$0")/lib/check.sh"

KEY='Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
# socket FIELDS...: asks for a WebSocket, which is to be refused.
socket() { get -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' "$@" "$BASE/api/socket"; }

get "$BASE/api/socket"
want 426 "a plain GET"
want_body '/api/events' "which names what to use instead"
socket
want 400 "a handshake without a key"
socket -H "$KEY" -H 'Sec-WebSocket-Version: 8'
want 426 "two versions"
socket -H "$KEY" -H 'Origin: http://evil.example'
want 403 "a handshake that another site's page starts"
get --http1.0 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H "$KEY" "$BASE/api/socket"
want 426 "HTTP/1.0, which knows no upgrade"

# A link does not end by itself: curl is stopped after a second, and says so.
: >"$TMP/body"
ask -N -m 1 -u "$AUTH" -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H "$KEY" \
    -D "$TMP/head.raw" -o "$TMP/body" "$BASE/api/socket" 2>/dev/null
tr -d '\r' <"$TMP/head.raw" >"$TMP/head"
STATUS=$(sed -n 's/^HTTP\/1.1 \([0-9]*\).*/\1/p' "$TMP/head" | tail -n 1)
want 101 "a handshake"
want_header Sec-WebSocket-Accept 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
want_body '"type":"hello"' "and the first message is hello"
