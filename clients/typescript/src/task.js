// A task as a skill sees it.

// A sign of life carries the checkpoints of all tasks in hand, and is not to be too large for the instance.
const CHECKPOINT_CHARS_MAX = 1_000;

export class Task {
  #abort = new AbortController();
  #checkpoint;

  constructor(item) {
    this.pt = item.pt;
    this.fence = item.fence;
    this.run = item.run;
    this.task = item.task;
    this.attempt = item.attempt;
    this.skill = item.skill;
    this.effect = item.effect;
    this.key = item.key;
    this.input = item.input;
    this.deadline = item.deadline;
    this.traceparent = item.traceparent;
  }

  /** Aborted when the task is not this worker's any more. */
  get signal() {
    return this.#abort.signal;
  }

  get cancelled() {
    return this.#abort.signal.aborted;
  }

  /** Says how far the work has come, in at most 1000 characters. It is sent with the next sign of life. */
  checkpoint(mark) {
    const text = String(mark);
    if (text.length > CHECKPOINT_CHARS_MAX) {
      throw new RangeError(`a checkpoint has at most ${CHECKPOINT_CHARS_MAX} characters`);
    }
    this.#checkpoint = text;
  }

  /** @internal */
  cancel() {
    this.#abort.abort();
  }

  /** @internal */
  token() {
    const checkpoint = this.#checkpoint;
    this.#checkpoint = undefined;
    const token = { pt: this.pt, fence: this.fence };
    return checkpoint === undefined ? token : { ...token, checkpoint };
  }
}
