// An instance for the tests, and a relay before it: `ARK_OS_BIN` names the binary.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** An instance of its own, on a free port. */
export class Instance {
  static async start() {
    const it = new Instance();
    it.home = await mkdtemp(join(tmpdir(), "ark-os-ts-"));
    const data = join(it.home, "data");
    const args = ["start", "--listen", "127.0.0.1:0", "--agents", "8", "--data-dir", data];
    const env = { PATH: process.env.PATH, HOME: it.home, ARK_OS_LOG_LEVEL: "error" };
    it.child = spawn(process.env.ARK_OS_BIN ?? "ark-os", args, { env, stdio: ["ignore", "pipe", "inherit"] });
    await once(it.child.stdout, "data");
    it.endpoint = JSON.parse(await readFile(join(data, "instance.json"), "utf8")).endpoint;
    it.token = (await readFile(join(data, "token"), "utf8")).trim();
    return it;
  }

  async stop() {
    this.child.kill("SIGTERM");
    await once(this.child, "exit");
    await rm(this.home, { recursive: true });
  }

  async call(path, body) {
    const headers = { authorization: `Bearer ${this.token}` };
    const request = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
    for (let i = 0; ; i += 1) {
      const answer = await (await fetch(`${this.endpoint}/api/v1${path}`, request)).json();
      // A worker is listed a moment before its skills are known.
      if (i === 200 || !answer.errors?.some((it) => it.message.includes("no agent has the skill"))) return answer;
      await pause(50);
    }
  }

  runTask(skill, input, attempts = 2) {
    return this.call("/tasks?wait=30s", { skill, input, retry: { attempts, backoff: "1ms" } });
  }

  async registered(name) {
    for (let i = 0; i < 200; i += 1) {
      const { items } = await this.call("/workers");
      if (items.some((it) => it.worker === name)) return;
      await pause(50);
    }
    throw new Error(`${name} never registered`);
  }
}

/**
 * Listens between a worker and the instance. `spoil(verb, body)` is asked of each request: what it
 * answers in raw bytes is sent in place of the instance's answer, before the connection is closed.
 */
export async function relay({ endpoint }, spoil) {
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts).toString();
    const spoiled = spoil(request.url.split("/").at(-1), body);
    if (spoiled !== undefined) {
      request.socket.end(spoiled);
      return;
    }
    const { authorization, "worker-session": session } = request.headers;
    const headers = { authorization, ...(session && { "worker-session": session }) };
    const answer = await fetch(endpoint + request.url, { method: "POST", headers, body });
    response.writeHead(answer.status, { connection: "close" }).end(await answer.text());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { endpoint: `http://127.0.0.1:${server.address().port}`, close };
}

/** A response in bytes. */
export function raw(status, body, ...headers) {
  const head = [`HTTP/1.1 ${status} x`, `Content-Length: ${Buffer.byteLength(body)}`, "Connection: close", ...headers];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}
