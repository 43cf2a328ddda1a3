// What can go wrong.

/** Thrown by a skill: the task could not be done, and nothing has happened. */
export class Failed extends Error {
  constructor(code, message, { retryable = false } = {}) {
    super(message);
    this.name = "Failed";
    this.code = code;
    this.retryable = retryable;
  }
}

/** Thrown by a skill: nobody knows whether its effect happened. */
export class Unknown extends Error {
  constructor(code, message) {
    super(message);
    this.name = "Unknown";
    this.code = code;
  }
}

/** The instance refused a request, and sending it again would not help. */
export class ProtocolError extends Error {
  constructor(status, problem) {
    const { code = "unknown", detail, title, hint, errors } = problem ?? {};
    const named = Array.isArray(errors) ? errors : [];
    const places = named.map((it) => `${it?.pointer}: ${it?.message}`).join("; ");
    super(`${status} ${code}: ${detail ?? title ?? "no reason given"}${places ? ` (${places})` : ""}`);
    this.name = "ProtocolError";
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** Another process has registered under this worker's name: this one must stop. */
export class Fenced extends ProtocolError {}

/** The instance does not know the worker: it was started again, or the worker has left. */
export class Unregistered extends ProtocolError {}

// The longest `Retry-After` that is heeded: a worker that is silent for longer is taken for dead.
const RETRY_AFTER_SECONDS_MAX = 60;

/** A pause that is asked for, in seconds; 0 where none is, or one that cannot be read, as a date. */
export const secondsOf = (after) => Math.min(Math.max(Number(after ?? 0) || 0, 0), RETRY_AFTER_SECONDS_MAX);

/** Not now: 429 and every 5xx. */
export class Busy extends ProtocolError {
  constructor(status, problem, header) {
    super(status, problem);
    const asked = typeof problem?.retry_after === "number" ? problem.retry_after : 0;
    this.retryAfter = Math.max(secondsOf(asked), secondsOf(header));
  }
}

/** What came is no answer of an instance: a page of something between, or one that was cut off. */
export class NoAnswer extends Error {}

/** The worker stops: what was to be sent is not tried again. */
export class Stopped extends Error {}
