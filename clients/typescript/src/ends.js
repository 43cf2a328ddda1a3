// What comes of tasks, as it is sent: skills return and throw what they like, and none of it may keep the
// worker from telling the rest.

import { Failed, ProtocolError, Unknown } from "./errors.js";
import { encoded } from "./transport.js";

// Results of one request.
const BATCH_MAX = 200;
// Characters of an error's text that are sent.
const MESSAGE_CHARS_MAX = 1_000;
const CODE = "worker.exception";

/** What the instance says where it is the items of a request that it does not take. */
export const REFUSED = [400, 413, 422];

/** What came of a task. Its text is made at once: whatever a skill does with its result later changes nothing. */
class End {
  constructor(task, verb, said, output) {
    this.task = task;
    this.verb = verb;
    // What is told in its place if the instance does not take it.
    this.retryable = said.retryable ?? false;
    this.unknown = said.unknown ?? (verb === "complete" && task.effect === "effectful");
    const text = encoded({ pt: task.pt, fence: task.fence, ...said });
    this.text = output === undefined ? text : `${text.slice(0, -1)},"output":${output}}`;
    this.bytes = new TextEncoder().encode(this.text).length;
  }
}

/** As much of a text as is sent, in whole characters; what is none is made one. */
const cut = (text) =>
  [...String(text).slice(0, 2 * MESSAGE_CHARS_MAX)].slice(0, MESSAGE_CHARS_MAX).join("");

/** What a skill returned. Throws what has no JSON form. */
export function completed(task, output) {
  const text = encoded(output);
  if (text === undefined) throw new TypeError(`the skill ${task.skill} returned no JSON value`);
  return new End(task, "complete", {}, text);
}

/** A failure as it is presented. `tell` logs. */
export function failed(task, error, tell) {
  // Whoever throws anything but ours does not say how far it came.
  const unknown = task.effect === "effectful";
  try {
    return new End(task, "fail", said(task, error, tell, unknown));
  } catch {
    // Anything may be thrown, also what throws when it is looked at.
    const message = "what was thrown has no text";
    return new End(task, "fail", { code: CODE, message, retryable: true, unknown });
  }
}

function said(task, error, tell, unknown) {
  const { message = String(error), name = "Error", stack } = error ?? {};
  if (error instanceof Failed) return { code: cut(error.code), message: cut(message), retryable: Boolean(error.retryable) };
  if (error instanceof Unknown) return { code: cut(error.code), message: cut(message), retryable: true, unknown: true };
  if (!task.cancelled) tell(`${task.skill} threw ${stack ?? message}`);
  return { code: CODE, message: cut(`${name}: ${message}`), retryable: true, unknown };
}

/** What is told in place of what the instance does not take. */
export function instead({ end, why }) {
  const { task, retryable, unknown } = end;
  const [code, message] =
    why.status === 413
      ? ["worker.output_too_large", "the instance takes no request as large as this output"]
      : ["worker.not_taken", `the instance did not take what came of it: ${why.message}`];
  return new End(task, "fail", { code, message: cut(message), retryable, unknown });
}

/** All of them, as many together as the instance takes; those that are too large alone are set apart. */
export function batches(ends, bytesMax, untaken) {
  // The rest is for what stands around them.
  const most = bytesMax - 32;
  const all = [];
  let size = Infinity;
  for (const end of ends) {
    if (end.bytes > most) {
      untaken.push({ end, why: new ProtocolError(413) });
      continue;
    }
    if (size + end.bytes > most || all.at(-1).length === BATCH_MAX) {
      all.push([]);
      size = 0;
    }
    all.at(-1).push(end);
    size += end.bytes + 1;
  }
  return all;
}
