// A worker: claims, works, says that it lives, presents what came of it, leaves.

import { REFUSED, batches, completed, failed, instead } from "./ends.js";
import { Failed, Fenced, ProtocolError, Stopped, Unregistered } from "./errors.js";
import { Task } from "./task.js";
import { Transport, workerPath } from "./transport.js";

// Tokens of one sign of life.
const TOKENS_MAX = 1_000;
// How much longer than its wait a claim may take.
const CLAIM_PATIENCE_MS = 15_000;
const GRACE_MS = 30_000;
// Time for the answer to a sign of life: one that hangs leaves time for another before the leases run
// out, but the instance makes it durable first.
const ANSWER_MS = 30_000;
const EXTEND_MS_MIN = 1_000;
// Longer ones end at once.
const TIMER_MS_MAX = 2 ** 31 - 1;

const split = (list, size) =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));

// Not the time of day, which is set back and forth.
const now = () => performance.now();

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
    this.transport = new Transport({ endpoint, token, log: (text) => this.#tell(text) });
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

  /** A log that throws is no reason to end. */
  #tell(text) {
    try {
      this.log(text);
    } catch {
      // There is nobody to tell.
    }
  }

  // Waiting: everything that changes wakes everybody, who then looks.

  #wake() {
    const wakers = [...this.#wakers];
    this.#wakers.clear();
    for (const wake of wakers) wake();
  }

  #changed(ms) {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(done, Math.min(ms, TIMER_MS_MAX));
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
    const end = now() + ms;
    while (!holds()) {
      const left = end - now();
      if (left <= 0) return false;
      await this.#changed(Number.isFinite(left) ? left : undefined);
    }
    return true;
  }

  // The protocol.

  #post(path, body, wants, session, { timeout, stop = () => this.#stopped } = {}) {
    const pause = async (ms) => {
      await this.#until(stop, ms);
      return stop();
    };
    return this.transport.postUntilAnswered(path, body, { wants, session, timeout, pause });
  }

  async #register() {
    const body = { name: this.name, concurrency: this.concurrency, skills: this.#offers };
    if (this.layer !== undefined) body.layer = this.layer;
    if (this.labels !== undefined) body.labels = this.labels;
    const wants = ["session", "lease_ms", "heartbeat_ms", "wait_ms_max"];
    const answer = await this.#post("/workers", body, wants, undefined, { stop: () => this.#leaving });
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
    if (this.#leaving) {
      // Nobody takes what comes of them any more.
      for (const pt of [...this.#tasks.keys()]) this.#putDown(pt);
      throw new Stopped("the worker leaves");
    }
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
          if (worse instanceof Fenced) this.#tell(`another process is the worker ${this.name} now`);
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
      const answer = await this.#post(workerPath(this.name, "claim"), body, ["tasks"], session, {
        timeout: this.#terms.waitMs + CLAIM_PATIENCE_MS,
        stop: () => this.#leaving,
      });
      // A newer session has numbers of its own, and these tasks are not its.
      if (this.#session !== session) continue;
      // Only now: the same number gives the same tasks where the answer was lost.
      this.#claims = claim;
      const tasks = answer.tasks.map((item) => new Task(item));
      for (const task of tasks) this.#tasks.set(task.pt, task);
      if (tasks.length > 0) this.#wake();
      for (const task of tasks) this.#carryOut(task);
    }
  }

  async #carryOut(task) {
    let end;
    try {
      const handler = this.#skills.get(task.skill);
      if (handler === undefined) {
        throw new Failed("worker.no_such_skill", `this worker has no skill ${task.skill}`, { retryable: true });
      }
      end = completed(task, await handler(task.input, task));
    } catch (error) {
      end = failed(task, error, (text) => this.#tell(text));
    }
    if (this.#tasks.get(task.pt) !== task) return;
    this.#ends.push(end);
    this.#wake();
  }

  /**
   * Presents what came of tasks until it is answered. Saying it again changes nothing. What the instance
   * does not take is replaced by a failure that says so: it is one task's business, and not the others'.
   */
  async #send() {
    for (;;) {
      await this.#until(() => this.#stopped || this.#ends.length > 0);
      if (this.#stopped) return;
      const ends = this.#ends;
      this.#ends = [];
      const of = (verb) => ends.filter((end) => end.verb === verb);
      const failures = [...of("fail"), ...(await this.#present("complete", of("complete"))).map(instead)];
      const plain = (await this.#present("fail", failures)).map(instead);
      for (const { end, why } of await this.#present("fail", plain)) {
        this.#tell(`${end.task.pt} is left to its lease, because nothing said of it is taken: ${why.message}`);
        this.#putDown(end.task.pt);
      }
    }
  }

  /** Presents them; those that the instance does not take, each with the reason. */
  async #present(verb, ends) {
    const untaken = [];
    const todo = batches(ends, this.#terms.bodyBytes, untaken);
    while (todo.length > 0) {
      const some = todo.pop();
      try {
        await this.#presentTogether(verb, some);
      } catch (why) {
        if (!(why instanceof ProtocolError && REFUSED.includes(why.status))) throw why;
        const half = Math.floor(some.length / 2);
        if (half === 0) untaken.push({ end: some[0], why });
        else todo.push(some.slice(0, half), some.slice(half));
      }
    }
    return untaken;
  }

  async #presentTogether(verb, ends) {
    const field = verb === "complete" ? "results" : "failures";
    const body = `{"${field}":[${ends.map((end) => end.text).join(",")}]}`;
    const answer = await this.#post(workerPath(this.name, verb), body, ["tokens"], this.#session);
    for (const it of answer.tokens) {
      if (it.state !== "accepted") this.#tell(`${it.pt} was not accepted: ${it.message ?? it.state}`);
    }
    for (const end of ends) this.#putDown(end.task.pt);
  }

  #putDown(pt) {
    const task = this.#tasks.get(pt);
    this.#tasks.delete(pt);
    task?.cancel();
    this.#wake();
  }

  /** Says that the tasks in hand are worked on, and lets go of those that are taken away. */
  async #keep() {
    let heard = now();
    for (;;) {
      const { leaseMs, heartbeatMs } = this.#terms;
      // Often enough that two may be late.
      const isBusy = this.#tasks.size > 0 || this.#leaving;
      const due = heard + (isBusy ? leaseMs / 3 : heartbeatMs / 2);
      if (now() < due) {
        await this.#changed(due - now());
        if (this.#stopped) return;
        continue;
      }
      heard = now();
      const tasks = [...this.#tasks.values()];
      const parts = tasks.length === 0 ? [[]] : split(tasks, TOKENS_MAX);
      for (const some of parts) {
        const body = { tokens: some.map((task) => task.token()) };
        const timeout = Math.min(ANSWER_MS, Math.max(leaseMs / 2, EXTEND_MS_MIN));
        const answer = await this.#post(workerPath(this.name, "extend"), body, ["tokens"], this.#session, { timeout });
        for (const it of answer.tokens) {
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
      await this.#post(workerPath(this.name, "leave"), {}, ["under_way"], this.#session);
      await this.#until(() => this.#tasks.size === 0 || this.#stopped);
    } catch (error) {
      if (!(error instanceof Stopped || error instanceof Unregistered)) this.#failure = error;
    } finally {
      clearTimeout(grace);
    }
  }
}
