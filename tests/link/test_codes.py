"""Enrolment codes, and what is signed to renew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_core.errors import InputError
from edgemill_link.enrolment import Code, make_code, read_code, renewal_statement, secret_digest

CODE = Code("https://fleet.plant-a:8443", "00112233445566778899aabbccddeeff", "ab" * 32)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_a_code_says_what_was_put_into_it(secret: bytes, ca: bytes) -> None:
    code = Code("https://fleet.plant-a:8443", secret.hex(), ca.hex())
    assert read_code(f"  {code}\n") == code


def test_a_slash_behind_the_address_is_no_part_of_it_and_a_path_is() -> None:
    assert make_code("https://fleet/", "ab" * 32).url == "https://fleet"
    assert read_code(str(CODE).replace(":8443", "/plant-a/")).url == "https://fleet.plant-a/plant-a"


def test_no_two_codes_have_the_same_secret() -> None:
    assert make_code(CODE.url, CODE.ca).secret != make_code(CODE.url, CODE.ca).secret


def test_what_the_fleet_keeps_is_not_the_secret() -> None:
    assert CODE.digest == secret_digest(CODE.secret)
    assert CODE.secret not in CODE.digest


@pytest.mark.parametrize(
    "change",
    [
        lambda code: code[:-1],
        lambda code: f"{code}A",
        lambda code: f"{code[:-1]}!",
        lambda code: f"{code[:-1]}ü",
        lambda code: code.replace("https", "http"),
        lambda code: code.replace("https://fleet.plant-a:8443", ""),
        lambda code: code.replace("fleet", "anna:secret@fleet"),
        lambda code: code.replace("8443", "0"),
        lambda code: code.replace("8443", "eighty"),
        lambda code: code.replace("#", "?x=1#"),
        lambda code: code.replace("#", ""),
        lambda _: "",
        lambda _: "https://[",
    ],
)
def test_what_is_no_code_is_refused_and_not_repeated(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as refused:
        read_code(change(str(CODE)))
    assert str(CODE).partition("#")[2][:20] not in str(refused.value)


def test_another_certificate_or_another_request_is_another_statement() -> None:
    said = {renewal_statement(one, two) for one in ("a", "b", "ab") for two in ("a", "b", "")}
    assert len(said) == 9
