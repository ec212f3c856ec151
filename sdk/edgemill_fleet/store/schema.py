"""Which schema a database has: none, an older one, ours, or one of a newer Edgemill."""

from __future__ import annotations

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from edgemill_core.errors import StoreError


def alembic_settings() -> Config:
    """Alembic's settings for the migrations that lie in this package."""
    settings = Config()
    settings.set_main_option("script_location", "edgemill_fleet.store:migrations")
    settings.set_main_option("path_separator", "os")
    return settings


def check_schema(connection: Connection) -> None:
    """See that the database has the schema of this version.

    Raises:
        StoreError: it has another.
    """
    found, ours = schema_of(connection), str(scripts().get_current_head())
    if found == ours:
        return
    check_known(found)
    raise StoreError(
        "the fleet's database is not of this version",
        expected=f"schema {ours}",
        got=f"schema {found}" if found else "no schema: it is empty",
        fix="make it so: edgemill fleet serve does, before anything else uses it; back it up first",
    )


def check_known(found: str | None) -> None:
    """See that a schema is one that this version knows.

    Raises:
        StoreError: it is of a newer one.
    """
    known = [one.revision for one in scripts().walk_revisions()]
    if found is None or found in known:
        return
    raise StoreError(
        "the fleet's database is of a newer Edgemill",
        expected=f"schema {known[0]} or older",
        got=f"schema {found}",
        fix="install the newer Edgemill again, or bring back the copy of the database that was made before it",
    )


def schema_of(connection: Connection) -> str | None:
    """The schema's revision; ``None`` for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def scripts() -> ScriptDirectory:
    """The migrations of this version."""
    return ScriptDirectory.from_config(alembic_settings())
