"""How much may come, how often and how slowly. Each process counts for itself.

Who guesses at tokens or codes is slowed down by his own failures, long before chance helps him to 128 bits.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgemill_core.errors import EdgemillError
from edgemill_fleet.refusals import TooMuchError, TooOftenError, TooSlowError
from edgemill_fleet.web.answers import RETRY_S, refusal
from edgemill_link.enrolment import MOST_BYTES

_MOST_ADDRESSES = 10_000


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second after that."""

    burst: float
    per_s: float


@dataclass(frozen=True)
class Limits:
    """Of one process.

    Attributes:
        requests: of one address, to ``/v1``.
        failures: of one address, with a token, code or certificate that nobody is known by.
        body_bytes, body_s: of one request.
    """

    requests: Rate = Rate(1000, 200)
    failures: Rate = Rate(20, 0.2)
    body_bytes: int = MOST_BYTES
    body_s: float = 20.0


LIMITS = Limits()


class Buckets:
    """Counts by address; those that were not seen for longest are forgotten when there are too many.

    Args:
        rate: that each of them has.
        most: addresses that are remembered.
    """

    def __init__(self, rate: Rate, most: int = _MOST_ADDRESSES) -> None:
        self._rate = rate
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, who: str, now_s: float) -> float:
        """How many more may come now; one may if it is at least 1."""
        left, since_s = self._left.get(who, (self._rate.burst, now_s))
        return min(self._rate.burst, left + max(0.0, now_s - since_s) * self._rate.per_s)

    def take(self, who: str, now_s: float) -> bool:
        """Count one; false if it is one too many."""
        left = self.left(who, now_s)
        enough = left >= 1
        self._left[who] = (left - 1 if enough else left, now_s)
        self._left.move_to_end(who)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return enough

    def __len__(self) -> int:
        return len(self._left)


class Guard:
    """Stands before the app: nothing of a request to ``/v1`` reaches it that is too much, too often or too slow.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, app: ASGIApp, limits: Limits = LIMITS, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._limits = limits
        self._clock = clock
        self._requests = Buckets(limits.requests)
        self._failures = Buckets(limits.failures)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        who = scope["client"][0] if scope.get("client") else ""
        ours = scope["path"].startswith("/v1/")
        try:
            if ours:
                self._admit(who)
            body = await asyncio.wait_for(self._body(scope, receive), self._limits.body_s)
        except TimeoutError:
            await refusal(_too_slow(self._limits.body_s))(scope, receive, send)
        except EdgemillError as error:
            await refusal(error)(scope, receive, send)
        else:
            watched = self._watching(who, send)
            await self._app(scope, _again(body, receive), watched)

    def _admit(self, who: str) -> None:
        now_s = self._clock()
        if self._failures.left(who, now_s) < 1:
            raise _too_often("tries with a token, code or certificate that nobody is known by", self._limits.failures)
        if not self._requests.take(who, now_s):
            raise _too_often("requests", self._limits.requests)

    def _watching(self, who: str, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                self._failures.take(who, self._clock())
            await send(message)

        return watched

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told[:20]) > self._limits.body_bytes:
            raise _too_much(self._limits.body_bytes, told.decode()[:20])
        body: bytes = b""
        while True:
            message = await receive()
            body += bytes(message.get("body", b""))
            if len(body) > self._limits.body_bytes:
                raise _too_much(self._limits.body_bytes, "more")
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return body


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read, once, and then what comes."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give


def _too_often(what: str, rate: Rate) -> TooOftenError:
    return TooOftenError(
        f"too many {what}",
        expected=f"{rate.burst:g} at once, and then {rate.per_s:g} a second",
        got="more",
        fix=f"wait {RETRY_S} s and try again",
    )


def _too_much(most: int, got: str) -> TooMuchError:
    return TooMuchError("the request is too long", expected=f"{most:,} bytes", got=got, fix="say less at once")


def _too_slow(within_s: float) -> TooSlowError:
    return TooSlowError(
        "the request did not come in time", expected=f"all of it within {within_s:g} s", got="a part", fix="try again"
    )
