"""The fleet's database: opened, migrated, and its transactions, in SQLite and PostgreSQL."""

from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fleet_databases import Kind
from sqlalchemy import inspect, select, text, update

from edgemill_core.errors import StoreError
from edgemill_fleet.store.audit import note
from edgemill_fleet.store.database import Database, engine_of, open_database
from edgemill_fleet.store.leases import give_up_lease, since_last, take_lease
from edgemill_fleet.store.migrations import downgrade, upgrade
from edgemill_fleet.store.schema import scripts
from edgemill_fleet.store.tables import Audit, Device, Table


def test_migrations_make_the_tables_that_the_code_reads(databases: Kind) -> None:
    url = databases.empty()
    upgrade(url)
    upgrade(url)  # again, for nothing
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_migrations_go_down_to_nothing_and_up_again(databases: Kind) -> None:
    url = databases.empty()
    revisions = [one.revision for one in scripts().walk_revisions()]
    upgrade(url)
    for revision in [*revisions[1:], "base"]:
        downgrade(url, revision)
    engine = engine_of(url)
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    engine.dispose()
    upgrade(url)
    open_database(url).close()


def test_a_migration_that_is_broken_off_leaves_the_schema_of_before(
    databases: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases.empty()
    first = scripts().get_revision("0001").module
    monkeypatch.setattr(first.op, "create_index", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        upgrade(url)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="not of this version"):
        open_database(url)
    upgrade(url)


def test_a_database_of_another_version_is_refused(databases: Kind) -> None:
    url = databases.empty()
    with pytest.raises(StoreError, match="not of this version"):
        open_database(url)
    upgrade(url)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for use in (open_database, upgrade):
        with pytest.raises(StoreError, match="newer Edgemill"):
            use(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://x/y",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+psycopg://fleet@127.0.0.1:1/x",
        "sqlite:////proc/no/x",
    ],
)
def test_what_is_no_database_is_said(url: str) -> None:
    with pytest.raises(StoreError) as error:
        open_database(url)
    assert error.value.fix


def test_a_password_is_not_told() -> None:
    with pytest.raises(StoreError) as error:
        open_database("postgresql+psycopg://fleet:geheim@127.0.0.1:1/x")
    assert "geheim" not in str(error.value)


def test_a_transaction_is_whole_or_not_at_all(database: Database) -> None:
    def enrol_and_fail() -> None:
        with database.session() as session:
            session.add(Device(id="a", enrolled_s=1.0))
            note(session, "anna", "device enrolled", 1.0, device="a")
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        enrol_and_fail()
    with database.reading() as session:
        assert not session.execute(select(Device)).all()
        assert not session.execute(select(Audit)).all()


def test_what_was_read_in_order_to_write_is_still_so(database: Database) -> None:
    """Eight threads count up together; none of them loses a step."""
    with database.session() as session:
        session.add(Device(id="a", enrolled_s=0.0))

    def count() -> None:
        for _ in range(5):
            with database.session() as session:
                held = select(Device).where(Device.id == "a").with_for_update()
                session.execute(held).scalar_one().enrolled_s += 1

    threads = [threading.Thread(target=count) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    with database.reading() as session:
        assert session.get_one(Device, "a").enrolled_s == 40


def test_a_reader_sees_one_moment_and_hinders_nobody(database: Database) -> None:
    with database.session() as session:
        session.add(Device(id="a", enrolled_s=1.0))
    with database.reading() as reader:
        assert reader.execute(select(Device.enrolled_s)).scalar_one() == 1
        with database.session() as writer:
            writer.execute(update(Device).values(enrolled_s=2.0))
        assert reader.execute(select(Device.enrolled_s)).scalar_one() == 1
    with database.reading() as reader:
        assert reader.execute(select(Device.enrolled_s)).scalar_one() == 2


def test_a_lease_has_one_holder_until_it_is_over_or_given_up(database: Database) -> None:
    def take(holder: str, now_s: float) -> bool:
        with database.session() as session:
            return take_lease(session, "steward", holder, now_s, 60)

    assert take("one", 0)
    assert not take("two", 59.9)
    assert take("one", 50)
    assert not take("two", 109.9)
    assert take("two", 110)
    assert not take("one", 110)
    with database.session() as session:
        give_up_lease(session, "steward", "one")  # not his
    assert not take("one", 120)
    with database.session() as session:
        give_up_lease(session, "steward", "two")
        assert since_last(session, "steward", 130, 60) == 20
    assert take("one", 130)


def test_a_lease_that_a_clock_gave_which_was_far_ahead_is_over(database: Database) -> None:
    """Nobody would do the work until then, if whoever had it is gone."""

    def take(holder: str, now_s: float) -> bool:
        with database.session() as session:
            return take_lease(session, "steward", holder, now_s, 60)

    assert take("one", 1_000_000)
    assert not take("two", 1_000_000 - 60)
    assert take("two", 1_000_000 - 61)
    assert not take("one", 1_000_000 - 61)


def test_of_many_who_want_a_lease_at_once_one_gets_it(database: Database) -> None:
    got: list[str] = []

    def want(holder: str) -> None:
        with database.session() as session:
            if take_lease(session, "steward", holder, 0.0, 60):
                got.append(holder)

    threads = [threading.Thread(target=want, args=(str(number),)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(got) == 1
