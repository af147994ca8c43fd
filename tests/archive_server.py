"""The ISIC Archive on loopback: its API, the storage behind signed addresses, published files; and every misbehaviour.

What is asked is what isic-cli's client asks (`isic_cli.io.http`), and what is answered is what the archive's code
(ImageMarkup/isic, `isic/core/api`) answers. A page's cursor is an offset: where images come or go between two pages,
one is listed twice, or never.
"""

import hashlib
import io
import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
from PIL import Image

Answer = Callable[["Handler", bytes], None]


def picture(number: int, form: str = "JPEG", side: int = 24) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def status(code: int, **headers: str) -> Answer:
    """Answer with a status; `Retry_After="1"` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.send(code, b"<html>no</html>", **named)


def instead(body: bytes) -> Answer:
    """Send something else, as if all were well."""
    return lambda handler, _: handler.send(200, body)


def cut(num_bytes: int) -> Answer:
    """Announce all of it and close the connection early."""

    def answer(handler: "Handler", body: bytes) -> None:
        handler.send(200, body, sent=num_bytes, ETag=etag(body))
        handler.close_connection = True

    return answer


def late(seconds: float) -> Answer:
    """Say nothing for a while."""

    def answer(handler: "Handler", body: bytes) -> None:
        time.sleep(seconds)
        handler.send(200, body)

    return answer


def dripping(pause_s: float) -> Answer:
    """Send a byte at a time, so that the connection never falls silent."""

    def answer(handler: "Handler", body: bytes) -> None:
        handler.send(200, body, sent=0)
        for number in range(len(body)):
            handler.wfile.write(body[number : number + 1])
            handler.wfile.flush()
            time.sleep(pause_s)

    return answer


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@dataclass
class Server:
    """What the archive holds, and how it misbehaves.

    Attributes:
        images: Content of each image's file, by id.
        listed: What the API says beside, by id: overrides of a record.
        collections: Ids of images by collection.
        dois: DOI by collection.
        files: Other files, by path.
        requests: Paths that were asked for, in order, with the header Range.
        between_pages: Called after each page of images but the last, with its number.
        signature: Addresses that bear another one have expired.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    collections: dict[int, list[str]] = field(default_factory=dict)
    dois: dict[int, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=lambda: {"CC-0": "Do as you like.", "CC-BY": "Name us."})
    requests: list[tuple[str, str]] = field(default_factory=list)
    between_pages: Callable[[int], None] = lambda number: None
    page_size: int = 4
    signature: int = 1
    ranges: bool = True
    _faults: list[tuple[re.Pattern[str], list[Answer], bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        server = self

        class Bound(Handler):
            archive = server

        self._http = _Quiet(("127.0.0.1", 0), Bound)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.root = f"http://127.0.0.1:{self._http.server_port}"
        self.address = f"{self.root}/api/v2"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def add_images(self, numbers: Iterable[int], collection: int = 251, **metadata: Any) -> list[str]:
        ids = [f"ISIC_{number:07d}" for number in numbers]
        for number, isic_id in zip(numbers, ids, strict=True):
            self.images[isic_id] = picture(number)
            if metadata:
                self.listed[isic_id]["metadata"] = {"acquisition": {}, "clinical": metadata}
        self.collections.setdefault(collection, []).extend(ids)
        return ids

    def misbehave(self, path: str, *answers: Answer, always: bool = False) -> None:
        """Answer requests for a path, which is matched anywhere, so: one after another, or the last one always."""
        self._faults.append((re.compile(path), list(answers), always))

    def fault(self, path: str) -> Answer | None:
        for pattern, answers, always in self._faults:
            if answers and pattern.search(path):
                return answers[0] if always and len(answers) == 1 else answers.pop(0)
        return None

    def asked_for(self, path: str) -> int:
        return sum(path in asked for asked, _ in self.requests)

    def record(self, isic_id: str) -> dict[str, Any]:
        number = int(isic_id[5:]) if isic_id[5:].isdigit() else 0
        body = self.images[isic_id]
        record = {
            "isic_id": isic_id,
            "public": True,
            "copyright_license": "CC-BY" if number % 2 else "CC-0",
            "attribution": "Clinic of the Loopback",
            "files": {
                "full": {"url": f"{self.root}/storage/{isic_id}.jpg?signature={self.signature}", "size": len(body)},
                "thumbnail_256": {"url": f"{self.root}/storage/{isic_id}_thumbnail_256.jpg", "size": 1},
            },
            "metadata": {
                "acquisition": {"pixels_x": 24, "pixels_y": 24, "image_type": "dermoscopic"},
                "clinical": {
                    "age_approx": 30 + 5 * (number % 8),
                    "sex": "male" if number % 2 else "female",
                    "diagnosis_1": "Malignant" if number % 3 == 0 else "Benign",
                    "lesion_id": f"IL_{number:07d}",
                    "patient_id": f"IP_{number // 2:07d}",
                },
            },
        }
        return record | self.listed.get(isic_id, {})

    def found(self, query: str, collections: str) -> list[str]:
        ids = list(self.images)
        if collections:
            chosen = [name for number in collections.split(",") for name in self.collections.get(int(number), [])]
            ids = [name for name in ids if name in chosen]
        for key, value in re.findall(r'(\w+):"?([\w& ]+?)"?(?: AND |$)', query):
            ids = [name for name in ids if str(self.record(name)["metadata"]["clinical"].get(key)) == value]
        return ids


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # connections at once; of more the next comes after a second

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    archive: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def send(self, code: int, body: bytes, *, sent: int | None = None, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if sent is None else body[:sent])

    def send_json(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.archive.requests.append((self.path, self.headers.get("Range", "")))
        fault = self.archive.fault(self.path)
        body = self._file(url.path, asked)
        if fault:
            fault(self, body or b"")
        elif body is not None:
            self._send_file(body)
        else:
            self._api(url.path.removeprefix("/api/v2/"), asked)

    def _file(self, path: str, asked: dict[str, str]) -> bytes | None:
        if path.startswith("/storage/"):
            if int(asked.get("signature", 0)) != self.archive.signature:
                return None
            return self.archive.images.get(path.removeprefix("/storage/").removesuffix(".jpg"))
        return self.archive.files.get(path)

    def _send_file(self, body: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        valid = self.headers.get("If-Range", etag(body)) == etag(body)
        start = int(asked[1]) if asked and valid and self.archive.ranges else 0
        if start >= len(body):
            self.send(416, b"")
        elif start:
            place = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            self.send(206, body[start:], ETag=etag(body), **place)
        else:
            self.send(200, body, ETag=etag(body))

    def _api(self, path: str, asked: dict[str, str]) -> None:
        collections, images = self.archive.collections, self.archive.images
        if path == "images/search/":
            self._search(asked)
        elif (found := re.fullmatch(r"images/(ISIC_\d+)/", path)) and found[1] in images:
            self.send_json(self.archive.record(found[1]))
        elif path == "collections/":
            self.send_json({"results": [self._collection(number) for number in collections], "next": None})
        elif (found := re.fullmatch(r"collections/(\d+)/", path)) and int(found[1]) in collections:
            self.send_json(self._collection(int(found[1])))
        elif (found := re.fullmatch(r"zip-download/license-file/([\w-]+)/", path)) and found[
            1
        ] in self.archive.licences:
            self.send(200, self.archive.licences[found[1]].encode())
        else:
            self.send(
                403 if path.startswith("/storage") else 404, b"<Error><Message>Request has expired</Message></Error>"
            )

    def _collection(self, number: int) -> dict[str, Any]:
        return {"id": number, "name": f"Collection {number}", "public": True, "doi": self.archive.dois.get(number)}

    def _search(self, asked: dict[str, str]) -> None:
        query, collections = asked.get("query", ""), asked.get("collections", "")
        if "((" in query:
            self.send(400, json.dumps({"message": "Couldn't parse search query."}).encode())
            return
        found, start = self.archive.found(query, collections), int(asked.get("cursor", 0))
        size = min(int(asked.get("limit", self.archive.page_size)), self.archive.page_size)
        end = start + size
        following = urlencode({"query": query, "collections": collections, "cursor": end})
        page = {
            "count": len(found) if not start else None,
            "results": [self.archive.record(name) for name in found[start:end]],
            "next": f"{self.archive.address}/images/search/?{following}" if end < len(found) else None,
            "previous": None,
        }
        self.send_json(page)
        if "limit" not in asked and page["next"]:
            self.archive.between_pages(start // self.archive.page_size + 1)
