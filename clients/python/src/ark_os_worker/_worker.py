"""The worker whose skills are plain functions, each on a thread."""

import inspect
import logging
import queue
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional, Tuple

from ._core import Core, Handler, is_json, outcome
from ._errors import Failed, Fenced, Unregistered
from ._http import Stopped
from ._task import Task

log = logging.getLogger("ark_os_worker")

#: How long tasks in hand may take once the worker is to stop.
GRACE_SECONDS = 30.0


class Worker(Core):
    """An agent of the fleet that pulls its work.

    ``endpoint`` and ``token`` default to ``ARK_OS_ENDPOINT`` and ``ARK_OS_TOKEN``.
    """

    def __init__(
        self,
        name: str,
        concurrency: int = 1,
        *,
        layer: Optional[str] = None,
        labels: Optional[Dict[str, str]] = None,
        endpoint: Optional[str] = None,
        token: Optional[str] = None,
        grace: float = GRACE_SECONDS,
    ) -> None:
        super().__init__(name, concurrency, layer, labels, endpoint, token)
        self.grace = grace
        self._ends: "queue.Queue[Optional[Tuple[str, Dict[str, Any]]]]" = queue.Queue()
        self._failure: Optional[BaseException] = None

    def run(self, signals: bool = True) -> None:
        """Works until :meth:`stop`, or until SIGTERM or SIGINT with ``signals`` (only in the main thread).

        Raises :class:`Fenced` when another process takes this worker's name."""
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        try:
            self.register()
        except Stopped:
            return
        names = {"ark-sign-of-life": self._keep, "ark-results": self._send, "ark-claims": self._claim}
        threads = [threading.Thread(target=self._guarded, args=(it,), name=name, daemon=True) for name, it in names.items()]
        self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="ark-task")
        for thread in threads:
            thread.start()
        # A wait with a limit: signals are heard between two.
        while not self.leaving.wait(0.2):
            pass
        self._wind_up()
        # Who does not look whether it is cancelled works on, and nobody takes what comes of it.
        self._pool.shutdown(wait=False, cancel_futures=True)
        for thread in threads:
            thread.join(timeout=5)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Takes nothing new, lets what is in hand come to its end for the grace, and returns from
        :meth:`run`."""
        self.leaving.set()

    def _wind_up(self) -> None:
        # What is not said by then, to an instance that does not answer, is not said.
        grace = threading.Timer(self.grace, self.stopped.set)
        grace.daemon = True
        grace.start()
        if self._failure is None:
            try:
                self.leave()
                with self.lock:
                    while self.tasks and not self.stopped.is_set():
                        self.lock.wait(0.1)
            except (Stopped, Unregistered):
                pass
            except Exception as error:  # noqa: BLE001 - told by `run`
                self._failure = error
        grace.cancel()
        self.stopped.set()
        self._ends.put(None)
        for task in self.in_hand():
            self.put_down(task.pt)

    def _guarded(self, work: Any) -> None:
        """A thread of the protocol: what ends it ends the worker."""
        while not self.stopped.is_set():
            try:
                work()
                return
            except (Fenced, Unregistered) as error:
                if self.is_old(error):
                    continue
                if isinstance(error, Fenced):
                    self._fail(error)
                    return
                try:
                    self.renewed(error.session or "")
                except Stopped:
                    return
                except Exception as worse:  # noqa: BLE001 - told by `run`
                    self._fail(worse)
                    return
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - told by `run`
                self._fail(error)
                return

    def _fail(self, error: Exception) -> None:
        if isinstance(error, Fenced):
            log.error("another process is the worker %s now", self.name)
        self._failure = self._failure or error
        self.stopped.set()
        self.leaving.set()
        self._ends.put(None)

    def _claim(self) -> None:
        while not self.leaving.is_set():
            with self.lock:
                while len(self.tasks) >= self.concurrency and not self.leaving.is_set():
                    self.lock.wait(0.2)
            if self.leaving.is_set():
                return
            for task in self.claim(self.free()):
                self._begin(task)

    def _begin(self, task: Task) -> None:
        self._pool.submit(self._carry_out, task)

    def _carry_out(self, task: Task) -> None:
        if not self.is_mine(task):
            return
        end = outcome(task, lambda: checked(task, self.begun(task)))
        if self.is_mine(task):
            self._ends.put(end)

    def begun(self, task: Task) -> Any:
        """Carries a skill out; of one that is a coroutine, what is to be awaited."""
        handler = self.skills.get(task.skill)
        if handler is None:
            raise Failed("worker.no_such_skill", f"this worker has no skill {task.skill}", retryable=True)
        return handler(task.input, task) if takes_task(handler) else handler(task.input)

    def _send(self) -> None:
        unsent: List[Tuple[str, Dict[str, Any]]] = []
        while True:
            end = self._ends.get()
            if end is None:
                return
            unsent.append(end)
            # Whatever else is there goes with it.
            while len(unsent) < 200:
                try:
                    end = self._ends.get_nowait()
                except queue.Empty:
                    break
                if end is None:
                    self._ends.put(None)
                    break
                unsent.append(end)
            present(self, unsent)
            unsent = []

    def _keep(self) -> None:
        while not self.stopped.is_set():
            # Often enough that two may be late.
            idle = not self.in_hand()
            every = self.heartbeat_seconds / 2 if idle and not self.leaving.is_set() else self.lease_seconds / 3
            began = time.monotonic()
            while time.monotonic() - began < every and not self.stopped.wait(min(0.2, every / 4)):
                if idle and self.in_hand():
                    idle, every = False, self.lease_seconds / 3
            if not self.stopped.is_set():
                self.extend()


def present(core: Core, ends: List[Tuple[str, Dict[str, Any]]]) -> None:
    """Presents what came of tasks."""
    results = [it for verb, it in ends if verb == "complete"]
    failures = [it for verb, it in ends if verb == "fail"]
    core.finish("complete", "results", results)
    core.finish("fail", "failures", failures)


def checked(task: Task, value: Any) -> Any:
    """What a skill returned, if it can be sent."""
    if not is_json(value):
        raise TypeError(f"the skill {task.skill} returned what has no JSON form")
    return value


def takes_task(handler: Handler) -> bool:
    """Whether a skill wants the task besides its input."""
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    parameters = inspect.signature(handler).parameters.values()
    kinds = [it.kind for it in parameters]
    return len([kind for kind in kinds if kind in positional]) >= 2
