"""``edgemill release export``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edgemill.cli.output import print_json, print_line, progress
from edgemill_fleet.releases.expiry import roles, stopped
from edgemill_fleet.releases.exporting import export
from edgemill_fleet.releases.repository import Repository


def run(repository: Repository, folder: Path, releases: Sequence[str], json: bool) -> None:
    """A stick that boxes believe as they believe the server."""
    with progress() as tell:
        tell(f"copying to {folder}")
        made = export(repository, folder, releases, tell if sys.stderr.isatty() else lambda _: None)
    for role in stopped(roles(repository.standing(), repository.now)):
        sys.stderr.write(f"{role.name}: {role.state.value}; no box begins with what is there\n")
    if json:
        print_json(
            {
                "folder": str(folder),
                "releases": list(made.releases),
                "plans": list(made.plans),
                "plans_not_whole": list(made.lacking),
                "files": made.files,
                "copied": made.copied,
                "bytes": made.bytes,
            }
        )
        return
    print_line(f"{folder}  {made.bytes:,} bytes in {made.files} files, {made.copied} of them copied now; all read back")
    print_line(f"releases  {', '.join(made.releases) or 'none'}")
    print_line(f"plans     {', '.join(made.plans) or 'none'}")
    if made.lacking:
        print_line(f"  not all that is planned for {', '.join(made.lacking)} went along")
