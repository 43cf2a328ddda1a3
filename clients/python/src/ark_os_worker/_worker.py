"""The worker whose skills are plain functions, each on a thread."""

import inspect
import logging
import queue
import signal
import threading
import time
from typing import Any, Dict, List, Optional

from ._core import Core, Handler
from ._ends import BATCH_MAX, End, outcome
from ._errors import Failed, Fenced, Unregistered
from ._http import Stopped
from ._task import Task

log = logging.getLogger("ark_os_worker")

#: How long tasks in hand may take once the worker is to stop.
GRACE_SECONDS = 30.0
#: A skill that works on so long after its task was taken away is told.
STUCK_SECONDS = 10.0


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
        self._ends: "queue.Queue[Optional[End]]" = queue.Queue()
        self._todo: "queue.SimpleQueue[Optional[Task]]" = queue.SimpleQueue()
        self._hands: List[threading.Thread] = []
        self._failure: Optional[BaseException] = None

    def run(self, signals: bool = True) -> None:
        """Works until :meth:`stop`, or until SIGTERM or SIGINT with ``signals`` (only in the main thread).

        Raises :class:`Fenced` when another process takes this worker's name."""
        heard = (signal.SIGTERM, signal.SIGINT) if signals else ()
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in heard}
        try:
            self.register()
            self._run()
        except Stopped:
            return
        finally:
            self._end()
            self.transport.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        names = {"ark-sign-of-life": self._keep, "ark-results": self._send, "ark-claims": self._claim}
        threads = [threading.Thread(target=self._guarded, args=(it,), name=name, daemon=True) for name, it in names.items()]
        for thread in threads:
            thread.start()
        # A wait with a limit: signals are heard between two.
        while not self.leaving.wait(0.2):
            pass
        self._wind_up()
        for thread in threads:
            thread.join(timeout=5)

    def _end(self) -> None:
        """Whatever ends the worker ends its threads, but for skills that do not look whether they are
        cancelled: they work on until the process ends, and nobody takes what comes of them."""
        self.leaving.set()
        self.stopped.set()
        self._ends.put(None)
        for task in self.in_hand():
            self.put_down(task.pt)
        for _ in self._hands:
            self._todo.put(None)

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
        self._end()

    def _guarded(self, work: Any) -> None:
        """A thread of the protocol: what ends it ends the worker."""
        try:
            self._until_stopped(work)
        finally:
            self.transport.close()

    def _until_stopped(self, work: Any) -> None:
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
            self._wait_for_place()
            if self.leaving.is_set():
                return
            for task in self.claim(self.free()):
                self._begin(task)

    def _wait_for_place(self) -> None:
        since, told = time.monotonic(), False
        with self.lock:
            while self.free() <= 0 and not self.leaving.is_set():
                self.lock.wait(0.2)
                stuck = len(self.at_work.difference(self.tasks.values()))
                if not stuck:
                    since = time.monotonic()
                elif not told and time.monotonic() - since > STUCK_SECONDS:
                    log.warning("%d skills work on though their tasks were taken away: their places stay taken", stuck)
                    told = True

    def _begin(self, task: Task) -> None:
        with self.lock:
            self.at_work.add(task)
            # Not those of a pool, for which the process would wait when it ends.
            if len(self._hands) < len(self.at_work):
                hand = threading.Thread(target=self._hand, name=f"ark-task-{len(self._hands)}", daemon=True)
                self._hands.append(hand)
                hand.start()
        self._todo.put(task)

    def _hand(self) -> None:
        while True:
            task = self._todo.get()
            if task is None:
                return
            end = outcome(task, lambda: self.begun(task)) if self.is_mine(task) else None
            self._ended(task, end)

    def _ended(self, task: Task, end: Optional[End]) -> None:
        """A skill has come to its end; nobody asks for what comes of a task that was taken away."""
        with self.lock:
            self.at_work.discard(task)
            self.lock.notify_all()
        if end is not None and self.is_mine(task):
            self._ends.put(end)

    def begun(self, task: Task) -> Any:
        """Carries a skill out; of one that is a coroutine, what is to be awaited."""
        handler = self.skills.get(task.skill)
        if handler is None:
            raise Failed("worker.no_such_skill", f"this worker has no skill {task.skill}", retryable=True)
        return handler(task.input, task) if takes_task(handler) else handler(task.input)

    def _send(self) -> None:
        while True:
            end = self._ends.get()
            unsent: List[End] = []
            # Whatever else is there goes with it.
            while end is not None:
                unsent.append(end)
                if len(unsent) == BATCH_MAX or self._ends.empty():
                    break
                end = self._ends.get()
            if unsent:
                self.finish(unsent)
            if end is None:
                return

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
