"""Folders of small files."""

from slimp_pipeline.datasets import FilesDataset


def test_files_come_back_by_name_and_an_empty_folder_exists(tmp_path):
    for name, files in (("figures", {"a.svg": b"<svg/>", "a.png": b"\x89PNG"}), ("empty", {})):
        dataset = FilesDataset(filepath=str(tmp_path / "deep" / name))
        assert not dataset.exists()
        dataset.save(files)
        assert dataset.exists() and dataset.load() == files
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["empty", "figures"]
