// HTTP with `fetch`; what may be tried again is.

import { Busy, Fenced, ProtocolError, Stopped, Unregistered } from "./errors.js";

const ANSWER_MS = 30_000;
// First pause after a request that got no answer; doubles up to the longest.
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 5_000;

const environment = (name) => globalThis.process?.env?.[name];

export class Transport {
  constructor({ endpoint, token } = {}) {
    const base = endpoint ?? environment("ARK_OS_ENDPOINT") ?? "http://127.0.0.1:7341";
    this.base = `${new URL(base).href.replace(/\/+$/, "")}/api/v1`;
    this.token = token ?? environment("ARK_OS_TOKEN") ?? "";
  }

  /** One request. Rejects with anything but a `ProtocolError` where no answer came. */
  async post(path, body, { session, timeout = ANSWER_MS } = {}) {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
    if (session !== undefined) headers["worker-session"] = session;
    const signal = AbortSignal.timeout(timeout);
    const request = { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body), signal, redirect: "error" };
    const response = await fetch(this.base + path, request);
    const text = await response.text();
    let value = {};
    try {
      value = text === "" ? {} : JSON.parse(text);
    } catch {
      // A proxy's page is no answer of an instance.
    }
    if (response.ok) return value;
    const refused = (kind) => Object.assign(new kind(response.status, value), { session });
    if (value?.code === "worker_not_found") throw refused(Unregistered);
    if (value?.code === "worker_fenced") throw refused(Fenced);
    const isBusy = response.status === 408 || response.status === 429 || response.status >= 500;
    throw refused(isBusy ? Busy : ProtocolError);
  }

  /**
   * The same, again and again until there is an answer. `pause` waits; it resolves to whether to give
   * up, and then this rejects with `Stopped`.
   */
  async postUntilAnswered(path, body, { pause, ...options }) {
    let longest = PAUSE_MS;
    for (;;) {
      try {
        return await this.post(path, body, options);
      } catch (error) {
        if (error instanceof ProtocolError && !(error instanceof Busy)) throw error;
        // Full jitter: a thousand workers do not come back all at once.
        const least = error instanceof Busy ? error.retryAfter * 1_000 : 0;
        const wait = Math.max(least, Math.random() * longest);
        longest = Math.min(longest * 2, PAUSE_MS_MAX);
        if (await pause(wait)) throw new Stopped("the worker stops", { cause: error });
      }
    }
  }
}

export const workerPath = (worker, verb) => `/workers/${encodeURIComponent(worker)}/${verb}`;
