"""What the two kinds of workers share: skills, the session, tasks in hand, and the protocol."""

import logging
import threading
from typing import Any, Callable, Dict, List, Optional, Set

from ._ends import REFUSED, End, Untaken, batches, instead
from ._errors import Fenced, ProtocolError, Unregistered
from ._http import ANSWER_SECONDS, Stopped, Transport, worker_path
from ._task import Task

log = logging.getLogger("ark_os_worker")

#: Tokens of one sign of life.
TOKENS_MAX = 1_000
#: How much longer than its wait a claim may take.
CLAIM_PATIENCE_SECONDS = 15.0
#: Time for the answer to a sign of life, at least: the instance makes it durable first.
EXTEND_SECONDS_MIN = 1.0

Handler = Callable[..., Any]


class Core:
    """The protocol of one worker. Threads share it; the lock is held for a look only."""

    def __init__(
        self,
        name: str,
        concurrency: int,
        layer: Optional[str],
        labels: Optional[Dict[str, str]],
        endpoint: Optional[str],
        token: Optional[str],
    ) -> None:
        if concurrency < 1:
            raise ValueError("a worker takes at least one task at a time")
        self.name = name
        self.concurrency = concurrency
        self.layer = layer
        self.labels = dict(labels or {})
        self.transport = Transport(endpoint, token)
        self.skills: Dict[str, Handler] = {}
        self.offers: List[Dict[str, Any]] = []
        self.lock = threading.Condition()
        self.tasks: Dict[str, Task] = {}
        #: Whose skills have not come to their end, whether or not the task is this worker's still.
        self.at_work: Set[Task] = set()
        self.session: Optional[str] = None
        self.lease_seconds = 10.0
        self.heartbeat_seconds = 30.0
        self.wait_seconds = 30.0
        self.body_bytes = 1 << 20
        self.claims = 0
        self.leaving = threading.Event()
        self.stopped = threading.Event()

    # Skills

    def skill(
        self,
        name: str,
        effect: str = "effectful",
        input: Optional[Dict[str, Any]] = None,
        output: Optional[Dict[str, Any]] = None,
    ) -> Callable[[Handler], Handler]:
        """Offers a function as a skill. ``effect`` is ``read``, ``idempotent`` or ``effectful``;
        ``input`` and ``output`` are JSON Schemas that the instance checks."""

        def offer(handler: Handler) -> Handler:
            it: Dict[str, Any] = {"name": name, "effect": effect}
            if input is not None:
                it["input"] = input
            if output is not None:
                it["output"] = output
            self.offers.append(it)
            self.skills[name] = handler
            return handler

        return offer

    # The session

    def register(self) -> None:
        """Joins the fleet. What an older session had in hand is not this worker's any more."""
        body: Dict[str, Any] = {
            "name": self.name,
            "concurrency": self.concurrency,
            "skills": self.offers,
        }
        if self.layer is not None:
            body["layer"] = self.layer
        if self.labels:
            body["labels"] = self.labels
        wants = ["session", "agent", "lease_ms", "heartbeat_ms", "wait_ms_max"]
        answer = self.transport.post_until_answered("/workers", body, wants, wait=self._give_up_leaving)
        with self.lock:
            self.session = answer["session"]
            self.lease_seconds = answer["lease_ms"] / 1000
            self.heartbeat_seconds = answer["heartbeat_ms"] / 1000
            self.wait_seconds = answer["wait_ms_max"] / 1000
            self.body_bytes = answer.get("body_bytes_max", self.body_bytes)
            self.claims = 0
            lost, self.tasks = list(self.tasks.values()), {}
            self.lock.notify_all()
        for task in lost:
            self.let_go(task)
        log.info("registered as %s", answer["agent"])

    def _give_up(self, seconds: float) -> bool:
        """Pauses; whether the worker has stopped meanwhile."""
        return self.stopped.wait(seconds)

    def _known(self) -> str:
        with self.lock:
            if self.session is None:
                raise Unregistered(404, None)
            return self.session

    def renewed(self, session: str) -> None:
        """The instance forgot the session: joins again, once for all threads that meet it."""
        if self.leaving.is_set():
            # Nobody takes what comes of them any more.
            for task in self.in_hand():
                self.put_down(task.pt)
            raise Stopped()
        with self.lock:
            if self.session != session:
                return
            self.session = None
        try:
            self.register()
        finally:
            with self.lock:
                self.lock.notify_all()

    def is_old(self, error: ProtocolError) -> bool:
        """Whether a request crossed with this worker's own registration: its session is gone, and there
        is a newer one, or will be."""
        with self.lock:
            return error.session is not None and error.session != self.session

    def wait_for_session(self) -> str:
        """The session, waited for while another thread joins."""
        with self.lock:
            while self.session is None:
                if self.stopped.is_set():
                    raise Stopped()
                self.lock.wait(0.5)
            return self.session

    # Work

    def claim(self, free: int) -> List[Task]:
        """Waits for work; the tasks are in hand from here on."""
        session = self.wait_for_session()
        number = self.claims + 1
        wait = self.wait_seconds
        body = {"max": min(free, 1000), "wait": f"{int(wait * 1000)}ms", "claim": number}
        answer = self.transport.post_until_answered(
            worker_path(self.name, "claim"),
            body,
            ["tasks"],
            session,
            wait + CLAIM_PATIENCE_SECONDS,
            self._give_up_leaving,
        )
        # Only now: the same number gives the same tasks where the answer was lost.
        self.claims = number
        tasks = [Task(item) for item in answer["tasks"]]
        with self.lock:
            if self.session != session:
                return []
            self.tasks.update((task.pt, task) for task in tasks)
        return tasks

    def _give_up_leaving(self, seconds: float) -> bool:
        return self.leaving.is_set() or self.stopped.wait(seconds)

    def free(self) -> int:
        """Places for more tasks. A skill that works on when its task is taken away keeps its place: the
        next would find no thread."""
        with self.lock:
            return self.concurrency - len(self.at_work.union(self.tasks.values()))

    def in_hand(self) -> List[Task]:
        with self.lock:
            return list(self.tasks.values())

    def is_mine(self, task: Task) -> bool:
        with self.lock:
            return self.tasks.get(task.pt) is task

    def put_down(self, pt: str) -> None:
        """A task is over for this worker."""
        with self.lock:
            task = self.tasks.pop(pt, None)
            self.lock.notify_all()
        if task is not None:
            self.let_go(task)

    def let_go(self, task: Task) -> None:
        """A task is not this worker's any more, or not its business."""
        task._cancel()

    def extend(self) -> None:
        """Says that the tasks in hand are worked on, and lets go of those that are taken away."""
        session = self.wait_for_session()
        tasks = self.in_hand()
        path = worker_path(self.name, "extend")
        # One that hangs leaves time for another before the leases run out.
        timeout = min(ANSWER_SECONDS, max(self.lease_seconds / 2, EXTEND_SECONDS_MIN))
        for at in range(0, max(len(tasks), 1), TOKENS_MAX):
            body = {"tokens": [task._token() for task in tasks[at : at + TOKENS_MAX]]}
            answer = self.transport.post_until_answered(path, body, ["tokens"], session, timeout, self._give_up)
            for it in answer["tokens"]:
                if it["state"] in ("cancelled", "stale_fence"):
                    log.info("%s is %s", it["pt"], it["state"])
                    self.put_down(it["pt"])

    def finish(self, ends: List[End]) -> None:
        """Presents what came of tasks until it is answered. Saying it again changes nothing.

        What the instance does not take is replaced by a failure that says so: it is one task's business,
        and not the others'."""
        results = [end for end in ends if end.verb == "complete"]
        failures = [end for end in ends if end.verb == "fail"]
        failures += [instead(*it) for it in self._present("complete", results)]
        failures = [instead(*it) for it in self._present("fail", failures)]
        for end, why in self._present("fail", failures):
            log.error("%s is left to its lease, because nothing said of it is taken: %s", end.task.pt, why)
            self.put_down(end.task.pt)

    def _present(self, verb: str, ends: List[End]) -> List[Untaken]:
        """Presents them; those that the instance does not take."""
        untaken: List[Untaken] = []
        todo = list(batches(ends, self.body_bytes, untaken))
        while todo:
            some = todo.pop()
            try:
                self._present_together(verb, some)
            except ProtocolError as error:
                if error.status not in REFUSED:
                    raise
                if len(some) == 1:
                    untaken.append((some[0], error))
                else:
                    half = len(some) // 2
                    todo += [some[:half], some[half:]]
        return untaken

    def _present_together(self, verb: str, ends: List[End]) -> None:
        field = "results" if verb == "complete" else "failures"
        body = f'{{"{field}":['.encode() + b",".join(end.text for end in ends) + b"]}"
        session = self.wait_for_session()
        path = worker_path(self.name, verb)
        answer = self.transport.post_until_answered(path, body, ["tokens"], session, wait=self._give_up)
        for it in answer["tokens"]:
            if it["state"] != "accepted":
                log.warning("%s was not accepted: %s", it["pt"], it.get("message") or it["state"])
        for end in ends:
            self.put_down(end.task.pt)

    def leave(self) -> None:
        """Takes nothing new."""
        session = self._known()
        path = worker_path(self.name, "leave")
        self.transport.post_until_answered(path, {}, ["under_way"], session, wait=self._give_up)


__all__ = ["Core", "Fenced", "ProtocolError", "Unregistered"]
