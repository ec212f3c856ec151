"""Whatever the OpenAPI allows, and whatever it does not: no server error, and only answers that it tells of.

schemathesis makes the requests; it is installed apart, because it brings much along.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from fleet_folder import Fleet, make_fleet
from fleet_server import serving
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from edgemill_fleet.settings import Readers
from edgemill_fleet.web.limits import Limits, Rate

try:
    import schemathesis
except ModuleNotFoundError:
    pytest.skip(
        "SKIPPED: schemathesis is not installed, so nothing showed that no request is an error of the server (CI does)",
        allow_module_level=True,
    )

MANY = int(os.environ.get("EDGEMILL_SCHEMATHESIS", "20"))
PLENTY = Limits(requests=Rate(1e9, 1e9), failures=Rate(1e9, 1e9))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, str]]:
    made = make_fleet(tmp_path_factory.mktemp("place") / "fleet", PLENTY, releases=Readers.ALL)
    made.done("releaser", "POST", "/v1/releases", {"name": "tiny", "version": "1.0.0"})
    with serving(made, tls=False) as url:
        yield made, url


def test_no_request_is_an_error_of_the_server(fleet: tuple[Fleet, str]) -> None:
    made, url = fleet
    schema = schemathesis.openapi.from_dict(made.app.openapi())
    tried = {found.ok().label: tried_out(made, url, found.ok()) for found in schema.get_all_operations()}
    assert len(tried) == sum(map(len, made.app.openapi()["paths"].values()))
    assert all(tried.values()), tried


def tried_out(fleet: Fleet, url: str, operation: Any) -> set[int]:
    answers = set()
    for mode in schemathesis.GenerationMode:

        @settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answers.add(check(fleet, url, case))

        with suppress(Unsatisfiable):  # nothing about it can be wrong
            ask()
    return answers


def check(made: Fleet, url: str, case: Any) -> int:
    answer = case.call(base_url=url, headers={"authorization": f"Bearer {made.tokens['admin']}"}, timeout=30)
    assert answer.status_code < 500, (case.as_curl_command(), answer.text)
    if answer.status_code >= 400:
        assert {"error", "what", "expected", "got", "to_do"} == set(answer.json()), answer.text
    else:
        case.operation.validate_response(answer)
    return int(answer.status_code)
