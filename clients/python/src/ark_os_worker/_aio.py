"""The worker whose skills are coroutines, all in one event loop."""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Dict, List, Optional, Tuple

from ._core import Core, failure_of, is_json
from ._errors import Failed, Fenced, Unregistered
from ._http import Stopped
from ._task import Task
from ._worker import GRACE_SECONDS, present, takes_task

log = logging.getLogger("ark_os_worker")

End = Tuple[str, Dict[str, Any]]


class AsyncWorker(Core):
    """As :class:`Worker`, for skills that are coroutines. A task that is taken away is cancelled as
    asyncio cancels: its coroutine gets ``CancelledError``."""

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
        self._work: Dict[str, "asyncio.Task[None]"] = {}
        self._failure: Optional[BaseException] = None
        # Its own: skills that fill the loop's threads must not keep it from saying that it lives.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="ark-async")

    async def run(self, signals: bool = True) -> None:
        """Works until :meth:`stop`, or until SIGTERM or SIGINT with ``signals``."""
        self._loop = asyncio.get_running_loop()
        self._ends: "asyncio.Queue[End]" = asyncio.Queue()
        self._changed = asyncio.Event()
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self.stop)
        await self._aside(self.register)
        loops: List[Callable[[], Awaitable[None]]] = [self._claim, self._send, self._keep]
        helpers = [asyncio.create_task(self._guarded(it)) for it in loops]
        while not self.leaving.is_set():
            await self._pause(0.2)
        await self._wind_up()
        self.stopped.set()
        for it in list(self._work.values()):
            it.cancel()
        await asyncio.gather(*self._work.values(), return_exceptions=True)
        helpers[1].cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        self._threads.shutdown(wait=False)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Takes nothing new, lets what is in hand come to its end for the grace, and returns from
        :meth:`run`."""
        self.leaving.set()
        if hasattr(self, "_changed"):
            self._loop.call_soon_threadsafe(self._changed.set)

    async def _wind_up(self) -> None:
        if self._failure is not None:
            return
        try:
            await self._aside(self.leave)
            until = self._loop.time() + self.grace
            while self.in_hand() and self._loop.time() < until and not self.stopped.is_set():
                await self._pause(0.05)
        except (Stopped, Unregistered):
            pass
        except Exception as error:  # noqa: BLE001 - told by `run`
            self._failure = error

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self.stopped.is_set():
            try:
                await work()
                return
            except (Fenced, Unregistered) as error:
                if self.is_old(error):
                    continue
                if isinstance(error, Fenced):
                    return self._fail(error)
                try:
                    await self._aside(self.renewed, error.session or "")
                except Stopped:
                    return
                except Exception as worse:  # noqa: BLE001 - told by `run`
                    return self._fail(worse)
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 - told by `run`
                return self._fail(error)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, Fenced):
            log.error("another process is the worker %s now", self.name)
        self._failure = self._failure or error
        self.stopped.set()
        self.stop()

    def _aside(self, work: Callable[..., Any], *arguments: Any) -> "asyncio.Future[Any]":
        return self._loop.run_in_executor(self._threads, work, *arguments)

    async def _pause(self, seconds: float) -> None:
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def _claim(self) -> None:
        while not self.leaving.is_set():
            free = self.free()
            if free <= 0:
                await self._pause(0.2)
                continue
            for task in await self._aside(self.claim, free):
                self._work[task.pt] = asyncio.create_task(self._carry_out(task))

    async def _carry_out(self, task: Task) -> None:
        token = {"pt": task.pt, "fence": task.fence}
        try:
            end = "complete", {**token, "output": await self._call(task)}
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - a skill may raise anything
            end = "fail", {**token, **failure_of(task, error)}
        finally:
            self._work.pop(task.pt, None)
        if self.is_mine(task):
            await self._ends.put(end)

    async def _call(self, task: Task) -> Any:
        handler = self.skills.get(task.skill)
        if handler is None:
            message = f"this worker has no skill {task.skill}"
            raise Failed("worker.no_such_skill", message, retryable=True)
        value = handler(task.input, task) if takes_task(handler) else handler(task.input)
        if asyncio.iscoroutine(value):
            value = await value
        if not is_json(value):
            raise TypeError(f"the skill {task.skill} returned what has no JSON form")
        return value

    def put_down(self, pt: str) -> None:
        super().put_down(pt)
        self._loop.call_soon_threadsafe(self._let_go, pt)

    def _let_go(self, pt: str) -> None:
        work = self._work.get(pt)
        if work is not None:
            work.cancel()
        self._changed.set()

    async def _send(self) -> None:
        while True:
            ends = [await self._ends.get()]
            while len(ends) < 200 and not self._ends.empty():
                ends.append(self._ends.get_nowait())
            await self._aside(present, self, ends)

    async def _keep(self) -> None:
        while not self.stopped.is_set():
            idle = not self.in_hand()
            every = self.heartbeat_seconds / 2 if idle and not self.leaving.is_set() else self.lease_seconds / 3
            began = self._loop.time()
            while self._loop.time() - began < every and not self.stopped.is_set():
                await asyncio.sleep(min(0.2, every / 4))
                if idle and self.in_hand():
                    idle, every = False, self.lease_seconds / 3
            if not self.stopped.is_set():
                await self._aside(self.extend)
