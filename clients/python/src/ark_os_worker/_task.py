"""A task as a skill sees it."""

import threading
from typing import Any, Dict, Optional

from ._errors import Cancelled


#: A sign of life carries the checkpoints of all tasks in hand, and is not to be too large for the instance.
CHECKPOINT_CHARS_MAX = 1_000


class Task:
    """A task in this worker's hands. Threads may share it."""

    def __init__(self, item: Dict[str, Any]) -> None:
        #: The progress token, and its fence.
        self.pt: str = item["pt"]
        self.fence: int = item["fence"]
        #: The run and the task.
        self.run: str = item["run"]
        self.task: str = item["task"]
        #: From 1, over all retries.
        self.attempt: int = item["attempt"]
        #: The skill, and what it may do to the world.
        self.skill: str = item["skill"]
        self.effect: str = item["effect"]
        #: The key of its effect: the same in every attempt. Hand it to whatever the effect happens in
        #: (an ``Idempotency-Key``, a unique column), so that it happens once.
        self.key: str = item["key"]
        #: The input.
        self.input: Any = item["input"]
        #: When it must be over, as RFC 3339.
        self.deadline: str = item["deadline"]
        #: W3C Trace Context.
        self.traceparent: str = item["traceparent"]
        self._cancelled = threading.Event()
        self._checkpoint: Optional[str] = None
        self._lock = threading.Lock()

    @property
    def cancelled(self) -> bool:
        """Whether it is not this worker's any more: stop, whatever comes of it is refused."""
        return self._cancelled.is_set()

    def raise_if_cancelled(self) -> None:
        """Raises :class:`Cancelled` if it is."""
        if self.cancelled:
            raise Cancelled()

    def wait_cancelled(self, seconds: float) -> bool:
        """Waits so long, or until it is cancelled; whether it is."""
        return self._cancelled.wait(seconds)

    def checkpoint(self, mark: str) -> None:
        """Says how far the work has come, in at most 1000 characters. It is sent with the next sign of life."""
        text = str(mark)
        if len(text) > CHECKPOINT_CHARS_MAX:
            raise ValueError(f"a checkpoint has at most {CHECKPOINT_CHARS_MAX} characters")
        with self._lock:
            self._checkpoint = text

    def _cancel(self) -> None:
        self._cancelled.set()

    def _token(self) -> Dict[str, Any]:
        token: Dict[str, Any] = {"pt": self.pt, "fence": self.fence}
        with self._lock:
            if self._checkpoint is not None:
                token["checkpoint"] = self._checkpoint
                self._checkpoint = None
        return token
