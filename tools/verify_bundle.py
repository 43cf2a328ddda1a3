#!/usr/bin/env python3
"""Verifies proof bundles of ARK-OS, apart from the program itself.

Written from docs/proofs.md alone; it shares no code with the verifier in `crates/runtime/src/proofs`, and
`cargo xtask proofs` holds the two together. Needs Python 3.9 and the package `cryptography` (for Ed25519).

    verify_bundle.py [--key PUB] [--kept NOTE] [--json] BUNDLE
    verify_bundle.py --batch            # requests on standard input, see `batch`

Exit codes: 0 it verifies, 6 it does not, 2 bad usage.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "ark-os/proof-bundle/v1"
LINE_BYTES_MAX = 128 << 20
ENTRIES_MAX = 50_000_000
HEAD_BYTES_MAX = 1 << 20
NOTE_BYTES_MAX = 16 << 10
NODES_MAX = 1_000
CHILDREN_MAX = 10_000
DECISIONS_MAX = 16
U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1
ZERO = bytes(32)
LAYERS = ("cecca", "board", "executive", "stack-chief", "specialist", "micro")
ENDS = ("succeeded", "failed", "cancelled")


class Fault(Exception):
    """The first thing that does not verify."""

    def __init__(self, cls, why):
        super().__init__(why)
        self.cls = cls
        self.why = why


def ensure(holds, cls, why):
    if not holds:
        raise Fault(cls, why)


# ---- hashes -------------------------------------------------------------------------------------------------


def sha(data):
    return hashlib.sha256(data).digest()


def leaf_hash(data):
    return sha(b"\x00" + data)


def node_hash(left, right):
    return sha(b"\x01" + left + right)


def of_parts(*parts):
    """SHA-256 over parts, each after its length (8 bytes, little endian)."""
    h = hashlib.sha256()
    for part in parts:
        h.update(len(part).to_bytes(8, "little"))
        h.update(part)
    return h.digest()


def hex_hash(text):
    ensure(re.fullmatch(r"[0-9a-f]{64}", text) is not None, "format", "this is no hash")
    return bytes.fromhex(text)


def from_base64(text):
    """Base64 in its only form, or None."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, UnicodeEncodeError):
        return None
    return raw if base64.b64encode(raw).decode("ascii") == text else None


def is_u64(value):
    return type(value) is int and 0 <= value <= U64_MAX


# ---- the verifier key and checkpoints: C2SP signed-note and tlog-checkpoint ---------------------------------------


class Key:
    def __init__(self, origin, raw):
        self.origin = origin
        self.raw = raw
        self.id = sha(origin.encode() + b"\n\x01" + raw)[:4]
        self.text = "%s+%s+%s" % (origin, self.id.hex(), base64.b64encode(b"\x01" + raw).decode())


def parse_key(text):
    parts = text.split("+", 2)
    if len(parts) != 3:
        return None
    origin, key_id, encoded = parts
    raw = from_base64(encoded)
    if raw is None or len(raw) != 33 or raw[0] != 1:
        return None
    try:
        size = len(origin.encode("utf-8"))
    except UnicodeEncodeError:
        return None
    if not 1 <= size <= 200 or any(is_space(c) or is_control(c) for c in origin):
        return None
    key = Key(origin, raw[1:])
    return key if key.text == text else None


def is_space(c):
    """The characters with the property White_Space."""
    return c in "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" or "\u2000" <= c <= "\u200a"


def is_control(c):
    return c <= "\x1f" or "\x7f" <= c <= "\x9f"


class Checkpoint:
    def __init__(self, size, root):
        self.size = size
        self.root = root


def parse_number(text):
    if re.fullmatch(r"0|[1-9][0-9]{0,19}", text) is None:
        return None
    number = int(text)
    return number if number <= U64_MAX else None


def lines_of(text):
    """Lines as they end with a line feed, one carriage return before it not counted."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line[:-1] if line.endswith("\r") else line for line in lines]


def statement(text):
    """Origin, size and root; None if the text is no checkpoint."""
    lines = lines_of(text)
    if len(lines) < 3:
        return None
    origin, size, root = lines[0], parse_number(lines[1]), from_base64(lines[2])
    if size is None or root is None or len(root) != 32:
        return None
    for line in lines[3:]:
        if line.startswith("ark-os previous "):
            raw = from_base64(line[len("ark-os previous "):])
            if raw is None or len(raw) != 32:
                return None
        elif line.startswith("ark-os sealed-at "):
            rest = line[len("ark-os sealed-at "):]
            rest = rest[1:] if rest.startswith("+") else rest
            if re.fullmatch(r"[0-9]+", rest) is None or parse_number(rest.lstrip("0") or "0") is None:
                return None
        elif line == "":
            return None
    if not text.startswith("%s\n%d\n" % (origin, size)):
        return None
    return origin, size, root


def open_note(key, note, cls, signatures_max=None):
    try:
        raw = note.encode("utf-8")
    except UnicodeEncodeError:
        raise Fault("format", "the note is not text")
    ensure(len(raw) <= NOTE_BYTES_MAX, cls, "the checkpoint is too long")
    end = note.rfind("\n\n")
    ensure(end >= 0, cls, "the checkpoint has no signatures")
    text, signatures = note[: end + 1], note[end + 2:]
    ensure(signatures.endswith("\n"), cls, "the checkpoint is cut short")
    signed, lines = False, lines_of(signatures)
    for line in lines:
        ensure(line.startswith("\u2014 "), cls, "a signature line is malformed")
        name, space, encoded = line[2:].partition(" ")
        ensure(space == " ", cls, "a signature line is malformed")
        decoded = from_base64(encoded)
        ensure(decoded is not None and len(decoded) >= 4, cls, "a signature is malformed")
        if name == key.origin and decoded[:4] == key.id:
            try:
                Ed25519PublicKey.from_public_bytes(key.raw).verify(decoded[4:], text.encode())
            except (InvalidSignature, ValueError):
                raise Fault(cls, "the signature is wrong")
            signed = True
    ensure(signed, cls, "the key has not signed the checkpoint")
    stated = statement(text)
    ensure(stated is not None, cls, "the text of the checkpoint is malformed")
    origin, size, root = stated
    ensure(origin == key.origin, cls, "the checkpoint is of another origin")
    ensure(signatures_max is None or len(lines) <= signatures_max, cls, "more than one signature")
    return Checkpoint(size, root)


def verify_consistency(old, new, path):
    """RFC 9162, 2.1.4.2."""
    if old.size > new.size:
        return False
    if old.size == new.size:
        return not path and old.root == new.root
    if old.size == 0:
        return not path and old.root == sha(b"")
    path = list(path)
    if old.size & (old.size - 1) == 0:
        path.insert(0, old.root)
    if not path:
        return False
    fn, sn = old.size - 1, new.size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn & 1 == 0 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == old.root and sr == new.root


# ---- the tree with everything cut out that is not shown -------------------------------------------------------------


class Spine:
    def __init__(self, size):
        self.size = size
        self.position = 0
        self.stack = []

    def leaf(self, seq, value):
        ensure(
            self.position < self.size and seq - 1 == self.position,
            "tree",
            "the record is not the one that comes next in the tree",
        )
        self.push(0, value, False)

    def cut(self, height, index, value):
        ensure(
            height < 64 and index << height == self.position and (index + 1) << height <= self.size,
            "tree",
            "the hash is not the one that comes next in the tree",
        )
        self.push(height, value, True)

    def push(self, height, value, is_cut):
        index = self.position >> height
        self.position += 1 << height
        while index & 1:
            _, left, left_cut = self.stack.pop()
            ensure(not (left_cut and is_cut), "tree", "two hashes stand where one would do")
            height, value, is_cut, index = height + 1, node_hash(left, value), False, index >> 1
        self.stack.append((height, value, is_cut))

    def root(self):
        ensure(self.position == self.size and self.stack, "tree", "the tree is not complete")
        value = self.stack[-1][1]
        for _, left, _ in reversed(self.stack[:-1]):
            value = node_hash(left, value)
        return value


# ---- CBOR in the only form in which records are written ---------------------------------------------------------------

DEPTH_MAX = 64
ITEMS_MAX = 1 << 20


class Malformed(Exception):
    pass


class Other:
    """A negative number, a truth value or null."""


OTHER = Other()


class Map(dict):
    """A map with the places of itself and of its values in what was read."""

    __slots__ = ("start", "end", "ends")


class Cbor:
    def __init__(self, data, at):
        self.data = data
        self.at = at
        self.items = 0

    def take(self, length):
        end = self.at + length
        if end > len(self.data):
            raise Malformed
        taken = self.data[self.at:end]
        self.at = end
        return taken

    def head(self):
        first = self.take(1)[0]
        major, short = first >> 5, first & 31
        if short < 24:
            return major, short
        if major == 7 or short > 27:
            raise Malformed
        width = 1 << (short - 24)
        argument = int.from_bytes(self.take(width), "big")
        if argument < (24, 1 << 8, 1 << 16, 1 << 32)[short - 24]:
            raise Malformed
        return major, argument

    def item(self, depth):
        self.items += 1
        if depth >= DEPTH_MAX or self.items > ITEMS_MAX:
            raise Malformed
        start = self.at
        major, argument = self.head()
        if major == 0:
            return argument
        if major == 1:
            return OTHER
        if major == 2:
            return self.take(argument)
        if major == 3:
            try:
                return self.take(argument).decode("utf-8")
            except UnicodeDecodeError:
                raise Malformed
        if major == 4:
            return [self.item(depth + 1) for _ in range(argument)]
        if major == 5:
            found, last, ends = Map(), -1, {}
            for _ in range(argument):
                kind, key = self.head()
                if kind != 0 or key <= last:
                    raise Malformed
                found[key] = self.item(depth + 1)
                ends[key] = self.at
                last = key
            found.start, found.end, found.ends = start, self.at, ends
            return found
        if major == 7 and 20 <= argument <= 22:
            return OTHER
        raise Malformed


def need(holds):
    if not holds:
        raise Malformed


def uint(value):
    need(type(value) is int)
    return value


def uint32(value):
    need(type(value) is int and value <= U32_MAX)
    return value


def text(value):
    need(type(value) is str)
    return value


def octets(value):
    need(type(value) is bytes)
    return value


def array(value):
    need(type(value) is list)
    return value


def field(value, number):
    need(type(value) is Map and number in value)
    return value[number]


def optional(value, number, read):
    need(type(value) is Map)
    return read(value[number]) if number in value else None


def digest(value):
    need(type(value) is bytes and len(value) == 32)
    return value


def place_of(value):
    """Name, layer and stack of an agent that was added to the fleet of the start."""
    need(type(value) is Map)
    layer = uint(field(value, 1))
    need(layer < len(LAYERS))
    return text(field(value, 0)), LAYERS[layer], uint32(field(value, 2))


def task_of(value):
    need(type(value) is list and 1 <= len(value) <= 2)
    return uint32(value[0]), (uint32(value[1]) if len(value) == 2 else None)


def variant(value):
    need(type(value) is list and len(value) == 2)
    return uint(value[0]), array(value[1])


def payload(value):
    """Digest, and whether it is a blob's."""
    number, fields = variant(value)
    if number == 0 and len(fields) == 1:
        return sha(octets(fields[0])), False
    need(number == 1 and len(fields) == 2)
    uint(fields[1])
    return digest(fields[0]), True


# ---- what is looked at in a record --------------------------------------------------------------------------------------


class Record:
    def __init__(self, data):
        """Reads a record, or refuses it."""
        self.data = data
        try:
            reader = Cbor(data, 0)
            header = reader.item(0)
            # The body is an item of its own, with limits of its own.
            body = Cbor(data, reader.at)
            events = body.item(0)
            need(type(header) is Map and all(key <= 6 for key in header))
            need(field(header, 0) == 1 and type(header[0]) is int)
            self.namespace = text(field(header, 1))
            need(len(self.namespace.encode()) <= 255)
            self.run = optional(header, 2, octets)
            need(self.run is None or len(self.run) == 16)
            for key in (3, 4, 5):
                need(key not in header or uint(header[key]) != 0)
            self.time_ms = uint(field(header, 6))
            need(type(events) is list and body.at == len(data))
            self.events = [self.event(event) for event in events]
        except Malformed:
            raise Fault("record", "the record is malformed")

    def event(self, event):
        """Name and what is looked at."""
        need(type(event) is list and len(event) == 2)
        number, it = uint(event[0]), event[1]
        need(type(it) is Map)
        if number == 0:
            return "instance", uint32(field(field(it, 0), 2))
        if number == 4:
            return "admitted", self.admitted(field(it, 0))
        if number == 10:
            return "accepted", self.accepted(field(it, 0))
        if number == 12:
            return "started", uint(field(it, 0))
        if number == 17:
            it = field(it, 0)
            end = uint(field(it, 0))
            need(end < len(ENDS))
            return "ended", (ENDS[end], optional(it, 1, payload), optional(it, 3, digest))
        if number == 18:
            return "retried", [uint32(node) for node in array(field(it, 1))]
        if number == 21:
            return "expanded", (task_of(field(it, 0)), uint32(field(it, 1)), payload(field(it, 2)))
        if number == 23:
            it = field(it, 0)
            return "attempt", (
                task_of(field(it, 0)),
                uint32(field(it, 1)),
                uint32(field(it, 2)),
                uint(field(it, 3)),
                optional(it, 60, place_of),
            )
        if number == 26:
            it = field(it, 0)
            end = uint(field(it, 2))
            need(end <= 4)
            return "attempt_ended", (task_of(field(it, 0)), uint(field(it, 1)), end not in (1, 4))
        if number == 27:
            it = field(it, 0)
            return "succeeded", {
                "task": task_of(field(it, 0)),
                "fence": uint(field(it, 1)),
                "output": payload(field(it, 2)),
                "input": digest(field(it, 3)),
                "effects": optional(it, 4, digest),
                "blobs": optional(it, 7, lambda value: [digest(blob) for blob in array(value)]) or [],
            }
        if number in (28, 33):
            return "over", [task_of(field(it, 0))]
        if number in (29, 30):
            return "over", [task_of(task) for task in array(field(it, 0))]
        if number == 31:
            return "parked", task_of(field(it, 0))
        if number == 40:
            it = field(it, 0)
            return "intended", {
                "task": task_of(field(it, 0)),
                "key": digest(field(it, 1)),
                "number": uint32(field(it, 2)),
                "tool": text(field(it, 3)),
                "arguments": digest(field(it, 4)),
                "fence": uint(field(it, 7)),
            }
        if number in (41, 42, 43, 44):
            return self.step(number, it)
        if number == 50:
            return "loaded", optional(it, 0, self.accepted)
        if number == 91:
            it = field(it, 0)
            return "signal", (uint(field(it, 0)), payload(field(it, 2)))
        if number == 92:
            return "waited", (task_of(field(it, 0)), payload(field(it, 1)), optional(it, 2, uint))
        if number == 93:
            return "asked", optional(field(it, 1), 1, payload)
        if number == 94:
            it = field(it, 0)
            end = uint(field(it, 2))
            need(end < len(ENDS))
            return "child", (task_of(field(it, 0)), end == 0, optional(it, 3, payload))
        if number == 95:
            it = field(it, 0)
            count = len(array(field(it, 1)))
            need(count <= NODES_MAX)
            return "added", (task_of(field(it, 0)), count)
        if number == 101:
            it = field(it, 0)
            digest(field(it, 2))
            source = octets(field(it, 0))
            need(len(source) == 16)
            return "forked", (source, uint(field(it, 1)))
        if number == 102:
            return "reused", self.reused(field(it, 0))
        return ("of_run" if 10 <= number <= 44 or number == 83 or 90 <= number <= 109 else "other"), None

    def reused(self, it):
        def children(value):
            return payload(field(value, 0)), [payload(one) for one in array(field(value, 1))]

        return {
            "node": uint32(field(it, 0)),
            "source_node": uint32(field(it, 1)),
            "output": optional(it, 2, payload),
            "input": digest(field(it, 3)),
            "proof": digest(field(it, 4)),
            "children": optional(it, 5, children),
            "blobs": optional(it, 6, lambda value: [digest(blob) for blob in array(value)]) or [],
        }

    def accepted(self, it):
        pending = optional(it, 1, lambda value: self.plan(field(value, 1)))
        return optional(it, 0, uint), pending, payload(field(it, 2))

    def step(self, number, it):
        task, key = task_of(field(it, 0)), digest(field(it, 1))
        if number == 42:
            return "doubted", (task, key)
        kind, fields = variant(field(it, 2))
        if number == 41:
            need(len(fields) == 1)
            if kind == 0:
                return "settled", (task, key, payload(fields[0]))
            need(kind == 1)
            return "settled", (task, key, failed(text(field(fields[0], 0))))
        if kind == 0 and len(fields) == 1:
            return ("probed" if number == 44 else "resolved"), (task, key, payload(fields[0]))
        if number == 44:
            need(kind in (1, 2) and not fields)
            return "doubted", (task, key)
        need(kind in (1, 2) and not fields)
        return "resolved", (task, key, None if kind == 1 else failed("given_up"))

    def admitted(self, it):
        decisions = []
        need(len(array(field(it, 4))) <= DECISIONS_MAX)
        for decision in field(it, 4):
            layer = uint(field(decision, 0))
            need(layer < len(LAYERS))
            decisions.append((LAYERS[layer], text(field(decision, 1))))
        return {
            "id": uint(field(it, 0)),
            "namespace": text(field(it, 1)),
            "plan": self.plan(field(it, 2)),
            "decisions": decisions,
            "rules": digest(field(it, 6)),
        }

    def plan(self, it):
        """Name, version, digest and number of tasks; the digest must be that of the plan's own bytes."""
        value = digest(field(it, 5))
        end = it.ends[5]
        own = self.data[it.start:end - 32] + ZERO + self.data[end:it.end]
        tasks = len(array(field(it, 3)))
        need(tasks <= NODES_MAX)
        name, version = text(field(it, 0)), text(field(it, 1))
        need(sha(own) == value)
        return name, version, value.hex(), tasks


def failed(code):
    return of_parts(b"failed", code.encode()), False


# ---- the fleet: names and stacks of agents from their number -------------------------------------------------------------

TABLE_MIN = (1, 5, 10, 20, 50, 100)
TABLE_MAX = (3, 15, 25, 50, 200, 1000)
AGENTS_MAX = 200_000


def fleets():
    """The fleets of 0, 1, 2… agents, until every layer but the lowest is full: each has one seat more."""
    counts = [0] * 6
    found = [tuple(counts)]
    for at in range(5, -1, -1):
        counts[at] = 1
        found.append(tuple(counts))
    for start, full in (((0,) * 6, TABLE_MIN), (TABLE_MIN, TABLE_MAX)):
        at = next_seat(counts, start, full)
        while at is not None:
            counts[at] += 1
            found.append(tuple(counts))
            at = next_seat(counts, start, full)
    return found


def next_seat(counts, start, full):
    """The layer that is furthest from its count by share of the way; the lowest in a tie."""
    best = None
    for at in range(5, -1, -1):
        if counts[at] >= full[at]:
            continue
        if best is not None:
            mine = (counts[at] + 1 - start[at]) * (full[best] - start[best])
            theirs = (counts[best] + 1 - start[best]) * (full[at] - start[at])
            if mine >= theirs:
                continue
        best = at
    return best


FLEETS = fleets()


def fleet(agents):
    """Agents of each layer, highest first."""
    agents = min(max(agents, 1), AGENTS_MAX)
    above = FLEETS[min(agents, len(FLEETS) - 1)]
    return above[:5] + (above[5] + max(agents - len(FLEETS) + 1, 0),)


def seat(counts, agent):
    """Name, layer and stack of an agent that is of a stack; None of another."""
    ordinal = agent
    for at, count in enumerate(counts):
        if ordinal < count:
            if at < 3:
                return None
            dealt = counts[4] + ordinal if at == 5 else ordinal
            return "%s-%05d" % (LAYERS[at], ordinal), LAYERS[at], dealt % max(counts[3], 1)
        ordinal -= count
    return None


# ---- the history of the run -------------------------------------------------------------------------------------------------


class Task:
    """A task that began and is not over."""

    __slots__ = ("open", "attempt")

    def __init__(self):
        self.open = None
        self.attempt = 0


class Node:
    """A node of the plan. What is kept of its children stands here, so that no other's are gone through."""

    def __init__(self, generation=0):
        self.generation = generation
        self.over = False
        self.children = 0
        self.children_over = bytearray()
        self.begun = {}
        self.steps = {}

    def is_over(self, child):
        if child is None:
            return self.over
        return child < len(self.children_over) and self.children_over[child] != 0

    def end(self, child):
        self.begun.pop(child, None)
        if child is None:
            self.over = True
        else:
            missing = child + 1 - len(self.children_over)
            self.children_over.extend(bytes(max(missing, 0)))
            self.children_over[child] = 1

    def stop_children(self):
        """Every child that began is over."""
        own = self.begun.pop(None, None)
        for child in list(self.begun):
            self.end(child)
        if own is not None:
            self.begun[None] = own


def task_name(task):
    return str(task[0]) if task[1] is None else "%d.%d" % task


def task_bytes(task):
    child = U64_MAX if task[1] is None else task[1]
    return task[0].to_bytes(4, "little"), child.to_bytes(8, "little")


class History:
    def __init__(self, run, namespace):
        self.run = run
        self.namespace = namespace
        self.records = 0
        self.others = 0
        self.fleet = None
        self.fleet_used = True
        self.plan = None
        self.plan_nodes = 0
        self.added = 0
        self.nodes = {}
        self.nodes_over = 0
        self.attempts_open = 0
        self.admissions = {}
        self.referred = set()
        self.accepted = None
        self.forked = None
        self.ended = None
        self.fence = 0
        self.proofs = 0
        self.head = ZERO
        self.agents = {}
        self.blobs = {}
        self.signals = 0
        self.kept = {}

    @staticmethod
    def check(holds, why):
        ensure(holds, "history", why)

    def record(self, seq, data):
        record = Record(data)
        if record.run != self.run:
            self.others += 1
            self.other(seq, record)
            return []
        self.check(record.namespace == self.namespace, "the run is of another namespace")
        self.records += 1
        self.fleet_used = True
        return self.own(seq, record)

    def other(self, seq, record):
        matters = False
        for name, it in record.events:
            if name == "instance" and record.run is None:
                self.check(self.fleet_used, "a start of an instance has nothing to do with the run")
                self.fleet, self.fleet_used, matters = fleet(it), False, True
            elif name == "admitted" and it["namespace"] == self.namespace:
                self.admit(seq, it)
                matters = True
        self.check(matters, "a record has nothing to do with the run")

    def admit(self, seq, it):
        self.take_plan(it["plan"])
        self.check(it["id"] not in self.admissions, "an admission stands twice")
        decisions = [{"layer": layer, "agent": agent} for layer, agent in it["decisions"]]
        self.admissions[it["id"]] = {
            "id": it["id"],
            "record": seq,
            "rules": it["rules"].hex(),
            "decisions": decisions,
        }

    def take_plan(self, plan):
        self.check(self.plan is None or self.plan == plan[:3], "an admission is of another workflow")
        self.plan, self.plan_nodes = plan[:3], plan[3]

    def own(self, seq, record):
        proofs = []
        for name, it in record.events:
            if name == "admitted":
                self.check(it["namespace"] == self.namespace, "an admission is of another namespace")
                self.admit(seq, it)
            elif name == "instance":
                raise Fault("history", "a run's record starts an instance")
            elif name == "other":
                pass
            elif name == "accepted":
                self.accept(record.time_ms, *it)
            else:
                self.check(self.accepted is not None, "the run was not accepted yet")
                self.check(self.ended is None or name in ("retried", "resolved"), "the run was over")
                proof = self.event(record.time_ms, name, it)
                if proof is not None:
                    proofs.append(proof)
        return proofs

    def accept(self, time_ms, admission, plan, given):
        self.check(self.accepted is None, "the run was accepted twice")
        self.check((admission is None) != (plan is None), "the run was accepted without one plan")
        self.accepted = (time_ms, given[0])
        self.refer(given)
        if admission is not None:
            self.referred.add(admission)
        else:
            self.take_plan(plan)

    def event(self, time_ms, name, it):
        if name == "started":
            self.referred.add(it)
        elif name == "loaded":
            if it is not None and it[0] is not None:
                self.referred.add(it[0])
            if it is not None and it[1] is not None:
                self.take_plan(it[1])
        elif name == "ended":
            self.end(time_ms, *it)
        elif name == "retried":
            self.begin_again(set(it))
        elif name == "expanded":
            self.expand(it[0], it[1])
            self.refer(it[2])
        elif name == "attempt":
            self.start(*it)
        elif name == "attempt_ended":
            task = self.holding(it[0], it[1])
            task.open = None
            self.attempts_open -= 1
            if not it[2]:
                task.attempt = max(task.attempt - 1, 0)
        elif name == "succeeded":
            return self.succeed(it)
        elif name == "forked":
            self.check(self.forked is None and self.fence == 0, "the run was forked after it began")
            self.forked = it
        elif name == "reused":
            return self.reuse(it)
        elif name == "over":
            for task in it:
                self.finish(task)
        elif name == "parked":
            self.park(it)
        elif name == "signal":
            number, said = it
            self.check(number == self.signals + 1, "a signal is missing")
            self.signals = number
            self.kept[number] = said[0]
            self.refer(said)
        elif name == "added":
            task, count = it
            node = self.node(task)
            held = node.begun.get(task[1])
            self.check(held is not None and held.open is not None, "nobody works on what adds tasks")
            self.added += count
            self.check(self.plan_nodes + self.added <= NODES_MAX, "too many tasks were added")
        elif name == "asked":
            if it is not None:
                self.refer(it)
        elif name == "child":
            task, is_done, output = it
            if output is not None:
                self.refer(output)
            if is_done:
                self.finish(task)
        elif name == "waited":
            task, output, number = it
            if number is not None:
                self.check(self.kept.pop(number, None) == output[0], "a signal was not kept for the wait")
            self.refer(output)
            self.finish(task)
        elif name == "intended":
            self.intend(it)
        elif name == "doubted":
            self.steps_of(*it)
        elif name in ("settled", "probed", "resolved"):
            task, key, result = it
            steps = self.steps_of(task, key)
            if result is None:
                del steps[key]
            else:
                steps[key] = result[0]
                if result[1]:
                    self.refer(result)
        return None

    def end(self, time_ms, state, output, proof):
        self.check(self.nodes_over == self.plan_nodes + self.added, "the run ended before one of its tasks")
        self.check(self.attempts_open == 0, "an attempt is under way")
        self.check(proof is None or proof == self.head, "the end names another chain of proofs")
        if output is not None:
            self.refer(output)
        self.ended = {
            "state": state,
            "ms": time_ms,
            "output": None if output is None else output[0].hex(),
            "seals": proof is not None,
        }

    def begin_again(self, nodes):
        self.check(self.ended is not None, "the run was retried before its end")
        self.ended = None
        for number in nodes:
            node = self.node((number, None))
            self.nodes_over -= node.over
            self.attempts_open -= sum(task.open is not None for task in node.begun.values())
            self.nodes[number] = Node(node.generation + 1)

    def node(self, task):
        """The node of a task of the plan, or of a map's list."""
        number, child = task
        self.check(number < self.plan_nodes + self.added, "a task is not of the plan")
        node = self.nodes.get(number)
        if node is None:
            node = self.nodes[number] = Node()
        self.check(child is None or child < node.children, "a task is not of its map's list")
        return node

    def expand(self, task, count):
        node = self.node(task)
        self.check(task[1] is None and count <= CHILDREN_MAX, "a map has too many children")
        node.children = count

    def start(self, task, attempt, agent, fence, place):
        self.check(fence > self.fence, "the fence does not rise")
        self.fence = fence
        node = self.node(task)
        it = node.begun.setdefault(task[1], Task())
        at_work = node.is_over(task[1]) or it.open is not None
        self.check(not at_work, "a task began while it was at work or over")
        self.check(attempt == it.attempt + 1, "an attempt is missing")
        it.open, it.attempt = fence, attempt
        self.attempts_open += 1
        found = None if self.fleet is None else seat(self.fleet, agent)
        if place is not None:
            added = self.fleet is not None and agent >= sum(self.fleet)
            found = place if added else None
        self.check(found is not None, "an agent is of no stack of the fleet")
        name, layer, stack = found
        line = {"name": name, "layer": layer, "stack": stack, "attempts": 0}
        self.agents.setdefault((name.encode(), stack, LAYERS.index(layer)), line)["attempts"] += 1

    def holding(self, task, fence):
        node = self.nodes.get(task[0])
        it = None if node is None else node.begun.get(task[1])
        self.check(it is not None and it.open == fence, "the fence is not the one in use")
        return it

    def succeed(self, it):
        self.holding(it["task"], it["fence"])
        effects = None
        steps = self.nodes[it["task"][0]].steps.pop(it["task"][1], None)
        if steps:
            effects = sha(b"".join(key + (result or ZERO) for key, result in steps.items()))
        self.check(effects == it["effects"], "a proof names other steps than were recorded")
        self.finish(it["task"])
        self.refer(it["output"])
        for blob in it["blobs"]:
            self.refer((blob, True))
        self.head = of_parts(
            self.head,
            self.run,
            *task_bytes(it["task"]),
            it["fence"].to_bytes(8, "little"),
            it["input"],
            it["output"][0],
            effects or ZERO,
        )
        self.proofs += 1
        return {
            "task": task_name(it["task"]),
            "fence": it["fence"],
            "input": it["input"].hex(),
            "output": it["output"][0].hex(),
            "effects": None if effects is None else effects.hex(),
            "proof": self.head.hex(),
        }

    def reuse(self, it):
        """A task is as it was in the run's source: its link in the chain names the proof that it has there."""
        task = (it["node"], None)
        self.check(self.forked is not None and self.fence == 0, "a task is reused in a run that was not forked")
        self.finish(task)
        root = ZERO
        if it["children"] is not None:
            given, outputs = it["children"]
            for one in [given] + outputs:
                self.refer(one)
            root = sha(b"".join(one[0] for one in [given] + outputs))
        if it["output"] is not None:
            self.refer(it["output"])
        for blob in it["blobs"]:
            self.refer((blob, True))
        output = ZERO if it["output"] is None else it["output"][0]
        self.head = of_parts(
            b"reused",
            self.head,
            self.run,
            it["node"].to_bytes(4, "little"),
            it["source_node"].to_bytes(4, "little"),
            it["proof"],
            it["input"],
            output,
            root,
        )
        self.proofs += 1
        return {
            "task": task_name(task),
            "fence": 0,
            "input": it["input"].hex(),
            "output": output.hex(),
            "effects": None,
            "proof": self.head.hex(),
        }

    def finish(self, task):
        node = self.stop(task, "a task came to a second end")
        node.end(task[1])
        self.nodes_over += task[1] is None

    def park(self, task):
        # An attempt that was under way is not counted.
        it = self.node(task).begun.get(task[1])
        uncounted = it is not None and it.open is not None
        self.stop(task, "a task that was over is parked")
        if uncounted:
            it.attempt = max(it.attempt - 1, 0)

    def stop(self, task, why):
        """Nobody is at work on a task or its children any more."""
        node = self.node(task)
        self.check(not node.is_over(task[1]), why)
        it = node.begun.get(task[1])
        if it is not None and it.open is not None:
            it.open = None
            self.attempts_open -= 1
        if task[1] is None:
            self.attempts_open -= sum(child.open is not None for child in node.begun.values())
            node.stop_children()
        return node

    def intend(self, it):
        key = of_parts(
            self.run,
            *task_bytes(it["task"]),
            self.generation(it["task"][0]).to_bytes(4, "little"),
            it["number"].to_bytes(4, "little"),
            it["tool"].encode(),
            it["arguments"],
        )
        self.check(key == it["key"], "the key of a step is not that of its arguments")
        self.holding(it["task"], it["fence"])
        self.nodes[it["task"][0]].steps.setdefault(it["task"][1], {})[key] = None

    def generation(self, number):
        node = self.nodes.get(number)
        return 0 if node is None else node.generation

    def steps_of(self, task, key):
        node = self.nodes.get(task[0])
        steps = None if node is None else node.steps.get(task[1])
        self.check(steps is not None and key in steps, "a step was not intended")
        return steps

    def refer(self, given):
        if given[1]:
            self.blobs.setdefault(given[0])

    def summary(self):
        self.check(self.fleet_used, "the last start of an instance has nothing to do with the run")
        self.check(set(self.admissions) == self.referred, "the admissions are not those referred to")
        whole = self.accepted is not None and self.plan is not None and self.ended is not None
        self.check(whole, "the run is not over")
        name, version, value = self.plan
        forked = {}
        if self.forked is not None:
            forked["forked"] = {"run": run_text(self.forked[0]), "at": self.forked[1]}
        return {
            "records": self.records,
            "others": self.others,
            "workflow": {"name": name, "version": version, "digest": value},
            "accepted_ms": self.accepted[0],
            "input": self.accepted[1].hex(),
            "ended": self.ended,
            "proofs": self.proofs,
            "head": self.head.hex(),
            **forked,
            "admissions": [self.admissions[number] for number in sorted(self.admissions)],
            "agents": [self.agents[agent] for agent in sorted(self.agents)],
        }


# ---- the lines of a bundle ----------------------------------------------------------------------------------------------------


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def no_constant(_):
    raise ValueError("no JSON")


def number_of(digits):
    """A longer number is none of the format's, and takes time that grows faster than it."""
    if len(digits) > 20:
        raise ValueError("too long")
    return int(digits)


def parse(body, shape):
    """Reads a value that stands there in its only form and has this shape."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=no_constant, parse_int=number_of)
        holds = fits(value, shape) and compact(value) == body
    except (ValueError, UnicodeError, RecursionError):
        holds = False
    ensure(holds, "format", "the line is malformed, or not in the one way in which it may be written")
    return value


def fits(value, shape):
    """Shapes: a dict of fields in order, a tuple of items, a list of one item's shape, or a word."""
    if isinstance(shape, dict):
        if type(value) is not dict:
            return False
        wanted = [name for name in shape if not name.endswith("?")]
        maybe = [name[:-1] for name in shape if name.endswith("?")]
        present = [name for name in maybe if name in value]
        if list(value) != wanted + present or any(value[name] == [] for name in present):
            return False
        return all(fits(value[name.rstrip("?")], it) for name, it in shape.items() if name.rstrip("?") in value)
    if isinstance(shape, tuple):
        return type(value) is list and len(value) == len(shape) and all(map(fits, value, shape))
    if isinstance(shape, list):
        return type(value) is list and all(fits(item, shape[0]) for item in value)
    if shape.endswith("?"):
        return value is None or fits(value, shape[:-1])
    if shape == "kept":
        return fits(value, KEPT)
    if shape == "text":
        return type(value) is str
    if shape == "bool":
        return type(value) is bool
    if shape == "u32":
        return is_u64(value) and value <= U32_MAX
    return is_u64(value)


KEPT = {"checkpoint": "text", "consistency": ["text"]}
HEAD = {
    "format": "text",
    "run": "text",
    "namespace": "text",
    "origin": "text",
    "key": "text",
    "checkpoint": "text",
    "kept": "kept?",
    "embeds": "bool",
}
PROOF = {
    "task": "text",
    "fence": "u64",
    "input": "text",
    "output": "text",
    "effects": "text?",
    "proof": "text",
}
RECORD = {"record": "u64", "leaf": "text", "proofs?": [PROOF]}
CUT = {"node": ("u32", "u64"), "hash": "text"}
PAYLOAD = {"hash": "text", "data": "text?"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def run_text(octets16):
    """The text of a run's id: 128 bits in 26 digits of base 32."""
    value = int.from_bytes(octets16, "big")
    return "run_" + "".join(CROCKFORD[value >> 5 * at & 31] for at in range(25, -1, -1))



def run_id(name):
    digits = name[4:]
    shaped = name.startswith("run_") and len(digits) == 26 and all(c in CROCKFORD for c in digits)
    ensure(shaped and digits[0] in "01234567", "format", "this is no id of a run")
    value = 0
    for c in digits:
        value = value << 5 | CROCKFORD.index(c)
    return value.to_bytes(16, "big")


class Bundle:
    def __init__(self, source):
        self.source = source
        self.number = 0

    def line(self):
        self.number += 1
        line = self.source.readline(LINE_BYTES_MAX + 1)
        ensure(line.endswith(b"\n"), "format", "the file ends too early, or a line is too long")
        return line[:-1]

    def expect(self, words):
        ensure(self.line() == words, "format", "here stands `%s`" % words.decode())

    def verify(self, trusted_key, trusted_note):
        line = self.line()
        ensure(len(line) <= HEAD_BYTES_MAX, "format", "the first line is too long")
        shaped = line.startswith(b'{"bundle":') and line.endswith(b",")
        ensure(shaped, "format", "this is no proof bundle")
        head = parse(line[len(b'{"bundle":'):-1], HEAD)
        ensure(head["format"] == FORMAT, "format", "the format is not `%s`" % FORMAT)
        run = run_id(head["run"])
        key = parse_key(head["key"])
        ensure(key is not None, "format", "this is no verifier key")
        ensure(key.origin == head["origin"], "format", "the origin is not that of the key")
        if trusted_key is not None:
            ensure(trusted_key == head["key"], "key", "the bundle is not of the key that is trusted")
        checkpoint = open_note(key, head["checkpoint"], "checkpoint", 1)
        kept = self.goes_on(head, key, checkpoint, trusted_note)
        self.expect(b'"log":[')
        history = History(run, head["namespace"])
        self.log(checkpoint, history)
        summary = history.summary()
        found = self.line()
        expected = b'"summary":' + compact(summary) + b","
        ensure(found == expected, "summary", "the summary is not that of the records")
        self.payloads(list(history.blobs), head["embeds"])
        return {
            "run": head["run"],
            "namespace": head["namespace"],
            "key": key.text,
            "key_was_given": trusted_key is not None,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "kept": kept,
            "summary": summary,
        }

    def goes_on(self, head, key, checkpoint, trusted_note):
        known, shown = [checkpoint], None
        if head["kept"] is not None:
            shown = open_note(key, head["kept"]["checkpoint"], "kept", 1)
            path = [hex_hash(value) for value in head["kept"]["consistency"]]
            holds = verify_consistency(shown, checkpoint, path)
            ensure(holds, "kept", "the journal does not go on from the checkpoint that was kept")
            known.append(shown)
        if trusted_note is None:
            return None if shown is None else shown.size
        kept = open_note(key, trusted_note, "kept")
        same = any(it.size == kept.size and it.root == kept.root for it in known)
        ensure(same, "kept", "the bundle does not say that the journal goes on from what was kept")
        return kept.size

    def log(self, checkpoint, history):
        spine = Spine(checkpoint.size)
        for _ in range(ENTRIES_MAX):
            line = self.line()
            is_last = not line.endswith(b",")
            body = line if is_last else line[:-1]
            if body.startswith(b'{"record":'):
                entry = parse(body, RECORD)
                leaf = from_base64(entry["leaf"])
                ensure(leaf is not None, "format", "this is not base64")
                spine.leaf(entry["record"], leaf_hash(leaf))
                proofs = history.record(entry["record"], leaf)
                same = proofs == entry.get("proofs", [])
                ensure(same, "summary", "the proofs of progress are not those of the record")
            else:
                entry = parse(body, CUT)
                value = hex_hash(entry["hash"])
                spine.cut(entry["node"][0], entry["node"][1], value)
            if is_last:
                self.expect(b"],")
                same = spine.root() == checkpoint.root
                ensure(same, "tree", "the records are not those of the signed tree")
                return
        raise Fault("format", "the log has too many entries")

    def payloads(self, blobs, embeds):
        self.expect(b'"payloads":[')
        for at, blob in enumerate(blobs):
            line = self.line()
            if at + 1 < len(blobs):
                ensure(line.endswith(b","), "format", "the list of payloads ends too early")
                line = line[:-1]
            entry = parse(line, PAYLOAD)
            same = hex_hash(entry["hash"]) == blob
            ensure(same, "payload", "the payload is not the one that the records name next")
            ensure((entry["data"] is not None) == embeds, "payload", "payloads are embedded all or none")
            if embeds:
                data = from_base64(entry["data"])
                ensure(data is not None, "format", "this is not base64")
                ensure(sha(data) == blob, "payload", "the payload is not what its name says")
        self.expect(b"]}")
        if self.source.read(1) != b"":
            self.number += 1
            raise Fault("format", "something follows the end")


def judge(source, key, note):
    """What the bundle says, or the fault with its line."""
    bundle = Bundle(source)
    try:
        return bundle.verify(key, note), None
    except Fault as fault:
        return None, {"class": fault.cls, "line": bundle.number, "why": fault.why}


def batch():
    """Each request is a line of JSON, {"bytes": N, "key": text or null, "kept": text or null}, and N bytes; each
    answer a line: the class and the line of the fault, or `ok`."""
    requests, answers = sys.stdin.buffer, sys.stdout
    while True:
        line = requests.readline()
        if not line:
            return 0
        request = json.loads(line)
        data = requests.read(request["bytes"])
        _, fault = judge(io.BytesIO(data), request["key"], request["kept"])
        answers.write("ok\n" if fault is None else "%s %d\n" % (fault["class"], fault["line"]))
        answers.flush()


def main():
    parser = argparse.ArgumentParser(description="Verify a proof bundle of ARK-OS.")
    parser.add_argument("bundle", nargs="?")
    parser.add_argument("--key", metavar="PUB", help="file with the verifier key, kept elsewhere")
    parser.add_argument("--kept", metavar="NOTE", help="file with the note of a checkpoint, kept elsewhere")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batch", action="store_true", help="many bundles on standard input")
    given = parser.parse_args()
    if given.batch:
        return batch()
    if given.bundle is None:
        parser.error("name a bundle")
    try:
        key = open(given.key, encoding="utf-8").read().strip() if given.key else None
        kept = open(given.kept, encoding="utf-8", newline="").read() if given.kept else None
        with open(given.bundle, "rb") as source:
            said, fault = judge(source, key, kept)
    except (OSError, UnicodeError) as error:
        parser.error(str(error))
    if given.json:
        print(json.dumps({"ok": fault is None, "fault": fault, "bundle": said}, ensure_ascii=False))
    elif fault is not None:
        print("the bundle does NOT verify\n  line %(line)d (%(class)s): %(why)s" % fault)
    else:
        summary = said["summary"]
        print("the bundle verifies: %s, %s" % (said["run"], summary["ended"]["state"]))
        print("  %d records of the run in a journal of %d" % (summary["records"], said["size"]))
        print("  key %s (%s)" % (said["key"], "given" if key else "of the bundle itself: NOT checked whose it is"))
    return 0 if fault is None else 6


if __name__ == "__main__":
    sys.exit(main())
