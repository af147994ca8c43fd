"""What `inspect` finds: of faults that experts confirmed, and of faults planted into real pictures.

python benchmarks/data_quality.py confirmed --dropped pad_ufes_20_dropped.csv
python benchmarks/data_quality.py planted --cohort ham10000 --pictures 1500

Raw data are found as by the pipeline (SLIMP_RAW), ImageNet weights too (SLIMP_WEIGHTS). Both print tables in Markdown.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(Path(__file__).parents[1] / "conf/logging.yml"))

import numpy as np
import pandas as pd
import pyarrow as pa
from kedro.config import OmegaConfigLoader
from PIL import Image

from planted_faults import BROKEN, COPIES, STRANGERS, jpeg
from slimp_pipeline.cohorts.files.raw_files import find_raw_files, table_paths
from slimp_pipeline.cohorts.matched_files import match_files
from slimp_pipeline.cohorts.rows.reader import read_rows
from slimp_pipeline.cohorts.spec import CohortSpec
from slimp_pipeline.images.packing import pack
from slimp_pipeline.images.store import SCHEMA, ImageStore
from slimp_pipeline.parameters import EvaluationParams, ImageEncoderParams, IngestParams, InspectionParams, ModelParams
from slimp_pipeline.quality.appearance import measure_pictures
from slimp_pipeline.quality.embedding import embed_pictures
from slimp_pipeline.quality.neighbours import distances
from slimp_pipeline.quality.suspects import find_suspects, inspected_pictures
from slimp_pipeline.quality.turned_hashes import turned_distance
from slimp_pipeline.settings import CONFIG_LOADER_ARGS

PROJECT = Path(__file__).parents[1]
EVALUATION = EvaluationParams(batch_size=64, num_workers=1)
ALL = InspectionParams(max_suspects=10**6)
HASH_BITS = 3  # as features.near_duplicate_bits


@dataclass(frozen=True)
class Inspected:
    """A cohort as `inspect` sees it.

    Attributes:
        pictures: Rows with image, sorted by image_id.
        embedding_ND: By ImageNet weights.
        measures: Of pixels.
    """

    pictures: pd.DataFrame
    embedding_ND: np.ndarray
    measures: pd.DataFrame

    def suspects(self) -> pd.DataFrame:
        return find_suspects(self.pictures, self.embedding_ND, self.measures, ALL, EVALUATION, HASH_BITS)

    def without(self, image_ids: Iterable[str]) -> "Inspected":
        """The same cohort without some of its pictures."""
        kept = ~self.pictures["image_id"].isin(list(image_ids)).to_numpy()
        tables = (table[kept].reset_index(drop=True) for table in (self.pictures, self.measures))
        pictures, measures = tables
        return Inspected(pictures, self.embedding_ND[kept], measures)


def lesions_of(name: str, folder: Path) -> tuple[pd.DataFrame, ImageStore]:
    """Rows of a shipped cohort that have an image, and its images packed."""
    parameters = OmegaConfigLoader(str(PROJECT / "conf"), **CONFIG_LOADER_ARGS)["parameters"]
    spec, raw = CohortSpec(**parameters[name]), Path(os.environ["SLIMP_RAW"])
    files = find_raw_files(spec, raw, folder)
    reading = read_rows(spec, table_paths(files))
    return linked(reading.rows, match_files(spec, reading, files).images, folder / f"{name}.arrow")


def linked(rows: pd.DataFrame, images: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, ImageStore]:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for batch in pack(images.reset_index(drop=True), IngestParams()):
            writer.write_batch(batch)
    index = {image_id: row for row, image_id in enumerate(images["image_id"])}
    rows = rows[rows["image_id"].isin(index)]
    return rows.assign(store_index=rows["image_id"].map(index).astype("Int64")), ImageStore(path)


def inspect(lesions: pd.DataFrame, store: ImageStore) -> Inspected:
    """What the pipeline does, by ImageNet weights at 160 px, as --env=pad_ufes_20 has them."""
    weights = os.environ.get("SLIMP_WEIGHTS", str(Path(os.environ["SLIMP_RAW"]) / "../weights"))
    encoder = ImageEncoderParams(
        name="tf_efficientnet_lite0", image_size=160, weights=f"{weights}/tf_efficientnet_lite0.safetensors"
    )
    pictures = inspected_pictures(lesions, store)
    (embedding_ND,) = embed_pictures(pictures, store, {}, ModelParams(image_encoder=encoder), 0, EVALUATION).values()
    measures = measure_pictures(store, pictures, EVALUATION.batch_size, EVALUATION.num_workers)
    return Inspected(pictures, embedding_ND, measures)


def orders(inspected: Inspected, seed: int = 0) -> dict[str, np.ndarray]:
    """Pairs of pictures in the order in which each measure shows them, each (E, 2)."""
    pair_E2 = np.stack(np.triu_indices(len(inspected.pictures), 1), axis=1)
    pair_E2 = np.random.default_rng(seed).permutation(pair_E2)  # of equally near ones, any may come first
    hash_N = inspected.pictures["perceptual_hash"].to_numpy(dtype=np.uint64)
    one_E, other_E = hash_N[pair_E2].T
    rows = pd.Series(range(len(inspected.pictures)), index=inspected.pictures["image_id"])
    suspects = inspected.suspects()
    near = suspects[suspects["kind"] == "near_duplicate"]
    both = np.stack([rows[near["image_id"]], rows[near["other_image_id"]]], axis=1)
    by = {
        "hash, upright": np.bitwise_count(one_E ^ other_E),
        "hash": turned_distance(one_E, other_E),
        "embedding": distances(inspected.embedding_ND, pair_E2),
    }
    return {name: pair_E2[np.argsort(values, kind="stable")] for name, values in by.items()} | {"both": both}


def first_places(order_E2: np.ndarray, wanted: Iterable[tuple[int, int]]) -> list[float]:
    """Place, from 1, at which each wanted pair is shown; infinite where it never is."""
    place = {frozenset(pair): number for number, pair in enumerate(order_E2.tolist(), start=1)}
    return [place.get(frozenset(pair), np.inf) for pair in wanted]


def confirmed(dropped: Path, cohort: str) -> Iterator[str]:
    """Dropped pictures that are here, by the number of pairs one has to look at."""
    names = {Path(name).stem for name in pd.read_csv(dropped)["img_id"]}
    with tempfile.TemporaryDirectory() as folder:
        inspected = inspect(*lesions_of(cohort, Path(folder)))
    pictures = inspected.pictures
    here = pictures[pictures["image_id"].isin(names)]
    partners = {
        row: np.flatnonzero(pictures["patient_id"].eq(own.patient_id) & (pictures.index != row))
        for row, own in zip(here.index, here.itertuples(), strict=True)
    }
    with_partner = {row: others for row, others in partners.items() if len(others)}
    yield (
        f"{len(names)} dropped in all, {len(here)} of them among the {len(pictures)} pictures here; of these, "
        f"{len(with_partner)} have another picture of their patient here."
    )
    shown = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    lines, places = [], {}
    for name, order in orders(inspected).items():
        found = [min(first_places(order, [(row, int(o)) for o in others])) for row, others in with_partner.items()]
        places[name] = found
        lines.append([name, *(f"{sum(place <= k for place in found)}" for k in shown)])
    yield markdown(["pairs looked at", *map(str, shown)], lines)
    ids = pictures["image_id"]
    yield markdown(
        ["dropped picture", *places],
        [
            [str(number), *(f"{places[name][number - 1]:.0f}".replace("inf", "never") for name in places)]
            for number, _ in enumerate(with_partner, start=1)
        ],
    )
    suspects = inspected.suspects()
    suspects = suspects[suspects["kind"] != "near_duplicate"]
    alone = set(ids[list(partners.keys() - with_partner.keys())])
    ranks = suspects[suspects["image_id"].isin(alone)].groupby("kind")["rank"].apply(list).to_dict()
    yield f"The other {len(alone)}: ranks by kind {ranks or 'none'}."


def planted(cohort: str, num_pictures: int, num_draws: int, each: int) -> Iterator[str]:
    """Planted faults, by the number of suspects one has to look at."""
    with tempfile.TemporaryDirectory() as folder:
        lesions, store = lesions_of(cohort, Path(folder))
        results = [_draw(lesions, store, num_pictures, each, seed, Path(folder)) for seed in range(num_draws)]
    copies, singles, labels = (pd.concat(tables) for tables in zip(*results, strict=True))
    num_copies = each * (len(COPIES) + 1)
    at = [num_copies // 2, num_copies, 2 * num_copies, 5 * num_copies]
    order = list(copies["measure"].unique())
    yield f"Share of the {num_copies} planted copies that are found in the first {at} pairs:"
    overall = [
        [name, *(f"{(copies.loc[copies['measure'] == name, 'place'] <= k).mean():.2f}" for k in at)] for name in order
    ]
    yield markdown(["measure", *map(str, at)], overall)
    yield f"By kind of copy, in the first {2 * num_copies} pairs:"
    share = copies.assign(found=copies["place"] <= 2 * num_copies).pivot_table(
        index="kind", columns="measure", values="found", sort=False
    )
    yield markdown(
        ["copy", *order], [[kind, *(f"{row[name]:.2f}" for name in order)] for kind, row in share.iterrows()]
    )
    yield (
        f"Strangers ({each // 4} of each kind) and broken pictures ({each} of each kind): share that is found among "
        "the first so many of a list, whichever it is (near duplicates and labels aside):"
    )
    counts = [each // 2, each, 2 * each, 5 * each]
    found = {k: singles.assign(found=singles["place"] <= k).groupby("kind", sort=False)["found"].mean() for k in counts}
    usual = singles.groupby("kind", sort=False)["list"].agg(lambda lists: lists.mode().iloc[0])
    yield markdown(
        ["fault", "first found in", *map(str, counts)],
        [[kind, usual[kind], *(f"{found[k][kind]:.2f}" for k in counts)] for kind in usual.index],
    )
    num_swapped = len(labels) // num_draws
    looked = [num_swapped // 2, num_swapped, 2 * num_swapped, 4 * num_swapped]
    yield f"Share of {num_swapped} swapped labels that are found in the first {looked} doubtful labels:"
    yield markdown(list(map(str, looked)), [[f"{(labels['place'] <= k).mean():.2f}" for k in looked]])


def _draw(
    lesions: pd.DataFrame, store: ImageStore, num_pictures: int, each: int, seed: int, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    known = lesions.dropna(subset=["store_index", "diagnosis"])
    base = known.iloc[np.sort(rng.permutation(len(known))[:num_pictures])]
    encoded = {row.image_id: bytes(store.encoded(int(row.store_index))) for row in base.itertuples()}
    rows = [base[["image_id", "patient_id", "lesion_id", "diagnosis"]].assign(fault="", of="")]
    originals = rng.permutation(base.index)
    num_faults = each * (len(COPIES) + 1 + len(BROKEN))
    for number, index in enumerate(originals[:num_faults]):
        own = base.loc[index]
        kind = ["the same bytes", *COPIES, *BROKEN][number // each]
        picture = Image.open(io.BytesIO(encoded[own.image_id])).convert("RGB")
        if kind in BROKEN:
            encoded[own.image_id] = jpeg(BROKEN[kind](picture))
            rows[0].loc[index, "fault"] = kind
            continue
        name = f"z{number:05d}"
        encoded[name] = encoded[own.image_id] if kind == "the same bytes" else jpeg(COPIES[kind](picture))
        rows.append(_row(name, own.diagnosis, kind, own.image_id))
    for kind, make in STRANGERS.items():
        for number in range(each // 4):  # more of a kind wouldn't be strange
            name = f"x{kind.replace(' ', '_')}_{number}"
            size = Image.open(io.BytesIO(encoded[base["image_id"].iloc[number]])).size
            encoded[name] = jpeg(make(rng, size))
            rows.append(_row(name, rng.choice(base["diagnosis"]), kind, ""))
    cohort = pd.concat(rows, ignore_index=True)
    sound = np.flatnonzero(cohort["fault"].eq("") & ~cohort["image_id"].isin(cohort["of"]))
    swapped = rng.choice(sound, len(base) // 20, replace=False)
    labels = sorted(base["diagnosis"].unique())
    for row in swapped:
        cohort.loc[row, "diagnosis"] = rng.choice([name for name in labels if name != cohort.loc[row, "diagnosis"]])
    return _measured(cohort, set(cohort["image_id"].iloc[swapped]), _inspected(cohort, encoded, folder / str(seed)))


def _row(name: str, diagnosis: str, fault: str, of: str) -> pd.DataFrame:
    ids = {"image_id": [name], "patient_id": [f"patient of {name}"], "lesion_id": [f"lesion of {name}"]}
    return pd.DataFrame(ids | {"diagnosis": [diagnosis], "fault": [fault], "of": [of]})


def _inspected(cohort: pd.DataFrame, encoded: dict[str, bytes], folder: Path) -> Inspected:
    folder.mkdir()
    for name, content in encoded.items():
        (folder / f"{name}.bin").write_bytes(content)
    paths = [str(folder / f"{name}.bin") for name in cohort["image_id"]]
    images = pd.DataFrame({"image_id": cohort["image_id"], "path": paths, "key": "", "size_bytes": 0, "mtime_ns": 0})
    return inspect(*linked(cohort, images, folder / "store.arrow"))


def _measured(
    cohort: pd.DataFrame, swapped: set[str], inspected: Inspected
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Places of copies by measure, of strangers and broken pictures, and of swapped labels."""
    copies, alone = cohort[cohort["of"] != ""], cohort[cohort["fault"].isin([*STRANGERS, *BROKEN])]
    twice, once = inspected.without(alone["image_id"]), inspected.without(copies["image_id"])
    row_of = pd.Series(range(len(twice.pictures)), index=twice.pictures["image_id"])
    pairs = list(zip(row_of[copies["image_id"]], row_of[copies["of"]], strict=True))
    by_measure = [
        pd.DataFrame({"measure": name, "kind": copies["fault"], "place": first_places(order, pairs)})
        for name, order in orders(twice).items()
    ]
    suspects = once.suspects()
    lists = suspects[~suspects["kind"].isin(["near_duplicate", "wrong_label"])].sort_values("rank", kind="stable")
    first = lists.drop_duplicates("image_id").set_index("image_id").reindex(alone["image_id"])
    singles = pd.DataFrame(
        {
            "kind": alone["fault"],
            "list": first["kind"].fillna("none").to_numpy(),
            "place": first["rank"].fillna(np.inf).to_numpy(),
        }
    )
    doubtful = suspects[suspects["kind"] == "wrong_label"].set_index("image_id")["rank"]
    places = doubtful.reindex(sorted(swapped)).fillna(np.inf)
    return pd.concat(by_measure), singles, pd.DataFrame({"place": places.to_numpy()})


def markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["confirmed", "planted"])
    parser.add_argument("--dropped", type=Path, help="list of confirmed faults: a CSV with a column img_id")
    parser.add_argument("--cohort", default="pad_ufes_20")
    parser.add_argument("--pictures", type=int, default=10**6, help="at most so many, drawn at random")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--each", type=int, default=20, help="faults of each kind")
    given = parser.parse_args()
    started = time.perf_counter()
    if given.what == "confirmed":
        texts = confirmed(given.dropped, given.cohort)
    else:
        texts = planted(given.cohort, given.pictures, given.draws, given.each)
    for text in texts:
        print(text, flush=True)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
