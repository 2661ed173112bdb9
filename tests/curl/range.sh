#!/bin/sh
# Parts of a file: what a video player or an interrupted download asks for.
. "$(dirname "$0")/lib/check.sh"

get "$BASE$FILE"
want 200 "$FILE"
want_header Accept-Ranges bytes
size=$(wc -c <"$TMP/body" | tr -d ' ')
[ "$size" -ge 20 ] || skip "$FILE has only $size bytes: set FILE to a longer one"
cp "$TMP/body" "$TMP/whole"
etag=$(header ETag)

part() { # RANGE FIRST LAST
    get -H "Range: bytes=$1" "$BASE$FILE"
    want 206 "bytes=$1"
    want_header Content-Range "bytes $2-$3/$size"
    tail -c +$(($2 + 1)) "$TMP/whole" | head -c $(($3 - $2 + 1)) | cmp -s - "$TMP/body" || fail "bytes=$1: other bytes than the file's"
    ok "and they are the file's bytes"
}
part 0-9 0 9
part 10-12 10 12
part 5- 5 $((size - 1))
part -4 $((size - 4)) $((size - 1))

get -H "Range: bytes=$size-" "$BASE$FILE"
want 416 "past the end"
want_header Content-Range "bytes \*/$size"

get -H "Range: bytes=0-9" -H "If-Range: $etag" "$BASE$FILE"
want 206 "If-Range with the right tag"
get -H "Range: bytes=0-9" -H 'If-Range: "other"' "$BASE$FILE"
want 200 "If-Range with another tag: the whole file"
