// The client against a real instance: `ARK_OS_BIN` names the binary.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Failed, ProtocolError, Worker } from "../src/index.js";

const instance = {};

before(async () => {
  const home = await mkdtemp(join(tmpdir(), "ark-os-ts-"));
  const data = join(home, "data");
  const args = ["start", "--listen", "127.0.0.1:0", "--agents", "8", "--data-dir", data];
  const env = { PATH: process.env.PATH, HOME: home, ARK_OS_LOG_LEVEL: "error" };
  const child = spawn(process.env.ARK_OS_BIN ?? "ark-os", args, { env, stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const { endpoint } = JSON.parse(await readFile(join(data, "instance.json"), "utf8"));
  const token = (await readFile(join(data, "token"), "utf8")).trim();
  Object.assign(instance, { home, child, endpoint, token });
});

after(async () => {
  instance.child.kill("SIGTERM");
  await once(instance.child, "exit");
  await rm(instance.home, { recursive: true });
});

async function call(path, body) {
  const headers = { authorization: `Bearer ${instance.token}` };
  const request = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(`${instance.endpoint}/api/v1${path}`, request);
  return response.json();
}

const runTask = (skill, input) =>
  call("/tasks?wait=30s", { skill, input, retry: { attempts: 2, backoff: "1ms" } });

async function registered(name) {
  for (let i = 0; i < 200; i += 1) {
    const { items } = await call("/workers");
    if (items.some((it) => it.worker === name)) return;
    await pause(50);
  }
  assert.fail(`${name} never registered`);
}

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
