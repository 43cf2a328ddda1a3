"""The client against a real instance: `ARK_OS_BIN` names the binary."""

import asyncio
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import WithInstance

from ark_os_worker import AsyncWorker, Failed, ProtocolError, Worker


class SyncWorker(WithInstance):
    def setUp(self):
        self.worker = Worker("sync-1", concurrency=4, **self.at())
        self.worker.skill("sync.double", effect="read")(lambda value: value * 2)

        @self.worker.skill("sync.fail", effect="read")
        def fail(value, task):
            raise Failed("sync.broken", f"attempt {task.attempt}", retryable=True)

        @self.worker.skill("sync.raise", effect="read")
        def raises(value):
            raise ValueError("not told by the skill")

        self.thread = threading.Thread(target=self.worker.run, kwargs={"signals": False})
        self.thread.start()
        self.wait_registered("sync-1")

    def tearDown(self):
        self.worker.stop()
        self.thread.join(30)
        self.assertFalse(self.thread.is_alive())

    def test_tasks_are_done_and_failures_are_told(self):
        for value in range(10):
            self.assertEqual(self.instance.run_task("sync.double", value)["output"], value * 2)
        failed = self.instance.run_task("sync.fail", 1)["failure"]
        self.assertEqual((failed["code"], failed["message"]), ("sync.broken", "attempt 2"))
        failed = self.instance.run_task("sync.raise", 1)["failure"]
        self.assertEqual(failed["code"], "worker.exception")
        self.assertIn("ValueError: not told by the skill", failed["message"])


class Large(WithInstance):
    def test_outputs_that_are_too_large_together_are_presented_apart_and_one_alone_has_failed(self):
        worker = Worker("large-1", concurrency=8, **self.at())
        gate = threading.Barrier(4)

        @worker.skill("large.text", effect="read")
        def text(size):
            if size < 100_000:
                gate.wait(30)
            return "x" * size

        thread = threading.Thread(target=worker.run, kwargs={"signals": False})
        thread.start()
        try:
            while worker.session is None:
                threading.Event().wait(0.05)
            # As if the instance took no more: its own limit takes long to reach.
            worker.body_bytes = 100_000
            with ThreadPoolExecutor(5) as pool:
                sizes = [40_000] * 4 + [200_000]
                done = list(pool.map(lambda size: self.instance.run_task("large.text", size), sizes))
        finally:
            worker.stop()
            thread.join(60)
        self.assertEqual([it["state"] for it in done[:4]], ["succeeded"] * 4)
        self.assertEqual(done[4]["failure"]["code"], "worker.output_too_large")


class Unreachable(unittest.TestCase):
    def test_a_worker_that_reaches_nobody_stops_when_told(self):
        worker = Worker("alone-1", endpoint="http://127.0.0.1:9", token="t")
        worker.skill("x.y")(lambda value: value)
        thread = threading.Thread(target=worker.run, kwargs={"signals": False})
        thread.start()
        worker.stop()
        thread.join(30)
        self.assertFalse(thread.is_alive())


class Coroutines(WithInstance):
    def test_many_tasks_wait_at_one_time_in_one_loop(self):
        worker = AsyncWorker("async-1", concurrency=50, **self.at())
        together = {"now": 0, "most": 0}

        @worker.skill("async.nap", effect="read")
        async def nap(value, task):
            together["now"] += 1
            together["most"] = max(together["most"], together["now"])
            await asyncio.sleep(0.2)
            together["now"] -= 1
            return value

        async def main():
            running = asyncio.create_task(worker.run(signals=False))
            await asyncio.to_thread(self.wait_registered, "async-1")
            tasks = [asyncio.to_thread(self.instance.run_task, "async.nap", i) for i in range(12)]
            done = await asyncio.gather(*tasks)
            self.assertEqual([it["output"] for it in done], list(range(12)))
            worker.stop()
            await running

        asyncio.run(main())
        self.assertGreater(together["most"], 1)


class Refusals(WithInstance):
    def test_a_wrong_registration_is_told_with_its_place(self):
        worker = Worker("wrong name", **self.at())
        worker.skill("x.y")(lambda value: value)
        with self.assertRaises(ProtocolError) as refused:
            worker.register()
        self.assertEqual(refused.exception.code, "worker_invalid")
        self.assertIn("/name", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
