"""What became of every file and row."""

import pytest

from slimp_pipeline.datasets.parts import PartsDataset
from slimp_pipeline.embedding.outcome import ledger, summary
from slimp_pipeline.embedding.request import look_through
from slimp_pipeline.embedding.shards import embed_pictures
from slimp_pipeline.embedding.tables import lesion_parts, picture_parts
from slimp_pipeline.models.pretrained import load
from slimp_pipeline.parameters import EmbeddingParams, IngestParams
from slimp_pipeline.reporting.findings.summary import embedding_lines


@pytest.fixture
def run(exported, make_pictures, tmp_path):
    """Embed four pictures, one of them broken, with a table that has a row for one of them and for another."""
    folder = make_pictures("a.png", "b.png", "c.png", "d.png")
    (folder / "b.png").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    (tmp_path / "t.csv").write_text("image_id,lesion_id,sex\na,l1,male\nz,l2,male\n")

    def told(max_refused_share):
        settings = EmbeddingParams(images=folder, metadata=tmp_path / "t.csv")
        request = look_through(settings, exported)
        embedded = embed_pictures(request.pictures, exported, "cpu", 5, IngestParams(num_processes=1), tmp_path / "r")
        pictures, lesions = (PartsDataset(filepath=str(tmp_path / f"{of}.parquet")) for of in ("pictures", "lesions"))
        pictures.save(picture_parts(embedded, request.rows, load(exported)))
        lesions.save(lesion_parts(pictures.load()))
        files = ledger(request, embedded)
        return files, summary(request, files, pictures.load(), lesions.load(), max_refused_share)

    return told


def test_every_file_and_every_row_alone_is_accounted_for(run):
    files, told = run(0.25)
    reasons = {row.picture: (row.outcome, row.reason) for row in files.itertuples()}
    without = "no row of the metadata table is of it: nothing but the picture is known"
    assert reasons == {
        "a.png": ("embedded", ""),
        "b.png": ("refused", "the file is empty"),
        "c.png": ("embedded", without),
        "d.png": ("embedded", without),
        "notes.txt": ("no_picture", "the suffix .txt is no picture's"),
        "z": ("row_without_picture", "line 3 of the metadata table: no picture has this name"),
    }
    counts = {name: value for name, value in told.items() if name.startswith("num_") and name != "num_unusual"}
    assert counts == {
        "num_embedded": 3, "num_refused": 1, "num_no_picture": 1, "num_row_without_picture": 1,
        "num_pictures_without_row": 2, "num_lesions": 1,
    }  # fmt: skip
    assert embedding_lines(told | {"num_unusual": 1, "unusual_share": 0.01}) == [
        "3 pictures embedded; 1 (33.3%) are unlike the lesions that the model knows; so are 1.0% of these lesions "
        "themselves",
        "  Left out or alone: 1 pictures refused, 1 other files, 1 rows of the table without a picture, 2 pictures "
        "without a row (the ledger names each)",
        "  1 lesions, their pictures pooled",
    ]
    assert embedding_lines(told | {"num_unusual": None})[0] == "3 pictures embedded"


def test_more_refused_pictures_than_are_allowed_are_an_error_that_says_why_and_how_to_accept_it(run):
    with pytest.raises(
        ValueError, match=r"1 of 4 pictures weren't embedded:\n  1 x the file is empty \(b\.png\)\n"
    ) as e:
        run(0.24)
    assert str(e.value).endswith("--params=embedding.max_refused_share=0.25")


def test_where_no_picture_can_be_read_that_is_said_and_no_share_is_offered(exported, make_pictures, tmp_path):
    name = "a\n\x1b[31m.png"
    folder = make_pictures(name)
    (folder / name).write_bytes(b"")
    request = look_through(EmbeddingParams(images=folder), exported)
    embedded = embed_pictures(request.pictures, exported, "cpu", 5, IngestParams(num_processes=1), tmp_path / "r")
    pictures, lesions = (PartsDataset(filepath=str(tmp_path / f"{of}.parquet")) for of in ("pictures", "lesions"))
    pictures.save(picture_parts(embedded, None, None))
    lesions.save(lesion_parts(pictures.load()))
    with pytest.raises(
        ValueError, match=r"none of 1 pictures was embedded:\n  1 x the file is empty \(a\\n\\x1b\[31m\.png\)\n"
    ) as e:
        summary(request, ledger(request, embedded), pictures.load(), lesions.load(), 1.0)
    assert str(e.value).endswith("picture_ledger.csv names each file")


def test_a_challenge_of_lesions_asks_for_a_table_that_names_them(exported, make_pictures, tmp_path, monkeypatch):
    folder = make_pictures("a.png")
    monkeypatch.setattr("slimp_pipeline.embedding.challenge.Challenge.require_classes", lambda *_: None)
    with pytest.raises(ValueError, match="milk10k asks for lesions: set metadata= to a table that names them"):
        look_through(EmbeddingParams(images=folder, challenge="milk10k"), exported)
    (tmp_path / "t.csv").write_text("image_id,sex\na,male\n")
    settings = EmbeddingParams(images=folder, challenge="milk10k", metadata=tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no column `lesion_id`, and milk10k asks for lesions"):
        look_through(settings, exported)


def test_a_sample_whose_pictures_are_not_there_is_refused_before_anything_is_embedded(
    exported, make_pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr("slimp_pipeline.embedding.challenge.Challenge.require_classes", lambda *_: None)
    folder = make_pictures("ISIC_0000001.png", "ISIC_0000002.png")
    (tmp_path / "sample.csv").write_text("isic_id,target\nISIC_0000002,0.3\nISIC_0000003,0.3\n")
    settings = EmbeddingParams(images=folder, challenge="isic2024", sample=tmp_path / "sample.csv")
    with pytest.raises(ValueError, match=r"1 of the 2 ids of the sample file have no picture \('ISIC_0000003'\)"):
        look_through(settings, exported)
    (tmp_path / "sample.csv").write_text(
        "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC\nIL_0000001" + ",0" * 11
    )
    (tmp_path / "t.csv").write_text("image_id,lesion_id\nISIC_0000001,IL_0000002\n")
    settings = EmbeddingParams(
        images=folder, challenge="milk10k", metadata=tmp_path / "t.csv", sample=tmp_path / "sample.csv"
    )
    with pytest.raises(ValueError, match=r"1 of the 1 ids of the sample file have no picture \('IL_0000001'\)"):
        look_through(settings, exported)
