"""What comes of tasks, as it is sent: skills return and raise what they like, and none of it may keep
the worker from telling the rest."""

import logging
import traceback
from typing import Any, Callable, Dict, Iterator, List, Tuple

from ._errors import Failed, ProtocolError, Unknown
from ._http import encoded
from ._task import Task

log = logging.getLogger("ark_os_worker")

#: Results of one request.
BATCH_MAX = 200
#: Characters of an error's text that are sent.
MESSAGE_CHARS_MAX = 1_000
#: What the instance says where it is the items of a request that it does not take.
REFUSED = (400, 413, 422)


class End:
    """What came of a task. Its text is made at once: whatever a skill does with its result later
    changes nothing."""

    def __init__(self, task: Task, verb: str, said: Dict[str, Any]) -> None:
        self.task = task
        #: ``complete`` or ``fail``.
        self.verb = verb
        #: What is told in its place if the instance does not take it.
        self.retryable: bool = said.get("retryable", False)
        self.unknown: bool = said.get("unknown", verb == "complete" and task.effect == "effectful")
        self.text = encoded({"pt": task.pt, "fence": task.fence, **said})


#: What was not taken, with the reason.
Untaken = Tuple[End, ProtocolError]


def outcome(task: Task, work: Callable[[], Any]) -> End:
    """What came of a task whose skill is a function on a thread. There ``SystemExit`` ends nothing else."""
    try:
        return completed(task, work())
    except BaseException as error:  # noqa: BLE001 - a skill may raise anything
        return failed(task, error)


def completed(task: Task, output: Any) -> End:
    """What a skill returned. Raises ``TypeError`` if that cannot be sent."""
    try:
        return End(task, "complete", {"output": output})
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"the skill {task.skill} returned what has no JSON form: {error}") from error


def failed(task: Task, error: BaseException) -> End:
    """A failure as it is presented."""
    try:
        said = said_of(task, error)
    except BaseException as worse:  # noqa: BLE001 - a skill's own classes may raise here, too
        text = f"{type(error).__name__}, of which nothing can be told: {type(worse).__name__}"
        said = {"code": "worker.exception", "message": text, "retryable": True, "unknown": task.effect == "effectful"}
    return End(task, "fail", said)


def said_of(task: Task, error: BaseException) -> Dict[str, Any]:
    """What an error says of a task."""
    if isinstance(error, Failed):
        return {"code": cut(error.code), "message": cut(error.message), "retryable": bool(error.retryable)}
    if isinstance(error, Unknown):
        return {"code": cut(error.code), "message": cut(error.message), "retryable": True, "unknown": True}
    if not task.cancelled:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        log.error("%s raised\n%s", task.skill, text)
    # Whoever raises anything else does not say how far it came.
    return {
        "code": "worker.exception",
        "message": cut(f"{type(error).__name__}: {error}"),
        "retryable": True,
        "unknown": task.effect == "effectful",
    }


def instead(end: End, why: ProtocolError) -> End:
    """What is told in place of what the instance does not take."""
    said = {"code": "worker.not_taken", "message": cut(f"the instance did not take what came of it: {why}")}
    if why.status == 413:
        said = {"code": "worker.output_too_large", "message": "the instance takes no request as large as this output"}
    return End(end.task, "fail", {**said, "retryable": end.retryable, "unknown": end.unknown})


def cut(text: Any) -> str:
    """As much of a text as is sent; what is none is made one."""
    return str(text)[:MESSAGE_CHARS_MAX]


def batches(ends: List[End], bytes_max: int, untaken: List[Untaken]) -> Iterator[List[End]]:
    """All of them, as many together as the instance takes; those that are too large alone are set apart."""
    # The rest is for what stands around them.
    most = bytes_max - 32
    batch: List[End] = []
    size = 0
    for end in ends:
        if len(end.text) > most:
            untaken.append((end, ProtocolError(413, None)))
            continue
        if batch and (size + len(end.text) > most or len(batch) == BATCH_MAX):
            yield batch
            batch, size = [], 0
        batch.append(end)
        size += len(end.text) + 1
    if batch:
        yield batch
