/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What a skill may do to the world. */
export type Effect = "read" | "idempotent" | "effectful";

/** Thrown by a skill: the task could not be done, and nothing has happened. */
export class Failed extends Error {
  constructor(code: string, message: string, options?: { retryable?: boolean });
  readonly code: string;
  readonly retryable: boolean;
}

/**
 * Thrown by a skill: nobody knows whether its effect happened. A `read` or `idempotent` task is tried
 * again under the same key; an `effectful` one is parked until somebody says.
 */
export class Unknown extends Error {
  constructor(code: string, message: string);
  readonly code: string;
}

/** The instance refused a request, and sending it again would not help. */
export class ProtocolError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint?: string;
}

/** Another process has registered under this worker's name: this one must stop. */
export class Fenced extends ProtocolError {}

/** A task in this worker's hands. */
export class Task<Input = Json> {
  private constructor();
  /** The progress token. */
  readonly pt: string;
  readonly fence: number;
  readonly run: string;
  readonly task: string;
  /** From 1, over all retries. */
  readonly attempt: number;
  readonly skill: string;
  readonly effect: Effect;
  /**
   * The key of its effect: the same in every attempt. Hand it to whatever the effect happens in (an
   * `Idempotency-Key`, a unique column), so that it happens once.
   */
  readonly key: string;
  readonly input: Input;
  /** When it must be over, as RFC 3339. */
  readonly deadline: string;
  /** W3C Trace Context. */
  readonly traceparent: string;
  /** Aborted when the task is not this worker's any more: hand it to `fetch`. */
  readonly signal: AbortSignal;
  readonly cancelled: boolean;
  /** Says how far the work has come, in at most 1000 characters. It is sent with the next sign of life. */
  checkpoint(mark: string): void;
}

export interface SkillOptions {
  /** `effectful` where it is not given. */
  effect?: Effect;
  /** JSON Schema of the input. */
  input?: object;
  /** JSON Schema of the output. */
  output?: object;
}

export interface WorkerOptions {
  /** Tasks at one time; 1 where it is not given. */
  concurrency?: number;
  layer?: "specialist" | "micro";
  /** For people. */
  labels?: Record<string, string>;
  /** Defaults to `ARK_OS_ENDPOINT`. */
  endpoint?: string;
  /** Defaults to `ARK_OS_TOKEN`. */
  token?: string;
  /** How long tasks in hand may take once the worker is to stop. */
  graceMs?: number;
  log?: (text: string) => void;
}

/** An agent of the fleet that pulls its work. */
export class Worker {
  constructor(name: string, options?: WorkerOptions);
  readonly name: string;
  readonly concurrency: number;
  /** Offers a function as a skill. */
  skill<Input = Json, Output = Json>(
    name: string,
    options: SkillOptions,
    handler: (input: Input, task: Task<Input>) => Output | Promise<Output>,
  ): this;
  /** Works until `stop`, or until SIGTERM or SIGINT with `signals` (the default). */
  run(options?: { signals?: boolean }): Promise<void>;
  /** Takes nothing new, lets what is in hand come to its end, and lets `run` return. */
  stop(): void;
}
