"""Steps from one schema to the next, up and down, by Alembic: one file each in ``versions/``."""

from __future__ import annotations

from alembic import command

from edgemill_fleet.store.database import engine_of, speaking
from edgemill_fleet.store.schema import alembic_settings, check_known, schema_of


def upgrade(url: str, to: str = "head") -> None:
    """Bring the database at ``url`` to the schema of this version; doing it again does nothing.

    All of it happens in one transaction: whoever is killed leaves the schema of before.

    Raises:
        StoreError: it cannot be reached, or is of a newer Edgemill.
    """
    _migrate(url, to, down=False)


def downgrade(url: str, to: str) -> None:
    """Bring the database back to schema ``to`` (``base``: nothing left). What the older one has no place for is lost.

    Raises:
        StoreError: it cannot be reached, or is of a newer Edgemill.
    """
    _migrate(url, to, down=True)


def _migrate(url: str, to: str, down: bool) -> None:
    engine = engine_of(url)
    try:
        with speaking(engine.url.render_as_string(hide_password=True)), engine.begin() as connection:
            check_known(schema_of(connection))
            settings = alembic_settings()
            settings.attributes["connection"] = connection
            (command.downgrade if down else command.upgrade)(settings, to)
    finally:
        engine.dispose()
