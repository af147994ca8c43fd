"""What carries messages between a run and its processes on other machines; knows no torch, which takes seconds."""

import asyncio


class Post:
    """A Ray actor: takes messages in their order, and keeps the request to stop for those who wait for it."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._stop = asyncio.Event()

    async def put(self, message: bytes) -> None:
        """Send a message to the run; when this returns it can't be lost any more."""
        await self._messages.put(message)

    async def take(self) -> bytes:
        """Wait for the next message."""
        return await self._messages.get()

    async def ask_to_stop(self) -> None:
        """Ask the first process to stop."""
        self._stop.set()

    async def asked_to_stop(self) -> None:
        """Wait until it is asked to."""
        await self._stop.wait()
