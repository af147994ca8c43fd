"""What is asked for, looked through before anything is embedded."""

import pytest

from slimp_pipeline.embedding.request import look_through
from slimp_pipeline.parameters import EmbeddingParams


def test_an_encoder_that_is_not_there_is_said_to_be_absent(exported, make_pictures, tmp_path):
    settings = EmbeddingParams(images=make_pictures("a.png"), encoder=tmp_path / "demo_tbp")
    with pytest.raises(
        FileNotFoundError, match=r"encoder: there is no folder .*demo_tbp\. `kedro run --pipeline=export`"
    ):
        look_through(settings, exported)


def test_a_folder_of_other_things_is_no_exported_model(exported, make_pictures):
    settings = EmbeddingParams(images=make_pictures("a.png"), encoder=make_pictures("a.png"))
    with pytest.raises(FileNotFoundError, match=r"is no exported model, it has no config\.json"):
        look_through(settings, exported)


def test_paths_may_start_at_the_users_home(exported, make_pictures, tmp_path, monkeypatch):
    make_pictures("a.png")
    (tmp_path / "t.csv").write_text("image_id,sex\na,male\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = EmbeddingParams(images="~/pictures", metadata="~/t.csv")
    assert look_through(settings, exported).rows.has_row_N.tolist() == [True]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["IMG_1.png"], r"1 ids of the pictures aren't of the form ISIC_0000000 \('IMG_1'\)"),
        (["x/ISIC_0000001.png", "y/ISIC_0000001.png"], "1 ids of the pictures stand twice"),
    ],
)
def test_ids_that_a_challenge_does_not_take_are_refused_before_anything_is_embedded(
    exported, make_pictures, monkeypatch, names, said
):
    monkeypatch.setattr("slimp_pipeline.embedding.challenge.Challenge.require_classes", lambda *_: None)
    with pytest.raises(ValueError, match=said):
        look_through(EmbeddingParams(images=make_pictures(*names), challenge="isic2024"), exported)


def test_a_file_of_a_samples_id_that_is_no_picture_is_none_of_its_pictures(
    exported, make_pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr("slimp_pipeline.embedding.challenge.Challenge.require_classes", lambda *_: None)
    folder = make_pictures("ISIC_0000001.png")
    (folder / "ISIC_0000002.txt").write_text("x")
    (tmp_path / "sample.csv").write_text("isic_id,target\nISIC_0000001,0.3\nISIC_0000002,0.3\n")
    settings = EmbeddingParams(images=folder, challenge="isic2024", sample=tmp_path / "sample.csv")
    with pytest.raises(ValueError, match=r"1 of the 2 ids of the sample file have no picture \('ISIC_0000002'\)"):
        look_through(settings, exported)
