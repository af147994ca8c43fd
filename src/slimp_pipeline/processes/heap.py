"""Memory that nothing uses, and that the C library keeps."""

import ctypes
import sys


def trim_heap() -> None:
    """Give it back to the system, where the library is glibc.

    Where large arrays come and go while small ones stay, what is free lies in pieces too small for the next large one:
    the process grows by every one, to several times what it uses.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
