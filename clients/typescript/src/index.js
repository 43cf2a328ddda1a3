// Remote workers for ARK-OS. The protocol is described in docs/workers.md of ARK-OS.

export { Failed, Fenced, ProtocolError, Unknown } from "./errors.js";
export { Task } from "./task.js";
export { Worker } from "./worker.js";
