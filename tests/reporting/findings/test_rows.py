"""Rows and lineage as the page says them."""

from slimp_pipeline.reporting.findings.rows import lineage_lines, row_tables


def test_each_role_has_a_table_whose_steps_are_in_words(row_counts):
    source, target = row_tables(row_counts, {"source": "One", "target": "Two"})
    assert (source["role"], source["title"], len(source["lines"])) == ("source", "One", 3)
    assert [line["step"] for line in target["lines"]] == [
        "in the raw table", "not quarantined", "with an image", "with a label", "trains the probe, fold 0",
        "tests, fold 0",
    ]  # fmt: skip
    assert target["lines"][2] | {"Index": 0} == target["lines"][2] | {
        "Index": 0, "reason": "no image", "num_in": 57, "num_set_aside": 12, "num_out": 45,
    }  # fmt: skip


def test_lineage_is_told_line_by_line_and_what_an_older_run_did_not_note_is_left_out(lineage):
    manifests = {"source": {"fingerprint": "01", "cohort": "one"}, "target": {"fingerprint": "23", "cohort": "two"}}
    assert lineage_lines(lineage, manifests) == {
        "fingerprint of the source": "01 (one)",
        "fingerprint of the target": "23 (two)",
        "version of the evaluation": "2026-01-02T03.04.05.678Z",
        "version of the pre-training": "2026-01-01T03.04.05.678Z",
        "digest of the settings": "0a1b2c3d",
        "commit of the code": "abcdef-modified",
        "device": "cpu",
        "seed of the splits": "1",
        "seed of the evaluation": "2",
        "packages": "python 3.11.7, torch 2.14.1",
    }
    older = lineage_lines({"run": "v2", "pretrain": "v1"}, manifests)
    assert list(older)[2:] == ["version of the evaluation", "version of the pre-training"]
