"""Pages of many pictures."""

import json
import logging

from slimp_pipeline.reporting.pages.size import held_below


def shown_as(shown, left_out):
    return json.dumps({"shown": shown, "left_out": left_out})


def pictures(name, number):
    return [[{"src": f"{name}{place}" + "x" * 1000}] * 5 for place in range(number)]


def test_a_page_that_has_room_shows_all():
    page = json.loads(held_below(1, {"a": pictures("a", 3)}, shown_as, "page"))
    assert page["left_out"] == {"a": 0} and len(page["shown"]["a"]) == 3


def test_the_first_section_gives_way_before_the_second_and_its_last_groups_before_its_first():
    given = {"cases": pictures("a", 20), "gallery": pictures("b", 20)}
    text = held_below(0.125, given, shown_as, "page")
    page = json.loads(text)
    assert 110_000 < len(text) <= 125_000
    assert page["left_out"]["cases"] == 20 - len(page["shown"]["cases"]) == 20 - 4
    assert page["left_out"]["gallery"] == 0 and page["shown"]["cases"][0][0]["src"].startswith("a0")
    fewer = json.loads(held_below(0.06, given, shown_as, "page"))
    assert fewer["left_out"] == {"cases": 20, "gallery": 9}


def test_a_page_that_is_too_large_without_a_picture_is_kept_and_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        held_below(0.001, {"a": pictures("a", 3)}, lambda shown, left_out: "x" * 2000, "report.html")
    assert "report.html is 0.0 MB without any picture, more than the 0.001 MB" in caplog.text
