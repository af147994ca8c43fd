"""The option `--params` of commands: Kedro reads it, and a name that is given twice is refused.

Kedro would take the last one, and drop the other without a word.
"""

import copy
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import _split_params, split_string


class CommandWithParams(click.Command):
    """A command whose option `--params` is given once."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse a second one, of which click would tell nobody."""
        if sum(argument == "--params" or argument.startswith("--params=") for argument in args) > 1:
            raise click.UsageError(
                "--params is given twice. Join both with a comma: --params=name=value,other=value", ctx
            )
        return super().parse_args(ctx, args)


def split_params(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """Read `name=value,block.name=value` as Kedro does.

    Raises:
        click.UsageError: If a name is given twice, or as a value and as a block.
    """
    if isinstance(value, str):
        names = [item.partition("=")[0].strip() for item in split_string(ctx, option, value)]
        for number, name in enumerate(names):
            for other in names[:number]:
                if name == other:
                    raise click.UsageError(f"--params: '{name}' is given twice. Give it once.", ctx)
                if name.startswith(f"{other}.") or other.startswith(f"{name}."):
                    raise click.UsageError(
                        f"--params: '{other}' and '{name}' can't both be set: one holds the other.", ctx
                    )
    return _split_params(ctx, option, value)


def _with_own_params(command: click.Command) -> click.Command:
    options = [copy.copy(option) for option in command.params]
    for option in options:
        if option.name == "params":
            option.callback = split_params
    return CommandWithParams(command.name, callback=command.callback, params=options, help=command.help)


run = _with_own_params(kedro_run)
