// What skills do that they should not, and what instances do not answer: neither is to end a worker.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Failed, Unknown, Worker } from "../src/index.js";
import { secondsOf } from "../src/errors.js";
import { encoded } from "../src/transport.js";
import { Instance, raw, relay } from "../support/instance.js";

let instance;

before(async () => {
  instance = await Instance.start();
});

after(() => instance.stop());

const HALF = "caf\udce9.txt";

const throws = (it) => () => {
  throw it;
};

function circle() {
  const it = [];
  it.push(it);
  return it;
}

function deep() {
  let it = [];
  for (let i = 0; i < 100_000; i += 1) it = [it];
  return it;
}

const changed = (error, change) => Object.assign(error, change);
const hostile = new Proxy({}, { get: throws(new Error("not even looked at")) });

// What a skill does, with the code of the failure that it comes to and a part of its message.
const ODD = {
  half_message: [throws(new Error(`cannot use ${HALF}`)), "worker.exception", "cannot use caf\ufffd.txt"],
  half_failed: [throws(new Failed(`x${HALF}`, HALF)), "worker.failed", "caf\ufffd.txt"],
  cut_emoji: [throws(new Error(`${"x".repeat(992)}\u{1f600}`)), "worker.exception", "x\u{1f600}"],
  cut_before_emoji: [throws(new Error(`${"x".repeat(993)}\u{1f600}`)), "worker.exception", "Error: x"],
  long_failed: [throws(new Failed("odd.long", "x".repeat(20_000_000))), "odd.long", "x".repeat(1_000)],
  odd_types: [throws(changed(new Failed(7, ""), { message: { a: 1 }, retryable: 1 })), "7", "[object Object]"],
  odd_unknown: [throws(new Unknown(undefined, undefined)), "undefined", ""],
  odd_code: [throws(new Failed(Symbol("code"), "a symbol")), "worker.failed", "a symbol"],
  null: [throws(null), "worker.exception", "null"],
  undefined: [throws(undefined), "worker.exception", "undefined"],
  text: [throws("a text"), "worker.exception", "a text"],
  symbol: [throws(Symbol("it")), "worker.exception", "Symbol(it)"],
  bare: [throws(Object.create(null)), "worker.exception", "no text"],
  hostile: [throws(hostile), "worker.exception", "no text"],
  symbol_message: [throws({ message: Symbol("it") }), "worker.exception", "no text"],
  nothing: [() => undefined, "worker.exception", "no JSON value"],
  function: [() => () => {}, "worker.exception", "no JSON value"],
  big: [() => 1n, "worker.exception", "BigInt"],
  circle: [circle, "worker.exception", "circular"],
  deep: [deep, "worker.exception", "Maximum call stack"],
  to_json: [() => ({ toJSON: throws(new Error("no form")) }), "worker.exception", "no form"],
  then: [() => ({ then: throws(new Error("no promise")) }), "worker.exception", "no promise"],
  rejects: [() => Promise.reject(new Error("rejected")), "worker.exception", "rejected"],
};

function odd(name, options) {
  const worker = new Worker(name, { concurrency: 8, token: instance.token, log: () => {}, ...options });
  for (const [it, [work]] of Object.entries(ODD)) worker.skill(`odd.${it}`, { effect: "read" }, work);
  return worker.skill("odd.echo", { effect: "read" }, (input) => input);
}

test("no skill ends a worker", async () => {
  const log = throws(new Error("a log that throws"));
  const later = [];
  const worker = odd("odd-1", { endpoint: instance.endpoint, log })
    .skill("odd.half_output", { effect: "read" }, () => ({ [HALF]: `\\udce9 \u{1f600} ${HALF}` }))
    .skill("odd.later", { effect: "read" }, () => {
      const it = { it: 1 };
      later.push(it);
      // Before it is sent, but after it was returned.
      setImmediate(() => Object.assign(it, { it: 1n }));
      return it;
    })
    .skill("odd.checkpoint", { effect: "read" }, (input, task) => task.checkpoint(input));
  const running = worker.run({ signals: false });
  await instance.registered("odd-1");
  for (const [it, [, code, part]] of Object.entries(ODD)) {
    const { failure } = await instance.runTask(`odd.${it}`, null, 1);
    assert.deepEqual([it, failure?.code, failure?.message.includes(part)], [it, code, true], failure?.message);
  }
  const { output } = await instance.runTask("odd.half_output", null, 1);
  assert.deepEqual(output, { "caf\ufffd.txt": "\\udce9 \u{1f600} caf\ufffd.txt" });
  assert.deepEqual((await instance.runTask("odd.later", null, 1)).output, { it: 1 });
  const { failure } = await instance.runTask("odd.checkpoint", "x".repeat(1_001), 1);
  assert.match(failure.message, /at most 1000 characters/);
  worker.stop();
  await running;
});

test("a skill that never ends loses its task when that is cancelled, and its place is another's", async () => {
  const { endpoint, token } = instance;
  let begun;
  const isBegun = new Promise((resolve) => {
    begun = resolve;
  });
  const worker = new Worker("endless-1", { endpoint, token, graceMs: 100, log: () => {} })
    .skill("endless.wait", { effect: "read" }, () => new Promise(begun))
    .skill("endless.echo", { effect: "read" }, (input) => input);
  const running = worker.run({ signals: false });
  await instance.registered("endless-1");
  const { run } = await instance.call("/tasks", { skill: "endless.wait" });
  await isBegun;
  await instance.call(`/runs/${run}/cancel`, {});
  assert.equal((await instance.runTask("endless.echo", 1)).output, 1);
  worker.stop();
  await running;
});

async function throughRelay(name, spoil, work, options) {
  const between = await relay(instance, spoil);
  const worker = odd(name, { endpoint: between.endpoint, ...options });
  const running = worker.run({ signals: false });
  try {
    await instance.registered(name);
    await work();
    worker.stop();
    await running;
  } finally {
    between.close();
  }
}

const together = (inputs) => Promise.all(inputs.map((it) => instance.runTask("odd.echo", it, 1)));

test("what is not taken has failed alone", async () => {
  const problem = JSON.stringify({ status: 400, code: "json_invalid", detail: "it is odd", errors: "odd, too" });
  const spoil = (verb, body) => (verb === "complete" && body.includes("poison") ? raw(400, problem) : undefined);
  await throughRelay("refused-1", spoil, async () => {
    const over = await together(["a", "poison", "b", "c"]);
    assert.deepEqual(over.map((it) => it.state), ["succeeded", "failed", "succeeded", "succeeded"]);
    assert.equal(over[1].failure.code, "worker.not_taken");
    assert.match(over[1].failure.message, /json_invalid: it is odd/);
  });
});

test("nothing that is said is taken, and the worker goes on", async () => {
  const refused = [];
  let done;
  const isDone = new Promise((resolve) => {
    done = resolve;
  });
  const spoil = (verb) => {
    if (refused.length === 3 || !["complete", "fail"].includes(verb)) return undefined;
    refused.push(verb);
    if (refused.length === 3) done();
    return raw(422, "no");
  };
  await throughRelay("refused-2", spoil, async () => {
    const { run } = await instance.call("/tasks", { skill: "odd.echo", input: 1 });
    await isDone;
    assert.deepEqual(refused, ["complete", "fail", "fail"]);
    assert.equal((await instance.runTask("odd.echo", 2)).output, 2);
    // Else the instance waits for its lease when it stops.
    await instance.call(`/runs/${run}/cancel`, {});
  });
});

test("a proxy that takes less than the instance is given less", async () => {
  const page = raw(413, "<html>too large</html>");
  const spoil = (verb, body) => (verb === "complete" && body.length > 30_000 ? page : undefined);
  await throughRelay("small-1", spoil, async () => {
    const over = await together([20_000, 40_000, 20_000].map((size) => "x".repeat(size)));
    assert.deepEqual(over.map((it) => it.state), ["succeeded", "failed", "succeeded"]);
    assert.equal(over[1].failure.code, "worker.output_too_large");
  });
});

test("pages that are no answers are asked again", async () => {
  const page = "<html>please log in</html>";
  const pages = {
    page: raw(200, page),
    nothing: raw(204, ""),
    another: raw(200, '{"status":"up"}'),
    list: raw(200, "[]"),
    null: raw(200, "null"),
    cut: raw(200, '{"tokens": [{"pt":"').replace("Content-Length: 19\r\n", ""),
    short: raw(200, '{"tokens": []}').replace(": 14", ": 99"),
    elsewhere: raw(302, "", "Location: http://127.0.0.1:9/maintenance"),
    missing: raw(404, page),
    busy: raw(503, page),
    what: "what?\r\n\r\n",
    closed: "",
  };
  for (const [name, it] of Object.entries(pages)) {
    const left = new Set(["workers", "claim", "complete"]);
    const spoil = (verb) => (left.delete(verb) ? it : undefined);
    await throughRelay(`pages-${name}`, spoil, async () => {
      const { task, output } = await instance.runTask("odd.echo", name);
      const { attempt } = await instance.call(`/tasks/${task}`);
      assert.deepEqual([output, attempt, left.size], [name, 1, 0]);
    });
  }
});

test("no answer is told once", async () => {
  const told = [];
  let left = 5;
  const elsewhere = raw(302, "", "Location: http://elsewhere/");
  const spoil = (verb) => {
    if (verb !== "workers" || left === 0) return undefined;
    left -= 1;
    return elsewhere;
  };
  await throughRelay("told-1", spoil, async () => {}, { log: (text) => told.push(text) });
  assert.deepEqual(told, ["no answer to /workers, which is tried on and on: 302 http://elsewhere/"]);
});

test("half characters are replaced and whole ones are not", () => {
  assert.equal(encoded("\u{1f600} \ud83d. \udce9"), '"\u{1f600} \ufffd. \ufffd"');
  assert.equal(encoded("\\ud83d \\\ud83d"), '"\\\\ud83d \\\\\ufffd"');
  assert.equal(encoded(undefined), undefined);
});

test("pauses that are asked for are read and have a limit", () => {
  const asked = [[2, 2], [0.5, 0.5], ["3", 3], [Infinity, 60], ["9".repeat(5_000), 60], [-1, 0], [NaN, 0], ["soon", 0], [null, 0]];
  for (const [after, seconds] of asked) assert.equal(secondsOf(after), seconds, `${after}`);
});
