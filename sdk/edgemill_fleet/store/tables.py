"""The tables. Alembic's migrations (``migrations/``) make them; this is what the code reads and writes.

Times are seconds since 1970, UTC, as floats: both databases order and compare them alike.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """Root of all tables. Constraints have names, so that a migration can speak of them in either database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Device(Table):
    """A box.

    Attributes:
        standing: ``enrolled`` or ``revoked``.
        tags: words that it was given.
        facts: what it said last of itself, as on the topic ``facts``.
        runs: version by name of what its ledger said last that it committed.
        online: as its presence says.
        heard_s: when anything of it came last.
    """

    __tablename__ = "device"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    standing: Mapped[str] = mapped_column(String(16), default="enrolled")
    site: Mapped[str] = mapped_column(String(64), default="")
    group: Mapped[str] = mapped_column("group_name", String(64), default="", index=True)
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    facts: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)
    runs: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    online: Mapped[bool] = mapped_column(default=False)
    enrolled_s: Mapped[float]
    heard_s: Mapped[float | None]


class Certificate(Table):
    """One that the fleet's own CA gave to a device."""

    __tablename__ = "certificate"
    serial: Mapped[str] = mapped_column(String(64), primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), index=True)
    pem: Mapped[str]
    not_after_s: Mapped[float]
    revoked_s: Mapped[float | None]


class Enrolment(Table):
    """A code that lets one box in, once.

    Attributes:
        digest: SHA-256 of the code; the code itself is shown once and kept nowhere.
        device: that it is for.
        used_s: when it was used; ``None``: not yet.
    """

    __tablename__ = "enrolment"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    device: Mapped[str] = mapped_column(String(64))
    group: Mapped[str] = mapped_column("group_name", String(64), default="")
    site: Mapped[str] = mapped_column(String(64), default="")
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    expires_s: Mapped[float]
    used_s: Mapped[float | None]


class Token(Table):
    """A person's, or a program's, way in.

    Attributes:
        digest: SHA-256 of the token.
        role: ``viewer``, ``operator``, ``releaser`` or ``admin``.
    """

    __tablename__ = "token"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    revoked_s: Mapped[float | None]


class Release(Table):
    """A release that the signed list names, and what people say of it.

    Attributes:
        manifest: SHA-256 of its manifest.
        approved_by: a second person; no rollout begins before.
    """

    __tablename__ = "release"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    manifest: Mapped[str] = mapped_column(String(64))
    proposed_by: Mapped[str] = mapped_column(String(64), default="")
    approved_by: Mapped[str] = mapped_column(String(64), default="")
    withdrawn: Mapped[bool] = mapped_column(default=False)


class Wanted(Table):
    """What a device is to run: one version of each name. Its plan is made of these."""

    __tablename__ = "wanted"
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(64))
    before: Mapped[str] = mapped_column(String(64), default="")


class PlanOf(Table):
    """The plan that was signed for a device last.

    Attributes:
        due: something that it names changed since; the signer makes another.
    """

    __tablename__ = "plan"
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    expires_s: Mapped[float] = mapped_column(default=0.0)
    due: Mapped[bool] = mapped_column(default=True, index=True)


class RolloutRow(Table):
    """A rollout, as ``waves.Rollout`` has it, besides its members.

    Attributes:
        waves, thresholds, windows: JSON of their settings.
        why: what changed its course last.
    """

    __tablename__ = "rollout"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    waves: Mapped[list[dict[str, object]]] = mapped_column(JSON)
    thresholds: Mapped[dict[str, object]] = mapped_column(JSON)
    windows: Mapped[list[dict[str, object]]] = mapped_column(JSON, default=list)
    course: Mapped[str] = mapped_column(String(16), index=True)
    wave: Mapped[int] = mapped_column(default=0)
    met_s: Mapped[float | None]
    why: Mapped[str] = mapped_column(default="")
    made_by: Mapped[str] = mapped_column(String(64), default="")
    made_s: Mapped[float]


class MemberRow(Table):
    """A device of a rollout."""

    __tablename__ = "member"
    rollout: Mapped[int] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True, index=True)
    wave: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(16))
    since_s: Mapped[float] = mapped_column(default=0.0)
    why: Mapped[str] = mapped_column(default="")


class Progress(Table):
    """How far one ledger of one device was taken; what is acknowledged."""

    __tablename__ = "progress"
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    ledger: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    link: Mapped[str] = mapped_column(String(64))
    anchor: Mapped[str] = mapped_column(default="")


class RecordRow(Table):
    """A ledger record that came in."""

    __tablename__ = "record"
    __table_args__ = (UniqueConstraint("device", "ledger", "position"),)
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    device: Mapped[str] = mapped_column(String(64))
    ledger: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(16))
    station: Mapped[str] = mapped_column(String(64))
    decision: Mapped[str] = mapped_column(String(16))
    utc_ns: Mapped[int] = mapped_column(BigInteger)
    boot: Mapped[str] = mapped_column(String(64))
    monotonic_ns: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    link: Mapped[str] = mapped_column(String(64))
    salt: Mapped[bytes | None] = mapped_column(LargeBinary)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class Audit(Table):
    """Who did what. Only ever added to."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    at_s: Mapped[float]
    who: Mapped[str] = mapped_column(String(64))
    what: Mapped[str] = mapped_column(String(64))
    told: Mapped[dict[str, object]] = mapped_column(JSON, default=dict)


class Lease(Table):
    """Who does what only one may do: the signer. Gone when its time is over."""

    __tablename__ = "lease"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    until_s: Mapped[float]
