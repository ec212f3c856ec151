"""A Dask cluster that transforms: reached, and seen to run the same code and parts as this machine.

Dask runs whatever its scheduler is sent, by anybody who reaches it, and results come back as pickles: a cluster belongs
into a network that one trusts, or behind TLS (``tls://``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemill_converters.searching.crews import Crew, local_crew
from edgemill_converters.searching.transforming import worker_facts
from edgemill_core.errors import ClusterError, EdgemillError, InputError, MissingPartError

if TYPE_CHECKING:
    import distributed

_ANSWER_S = 15
_WITHOUT_WORKERS_S = 30.0


@contextmanager
def crew_of(cluster: str | None) -> Iterator[Crew]:
    """The workers of the Dask cluster whose scheduler is ``cluster``, or processes of this machine.

    Raises:
        MissingPartError: Dask is not installed.
        ClusterError: nobody answers, or the workers run something else than this machine.
    """
    with local_crew() if cluster is None else dask_crew(cluster) as crew:
        yield crew


def check_address(cluster: str) -> None:
    """See that ``cluster`` is an address, and Dask is there.

    Raises:
        InputError: it is none.
        MissingPartError: Dask is not installed.
    """
    if not re.fullmatch(r"(tcp|tls)://[^\s/:]+(:\d+)?|(tcp|tls)://\[[^\s/]+\](:\d+)?", cluster):
        raise InputError(
            "this is no address of a Dask scheduler",
            expected="tcp://HOST:PORT or tls://HOST:PORT",
            got=cluster,
            fix="say --cluster tcp://HOST:8786, as `dask scheduler` prints it",
        )
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            "--cluster needs Dask, which is not installed",
            expected="distributed",
            got=str(error),
            fix="pip install 'edgemill[cluster]', here and on the cluster's workers, or leave out --cluster",
        ) from error


@contextmanager
def dask_crew(address: str) -> Iterator[Crew]:
    """The workers of a Dask cluster; see ``crew_of``."""
    check_address(address)
    from distributed import Client

    try:
        client = Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address}",
            expected=f"an answer within {_ANSWER_S} s",
            got=str(error) or type(error).__name__,
            fix="start `dask scheduler` there, or mend --cluster",
        ) from error
    with client:
        _check_workers(client, address)
        shared: dict[Path, Any] = {}

        def share(path: Path) -> Any:
            if path not in shared or shared[path].status != "finished":  # the worker that held it is gone
                shared[path] = client.scatter(path.read_bytes(), hash=True, broadcast=True)
            return shared[path]

        yield Crew(client.get_executor(), share, _watch(client, address), _dask_broken(address))


def _check_workers(client: distributed.Client, address: str) -> None:
    """Results of workers with other code or parts would be others, and nobody would see it."""
    try:
        client.wait_for_workers(1, timeout=_ANSWER_S)
    except TimeoutError as error:
        raise _no_workers(address) from error
    ours = worker_facts()
    for worker, told in client.run(worker_facts, on_error="return").items():
        if told == ours:
            continue
        differs = (
            f"{type(told).__name__}: {told}"
            if isinstance(told, BaseException)
            else ", ".join(f"{name} {told.get(name)}" for name, value in ours.items() if told.get(name) != value)
        )
        raise ClusterError(
            f"the worker {worker} of {address} does not run the same Edgemill as this machine",
            expected=", ".join(f"{name} {value}" for name, value in ours.items() if value is not None),
            got=differs,
            fix="install the same versions there, or leave out --cluster",
        )


def _no_workers(address: str) -> ClusterError:
    return ClusterError(
        f"the Dask cluster at {address} has no worker",
        expected="at least one",
        got="none",
        fix=f"start `dask worker {address}` on a machine with the same Edgemill; what was done before is kept",
    )


def _watch(client: distributed.Client, address: str) -> Callable[[], None]:
    """Looks while results are awaited; between two looks that lie far apart nobody waited."""
    seen, looked = [time.monotonic()], [time.monotonic()]

    def check() -> None:
        now = time.monotonic()
        if now - looked[0] > _WITHOUT_WORKERS_S / 2:
            seen[0] = now
        looked[0] = now
        if client.status != "running":
            raise ClusterError(
                f"the Dask scheduler at {address} is gone",
                expected="a connection",
                got=str(client.status),
                fix="start it again and run again; what was done before is kept",
            )
        if client.scheduler_info(n_workers=-1)["workers"]:
            seen[0] = time.monotonic()
        elif time.monotonic() - seen[0] > _WITHOUT_WORKERS_S:
            raise _no_workers(address)

    return check


def _dask_broken(address: str) -> Callable[[BaseException], EdgemillError | None]:
    """Dask's own exceptions as ours."""

    def broken(error: BaseException) -> EdgemillError | None:
        if not (isinstance(error, CancelledError) or type(error).__module__.startswith("distributed")):
            return None
        return ClusterError(
            f"the Dask cluster at {address} gave no result",
            expected="a graph",
            got=f"{type(error).__name__}: {error}",
            fix="look at the workers' logs; run again, what was done before is kept",
        )

    return broken
