"""Has units of work counted while some run() has a time limit."""

import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType

from ringlet import _core

__all__ = ("start", "stop")

if sys.version_info >= (3, 12):
    _monitoring = sys.monitoring
    _EVENTS = _monitoring.events
    _CALLBACKS: dict[int, Callable[..., object]] = {
        _EVENTS.PY_START: _core.tick_start,
        _EVENTS.PY_RESUME: _core.tick_start,
        _EVENTS.CALL: _core.tick_call,
        _EVENTS.JUMP: _core.tick_jump,
    }
    _COUNTED = _EVENTS.PY_START | _EVENTS.PY_RESUME | _EVENTS.CALL | _EVENTS.JUMP
    # Those that nobody has a claim to come first.
    _TOOLS = (3, 4, _monitoring.OPTIMIZER_ID)

    class _Meter:
        """The one tool of the process, in use while any thread counts."""

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._users = 0
            self._tool = 0
            self._codes: dict[CodeType, None] = {}

        def start(self) -> None:
            with self._lock:
                if not self._users:
                    self._begin()
                self._users += 1
                self._reach_suspended()

        def stop(self) -> None:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._end()

        def _begin(self) -> None:
            free = [tool for tool in _TOOLS if _monitoring.get_tool(tool) is None]
            if not free:
                raise RuntimeError(
                    "run() with a time limit needs a tool of sys.monitoring, of those numbered "
                    f"{', '.join(map(str, _TOOLS))}, and others have taken them all"
                )
            self._tool = free[0]
            _monitoring.use_tool_id(self._tool, "ringlet.compat.stackless")
            for event, callback in _CALLBACKS.items():
                _monitoring.register_callback(self._tool, event, callback)
            _monitoring.set_events(self._tool, _COUNTED)

        def _end(self) -> None:
            _monitoring.set_events(self._tool, 0)
            # What was interrupted would go on reporting, to nobody.
            self._reach_suspended()
            for code in self._codes:
                _monitoring.set_local_events(self._tool, code, 0)
            self._codes.clear()
            for event in _CALLBACKS:
                _monitoring.register_callback(self._tool, event, None)
            _monitoring.free_tool_id(self._tool)

        def _reach_suspended(self) -> None:
            """See to code that is suspended: events are turned on and off where code is entered."""
            frames = [tasklet.frame for tasklet in _core.living()]
            frames += [greenlet.gr_frame for greenlet in _core.suspended_greenlets()]
            for innermost in frames:
                frame: FrameType | None = innermost
                while frame is not None:
                    if frame.f_code not in self._codes:
                        self._codes[frame.f_code] = None
                        _monitoring.set_local_events(self._tool, frame.f_code, _COUNTED)
                    frame = frame.f_back

    _meter = _Meter()
    start, stop = _meter.start, _meter.stop

else:

    def start() -> None:
        """Begin to count in this thread."""
        _core.set_ticker(True)

    def stop() -> None:
        """Count no more in this thread."""
        _core.set_ticker(False)
