"""The page of suspects: pictures beside each other, for a person to decide on, and a decision file to take away."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from slimp_pipeline.images.store import ImageStore
from slimp_pipeline.quality.suspects import KIND_TITLES, NEAR_DUPLICATE, OFF_TOPIC, WRONG_LABEL
from slimp_pipeline.reporting.findings.learnt import learnt_of_pictures
from slimp_pipeline.reporting.labels import UNLABELLED, method_name
from slimp_pipeline.reporting.pages.shell import render_template
from slimp_pipeline.reporting.pictures.gallery import inline_picture

_SIDE_PX = 160
_BYTES_PER_FIGURE = 1600  # of markup, about
_NOTES = {
    NEAR_DUPLICATE: "One picture twice, or one lesion a moment later. Those of different patients matter most: they "
    "may stand on both sides of a split. Two views of a lesion are no fault by themselves.",
    OFF_TOPIC: "Far from the pictures of all other patients. A rare disease is, too.",
    WRONG_LABEL: "Encoder and other patients' labels say another diagnosis. Where these are hard to tell apart, they "
    "will often be wrong. A wrong label is taken as not known; correct it in the cohort's own table.",
    "dark": "Compared with the cohort. Dark skin is no fault.",
}


def render_suspects(
    manifest: Mapping[str, Any],
    lesions: pd.DataFrame,
    store: ImageStore,
    suspects: pd.DataFrame,
    method: str,
    max_page_mb: float,
) -> str:
    """Render the page.

    Args:
        manifest: The cohort's.
        lesions: image_id, diagnosis, store_index.
        store: Its images.
        suspects: Table with `quality.suspects.SUSPECT_COLUMNS`.
        method: What embedded the pictures.
        max_page_mb: Size that the page doesn't exceed, in 10^6 bytes; the last of each kind are left out.

    Returns:
        HTML; scripts, styles and pictures inline. It can't send a request.
    """
    by_id = lesions.set_index("image_id")
    shown = _that_fit(suspects, by_id, store, max_page_mb * 1e6)
    while True:
        page = _render(manifest, by_id, suspects, shown, method, max_page_mb)
        if len(page.encode()) <= max_page_mb * 1e6 or not shown:
            return page
        shown = shown[: len(shown) * 9 // 10]


def _render(
    manifest: Mapping[str, Any],
    by_id: pd.DataFrame,
    suspects: pd.DataFrame,
    shown: list[dict[str, Any]],
    method: str,
    max_page_mb: float,
) -> str:
    counts = suspects["kind"].value_counts()
    sections = [
        {
            "kind": kind,
            "title": title,
            "note": _NOTES.get(kind, "Compared with the cohort's other pictures."),
            "num_suspects": int(counts[kind]),
            "cards": sorted((card for card in shown if card["kind"] == kind), key=lambda card: card["rank"]),
        }
        for kind, title in KIND_TITLES.items()
        if kind in counts
    ]
    return render_template(
        "suspects.html",
        title=manifest["title"],
        cohort=manifest["cohort"],
        file=f"decisions_{manifest['cohort']}.csv",
        sentence=learnt_of_pictures(suspects),
        num_pictures=int(by_id["store_index"].notna().sum()),
        method=method_name(method),
        sections=sections,
        max_page_mb=f"{max_page_mb:g}",
    )


def _that_fit(suspects: pd.DataFrame, by_id: pd.DataFrame, store: ImageStore, max_bytes: float) -> list[dict[str, Any]]:
    """Cards of the highest ranks, kind by kind in turn, as many as fit in."""
    cards, num_bytes = [], 0
    for suspect in suspects.sort_values("rank", kind="stable").to_dict("records"):
        card = _card(suspect, by_id, store)
        num_bytes += sum(len(figure["src"]) + _BYTES_PER_FIGURE for figure in card["figures"])
        if num_bytes > max_bytes:
            break
        cards.append(card)
    return cards


def _card(suspect: Mapping[str, Any], by_id: pd.DataFrame, store: ImageStore) -> dict[str, Any]:
    image_id, other = suspect["image_id"], suspect["other_image_id"]
    is_pair = suspect["kind"] == NEAR_DUPLICATE
    figures = [_figure(image_id, other if is_pair else "", by_id, store)]
    if other:
        figures.append(_figure(other, image_id if is_pair else "", by_id, store))
    return {"kind": suspect["kind"], "rank": suspect["rank"], "why": suspect["why"], "figures": figures}


def _figure(image_id: str, other: str, by_id: pd.DataFrame, store: ImageStore) -> dict[str, str]:
    row = by_id.loc[image_id]
    label = UNLABELLED if pd.isna(row["diagnosis"]) else str(row["diagnosis"])
    picture = inline_picture(store.encoded(int(row["store_index"])), _SIDE_PX)
    return {"image_id": image_id, "other": other, "label": label, "src": picture}
