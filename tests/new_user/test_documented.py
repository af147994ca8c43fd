"""Marks in pages, and the blocks that follow them."""

import pytest

from new_user.documented import commands_of, steps_of

PAGE = """# Title

<!-- new user: run -->
```console
make demo    # everything
```

It prints:

<!-- new user: prints, within 0.02 -->
```text
value 0.5
```

```console
kedro run --env=slice3d \\
  --params=a=1
```

<!-- new user: run, quick -->

```python
print(1)
```

1. In a list:

    ```console
    kedro viz run
    ```

<!-- new user: run, answers at http://127.0.0.1:5000 -->
```console
mlflow ui
```
"""


@pytest.fixture
def page(tmp_path):
    def write(text):
        path = tmp_path / "page.md"
        path.write_text(text)
        return path

    return write


def test_marked_blocks_are_steps_and_others_are_not(page):
    demo, python, server = steps_of(page(PAGE))
    assert (demo.place, demo.language, demo.text) == ("page.md:4", "console", "make demo    # everything\n")
    assert (demo.said, demo.within, demo.quick, demo.url) == ("value 0.5\n", 0.02, False, "")
    assert (python.language, python.text, python.quick, python.said) == ("python", "print(1)\n", True, "")
    assert server.url == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    "text",
    [
        "<!-- new user: rnu -->\n```console\nls\n```\n",
        "<!-- new user: prints -->\n```text\nnothing ran before\n```\n",
        "<!-- new user: run -->\nno block\n",
    ],
)
def test_a_mark_that_is_not_understood_is_refused(page, text):
    with pytest.raises(ValueError, match="mark"):
        steps_of(page(text))


def test_all_commands_of_a_page_are_found_and_long_ones_joined(page):
    commands = ["make demo    # everything", "kedro run --env=slice3d --params=a=1", "kedro viz run", "mlflow ui"]
    assert commands_of(page(PAGE)) == commands
