"""How fast a server is asked, by all threads together; and that they stop at once when asked to."""

import threading
import time


class Interrupted(Exception):
    """The run is being stopped."""


class Pace:
    """Turns that come at most so often per second, for any number of threads.

    Args:
        per_second: Requests per second, > 0.
    """

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1 / per_second
        self._next = 0.0  # on the monotonic clock
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def turn(self) -> None:
        """Wait until it is this thread's turn to ask.

        Raises:
            Interrupted: If the run is being stopped.
        """
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._interval_s
        self.rest(at - now)

    def hold(self, seconds: float) -> None:
        """Let all threads wait that long before their next turn: the server asked for it."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def rest(self, seconds: float) -> None:
        """Let this thread wait.

        Raises:
            Interrupted: If the run is being stopped.
        """
        if self._stopping.wait(max(0.0, seconds)):
            raise Interrupted

    def go_on(self) -> None:
        """Raise Interrupted if the run is being stopped."""
        if self._stopping.is_set():
            raise Interrupted

    def stop(self) -> None:
        """Stop all threads at their next turn, rest or chunk."""
        self._stopping.set()
