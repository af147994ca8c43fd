"""Pseudonyms: what stands for an id where a page has to tell one patient from another, and may not say which."""

import base64
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from slimp_pipeline.processes.whole import held, temporary_name

_SALT_BYTES = 32
_LENGTHS = (8, 12, 16, 32)  # characters, 5 bits each; the next where two ids would bear one pseudonym


def local_salt(path: Path) -> bytes:
    """The secret of a project that ties pseudonyms to ids, made at the first call and readable by its owner alone.

    Who has it and guesses an id can tell whether a pseudonym stands for it. It stays where `path` is: it belongs into
    no artifact, log or message.

    Raises:
        ValueError: If the file holds something else.
    """
    with held(path.with_name(f".{path.name}.lock"), "making the salt of pseudonyms"):
        if not path.exists():
            temporary = temporary_name(path)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_SALT_BYTES))
            temporary.replace(path)
    salt = path.read_bytes()
    if len(salt) != _SALT_BYTES:
        raise ValueError(f"{path} is no salt of pseudonyms. Remove it: another is made, and pseudonyms change.")
    return salt


def name_patients(rows: pd.DataFrame, salt: Path) -> pd.DataFrame:
    """Name patients for others, and for those at home to look up.

    Args:
        rows: Rows with patient_id.
        salt: File of the project's salt.

    Returns:
        pseudonym, patient_id; sorted by the former, once each.
    """
    names = pseudonyms(rows["patient_id"], "patient", local_salt(salt))
    return pd.DataFrame(sorted((name, patient) for patient, name in names.items()), columns=["pseudonym", "patient_id"])


def pseudonyms(ids: Iterable[str], kind: str, salt: bytes) -> dict[str, str]:
    """Pseudonyms of ids: the same for the same id and salt, unlike for unlike ids, and without order.

    Args:
        ids: Any texts.
        kind: What they are (`patient`, `image`): a text that is an id of two kinds gets two pseudonyms.
        salt: Of `local_salt`.

    Returns:
        Id -> pseudonym, of capital letters and the digits 2 to 7.
    """
    key = hashlib.blake2b(salt, person=kind.encode()[:16]).digest()
    names = {
        name: base64.b32encode(hashlib.blake2b(name.encode(errors="surrogatepass"), key=key, digest_size=20).digest())
        for name in dict.fromkeys(ids)
    }
    length = next(length for length in _LENGTHS if len({text[:length] for text in names.values()}) == len(names))
    return {name: text[:length].decode() for name, text in names.items()}
