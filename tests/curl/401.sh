#!/bin/sh
# Nobody gets in without a name and a password, and every refusal says how to come in.
. "$(dirname "$0")/lib/check.sh"

plain "$BASE/"
want 401 "a page without credentials"
want_header WWW-Authenticate 'Basic realm="*", charset="UTF-8"'

plain -u "$USER_NAME:surely-not-the-password" "$BASE/"
want 401 "a wrong password"

plain -u "nobody-of-that-name:x" "$BASE/"
want 401 "an unknown user"

plain "$BASE/api/roster"
want 401 "an API address without credentials"
want_header Content-Type 'application/json*'

plain "$BASE/api/roster?tab=check"
want 403 "the same for a page's own request: no prompt over the panel"
want_body '"signed_out"' "which says signed_out"

plain "$BASE/healthz"
want 200 "/healthz is open"
