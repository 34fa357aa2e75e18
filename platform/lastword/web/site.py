"""The web as a whole: what every page needs, and what upper floors add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lastword.application import Application
from lastword.config import Config
from lastword.errors import ConfigError, LastwordError
from lastword.storage.ledger import Ledger
from lastword.web.traffic import Traffic

if TYPE_CHECKING:
    from lastword.web.guarding import Entry
    from lastword.web.rendering import Rendering

#: The entry point group whose members name a `Surface`.
SURFACES_GROUP = "lastword.surfaces"

#: The entry point group whose member opens the application that starts runs.
OPENERS_GROUP = "lastword.openers"

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


#: Streams of one process at once; whoever comes later goes on asking.
MOST_STREAMS = 200


class Streams:
    """How many streams of events this process has open."""

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self.most = most
        self.open = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A page of every tenant.

    Attributes:
        path: below the tenant's own, e.g. `backups`.
        label: what people read.
        icon: its picture in the sprite.
    """

    path: str
    label: str
    icon: str


@dataclass(frozen=True, slots=True)
class Surface:
    """What an upper floor adds to the web.

    Attributes:
        entries: its pages.
        templates: the folder of its templates.
        links: those of its pages that every tenant has.
    """

    entries: Sequence[Entry]
    templates: Path
    links: Sequence[Link] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """One web over one ledger.

    Attributes:
        config: the configuration.
        ledger: the ledger.
        rendering: what makes pages.
        open_application: gives what starts runs; asked when the first run is started, so that
            everything else works without a broker.
        links: the pages that every tenant has.
        streams: how many streams are open.
        traffic: what this process has answered.
    """

    config: Config
    ledger: Ledger
    rendering: Rendering
    open_application: Callable[[], Application]
    links: Sequence[Link] = field(default=())
    streams: Streams = field(default_factory=Streams)
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def origin(self) -> str:
        """The origin at which people reach it."""
        return self.config.web_url or f"http://{self.config.web_addr}"

    @property
    def is_secure(self) -> bool:
        """Whether people reach it over TLS."""
        return self.origin.startswith("https://")

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return "__Host-lastword" if self.is_secure else "lastword"

    @property
    def hosts(self) -> frozenset[str]:
        """The values of the Host header that are ours; a port may be anything."""
        host = urlsplit(self.origin).hostname or ""
        own = f"[{host}]" if ":" in host else host
        return frozenset({own, *(_LOOPBACK if is_loopback(self.config) else ())})

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of trusted proxies."""
        return tuple(ip_network(text) for text in self.config.proxy_networks)

    @property
    def labels(self) -> Mapping[str, str]:
        """Operation to the label people read."""
        return {name: policy.label for name, policy in self.config.policies.items()}


def is_loopback(config: Config) -> bool:
    """Whether the web listens on this host alone."""
    return config.web_addr.rpartition(":")[0] in _LOOPBACK


def require_closed(config: Config) -> None:
    """Refuse a web that strangers reach and nobody can sign in to.

    Raises:
        ConfigError: with what is missing.
    """
    faults = []
    if not is_loopback(config) and not config.web_auth:
        faults.append(
            f"web_addr is {config.web_addr} and web_auth is empty; expected a way to sign in"
        )
    if not is_loopback(config) and not config.web_url:
        faults.append(
            f"web_addr is {config.web_addr} and web_url is empty; expected the origin at which "
            "people reach it, such as https://lastword.example.org"
        )
    if "proxy" in config.web_auth and not config.proxy_networks:
        faults.append("web_auth has proxy and proxy_networks is empty; expected its networks")
    if "oidc" in config.web_auth and not (config.oidc_issuer and config.oidc_client_id):
        faults.append("web_auth has oidc; expected oidc_issuer and oidc_client_id beside it")
    if faults:
        raise ConfigError(faults, mend="or let it listen on 127.0.0.1")


def installed_surfaces() -> list[Surface]:
    """What the installed packages add to the web."""
    return [entry.load()() for entry in entry_points(group=SURFACES_GROUP)]


def application_opener(module: str | None) -> Callable[[], Application]:
    """What opens the application that starts runs.

    Args:
        module: where its actors are; the installed default if None.
    """

    def open_application() -> Application:
        for entry in entry_points(group=OPENERS_GROUP):
            opener: Callable[[str | None], Application] = entry.load()
            return opener(module)
        raise LastwordError("nothing that is installed here can start runs")

    return open_application


def quoted(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as texts of a query, without those that are None."""
    return {key: str(value) for key, value in values.items() if value is not None}
