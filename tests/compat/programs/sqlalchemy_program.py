"""A day of SQLAlchemy's asyncio engine: a library on SQLite, driven by aiosqlite."""

import asyncio
import tempfile

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from tests.compat.programs import sqlalchemy_engine, sqlalchemy_orm
from tests.compat.programs.transcript import Transcript


async def run(t: Transcript, folder):
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/library.db")

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection, record):
        connection.execute("PRAGMA foreign_keys=ON")

    for section in (*sqlalchemy_engine.SECTIONS, *sqlalchemy_orm.SECTIONS):
        await section(t, engine)
    await engine.dispose()
    t.say("pool", engine.pool.status().partition("Current")[0].strip())


def main():
    t = Transcript()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(t, folder))
    t.close()


if __name__ == "__main__":
    main()
