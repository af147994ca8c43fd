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
