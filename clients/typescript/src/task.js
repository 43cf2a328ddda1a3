// A task as a skill sees it.

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

  /** Says how far the work has come. It is sent with the next sign of life. */
  checkpoint(mark) {
    this.#checkpoint = String(mark);
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
