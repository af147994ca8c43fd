"""The ISIC Archive, asked through isic-cli's own client: collections, pages of images, fresh addresses, licences.

Only `isic_cli.session` and `isic_cli.io` are imported. Its command line, `isic_cli.cli`, would load an error reporter
that can send home.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from isic_cli.io import http
from isic_cli.session import IsicCliSession
from urllib3 import Retry

from slimp_pipeline.cohorts.downloads.answers import Vanished
from slimp_pipeline.cohorts.downloads.pace import Pace
from slimp_pipeline.cohorts.downloads.record import Record, read_record
from slimp_pipeline.cohorts.downloads.spec import ArchiveQuery
from slimp_pipeline.cohorts.downloads.transfer import Source
from slimp_pipeline.parameters import DownloadParams

_PAGE = 100  # images on a page of the archive's
_MAX_REPEATED = 3 * _PAGE  # in a row: then it turns in a circle
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .-]{0,40}")
Item = TypeVar("Item")


class Archive:
    """The archive's API, or a mirror's.

    Args:
        settings: Its address, tries, waits.
        pace: Of all requests.
    """

    def __init__(self, settings: DownloadParams, pace: Pace) -> None:
        self.address = settings.archive.rstrip("/")
        self._session = _PacedSession(f"{self.address}/", settings, pace)

    def require_query(self, query: ArchiveQuery) -> ArchiveQuery:
        """The query with its DOI looked up; its collections are there.

        Raises:
            ValueError: If a collection, or one with this DOI, isn't there; or none is public.
            OSError: If the archive doesn't answer.
        """
        collections = list(query.collections)
        for number in collections:
            with self._asking(f"collection {number}", absent=f"there is no public collection {number}"):
                http.get_collection(self._session, number)
        if query.doi:
            collections.append(self._with_doi(query.doi))
        return ArchiveQuery(collections=sorted(set(collections)), search=query.search)

    def count(self, query: ArchiveQuery) -> int:
        """How many images fit.

        Raises:
            ValueError: If the archive doesn't understand the search.
            OSError: If it doesn't answer.
        """
        with self._asking(f"the number of images for {in_words(query)}", search=query.search):
            return int(http.get_num_images(self._session, query.search or "", _joined(query)))

    def records(self, query: ArchiveQuery) -> Iterator[Record | str]:
        """Images that fit, as they are listed; instead of one that is listed wrongly, what is wrong.

        Pages may shift while they are read: an image may come twice, or never.

        Raises:
            OSError: If the archive doesn't answer, or repeats itself without end.
        """
        with self._asking(f"the images for {in_words(query)}", search=query.search):
            listed = http.get_images(self._session, quote(query.search or "", safe=""), _joined(query))
            for image in _moving_on(listed, key="isic_id"):
                yield read_record(image)

    def renewed(self, isic_id: str) -> Source:
        """Where an image's file is now.

        Raises:
            Vanished: If the archive has it no more, or lists it wrongly.
            OSError: If it doesn't answer.
        """
        with self._asking(isic_id, vanished="the archive has no such image any more"):
            response = self._session.get(f"images/{isic_id}/")
            response.raise_for_status()
            record = read_record(response.json())
        if isinstance(record, str):
            raise Vanished(record)
        return record.source

    def licence_text(self, name: str) -> str | None:
        """Text of a licence by its name in the metadata; None where the archive has none."""
        if not _LICENCE.fullmatch(name):
            return None
        try:
            return str(http.get_license(self._session, quote(name, safe="")))
        except requests.RequestException:
            return None

    def _with_doi(self, doi: str) -> int:
        with self._asking(f"its collections, for the DOI {doi}"):
            for collection in _moving_on(http.get_collections(self._session), key="id"):
                if str(collection.get("doi") or collection.get("doi_url") or "").lower().endswith(doi.lower()):
                    return int(collection["id"])
        raise ValueError(f"no public collection of {self.address} has the DOI {doi}")

    @contextmanager
    def _asking(self, what: str, *, absent: str = "", vanished: str = "", search: str | None = None) -> Iterator[None]:
        """Say in words what went wrong while something was asked for."""
        try:
            yield
        except requests.RequestException as error:
            raise self._in_words(error, what, absent, vanished, search) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ConnectionError(
                f"the archive {self.address} answers otherwise than it should when asked for {what} ({error!r}). Is "
                "download.archive the address of its API?"
            ) from error

    def _in_words(
        self, error: requests.RequestException, what: str, absent: str, vanished: str, search: str | None
    ) -> Exception:
        answer = error.response if isinstance(error, requests.HTTPError) else None
        if answer is None:
            kind = "sends no JSON" if isinstance(error, requests.JSONDecodeError) else "doesn't answer"
            return ConnectionError(
                f"the archive {self.address} {kind} when asked for {what} ({type(error).__name__}). Check "
                "download.archive and the network, or run again later: what was got so far is kept"
            )
        if answer.status_code == 404 and vanished:
            return Vanished(vanished)
        if answer.status_code in (403, 404) and absent:
            return ValueError(f"{absent} in the archive {self.address}")
        if answer.status_code in (400, 422) and search:
            return ValueError(
                f"the archive {self.address} doesn't understand the search '{search}': {answer.text[:200]}. Its "
                "fields: https://www.isic-archive.com/data-dictionary"
            )
        return ConnectionError(
            f"the archive {self.address} says {answer.status_code} {answer.reason} when asked for {what}. Run again "
            "later: what was got so far is kept"
        )


class _PacedSession(IsicCliSession):
    """isic-cli's session, with this run's pace, patience and number of tries."""

    def __init__(self, address: str, settings: DownloadParams, pace: Pace) -> None:
        self._pace, self._timeout = pace, (10.0, settings.timeout_s)
        retries = Retry(
            total=settings.max_tries - 1,
            status_forcelist=[429, 500, 502, 503, 504],
            backoff_factor=0.5,
            backoff_max=settings.max_wait_s,
            retry_after_max=int(settings.max_wait_s),
            redirect=False,
            raise_on_status=False,
        )
        super().__init__(address, retry_strategy=retries)

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Ask in turn."""
        self._pace.turn()
        return super().request(*arguments, **{"timeout": self._timeout} | options)


def in_words(query: ArchiveQuery) -> str:
    """What is asked for, as people say it: `collections 212, 251 with sex:male`."""
    asked = [f"collections {', '.join(map(str, query.collections))}"] if query.collections else []
    asked += [f"DOI {query.doi}"] if query.doi else []
    asked += [f"search {query.search}"] if query.search else []
    return " with ".join(asked)


def _joined(query: ArchiveQuery) -> str:
    return ",".join(map(str, query.collections))


def _moving_on(items: Iterable[dict[str, Any]], key: str) -> Iterator[dict[str, Any]]:
    """Items as they come, until nothing new comes any more."""
    known: set[str] = set()
    num_repeated = 0
    for item in items:
        name = repr(item.get(key))
        num_repeated = num_repeated + 1 if name in known else 0
        known.add(name)
        if num_repeated > _MAX_REPEATED:
            return
        yield item
