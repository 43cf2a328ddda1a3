"""What can go wrong."""

from typing import Any, Dict, Optional


class Failed(Exception):
    """Raised by a skill: the task could not be done, and nothing has happened.

    ``retryable`` says whether another attempt may succeed.
    """

    def __init__(self, code: str, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class Unknown(Exception):
    """Raised by a skill: nobody knows whether its effect happened.

    A ``read`` or ``idempotent`` task is tried again under the same key; an ``effectful`` one is parked
    until somebody says.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Cancelled(Exception):
    """Raised by :meth:`Task.raise_if_cancelled`: the task is not this worker's any more."""


class ProtocolError(Exception):
    """The instance refused a request, and sending it again would not help."""

    def __init__(self, status: int, problem: Optional[Dict[str, Any]]) -> None:
        problem = problem or {}
        self.status = status
        #: The session under which the request was sent.
        self.session: Optional[str] = None
        self.code: str = str(problem.get("code", "unknown"))
        self.detail: str = str(problem.get("detail") or problem.get("title") or "no reason given")
        self.hint: Optional[str] = problem.get("hint")
        errors = problem.get("errors")
        named = [it for it in errors if isinstance(it, dict)] if isinstance(errors, list) else []
        places = "; ".join(f"{it.get('pointer')}: {it.get('message')}" for it in named)
        text = f"{status} {self.code}: {self.detail}"
        super().__init__(text + (f" ({places})" if places else ""))


class Fenced(ProtocolError):
    """Another process has registered under this worker's name: this one must stop."""


class Unregistered(ProtocolError):
    """The instance does not know the worker: it was started again, or the worker has left."""
