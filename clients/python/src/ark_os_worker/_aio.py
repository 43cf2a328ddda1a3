"""The worker whose skills are coroutines, all in one event loop."""

import asyncio
import inspect
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Optional

from ._ends import End, completed, failed
from ._task import Task
from ._worker import Worker


class AsyncWorker(Worker):
    """As :class:`Worker`, for skills that are coroutines. A task that is taken away is cancelled as
    asyncio cancels: its coroutine gets ``CancelledError``.

    The protocol has threads of its own: skills that keep the loop busy do not keep the worker from
    saying that it lives."""

    _loop: asyncio.AbstractEventLoop

    async def run(self, signals: bool = True) -> None:  # type: ignore[override]
        """Works until :meth:`stop`, or until SIGTERM or SIGINT with ``signals``.

        Raises :class:`Fenced` when another process takes this worker's name."""
        self._loop = asyncio.get_running_loop()
        self._work: Dict[str, "asyncio.Task[End]"] = {}
        heard = (signal.SIGTERM, signal.SIGINT) if signals else ()
        for number in heard:
            self._loop.add_signal_handler(number, self.stop)
        thread = ThreadPoolExecutor(1, thread_name_prefix="ark-async")
        try:
            await self._loop.run_in_executor(thread, super().run, False)
        finally:
            # Where it was cancelled itself the thread does not wait for what is cancelled here.
            self._end()
            work = list(self._work.values())
            for it in work:
                it.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            thread.shutdown(wait=False)
            for number in heard:
                self._loop.remove_signal_handler(number)

    def _begin(self, task: Task) -> None:
        with self.lock:
            self.at_work.add(task)
        self._loop.call_soon_threadsafe(self._start, task)

    def _start(self, task: Task) -> None:
        if not self.is_mine(task):
            self._ended(task, None)
            return
        work = self._work[task.pt] = self._loop.create_task(self._await(task))
        # Not at the end of the coroutine: one that is cancelled before it begins has no end.
        work.add_done_callback(lambda _: self._done(task, work))

    async def _await(self, task: Task) -> End:
        try:
            value = self.begun(task)
            return completed(task, await value if inspect.isawaitable(value) else value)
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a skill may raise anything
            return failed(task, error)

    def _done(self, task: Task, work: "asyncio.Task[End]") -> None:
        self._work.pop(task.pt, None)
        end: Optional[End] = None
        if work.cancelled():
            # Where nobody has taken the task away, it is something within that was cancelled.
            end = failed(task, asyncio.CancelledError()) if self.is_mine(task) else None
        elif work.exception() is None:
            end = work.result()
        self._ended(task, end)

    def let_go(self, task: Task) -> None:
        super().let_go(task)
        try:
            self._loop.call_soon_threadsafe(self._cancel, task.pt)
        except RuntimeError:
            # The loop is closed, and all that was in it has ended.
            pass

    def _cancel(self, pt: str) -> None:
        work = self._work.get(pt)
        if work is not None:
            work.cancel()
