"""What the two kinds of workers share: skills, the session, tasks in hand, and the protocol."""

import logging
import threading
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ._errors import Failed, Fenced, ProtocolError, Unknown, Unregistered
from ._http import Stopped, Transport, encoded, split, worker_path
from ._task import Task

log = logging.getLogger("ark_os_worker")

#: Results of one request.
BATCH_MAX = 200
#: Tokens of one sign of life.
TOKENS_MAX = 1_000
#: How much longer than its wait a claim may take.
CLAIM_PATIENCE_SECONDS = 15.0
#: Characters of an error's text that are sent.
MESSAGE_CHARS_MAX = 1_000

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
        answer = self.transport.post_until_answered("/workers", body, wait=self._give_up_leaving)
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
            session,
            wait + CLAIM_PATIENCE_SECONDS,
            self._give_up_leaving,
        )
        # Only now: the same number gives the same tasks where the answer was lost.
        self.claims = number
        tasks = [Task(item) for item in answer.get("tasks", [])]
        with self.lock:
            if self.session != session:
                return []
            self.tasks.update((task.pt, task) for task in tasks)
        return tasks

    def _give_up_leaving(self, seconds: float) -> bool:
        return self.leaving.is_set() or self.stopped.wait(seconds)

    def free(self) -> int:
        """Places for more tasks."""
        with self.lock:
            return self.concurrency - len(self.tasks)

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
        while True:
            some, tasks = split(tasks, TOKENS_MAX)
            body = {"tokens": [task._token() for task in some]}
            path = worker_path(self.name, "extend")
            answer = self.transport.post_until_answered(path, body, session, wait=self._give_up)
            for it in answer.get("tokens", []):
                if it["state"] in ("cancelled", "stale_fence"):
                    log.info("%s is %s", it["pt"], it["state"])
                    self.put_down(it["pt"])
            if not tasks:
                return

    def finish(self, verb: str, field: str, items: List[Dict[str, Any]]) -> None:
        """Presents results or failures until they are answered. Saying it again changes nothing."""
        session = self.wait_for_session()
        path = worker_path(self.name, verb)
        too_large: List[Dict[str, Any]] = []
        for body in bodies(field, items, self.body_bytes, too_large):
            answer = self.transport.post_until_answered(path, body, session, wait=self._give_up)
            for it in answer.get("tokens", []):
                if it["state"] != "accepted":
                    why = it.get("message") or it["state"]
                    log.warning("%s was not accepted: %s", it["pt"], why)
                self.put_down(it["pt"])
        if too_large:
            self.finish("fail", "failures", [unsendable(it) for it in too_large])

    def leave(self) -> None:
        """Takes nothing new."""
        session = self._known()
        path = worker_path(self.name, "leave")
        self.transport.post_until_answered(path, {}, session, wait=self._give_up)


def outcome(task: Task, work: Callable[[], Any]) -> Tuple[str, Dict[str, Any]]:
    """What came of a task: ``("complete", result)`` or ``("fail", failure)``."""
    token = {"pt": task.pt, "fence": task.fence}
    try:
        return "complete", {**token, "output": work()}
    except Exception as error:  # noqa: BLE001 - a skill may raise anything
        return "fail", {**token, **failure_of(task, error)}


def unsendable(result: Dict[str, Any]) -> Dict[str, Any]:
    """What is told in place of a result that the instance does not take."""
    return {
        "pt": result["pt"],
        "fence": result["fence"],
        "code": "worker.output_too_large",
        "message": "the instance takes no request as large as this output",
        "retryable": False,
    }


def bodies(
    field: str, items: List[Dict[str, Any]], bytes_max: int, too_large: List[Dict[str, Any]]
) -> Iterator[bytes]:
    """Requests with all items, each as large as the instance takes; those that are too large alone are set apart."""
    head, most = f'{{"{field}":['.encode(), bytes_max - len(field) - 16
    batch: List[bytes] = []
    size = 0
    for item in items:
        text = encoded(item)
        if len(text) > most:
            too_large.append(item)
            continue
        if batch and (size + len(text) > most or len(batch) == BATCH_MAX):
            yield head + b",".join(batch) + b"]}"
            batch, size = [], 0
        batch.append(text)
        size += len(text) + 1
    if batch:
        yield head + b",".join(batch) + b"]}"


def failure_of(task: Task, error: Exception) -> Dict[str, Any]:
    """A failure as it is presented."""
    if isinstance(error, Failed):
        return {"code": error.code, "message": error.message, "retryable": error.retryable}
    if isinstance(error, Unknown):
        return {"code": error.code, "message": error.message, "retryable": True, "unknown": True}
    if not task.cancelled:
        log.error("%s raised\n%s", task.skill, "".join(traceback.format_exception(type(error), error, error.__traceback__)))
    text = f"{type(error).__name__}: {error}"[:MESSAGE_CHARS_MAX]
    # Whoever raises anything else does not say how far it came.
    return {
        "code": "worker.exception",
        "message": text,
        "retryable": True,
        "unknown": task.effect == "effectful",
    }


def is_json(value: Any) -> bool:
    """Whether a result can be sent."""
    import json

    try:
        json.dumps(value, allow_nan=False)
        return True
    except (TypeError, ValueError):
        return False


__all__ = ["Core", "Fenced", "ProtocolError", "Unregistered", "failure_of", "is_json", "outcome"]
