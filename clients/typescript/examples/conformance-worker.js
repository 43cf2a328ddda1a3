// The worker that the conformance test is run against:
// `ark-os workers conformance -- node conformance-worker.js`

import { setTimeout as pause } from "node:timers/promises";

import { Failed, Fenced, Worker } from "../src/index.js";

const worker = new Worker("typescript", { concurrency: 8 })
  .skill("conformance.echo", { effect: "read" }, (input) => input)
  .skill("conformance.fail", { effect: "read" }, ({ code, retryable }) => {
    throw new Failed(code, "asked for", { retryable });
  })
  .skill("conformance.work", { effect: "read" }, async ({ ms }, task) => {
    await pause(ms, undefined, { signal: task.signal });
    return { worked: ms };
  });

try {
  await worker.run();
} catch (error) {
  if (!(error instanceof Fenced)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
