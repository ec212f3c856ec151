"""What a search needs beside the recipe, seen to before any work."""

from __future__ import annotations

from edgemill_converters.searching.asking import check_part
from edgemill_converters.searching.cluster import check_address
from edgemill_converters.searching.settings import Search
from edgemill_core.errors import InputError


def check_search(settings: Search | None, cluster: str | None) -> None:
    """See that what the search needs is there.

    Raises:
        MissingPartError: optuna or Dask is not installed.
        InputError: a cluster without anything to send there, or an address that is none.
    """
    if settings is not None:
        check_part()
    elif cluster is not None:
        raise InputError(
            "a cluster is named, but there is nothing to send there",
            expected="search: in the recipe, whose trials are transformed there",
            got=f"--cluster {cluster}, and no search:",
            fix="add search: to the recipe, or leave out --cluster",
        )
    if cluster is not None:
        check_address(cluster)
