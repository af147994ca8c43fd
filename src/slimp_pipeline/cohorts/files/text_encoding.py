"""How a text file's characters are written: UTF-8, UTF-16, UTF-32 or Windows-1252."""

import codecs
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)
_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAMES = {"utf-8": "UTF-8", "cp1252": "Windows-1252"} | {
    f"utf-{n}-{e}": f"UTF-{n}" for n in (16, 32) for e in ("le", "be")
}
_SAMPLE_BYTES = 4096
_CHUNK_BYTES = 2**20
_SEPARATORS = ",;\t|\r\n"


def find_text_encoding(file: IO[bytes], path: Path) -> tuple[str, int]:
    """Find a text file's encoding in one pass over it, in constant memory.

    Args:
        file: The file, seekable.
        path: What messages call it.

    Returns:
        The codec, and the number of bytes of the byte order mark before the text. Text that isn't UTF-8
        but fits Windows-1252 is taken for it, and the log says so.

    Raises:
        ValueError: If the text is none of UTF-8, UTF-16, UTF-32 and Windows-1252, or is UTF-8 here and
            Windows-1252 there; names the line.
    """
    file.seek(0)
    head = file.read(_SAMPLE_BYTES)
    marked = ((codec, len(mark)) for mark, codec in _MARKS if head.startswith(mark))
    codec, start = next(marked, (_unmarked_utf16(head) or "utf-8", 0))
    broken = _first_undecodable(file, codec, start)
    if broken is not None:
        line = _line_at(file, codec, start, broken)
        if codec != "utf-8" or start:
            raise ValueError(f"{path}, line {line}: not {_NAMES[codec]}, as the file begins. Save the file as UTF-8.")
        codec = "cp1252"
        if _first_undecodable(file, codec, 0) is not None:
            raise ValueError(f"{path}, line {line}: not UTF-8, and not Windows-1252 either. Save the file as UTF-8.")
        if _is_mostly_utf8(file):
            raise ValueError(f"{path}, line {line}: not UTF-8, as other lines are. Save the whole file as UTF-8.")
    if codec != "utf-8":
        logger.info("%s is read as %s text", path.name, _NAMES[codec])
    return codec, start


def _unmarked_utf16(head: bytes) -> str | None:
    """Tell UTF-16 by its separators: in other text with NUL bytes, most aren't such characters in UTF-16."""
    if b"\0" not in head:
        return None
    counts = {codec: _num_separators(head, codec) for codec in ("utf-16-le", "utf-16-be")}
    likelier = max(counts, key=lambda codec: counts[codec])
    return likelier if 2 * counts[likelier] >= _num_separators(head, "latin-1") else None


def _num_separators(head: bytes, codec: str) -> int:
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return 0
    return sum(map(text.count, _SEPARATORS))


def _chunks(file: IO[bytes], start: int) -> Iterator[bytes]:
    """Yield the file's bytes from `start`, and b"" after the last."""
    file.seek(start)
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
    yield b""


def _first_undecodable(file: IO[bytes], codec: str, start: int) -> int | None:
    """Position of the first byte, counted from `start`, that the codec can't decode."""
    decoder = codecs.getincrementaldecoder(codec)()
    end = 0
    for chunk in _chunks(file, start):
        end += len(chunk)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return end - len(error.object) + error.start
    return None


def _line_at(file: IO[bytes], codec: str, start: int, position: int) -> int:
    """Line on which the byte at a position stands; the bytes before it can be decoded."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(codec)(), translate=True)
    line, left = 1, position
    for chunk in _chunks(file, start):
        line += decoder.decode(chunk[:left], final=not chunk[:left]).count("\n")
        left -= len(chunk[:left])
    return line


def _is_mostly_utf8(file: IO[bytes]) -> bool:
    """Whether more characters beyond ASCII are right in UTF-8 than bytes are wrong.

    A file put together from exports is UTF-8 in some lines only; read as Windows-1252, the others would
    turn into nonsense. True Windows-1252 has few byte pairs, such as an É before a fixed blank, that are UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
    num_right = num_wrong = 0
    for chunk in _chunks(file, 0):
        text = decoder.decode(chunk, final=not chunk)
        num_wrong += len(chunk) - len(text.encode())
        num_right += len(text) - len(text.encode("ascii", errors="ignore"))
    return num_right >= num_wrong
