"""What a server's answer means: the file, a part of it, wait, ask elsewhere, give up."""

import http.client
import re

import requests
import urllib3

NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException)
_GONE = (400, 401, 403, 404, 410)  # what a signed address says once it has expired, among others


class Vanished(Exception):
    """What was asked for isn't there any more, or isn't wanted: another try won't help."""


class Failed(Exception):
    """A try that failed; the next one may not.

    Attributes:
        hold_s: How long all should wait, since the server asks for it; None where it doesn't.
        at_once: The next try needn't wait.
        renew: The address may have expired.
        anew: What came so far is of no use.
    """

    def __init__(
        self,
        reason: str,
        *,
        hold_s: float | None = None,
        at_once: bool = False,
        renew: bool = False,
        anew: bool = False,
    ) -> None:
        super().__init__(reason)
        self.hold_s, self.at_once, self.renew, self.anew = hold_s, at_once, renew, anew


class Expired(Failed):
    """The address leads nowhere: another try helps only at a new one."""


def refuse_other_answers(response: requests.Response) -> None:
    """Tell what a server says instead of sending the file.

    Raises:
        Failed: If another try may help; `Expired` if it must be elsewhere.
        Vanished: If none will.
    """
    status, said = response.status_code, f"the server says {response.status_code} {response.reason}"
    if status in (200, 206):
        if (packed := response.headers.get("Content-Encoding", "identity")) != "identity":
            raise Failed(f"the server packs the file ({packed}), though it was asked not to")
    elif status in (408, 429) or status >= 500:
        raise Failed(said, hold_s=_retry_after_s(response))
    elif status == 416:
        raise Failed(said, at_once=True, anew=True)
    elif status in _GONE:
        raise Expired(said, at_once=True, renew=True)
    else:
        raise Vanished(said)


def start_of(response: requests.Response, asked: int) -> int:
    """Where what comes begins in the file: a server may send all of it again.

    Raises:
        Failed: If it is elsewhere than was asked for.
    """
    if response.status_code == 200:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != asked:
        raise Failed("the server sends another part of the file than it was asked for", at_once=True, anew=True)
    return asked


def length_of(response: requests.Response) -> int | None:
    """Bytes that are announced; None where none are."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def mark_of(response: requests.Response) -> str:
    """What tells that a file is still the same; "" where the server says nothing that does."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def network_error_in_words(error: Exception) -> str:
    """What happened on the way."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server didn't answer in time"
    if "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error):
        return "the server can't be reached"
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.ProtocolError):
        return "the connection was cut"
    return f"the request failed ({type(error).__name__})"


def _retry_after_s(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait; it may have named a date."""
    try:
        return urllib3.Retry().parse_retry_after(response.headers["Retry-After"])
    except (KeyError, urllib3.exceptions.InvalidHeader):
        return None
