"""What skills do that they should not, and what instances do not answer: neither is to end a worker."""

import asyncio
import contextlib
import json
import logging
import math
import os
import pathlib
import subprocess
import sys
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import Relay, WithInstance, raw

from ark_os_worker import AsyncWorker, Failed, Unknown, Worker
from ark_os_worker._http import NoAnswer, decoded, encoded, read, seconds_of

HALF = "caf\udce9.txt"


class Untold(Exception):
    def __str__(self):
        raise RuntimeError("no text either")


class Bare(Failed):
    def __init__(self):
        pass


def circle():
    it = []
    it.append(it)
    return it


def raises(error):
    raise error


def deep():
    it = []
    for _ in range(100_000):
        it = [it]
    return it


#: What a skill does, with the code of the failure that it comes to and a part of its message.
ODD = {
    "half_message": (lambda: raises(ValueError("cannot use " + HALF)), "worker.exception", "cannot use caf\ufffd.txt"),
    "half_failed": (lambda: raises(Failed("x" + HALF, HALF)), "worker.failed", "caf\ufffd.txt"),
    "long_message": (lambda: raises(ValueError("x" * 986 + "\U0001f600" * 20_000_000)), "worker.exception", "x\U0001f600"),
    "long_failed": (lambda: raises(Failed("odd.long", "x" * 20_000_000)), "odd.long", "x" * 1_000),
    "odd_types": (lambda: raises(Failed(7, {"a": 1}, retryable="no")), "7", "{'a': 1}"),
    "odd_unknown": (lambda: raises(Unknown(None, None)), "None", "None"),
    "bare": (lambda: raises(Bare()), "worker.exception", "Bare"),
    "untold": (lambda: raises(Untold()), "worker.exception", "Untold"),
    "exits": (lambda: sys.exit(3), "worker.exception", "SystemExit: 3"),
    "cancelled": (lambda: raises(asyncio.CancelledError()), "worker.exception", "CancelledError"),
    "generator_exit": (lambda: raises(GeneratorExit()), "worker.exception", "GeneratorExit"),
    "not_a_number": (lambda: math.nan, "worker.exception", "no JSON form"),
    "circle": (circle, "worker.exception", "no JSON form"),
    "deep": (deep, "worker.exception", "no JSON form"),
    "bytes": (lambda: b"x", "worker.exception", "no JSON form"),
    "too_many_digits": (lambda: 10**5_000, "worker.exception", "no JSON form"),
}


def offer(worker, is_async=False):
    """Offers all odd skills, and some that are in order."""

    def one(name, work):
        async def on_the_loop(_):
            return work()

        worker.skill(f"odd.{name}", effect="read")(on_the_loop if is_async else lambda _: work())

    for name, (work, _, _) in ODD.items():
        one(name, work)
    worker.skill("odd.echo", effect="read")(lambda value: value)
    worker.skill("odd.half_output", effect="read")(lambda _: {HALF: "\ud83d\ude00 " + HALF})

    @worker.skill("odd.checkpoint", effect="read")
    def checkpoint(value, task):
        task.checkpoint(value)
        until_extended = task.wait_cancelled
        while task._checkpoint is not None:
            until_extended(0.01)
        return "extended"


@contextlib.contextmanager
def at_work(worker):
    """Runs a worker; it is to end without an error."""
    ended = []

    def run():
        try:
            if isinstance(worker, AsyncWorker):
                asyncio.run(worker.run(signals=False))
            else:
                worker.run(signals=False)
            ended.append(None)
        except BaseException as error:  # noqa: BLE001 - told below
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        worker.stop()
        thread.join(60)
    assert ended == [None], ended


class OddSkills(WithInstance):
    def setUp(self):
        logging.disable(logging.ERROR)

    def tearDown(self):
        logging.disable(logging.NOTSET)

    def check(self, worker, name):
        with at_work(worker) as ended:
            self.wait_registered(name)
            for odd, (_, code, part) in ODD.items():
                with self.subTest(odd):
                    over = self.instance.run_task(f"odd.{odd}", None, attempts=1)
                    self.assertEqual(over["failure"]["code"], code, over)
                    self.assertIn(part, over["failure"]["message"])
                    self.assertEqual(ended, [])
            over = self.instance.run_task("odd.half_output", None)
            self.assertEqual(over["output"], {"caf\ufffd.txt": "\U0001f600 caf\ufffd.txt"})
            over = self.instance.run_task("odd.echo", [1], attempts=1)
            self.assertEqual(over["output"], [1])

    def test_no_skill_ends_a_worker_with_threads(self):
        worker = Worker("odd-sync", concurrency=2, **self.at())
        offer(worker)
        self.check(worker, "odd-sync")

    def test_no_skill_ends_a_worker_with_coroutines(self):
        worker = AsyncWorker("odd-async", concurrency=2, **self.at())
        offer(worker, is_async=True)
        self.check(worker, "odd-async")

    def test_a_coroutine_whose_inner_task_is_cancelled_has_failed(self):
        worker = AsyncWorker("inner-1", **self.at())

        @worker.skill("inner.cancelled", effect="read")
        async def inner(_):
            within = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(within.cancel)
            await within

        @worker.skill("inner.future", effect="read")
        def future(value):
            return asyncio.ensure_future(asyncio.sleep(0, value))

        with at_work(worker):
            self.wait_registered("inner-1")
            over = self.instance.run_task("inner.cancelled", None, attempts=1)
            self.assertEqual(over["failure"]["code"], "worker.exception", over)
            self.assertEqual(self.instance.run_task("inner.future", 7)["output"], 7)

    def test_checkpoints_of_any_kind_are_sent_and_endless_ones_are_refused(self):
        worker = Worker("marks-1", **self.at())
        offer(worker)
        with at_work(worker):
            self.wait_registered("marks-1")
            while worker.session is None:
                threading.Event().wait(0.05)
            # As if the instance had short leases, so that signs of life are soon.
            worker.lease_seconds = 0.3
            for mark in (7, "\U0001f600" * 1_000, {"a": 1}):
                over = self.instance.run_task("odd.checkpoint", mark, attempts=1)
                self.assertEqual(over["output"], "extended", over)
            over = self.instance.run_task("odd.checkpoint", "x" * 1_001, attempts=1)
            self.assertIn("at most 1000 characters", over["failure"]["message"])

    def test_a_skill_that_works_on_after_its_task_was_taken_away_keeps_its_place(self):
        worker = Worker("stuck-1", **self.at())
        begun, free = threading.Event(), threading.Event()

        @worker.skill("stuck.wait", effect="read")
        def wait(_):
            begun.set()
            free.wait(60)

        worker.skill("stuck.echo", effect="read")(lambda value: value)
        with at_work(worker):
            self.wait_registered("stuck-1")
            task = self.instance.call("/tasks", {"skill": "stuck.wait"})
            self.assertTrue(begun.wait(30))
            self.cancel(task)
            with worker.lock:
                while worker.tasks:
                    worker.lock.wait(1)
            self.assertEqual(worker.free(), 0)
            free.set()
            self.assertEqual(self.instance.run_task("stuck.echo", 1)["output"], 1)

    def test_a_skill_that_never_ends_does_not_keep_the_process_from_ending(self):
        script = (
            "import threading, ark_os_worker as it\n"
            "worker = it.Worker('endless-1', grace=0.2)\n"
            "@worker.skill('endless.wait', effect='read')\n"
            "def wait(_):\n"
            "    print('begun', flush=True)\n"
            "    threading.Event().wait()\n"
            "worker.run()\n"
        )
        source = str(pathlib.Path(__file__).resolve().parents[1] / "src")
        env = {**os.environ, "PYTHONPATH": source}
        env.update(ARK_OS_ENDPOINT=self.instance.endpoint, ARK_OS_TOKEN=self.instance.token)
        with subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True) as process:
            try:
                self.wait_registered("endless-1")
                task = self.instance.call("/tasks", {"skill": "endless.wait"})
                self.assertEqual(process.stdout.readline(), "begun\n")
                process.terminate()
                self.assertEqual(process.wait(30), 0)
            finally:
                process.kill()
        self.cancel(task)

    def test_a_worker_whose_run_is_cancelled_says_nothing_of_its_tasks(self):
        worker = AsyncWorker("ended-1", **self.at())
        begun = threading.Event()
        ends = []
        worker.finish = ends.append

        @worker.skill("ended.wait", effect="read")
        async def wait(_):
            begun.set()
            await asyncio.sleep(60)

        async def main():
            running = asyncio.create_task(worker.run(signals=False))
            await asyncio.to_thread(self.wait_registered, "ended-1")
            task = await asyncio.to_thread(self.instance.call, "/tasks", {"skill": "ended.wait"})
            await asyncio.to_thread(begun.wait, 30)
            running.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await running
            return task

        self.cancel(asyncio.run(main()))
        self.assertEqual((ends, worker.in_hand()), ([], []))


class OddAnswers(WithInstance):
    def setUp(self):
        logging.disable(logging.ERROR)

    def tearDown(self):
        logging.disable(logging.NOTSET)

    @contextlib.contextmanager
    def worker(self, name, spoil, kind=Worker):
        relay = Relay(self.instance, spoil)
        worker = kind(name, concurrency=8, endpoint=relay.endpoint, token=self.instance.token)
        offer(worker)
        try:
            with at_work(worker):
                self.wait_registered(name)
                yield relay
        finally:
            relay.close()

    def run_together(self, values):
        with ThreadPoolExecutor(len(values)) as pool:
            return list(pool.map(lambda value: self.instance.run_task("odd.echo", value, attempts=1), values))

    def test_what_is_not_taken_has_failed_alone(self):
        problem = json.dumps({"status": 400, "code": "json_invalid", "detail": "it is odd"}).encode()

        def spoil(verb, body):
            if verb == "complete" and b"poison" in body:
                return raw(400, problem)
            return None

        for kind in (Worker, AsyncWorker):
            with self.subTest(kind.__name__), self.worker(f"refused-{kind.__name__}", spoil, kind):
                over = self.run_together(["a", "poison", "b", "c"])
                self.assertEqual([it["state"] for it in over], ["succeeded", "failed", "succeeded", "succeeded"])
                self.assertEqual(over[1]["failure"]["code"], "worker.not_taken")
                self.assertIn("json_invalid: it is odd", over[1]["failure"]["message"])

    def test_a_failure_that_is_not_taken_is_told_plainly_and_is_what_it_was(self):
        refused = []

        def spoil(verb, body):
            if verb == "fail" and b"odd.long" in body:
                refused.append(body)
                return raw(400, b"no")
            return None

        with self.worker("refused-failure", spoil):
            over = self.instance.run_task("odd.long_failed", None, attempts=1)
            self.assertEqual((len(refused), over["failure"]["code"]), (1, "worker.not_taken"), over)
            self.assertFalse(over["failure"]["retryable"])

    def test_nothing_that_is_said_is_taken_and_the_worker_goes_on(self):
        refused = []
        all_refused = threading.Event()

        def spoil(verb, body):
            if verb not in ("complete", "fail") or all_refused.is_set():
                return None
            refused.append(verb)
            if len(refused) == 3:
                all_refused.set()
            return raw(422, b"no")

        with self.worker("refused-all", spoil):
            task = self.instance.call("/tasks", {"skill": "odd.echo", "input": 1})
            self.assertTrue(all_refused.wait(30))
            self.assertEqual(refused, ["complete", "fail", "fail"])
            over = self.instance.run_task("odd.echo", 2)
            self.assertEqual(over["output"], 2)
            self.cancel(task)

    def test_a_proxy_that_takes_less_than_the_instance_is_given_less(self):
        def spoil(verb, body):
            return raw(413, b"<html>too large</html>") if verb == "complete" and len(body) > 30_000 else None

        with self.worker("small-1", spoil):
            sizes = [20_000, 40_000, 20_000]
            over = self.run_together(["x" * size for size in sizes])
            self.assertEqual([it["state"] for it in over], ["succeeded", "failed", "succeeded"])
            self.assertEqual(over[1]["failure"]["code"], "worker.output_too_large")

    def test_pages_that_are_no_answers_are_asked_again(self):
        page = b"<html>please log in</html>"
        pages = {
            "a page": raw(200, page),
            "nothing": raw(204, b""),
            "another's object": raw(200, b'{"status":"up"}'),
            "no object": raw(200, b"[]"),
            "cut off": raw(200, b'{"tokens": [{"pt":"', "X: y").replace(b"Content-Length: 19\r\n", b""),
            "too short": raw(200, b'{"tokens": []}').replace(b": 14", b": 99"),
            "elsewhere": raw(302, b"", "Location: http://127.0.0.1:9/maintenance"),
            "not found": raw(404, page),
            "busy": raw(503, page),
            "no HTTP": b"what?\r\n\r\n",
            "closed": b"",
        }
        for name, page in pages.items():
            left = {"workers", "claim", "complete"}

            def spoil(verb, body):
                if verb in left:
                    left.discard(verb)
                    return page
                return None

            with self.subTest(name), self.worker("pages-" + name.replace(" ", "-").replace("'", ""), spoil):
                over = self.instance.run_task("odd.echo", name)
                attempt = self.instance.call(f"/tasks/{over['task']}")["attempt"]
                self.assertEqual((over["output"], attempt, left), (name, 1, set()))

    def test_no_answer_is_told_in_the_log_once(self):
        failures = [raw(302, b"", "Location: http://elsewhere/")] * 5

        def spoil(verb, body):
            return failures.pop() if verb == "workers" and failures else None

        logging.disable(logging.NOTSET)
        with self.assertLogs("ark_os_worker", "WARNING") as told, self.worker("told-1", spoil):
            pass
        told = [it for it in told.output if "no answer to /workers" in it]
        self.assertEqual(len(told), 1, told)
        self.assertIn("302 x http://elsewhere/", told[0])


class Texts(unittest.TestCase):
    def test_half_characters_are_replaced_and_whole_ones_are_not(self):
        self.assertEqual(encoded("\ud83d\ude00 \ud83d. \udce9"), '"\U0001f600 \ufffd. \ufffd"'.encode())
        self.assertEqual(encoded("\ud83d"), '"\ufffd"'.encode())
        self.assertEqual(encoded({"ä\n": "\\ud83d"}), '{"ä\\n":"\\\\ud83d"}'.encode())

    def test_pauses_that_are_asked_for_are_read_and_have_a_limit(self):
        for after, seconds in [
            (2, 2.0),
            (0.5, 0.5),
            ("3", 3.0),
            (1e999, 60.0),
            (10**400, 60.0),
            ("9" * 5_000, 60.0),
            (-1, 0.0),
            (math.nan, 0.0),
            ("soon", 0.0),
            ("²", 0.0),
            ([], 0.0),
            (None, 0.0),
        ]:
            self.assertEqual(seconds_of(after), seconds, after)

    def test_texts_that_cannot_be_read_are_none(self):
        for text in (b"", b"\xff", b"[" * 100_000, b"{"):
            self.assertIsNone(decoded(text))

    def test_a_redirect_says_where_it_leads(self):
        class Response:
            status, reason = 307, "Temporary Redirect"

            def getheader(self, name):
                return "/login"

        with self.assertRaisesRegex(NoAnswer, "307 Temporary Redirect /login"):
            read(Response(), b"{}", [])


if __name__ == "__main__":
    unittest.main()
