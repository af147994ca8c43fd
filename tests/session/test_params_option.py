"""The option `--params`."""

import click
import pytest
from click.testing import CliRunner

from slimp_pipeline.session.params_option import CommandWithParams, run, split_params


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--params=a.b=1,a.b=2"], "'a.b' is given twice"),
        (["--params", "trainig.seed=1, trainig.seed=2"], "'trainig.seed' is given twice"),
        (["--params=a=1", "--params=b=2"], "--params is given twice. Join both with a comma"),
        (["--params", "a=1", "--params=a=1"], "--params is given twice"),
        (["--params=a=1,a.b=2"], "'a' and 'a.b' can't both be set"),
        (["--params=a.b=1,a=2"], "'a.b' and 'a' can't both be set"),
    ],
)
def test_a_name_that_is_given_twice_is_refused(arguments, words):
    done = CliRunner().invoke(run, arguments)
    assert done.exit_code == 2 and words in done.output


def test_everything_else_is_read_as_kedro_reads_it():
    given = []
    command = CommandWithParams(
        "run", callback=given.append, params=[click.Option(["--params"], default="", callback=split_params)]
    )
    command.callback = lambda params: given.append(params)
    for text in ("a.b=1,a.c=x,ab=2", "", "path=/data/a=b"):
        assert CliRunner().invoke(command, [f"--params={text}"]).exit_code == 0
    assert given == [{"a": {"b": 1, "c": "x"}, "ab": 2}, {}, {"path": "/data/a=b"}]


def test_the_command_has_every_option_of_kedros_own():
    from kedro.framework.cli.project import run as kedros

    assert [option.opts for option in run.params] == [option.opts for option in kedros.params]
    assert run.name == kedros.name and run.help == kedros.help
