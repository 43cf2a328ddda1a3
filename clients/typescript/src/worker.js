// A worker: claims, works, says that it lives, presents what came of it, leaves.

import { Failed, Fenced, Stopped, Unknown, Unregistered } from "./errors.js";
import { Task } from "./task.js";
import { Transport, workerPath } from "./transport.js";

// Results of one request, and tokens of one sign of life.
const BATCH_MAX = 200;
const TOKENS_MAX = 1_000;
// How much longer than its wait a claim may take.
const CLAIM_PATIENCE_MS = 15_000;
const GRACE_MS = 30_000;
const MESSAGE_CHARS_MAX = 1_000;

const split = (list, size) =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));

/** What is told in place of a result that the instance does not take. */
const unsendable = ({ pt, fence }) => ({
  pt,
  fence,
  code: "worker.output_too_large",
  message: "the instance takes no request as large as this output",
  retryable: false,
});

/** Requests with all items, each as large as the instance takes; those that are too large alone are set apart. */
function* bodies(field, items, bytesMax, tooLarge) {
  const most = bytesMax - field.length - 16;
  const encoder = new TextEncoder();
  let batch = [];
  let size = 0;
  const body = () => `{"${field}":[${batch.join(",")}]}`;
  for (const item of items) {
    const text = JSON.stringify(item);
    const bytes = encoder.encode(text).length;
    if (bytes > most) {
      tooLarge.push(item);
      continue;
    }
    if (batch.length > 0 && (size + bytes > most || batch.length === BATCH_MAX)) {
      yield body();
      [batch, size] = [[], 0];
    }
    batch.push(text);
    size += bytes + 1;
  }
  if (batch.length > 0) yield body();
}

export class Worker {
  #skills = new Map();
  #offers = [];
  #tasks = new Map();
  #ends = [];
  #session;
  #joining;
  #claims = 0;
  #terms = { leaseMs: 10_000, heartbeatMs: 30_000, waitMs: 30_000, bodyBytes: 1 << 20 };
  #leaving = false;
  #stopped = false;
  #failure;
  #wakers = new Set();

  constructor(name, { concurrency = 1, layer, labels, endpoint, token, graceMs = GRACE_MS, log } = {}) {
    this.name = name;
    this.concurrency = concurrency;
    this.layer = layer;
    this.labels = labels;
    this.graceMs = graceMs;
    this.log = log ?? ((text) => globalThis.console?.error(`ark-os-worker: ${text}`));
    this.transport = new Transport({ endpoint, token });
  }

  /** Offers a function as a skill. */
  skill(name, { effect = "effectful", input, output } = {}, handler) {
    this.#offers.push({ name, effect, input, output });
    this.#skills.set(name, handler);
    return this;
  }

  /** Works until `stop`, or until SIGTERM or SIGINT with `signals`. */
  async run({ signals = true } = {}) {
    const stop = () => this.stop();
    const hears = signals && globalThis.process?.on !== undefined;
    if (hears) for (const name of ["SIGTERM", "SIGINT"]) process.on(name, stop);
    try {
      await this.#register();
      const loops = [this.#claim, this.#send, this.#keep].map((it) => this.#guarded(it));
      await this.#until(() => this.#leaving);
      await this.#windUp();
      this.#stopped = true;
      for (const task of this.#tasks.values()) task.cancel();
      this.#wake();
      await Promise.all(loops);
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    } finally {
      if (hears) for (const name of ["SIGTERM", "SIGINT"]) process.off(name, stop);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Takes nothing new, and lets what is in hand come to its end. */
  stop() {
    this.#leaving = true;
    this.#wake();
  }

  // Waiting: everything that changes wakes everybody, who then looks.

  #wake() {
    const wakers = [...this.#wakers];
    this.#wakers.clear();
    for (const wake of wakers) wake();
  }

  #changed(ms) {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(done, ms);
      const wakers = this.#wakers;
      function done() {
        clearTimeout(timer);
        wakers.delete(done);
        resolve();
      }
      wakers.add(done);
    });
  }

  async #until(holds, ms = Infinity) {
    const end = Date.now() + ms;
    while (!holds()) {
      const left = end - Date.now();
      if (left <= 0) return false;
      await this.#changed(Number.isFinite(left) ? left : undefined);
    }
    return true;
  }

  // The protocol.

  #post(path, body, session, { timeout, stop = () => this.#stopped } = {}) {
    const pause = async (ms) => {
      await this.#until(stop, ms);
      return stop();
    };
    return this.transport.postUntilAnswered(path, body, { session, timeout, pause });
  }

  async #register() {
    const body = { name: this.name, concurrency: this.concurrency, skills: this.#offers };
    if (this.layer !== undefined) body.layer = this.layer;
    if (this.labels !== undefined) body.labels = this.labels;
    const answer = await this.#post("/workers", body, undefined, { stop: () => this.#leaving });
    const lost = [...this.#tasks.values()];
    this.#tasks.clear();
    this.#terms = {
      leaseMs: answer.lease_ms,
      heartbeatMs: answer.heartbeat_ms,
      waitMs: answer.wait_ms_max,
      bodyBytes: answer.body_bytes_max ?? this.#terms.bodyBytes,
    };
    this.#claims = 0;
    this.#session = answer.session;
    for (const task of lost) task.cancel();
    this.#wake();
  }

  /** Joins again, once for all loops that meet a session that is gone. */
  async #renewed(session) {
    if (this.#leaving) throw new Stopped("the worker leaves");
    if (this.#session !== session) return;
    this.#joining ??= this.#register().finally(() => {
      this.#joining = undefined;
    });
    await this.#joining;
  }

  async #guarded(loop) {
    while (!this.#stopped) {
      try {
        return await loop.call(this);
      } catch (error) {
        if (error instanceof Stopped) return;
        try {
          // What crossed with this worker's own registration says nothing about the new session.
          const isOld = error?.session !== undefined && error.session !== this.#session;
          if (error instanceof Fenced && (isOld || this.#joining !== undefined)) {
            await this.#joining;
            continue;
          }
          if (!(error instanceof Unregistered)) throw error;
          await this.#renewed(error.session);
        } catch (worse) {
          if (worse instanceof Stopped) return;
          if (worse instanceof Fenced) this.log(`another process is the worker ${this.name} now`);
          this.#failure ??= worse;
          this.#stopped = true;
          this.stop();
          return;
        }
      }
    }
  }

  async #claim() {
    while (!this.#leaving) {
      await this.#until(() => this.#leaving || this.#tasks.size < this.concurrency);
      if (this.#leaving) return;
      const session = this.#session;
      const claim = this.#claims + 1;
      const max = Math.min(this.concurrency - this.#tasks.size, 1_000);
      const body = { max, wait: `${this.#terms.waitMs}ms`, claim };
      const answer = await this.#post(workerPath(this.name, "claim"), body, session, {
        timeout: this.#terms.waitMs + CLAIM_PATIENCE_MS,
        stop: () => this.#leaving,
      });
      // A newer session has numbers of its own, and these tasks are not its.
      if (this.#session !== session) continue;
      // Only now: the same number gives the same tasks where the answer was lost.
      this.#claims = claim;
      const tasks = (answer.tasks ?? []).map((item) => new Task(item));
      for (const task of tasks) this.#tasks.set(task.pt, task);
      if (tasks.length > 0) this.#wake();
      for (const task of tasks) this.#carryOut(task);
    }
  }

  async #carryOut(task) {
    const token = { pt: task.pt, fence: task.fence };
    let end;
    try {
      const handler = this.#skills.get(task.skill);
      if (handler === undefined) {
        throw new Failed("worker.no_such_skill", `this worker has no skill ${task.skill}`, { retryable: true });
      }
      const output = await handler(task.input, task);
      if (JSON.stringify(output) === undefined) throw new TypeError(`the skill ${task.skill} returned no JSON value`);
      end = { verb: "complete", item: { ...token, output } };
    } catch (error) {
      end = { verb: "fail", item: { ...token, ...this.#failureOf(task, error) } };
    }
    if (this.#tasks.get(task.pt) !== task) return;
    this.#ends.push(end);
    this.#wake();
  }

  #failureOf(task, error) {
    const { message = String(error) } = error ?? {};
    if (error instanceof Failed) return { code: error.code, message, retryable: error.retryable };
    if (error instanceof Unknown) return { code: error.code, message, retryable: true, unknown: true };
    if (!task.cancelled) this.log(`${task.skill} threw ${error?.stack ?? message}`);
    // Whoever throws anything else does not say how far it came.
    const unknown = task.effect === "effectful";
    const text = `${error?.name ?? "Error"}: ${message}`.slice(0, MESSAGE_CHARS_MAX);
    return { code: "worker.exception", message: text, retryable: true, unknown };
  }

  /** Presents what came of tasks until it is answered. Saying it again changes nothing. */
  async #send() {
    for (;;) {
      await this.#until(() => this.#stopped || this.#ends.length > 0);
      if (this.#stopped) return;
      const ends = this.#ends;
      this.#ends = [];
      for (const [verb, field] of [["complete", "results"], ["fail", "failures"]]) {
        const items = ends.filter((end) => end.verb === verb).map((end) => end.item);
        await this.#present(verb, field, items);
      }
    }
  }

  async #present(verb, field, items) {
    const tooLarge = [];
    for (const body of bodies(field, items, this.#terms.bodyBytes, tooLarge)) {
      const answer = await this.#post(workerPath(this.name, verb), body, this.#session);
      for (const it of answer.tokens ?? []) {
        if (it.state !== "accepted") this.log(`${it.pt} was not accepted: ${it.message ?? it.state}`);
        this.#putDown(it.pt);
      }
    }
    if (tooLarge.length > 0) await this.#present("fail", "failures", tooLarge.map(unsendable));
  }

  #putDown(pt) {
    const task = this.#tasks.get(pt);
    this.#tasks.delete(pt);
    task?.cancel();
    this.#wake();
  }

  /** Says that the tasks in hand are worked on, and lets go of those that are taken away. */
  async #keep() {
    let heard = Date.now();
    for (;;) {
      const { leaseMs, heartbeatMs } = this.#terms;
      // Often enough that two may be late.
      const isBusy = this.#tasks.size > 0 || this.#leaving;
      const due = heard + (isBusy ? leaseMs / 3 : heartbeatMs / 2);
      if (Date.now() < due) {
        await this.#changed(due - Date.now());
        if (this.#stopped) return;
        continue;
      }
      heard = Date.now();
      const tasks = [...this.#tasks.values()];
      const parts = tasks.length === 0 ? [[]] : split(tasks, TOKENS_MAX);
      for (const some of parts) {
        const body = { tokens: some.map((task) => task.token()) };
        const answer = await this.#post(workerPath(this.name, "extend"), body, this.#session);
        for (const it of answer.tokens ?? []) {
          if (it.state === "cancelled" || it.state === "stale_fence") this.#putDown(it.pt);
        }
      }
    }
  }

  async #windUp() {
    if (this.#failure !== undefined) return;
    // What is not said by then, to an instance that does not answer, is not said.
    const grace = setTimeout(() => {
      this.#stopped = true;
      this.#wake();
    }, this.graceMs);
    try {
      await this.#post(workerPath(this.name, "leave"), {}, this.#session);
      await this.#until(() => this.#tasks.size === 0 || this.#stopped);
    } catch (error) {
      if (!(error instanceof Stopped || error instanceof Unregistered)) this.#failure = error;
    } finally {
      clearTimeout(grace);
    }
  }
}
