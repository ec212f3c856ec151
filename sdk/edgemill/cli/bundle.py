"""``edgemill bundle``: names, options and help; what is done stands in ``cli.bundles``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bundle = typer.Typer(
    help="Look into bundles, compare them, and carry them.", no_args_is_help=True, rich_markup_mode=None
)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
_HELP = "A bundle's folder, or a bundle in one file."


@bundle.command("ls")
def ls(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Looked through, all the way down.")] = Path(),
    json: _Json = False,
) -> None:
    """List the bundles in a folder. Their files are not read; `edgemill check` does."""
    from edgemill.cli.bundles.listing import run

    run(folder, json)


@bundle.command("show")
def show(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help=_HELP)],
    json: _Json = False,
) -> None:
    """Say what a bundle is: card, figures, needs of a box, licences, files. All of it is verified first."""
    from edgemill.cli.bundles.showing import run

    run(path, json)


@bundle.command("diff")
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help=_HELP)],
    b: Annotated[Path, typer.Argument(metavar="B", help=_HELP)],
    json: _Json = False,
) -> None:
    """Say what tells bundle B from A; exit code 1 where their content differs."""
    from edgemill.cli.bundles.comparing import run

    run(a, b, json)


@bundle.command("export")
def export(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help=_HELP)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="NAME.edgemill; equal bundles give equal files.")],
    json: _Json = False,
) -> None:
    """Put a bundle into one file."""
    from edgemill.cli.bundles.carrying import run_export

    run_export(path, file, json)


@bundle.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `edgemill bundle export` wrote.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where NAME-VERSION/ is to lie.")],
    json: _Json = False,
) -> None:
    """Unpack a bundle that came in one file, once every byte of it is verified."""
    from edgemill.cli.bundles.carrying import run_import

    run_import(file, folder, json)
