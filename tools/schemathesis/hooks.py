"""Teaches schemathesis the one media type of the API that it does not know: one JSON value a line."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    if isinstance(value, bytes):
        return value
    values = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(it).encode() + b"\n" for it in values)


@schemathesis.deserializer("application/x-ndjson")
def last_line(ctx, response):
    found = [line for line in response.content.splitlines() if line.strip()]
    return json.loads(found[-1]) if found else {}
