// The client against a real instance: `ARK_OS_BIN` names the binary.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Failed, ProtocolError, Worker } from "../src/index.js";
import { Instance } from "../support/instance.js";

let instance;

before(async () => {
  instance = await Instance.start();
});

after(() => instance.stop());

const call = (path, body) => instance.call(path, body);
const runTask = (skill, input) => instance.runTask(skill, input);
const registered = (name) => instance.registered(name);

test("tasks are done, failures are told, and a stopped worker is gone", async () => {
  const { endpoint, token } = instance;
  const told = [];
  const worker = new Worker("ts-1", { concurrency: 8, endpoint, token, log: (text) => told.push(text) })
    .skill("ts.double", { effect: "read" }, (value) => value * 2)
    .skill("ts.fail", { effect: "read" }, (_, task) => {
      throw new Failed("ts.broken", `attempt ${task.attempt}`, { retryable: true });
    })
    .skill("ts.raise", { effect: "read" }, () => {
      throw new RangeError("not told by the skill");
    });
  const running = worker.run({ signals: false });
  await registered("ts-1");
  const done = await Promise.all([...Array(12).keys()].map((i) => runTask("ts.double", i)));
  assert.deepEqual(done.map((it) => it.output), [...Array(12).keys()].map((i) => i * 2));
  const { failure } = await runTask("ts.fail", 1);
  assert.deepEqual([failure.code, failure.message], ["ts.broken", "attempt 2"]);
  const raised = await runTask("ts.raise", 1);
  assert.equal(raised.failure.code, "worker.exception");
  assert.match(raised.failure.message, /RangeError: not told by the skill/);
  assert.ok(told.some((text) => text.includes("ts.raise threw")));
  worker.stop();
  await running;
  const agent = await call("/agents/ts-1");
  assert.equal(agent.standing, "retired");
});

test("a wrong registration is told with its place", async () => {
  const { endpoint, token } = instance;
  const worker = new Worker("wrong name", { endpoint, token }).skill("x.y", {}, () => null);
  await assert.rejects(worker.run({ signals: false }), (error) => {
    assert.ok(error instanceof ProtocolError);
    assert.equal(error.code, "worker_invalid");
    return error.message.includes("/name");
  });
});

test("a worker that reaches nobody stops when told", async () => {
  const worker = new Worker("alone-1", { endpoint: "http://127.0.0.1:9", token: "t" }).skill("x.y", {}, () => null);
  const running = worker.run({ signals: false });
  worker.stop();
  await running;
});

test("an output that is too large has failed, and the worker goes on", async () => {
  const { endpoint, token } = instance;
  const worker = new Worker("large-1", { endpoint, token, log: () => {} })
    .skill("large.text", { effect: "read" }, (size) => "x".repeat(size));
  const running = worker.run({ signals: false });
  await registered("large-1");
  const { failure } = await runTask("large.text", 20_000_000);
  assert.equal(failure.code, "worker.output_too_large");
  assert.equal((await runTask("large.text", 3)).output, "xxx");
  worker.stop();
  await running;
});
