// A worker that counts words. Set ARK_OS_ENDPOINT and ARK_OS_TOKEN, start it, and run
// `ark-os run --task text.wordcount --input text="to be or not to be"`.

import { Worker } from "ark-os-worker";

const worker = new Worker("wordcount-ts-1", { concurrency: 4 });

worker.skill("text.wordcount", { effect: "read" }, ({ text }) => ({
  words: text.split(/\s+/).filter((word) => word !== "").length,
}));

await worker.run();
