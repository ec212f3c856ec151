"""Where updates come from, and whom this box trusts, as ``agent.yaml`` says it."""

from __future__ import annotations

from pathlib import Path

from edgemill_agent.settings import AgentSettings
from edgemill_core.errors import SettingsError
from edgemill_link.trust.rate import Rate
from edgemill_link.trust.source import FolderSource, HttpSource, Source


def source_of(settings: AgentSettings, given: str | None = None) -> Source:
    """A server or a folder.

    Args:
        given: in the place of ``fleet: url``.

    Raises:
        SettingsError: neither is said.
    """
    if given is not None and not given.startswith(("http://", "https://")):
        return FolderSource(Path(given))
    url = given or (settings.fleet.url if settings.fleet is not None else None)
    if url is None:
        raise SettingsError(
            "it is not said where updates come from",
            expected="fleet: {url: …, trust: root.json} in agent.yaml, or --from",
            got="neither",
            fix="name the address of the releases, or the folder of a stick",
        )
    fleet = settings.fleet
    if fleet is None:
        return HttpSource(url)
    rate = Rate(fleet.rate) if fleet.rate is not None else None
    return HttpSource(url, fleet.ca, rate=rate, certificate=fleet.certificate)


def root_of(settings: AgentSettings) -> bytes:
    """The root that the box was set up with.

    Raises:
        SettingsError: it is not said, or not there.
    """
    try:
        if settings.fleet is None or settings.fleet.trust is None:
            raise OSError("no fleet: in agent.yaml")
        return settings.fleet.trust.read_bytes()
    except OSError as error:
        raise SettingsError(
            "it is not said whom this box trusts",
            expected="fleet: {trust: root.json} in agent.yaml, the metadata/1.root.json of the releases",
            got=str(error),
            fix="put that file on the box by hand, when it is set up: everything else is verified by it",
        ) from error
