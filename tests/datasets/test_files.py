"""Folders of small files."""

from slimp_pipeline.datasets import FilesDataset


def test_files_come_back_by_name_and_an_empty_folder_exists(tmp_path):
    dataset = FilesDataset(filepath=str(tmp_path / "deep/figures"))
    assert not dataset.exists()
    dataset.save({"a.svg": b"<svg/>", "a.png": b"\x89PNG"})
    assert dataset.load() == {"a.svg": b"<svg/>", "a.png": b"\x89PNG"}
    dataset.save({})
    assert dataset.exists() and dataset.load() == {}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["figures"]
