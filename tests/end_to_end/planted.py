"""Identifiers planted everywhere a hospital's files may hold them, and the search for them in what a run leaves."""

import base64
import gzip
import io
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import h5py
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import timm
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

# Each a word that stands nowhere else. Letters and digits alone: no encoding of texts changes them.
IDS = ("zqpatient", "zqlesion", "zqimage")
IN_PICTURES = (
    "zqartist", "zqserial", "zqgps", "zqmakernote", "zqthumbnail", "zqxmp", "zqiptc", "zqcomment", "zqprofile",
    "zqbehind", "zqtext", "zqpackedtext", "zqutf",
)  # fmt: skip
IN_TABLES = ("zqignored", "zqleak", "zqfreetext")
PLACES = ("zqrawroot", "zqfolder", "zquser", "zqhome", "zqmail", "zqproject")
MARKS = (*IDS, *IN_PICTURES, *IN_TABLES, *PLACES)

_COHORTS = """
planted_clinic:
  name: planted_clinic
  title: A clinic's own cohort
  licence: not to be passed on
  open_licence: true
  source: nowhere
  folder: clinic
  partial: true
  tables: ${pad_ufes_20.tables}
  images: {sources: [images]}
  image_id: img_id
  image_id_is_path: true
  lesion_id: ${pad_ufes_20.lesion_id}
  patient_id: ${pad_ufes_20.patient_id}
  label: ${pad_ufes_20.label}
  fields:
    age_years: {kind: numeric, level: patient, column: age, minimum: 0, maximum: 120}
    background: {kind: categorical, level: patient, column: background_father, missing: [UNK]}
    site: {kind: categorical, level: lesion, column: region}
    diameter_mm: {kind: numeric, level: lesion, column: diameter_1, minimum: 0, maximum: 300}
    itch: {kind: categorical, level: lesion, column: itch, categories: ["False", "True"], missing: [UNK]}
  leaks: {report: states the diagnosis}
  ignored: [name]
planted_tbp:
  name: planted_tbp
  title: Another cohort of this clinic
  licence: not to be passed on
  source: nowhere
  folder: tbp
  partial: true
  tables: ${demo_tbp.tables}
  images: ${demo_tbp.images}
  image_id: isic_id
  patient_id: [patient_id]
  label: ${slice3d.label}
  fields: ${slice3d.fields}
  leaks: ${slice3d.leaks}
  ignored: ${slice3d.ignored}
"""


def plant(fabricated: Path, project: Path, raw_root: Path) -> None:
    """Make two cohorts out of the fabricated ones, whose files bear marks wherever they can.

    Args:
        fabricated: Folder with `demo_clinic` and `demo_tbp`.
        project: Where their descriptions are put.
        raw_root: Where their files are put.
    """
    (project / "conf/base/parameters/cohorts/planted.yml").write_text(_COHORTS)
    (project / "conf/test/globals.yml").write_text("source_cohort: planted_tbp\ntarget_cohort: planted_clinic\n")
    settings = project / "conf/test/parameters.yml"
    lines = [
        line for line in settings.read_text().splitlines() if "_cohort: " not in line and "fabricated: {" not in line
    ]
    text = "\n".join(lines)
    settings.write_text(text.replace("num_processes: 1", "num_processes: 1, max_quarantined_share: 0.5"))
    _plant_clinic(fabricated / "demo_clinic", raw_root / "clinic")
    _plant_tbp(fabricated / "demo_tbp", raw_root / "tbp")
    # One picture of the source is in the target, too.
    with h5py.File(raw_root / "tbp/train-image.hdf5") as pictures:
        seen = bytes(pictures[sorted(pictures)[0]][()])
    sorted((raw_root / "clinic/images/zqfolder").glob("*.jpg"))[0].write_bytes(seen)


def _plant_clinic(old: Path, new: Path) -> None:
    table = pd.read_csv(old / "metadata.csv", dtype=str, keep_default_na=False)
    folder = new / "images" / "zqfolder"
    folder.mkdir(parents=True)
    for number, name in enumerate(table["img_id"]):
        picture = Image.open(old / "images" / name).convert("RGB")
        if number % 2:
            (folder / name.replace("PAT_", "zqimage_")).write_bytes(_marked_png(picture))
        else:
            (folder / name.replace("PAT_", "zqimage_").replace(".png", ".jpg")).write_bytes(_marked_jpeg(picture))
    table["img_id"] = "zqfolder/" + table["img_id"].str.replace("PAT_", "zqimage_")
    table["patient_id"] = table["patient_id"].str.replace("PAT_", "zqpatient_")
    table["lesion_id"] = "zqlesion_" + table["lesion_id"]
    table["report"], table["name"] = "zqleak carcinoma", "zqignored, Anna"
    table.loc[table.index % 3 == 0, "background_father"] = "zqfreetext"
    table.loc[:3, "background_father"] = "ZQFREETEXT"  # in another spelling
    table.loc[table.index % 4 == 0, "region"] = "zqfreetext"
    table.loc[5, "age"] = "zqfreetext"  # no number
    table.loc[7, "patient_id"] = table.loc[8, "patient_id"].upper()  # one person, two spellings
    table.loc[9, "img_id"] = table.loc[9, "img_id"].upper()  # one picture, two spellings
    table.to_csv(new / "metadata.csv", index=False)
    (folder / "zqimage_broken.png").write_bytes(b"zqcomment")
    (folder / "zqimage_of_nobody.jpg").write_bytes(_marked_jpeg(Image.new("RGB", (40, 40), "red")))
    (folder / "zqimage_list.txt").write_text("zqcomment")


def _plant_tbp(old: Path, new: Path) -> None:
    new.mkdir(parents=True)
    text = (old / "train-metadata.csv").read_text()
    text = text.replace("ISIC_", "zqimage_").replace("IP_", "zqpatient_").replace("Fabricated Clinic", "zqignored")
    (new / "train-metadata.csv").write_text(text)
    with h5py.File(old / "train-image.hdf5") as source, h5py.File(new / "train-image.hdf5", "w") as target:
        for name in source:
            picture = Image.open(io.BytesIO(bytes(source[name][()])))
            target[name.replace("ISIC_", "zqimage_")] = memoryview(_marked_jpeg(picture.convert("RGB")))


def _marked_jpeg(picture: Image.Image) -> bytes:
    thumbnail, buffer = io.BytesIO(), io.BytesIO()
    picture.resize((16, 16)).save(thumbnail, "JPEG", comment=b"zqthumbnail")
    exif = Image.Exif()
    exif[0x013B] = "zqartist"
    exif[0x9C9B] = "zqutf".encode("utf-16-le")  # XPTitle
    details, gps = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    details[0xA431], details[0x927C] = "zqserial", b"MAKER zqmakernote"
    gps[0x001B], gps[1], gps[2] = b"ASCII\0\0\0zqgps", "N", (52.0, 31.0, 12.0)
    picture.save(
        buffer, "JPEG", quality=92, exif=exif, comment=b"zqcomment", xmp=b"<x:xmpmeta>zqxmp</x:xmpmeta>",
        icc_profile=b"\0" * 128 + b"zqprofile",
    )  # fmt: skip
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0a\x1c\x02\x78\0\x06zqiptc"
    behind = buffer.getvalue()[2:] + b"zqbehind" + thumbnail.getvalue()
    return b"\xff\xd8\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + behind


def _marked_png(picture: Image.Image) -> bytes:
    texts, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    texts.add_text("Author", "zqtext")
    texts.add_text("Comment", "zqpackedtext", zip=True)
    texts.add_itxt("XML:com.adobe.xmp", "<x>zqxmp</x>", zip=True)
    exif = Image.Exif()
    exif[0x013B] = "zqartist"
    picture.save(buffer, "PNG", pnginfo=texts, exif=exif, icc_profile=b"\0" * 128 + b"zqprofile")
    return buffer.getvalue() + b"zqbehind"


def write_first_weights(path: Path) -> None:
    """Weights for the image encoder of the environment `test`."""
    shape = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "img_size": 16, "num_classes": 0}
    save_file(timm.create_model("vit_tiny_patch16_224", **shape).state_dict(), path)


def marks_in(path: Path, marks: tuple[str, ...] = MARKS) -> set[str]:
    """Marks that a file holds in its name or content, packed and encoded content too."""
    return {mark for text in (path.name.encode(), *_readings(path)) for mark in found(text, marks)}


_PICKLE = re.compile(rb"\x80[\x02-\x05][\s\S]*\.\Z|[^\n]*\.pkl\n")  # from protocol 2 on; a zip entry by its name


def found(text: bytes, marks: tuple[str, ...] = MARKS) -> set[str]:
    """Marks that a text holds, in 8- or 16-bit characters."""
    lower = text.lower()
    return {mark for mark in marks if mark.encode() in lower or mark.encode("utf-16-le") in lower}


def is_pickled(path: Path) -> bool:
    """Whether a file is a pickle by its suffix or beginning, or holds one, packed or encoded."""
    if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".npy", ".npz", ".ckpt"):
        return True
    return any(_PICKLE.match(part) or part.startswith(b"\x93NUMPY") for part in _readings(path))


def _readings(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    yield from _unpacked(raw)
    if raw.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            yield "\n".join(database.iterdump()).encode()
    elif raw.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield repr([table.schema.metadata, table.to_pydict()]).encode()
    elif raw.startswith(b"ARROW1"):
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            yield repr([reader.schema.metadata, reader.read_all().drop("encoded").to_pydict()]).encode()


def _unpacked(raw: bytes, depth: int = 0) -> Iterator[bytes]:
    """Content, and what is packed in it: gzip, zip, compressed texts of PNG, base64."""
    yield raw
    if depth == 3:
        return
    parts: list[bytes] = []
    if raw.startswith(b"\x1f\x8b"):
        parts.append(gzip.decompress(raw))
    elif raw.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts += [info.filename.encode() + b"\n" + archive.read(info) for info in archive.infolist()]
    elif raw.startswith(b"\x89PNG"):
        parts += _png_texts(raw)
    for text in re.findall(rb"[A-Za-z0-9+/]{24,}={0,2}", raw):
        parts.append(base64.b64decode(text[: len(text) // 4 * 4]))
    for part in parts:
        yield from _unpacked(part, depth + 1)


def _png_texts(raw: bytes) -> Iterator[bytes]:
    position = 8
    while position + 8 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, position)
        chunk = raw[position + 4 : position + 8 + length]
        if chunk[:4] in (b"zTXt", b"iTXt", b"iCCP"):
            for start in range(4, len(chunk)):
                try:
                    yield zlib.decompress(chunk[start:])
                    break
                except zlib.error:
                    continue
        position += 12 + length
