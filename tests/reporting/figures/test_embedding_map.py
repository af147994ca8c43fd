"""The map shows every image."""


def test_the_map_shows_every_labelled_image_by_class(drawn):
    assert [len(trace.x) for trace in drawn["embedding_map"].data] == [20, 20]
