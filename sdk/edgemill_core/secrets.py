"""Keeps what nobody is to read out of messages."""

from __future__ import annotations

import re

_IN_URL = re.compile(r"(?<=://)[^\s/@]*:[^\s/]*@")
_NAMED = re.compile(r"\b(pass(?:word|wd|phrase)?|pwd|token|secret|api_?key)(['\"]?\s*[=:]\s*)[^\s&,;}]+", re.IGNORECASE)


def masked(text: str, secrets: tuple[str, ...] = ()) -> str:
    """``text`` without passwords: of a URL, of ``password=…`` and the like, and every one of ``secrets``."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _NAMED.sub(r"\1\2***", _IN_URL.sub("***:***@", text))
