"""Pictures in shards."""

import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from slimp_pipeline.embedding import shards
from slimp_pipeline.embedding.listing import list_pictures
from slimp_pipeline.embedding.shards import embed_pictures
from slimp_pipeline.embedding.told import as_array
from slimp_pipeline.handover.reader import LesionReader
from slimp_pipeline.models.checkpoint import write_checkpoint
from slimp_pipeline.models.pictures import picture_facts
from slimp_pipeline.parameters import IngestParams

INGEST = IngestParams(num_processes=1)
NAMES = [f"{number:03d}.png" for number in range(150)]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "_BATCHES_PER_SHARD", 1)
    monkeypatch.setattr(shards, "PICTURES_PER_SHARD", 64)


@pytest.fixture
def embed(exported, make_pictures, tmp_path):
    folder = make_pictures(*NAMES)

    def embedded(encoder=exported, settings=INGEST, names=None):
        pictures = list_pictures(folder)
        chosen = pictures if names is None else pictures[pictures["picture"].isin(names)]
        return embed_pictures(chosen, encoder, "cpu", 5, settings, tmp_path / "running")

    embedded.folder = folder
    return embedded


def test_what_is_told_is_what_the_served_model_tells(embed, exported):
    table = pa.concat_tables(embed())
    assert table["picture"].to_pylist() == NAMES
    reader = LesionReader(exported)
    pictures = [(embed.folder / name).read_bytes() for name in NAMES]
    image_ND = reader.encoder.encode_pictures(pictures)
    np.testing.assert_allclose(as_array(table["embedding"]), image_ND, rtol=1e-5, atol=1e-6)
    rows_NK, distance_NK = reader.known.nearest(image_ND, 5)
    first = table["nearest"][7].as_py()
    assert [near["known_lesion"] for near in first] == rows_NK[7].tolist()
    assert [near["diagnosis"] for near in first] == [reader.known.diagnosis_N[row] for row in rows_NK[7]]
    np.testing.assert_allclose([near["distance"] for near in first], distance_NK[7], atol=1e-6)
    np.testing.assert_allclose(table["unusual"].to_numpy(), reader.known.unusual(image_ND), atol=1e-6)
    assert table["is_unusual"].to_pylist() == (table["unusual"].to_numpy() > reader.known.unusual_above).tolist()
    probabilities = np.column_stack([table[f"probability_{name}"].to_numpy() for name in reader.classifier.classes])
    np.testing.assert_allclose(probabilities, reader.classifier.probabilities(image_ND), atol=1e-6)


def test_broken_pictures_stand_in_their_place_with_a_reason_and_nothing_else(embed):
    (embed.folder / NAMES[3]).write_bytes(b"")
    (embed.folder / NAMES[140]).write_bytes((embed.folder / NAMES[140]).read_bytes()[:-300])
    for name in NAMES[64:128]:  # a whole shard
        (embed.folder / name).write_bytes(b"<html>")
    table = pa.concat_tables(embed())
    refused = dict(zip(table["picture"].to_pylist(), table["refused"].to_pylist(), strict=True))
    assert refused[NAMES[3]] == "the file is empty" and refused[NAMES[140]].startswith("damaged")
    assert {name for name in NAMES if refused[name]} == {NAMES[3], NAMES[140], *NAMES[64:128]}
    alone = dict(zip(NAMES, table["embedding"].is_null().to_pylist(), strict=True))
    assert {name for name in NAMES if alone[name]} == {name for name in NAMES if refused[name]}


def test_a_run_that_was_broken_off_goes_on_behind_its_last_shard_to_the_same_bytes(embed, monkeypatch):
    whole = embed()
    expected = [whole.path(number).read_bytes() for number in range(3)]
    for number in (1, 2):
        whole.path(number).unlink()
    seen = []
    original = shards._embedded
    monkeypatch.setattr(shards, "_embedded", lambda batch, reader: seen.append(len(batch)) or original(batch, reader))
    again = embed()
    assert again == whole and seen == [64, 22]
    assert [again.path(number).read_bytes() for number in range(3)] == expected


def test_what_could_not_be_read_is_read_again_by_the_next_run_and_the_rest_is_not(embed, exported, tmp_path, caplog):
    listed = list_pictures(embed.folder)
    (embed.folder / NAMES[3]).rename(tmp_path / "away")  # as a share that is down for a moment
    first = embed_pictures(listed, exported, "cpu", 5, INGEST, tmp_path / "running")
    assert first.shard(0)["refused"].to_pylist()[3] == "can't be read: No such file or directory"
    (tmp_path / "away").rename(embed.folder / NAMES[3])
    caplog.set_level("INFO")
    again = embed()
    assert again.folder == first.folder and pa.concat_tables(again)["refused"].null_count == len(NAMES)
    assert f"{len(NAMES) - 64} of {len(NAMES)} pictures were looked at by an earlier run" in caplog.text


def test_a_damaged_shard_is_made_again(embed):
    whole = embed()
    expected = whole.path(1).read_bytes()
    whole.path(1).write_bytes(expected[:1000])
    assert embed().path(1).read_bytes() == expected


def test_two_processes_that_check_give_the_same_bytes(embed):
    one = embed()
    content = one.path(1).read_bytes()
    one.path(1).unlink()
    assert embed(settings=IngestParams(num_processes=2)).path(1).read_bytes() == content


def test_pictures_are_embedded_as_those_were_read_that_trained_the_encoder(embed, checkpoint, tmp_path):
    write_checkpoint(checkpoint, tmp_path / "plain")
    noted = replace(checkpoint, facts=checkpoint.facts | picture_facts(replace_limit(16)))
    write_checkpoint(noted, tmp_path / "noted")
    whole, small, alike = (
        as_array(pa.concat_tables(embed(tmp_path / encoder, settings))["embedding"])
        for encoder, settings in (("plain", INGEST), ("plain", replace_limit(16)), ("noted", INGEST))
    )
    np.testing.assert_array_equal(alike, small)
    assert np.abs(small - whole).max() > 1e-3


def test_another_folder_model_or_limit_starts_anew(embed, exported):
    keys = {embed().folder}
    keys.add(embed(names=NAMES[:10]).folder)
    keys.add(embed(settings=replace_limit(60)).folder)
    os.utime(embed.folder / NAMES[0], (1, 1))
    keys.add(embed().folder)
    card = exported / "README.md"
    card.write_text(card.read_text() + "\nchanged\n")
    keys.add(embed().folder)
    assert len(keys) == 5


def replace_limit(max_side_px):
    return INGEST.model_copy(update={"max_side_px": max_side_px})


def test_a_model_without_lesions_and_classifier_gives_embeddings_alone(make_export, make_pictures, tmp_path):
    plain = make_export(with_evaluation=False)
    pictures = list_pictures(make_pictures("a.png"))
    (shard,) = embed_pictures(pictures, plain, "cpu", 5, INGEST, tmp_path / "running")
    assert shard.column_names == ["picture", "image_id", "refused", "embedding"]
