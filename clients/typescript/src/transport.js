// HTTP with `fetch`; what may be tried again is.

import { Busy, Fenced, NoAnswer, ProtocolError, Stopped, Unregistered } from "./errors.js";

const ANSWER_MS = 30_000;
// First pause after a request that got no answer; doubles up to the longest.
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 5_000;
// A request that got no answer is told at this attempt: one that met a closed connection is nothing to tell.
const TOLD_AT_ATTEMPT = 3;

const environment = (name) => globalThis.process?.env?.[name];

/**
 * JSON as it is sent. Half characters (what is left of an emoji that was cut in two) are none in UTF-8:
 * each becomes U+FFFD.
 */
export function encoded(value) {
  const text = JSON.stringify(value);
  // Only half ones are escaped like this; before it there may be a backslash of the text's own.
  return text?.includes("\\ud") ? text.replace(/\\\\|\\ud[89a-f][0-9a-f]{2}/g, (it) => (it === "\\\\" ? it : "\ufffd")) : text;
}

function decoded(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The answer in a response, which has the fields `wants`, or what it says is thrown. */
function read(response, text, wants) {
  const { status, headers } = response;
  const value = decoded(text) ?? {};
  if (response.ok) {
    if (wants.every((field) => value[field] !== undefined)) return value;
    throw new NoAnswer(`${status} without ${wants.join(" and ")}`);
  }
  if (value.code === "worker_not_found") throw new Unregistered(status, value);
  if (value.code === "worker_fenced") throw new Fenced(status, value);
  if (status === 408 || status === 429 || status >= 500) throw new Busy(status, value, headers.get("retry-after"));
  // Something else stands where the instance was: while it is replaced a proxy says so.
  const isElsewhere = status < 400 || (status === 404 && value.code === undefined);
  if (isElsewhere) throw new NoAnswer(`${status} ${headers.get("location") ?? ""}`.trimEnd());
  throw new ProtocolError(status, value);
}

export class Transport {
  constructor({ endpoint, token, log } = {}) {
    const base = endpoint ?? environment("ARK_OS_ENDPOINT") ?? "http://127.0.0.1:7341";
    this.base = `${new URL(base).href.replace(/\/+$/, "")}/api/v1`;
    this.token = token ?? environment("ARK_OS_TOKEN") ?? "";
    this.log = log ?? (() => {});
  }

  /** One request. Rejects with anything but a `ProtocolError` where no answer came. */
  async post(path, body, { wants, session, timeout = ANSWER_MS }) {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
    if (session !== undefined) headers["worker-session"] = session;
    const signal = AbortSignal.timeout(timeout);
    const response = await fetch(this.base + path, { method: "POST", headers, body, signal, redirect: "manual" });
    const text = await response.text();
    try {
      return read(response, text, wants);
    } catch (error) {
      throw error instanceof ProtocolError ? Object.assign(error, { session }) : error;
    }
  }

  /**
   * The same, again and again until there is an answer. `pause` waits; it resolves to whether to give
   * up, and then this rejects with `Stopped`.
   */
  async postUntilAnswered(path, body, { pause, ...options }) {
    const text = typeof body === "string" ? body : encoded(body);
    let longest = PAUSE_MS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.post(path, text, options);
      } catch (error) {
        if (error instanceof ProtocolError && !(error instanceof Busy)) throw error;
        if (attempt === TOLD_AT_ATTEMPT) {
          const why = [error.message, error.cause?.message].filter(Boolean).join(": ");
          this.log(`no answer to ${path}, which is tried on and on: ${why}`);
        }
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
