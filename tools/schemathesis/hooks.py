"""Teaches schemathesis the one media type of the API that it does not know: one JSON value a line. And keeps it from
waiting for work as long as it may."""

import json
import re

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


DURATION = re.compile(r"([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")


@schemathesis.hook
def map_body(ctx, body):
    wait = body.get("wait") if isinstance(body, dict) else None
    # A right value becomes another one; a wrong one stays as wrong as it is.
    if isinstance(wait, str) and wait and DURATION.fullmatch(wait):
        return {**body, "wait": "100ms"}
    return body
