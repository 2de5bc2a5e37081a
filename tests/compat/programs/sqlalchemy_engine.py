"""Connections of the asyncio engine: statements, transactions, savepoints, streams, events."""

import asyncio
import contextvars

import sqlalchemy as sa
from sqlalchemy import event, exc, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool
from sqlalchemy.util import await_only, greenlet_spawn

from tests.compat.programs.transcript import Transcript

metadata = sa.MetaData()
item = sa.Table(
    "item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(30), nullable=False, unique=True),
    sa.Column("amount", sa.Integer, server_default="0"),
    sa.Column("tags", sa.JSON),
)
number = contextvars.ContextVar("number", default=0)


async def statements(t: Transcript, engine):
    t.section("statements")
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        t.say("tables", await connection.run_sync(lambda c: sa.inspect(c).get_table_names()))
        columns = await connection.run_sync(lambda c: sa.inspect(c).get_columns("item"))
        t.say("columns", [(c["name"], str(c["type"])) for c in columns])
        t.say("scalar", await connection.scalar(text("select 6 * 7")))
        result = await connection.execute(item.insert().values(name="nail", tags=["iron"]))
        t.say("insert", result.inserted_primary_key, result.rowcount)
        rows = [{"name": f"item {n}", "amount": n, "tags": {"n": n}} for n in range(20)]
        t.say("insert many", (await connection.execute(item.insert(), rows)).rowcount)
        returning = item.insert().returning(item.c.id, item.c.amount)
        t.say("returning", (await connection.execute(returning, {"name": "screw"})).all())
    async with engine.connect() as connection:
        t.say("count", await connection.scalar(select(func.count()).select_from(item)))
        big = select(item.c.name).where(item.c.amount > 16).order_by(item.c.amount.desc())
        t.say("scalars", (await connection.scalars(big)).all())
        first = (await connection.execute(select(item).order_by(item.c.id))).first()
        t.say("first", first, first.name, first._mapping["tags"])
        t.say("mappings", (await connection.execute(big.limit(1))).mappings().one())
        one = await connection.execute(select(item.c.tags).where(item.c.name == "item 3"))
        t.say("JSON", one.scalar_one())
        bound = await connection.execute(text("select :a || :b as c"), {"a": "x", "b": "y"})
        t.say("bound", bound.one().c)
        grouped = select(item.c.amount % 3, func.sum(item.c.amount)).group_by(item.c.amount % 3)
        t.say("group", (await connection.execute(grouped)).all())
        total = select(item.c.amount, func.sum(item.c.amount).over(order_by=item.c.amount))
        t.say("window", (await connection.execute(total.limit(4))).all())
        numbers = select(sa.literal(1).label("n")).cte("numbers", recursive=True)
        numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 10))
        t.say("recursive", (await connection.scalars(select(func.sum(numbers.c.n)))).one())
        t.say("partitions", [len(p) for p in (await connection.execute(big)).partitions(2)])


async def failures(t: Transcript, engine):
    t.section("errors")
    async with engine.connect() as connection:
        for name, statement, parameters in (
            ("syntax", text("selec 1"), None),
            ("no table", text("select * from nothing"), None),
            ("unique", item.insert(), {"name": "nail"}),
            ("not null", item.insert(), {"name": None}),
            ("unbound", text("select :a"), None),
        ):
            try:
                await connection.execute(statement, parameters)
            except exc.StatementError as error:
                t.say(name, type(error).__name__, str(error.orig))
                await connection.rollback()
        result = await connection.execute(select(item.c.name).order_by(item.c.id))
        await refused(t, "one of many", exc.MultipleResultsFound, greenlet_spawn(result.one))
        await refused(t, "no context", exc.MissingGreenlet, nothing_to_await_in())
    await refused(t, "closed", exc.ResourceClosedError, connection.scalar(text("select 1")))


async def refused(t, name, error, awaitable):
    """Tell that `awaitable` raises `error`; what stands in brackets varies with the version."""
    try:
        t.say(name, f"no {error.__name__} but", await awaitable)
    except error as raised:
        cause = getattr(raised, "orig", None) or raised
        t.say(name, type(cause).__name__, str(cause).partition("(")[0].partition("\n")[0])


async def nothing_to_await_in():
    coroutine = asyncio.sleep(0)
    try:
        await_only(coroutine)
    finally:
        coroutine.close()


async def count(engine, like="%"):
    async with engine.connect() as connection:
        named = select(func.count()).select_from(item).where(item.c.name.like(like))
        return await connection.scalar(named)


async def transactions(t: Transcript, engine):
    t.section("transactions")
    async with engine.connect() as connection:
        await connection.execute(item.insert(), {"name": "t rolled back"})
        await connection.rollback()
        await connection.execute(item.insert(), {"name": "t committed"})
        await connection.commit()
    t.say("rollback, commit", await count(engine, "t %"))
    try:
        async with engine.begin() as connection:
            await connection.execute(item.insert(), {"name": "u lost"})
            raise LookupError("in the block")
    except LookupError as error:
        t.say("raised in the block", repr(error), await count(engine, "u %"))
    async with engine.connect() as connection:
        outer = await connection.begin()
        await connection.execute(item.insert(), {"name": "s kept"})
        inner = await connection.begin_nested()
        await connection.execute(item.insert(), {"name": "s dropped"})
        t.say("in the savepoint", connection.in_nested_transaction(), inner.is_active)
        await inner.rollback()
        async with connection.begin_nested():
            await connection.execute(item.insert(), {"name": "s too"})
        await outer.commit()
        t.say("after it", connection.in_transaction(), inner.is_active)
    t.say("savepoints", await count(engine, "s %"))
    async with engine.connect() as connection, connection.begin():
        for n in range(3):
            try:
                async with connection.begin_nested():
                    await connection.execute(item.insert(), {"name": f"v {n % 2}"})
            except exc.IntegrityError as error:
                t.say("savepoint saves", str(error.orig))
    t.say("the others stay", await count(engine, "v %"))
    async with engine.connect() as connection:
        t.say("isolation", await connection.get_isolation_level())
        raw = await connection.get_raw_connection()
        t.say("driver", type(raw.driver_connection).__name__, raw.is_valid)
        cursor = await raw.driver_connection.execute("select 'by the driver'")
        t.say("by the driver", await cursor.fetchone())
    for name, change in (
        ("update", item.update().where(item.c.name.like("s %")).values(amount=99)),
        ("delete", item.delete().where(item.c.amount == 99)),
    ):
        async with engine.begin() as connection:
            t.say(name, (await connection.execute(change)).rowcount)


async def streams(t: Transcript, engine):
    t.section("streams")
    ordered = select(item.c.amount).where(item.c.name.like("item %")).order_by(item.c.id)
    async with engine.connect() as connection:
        result = await connection.stream(ordered)
        t.say("async for", [row.amount async for row in result])
        scalars = await connection.stream_scalars(ordered)
        t.say("fetchmany", [await scalars.fetchmany(3), await scalars.fetchmany(2)])
        t.say("all the rest", len(await scalars.all()))
        result = await connection.stream(ordered)
        t.say("partitions", [len(part) async for part in result.partitions(8)])
        async with connection.stream(ordered) as left:
            t.say("left early", (await anext(aiter(left))).amount)
        batched = await connection.execution_options(yield_per=5)
        result = await batched.stream(ordered)
        t.say("yield_per", [len(part) async for part in result.partitions()])


async def events(t: Transcript, engine):
    t.section("events")
    seen = []

    def before(connection, cursor, statement, parameters, context, many):
        seen.append((statement, await_only(answer(number.get()))))

    async def answer(n):
        await asyncio.sleep(0)
        return n + 1

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    number.set(41)
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))
    event.remove(engine.sync_engine, "before_cursor_execute", before)
    t.say("a coroutine in an event", seen)

    def deep(n):
        return n if n == 0 else 1 + await_only(greenlet_spawn(deep, n - 1))

    t.say("greenlets in greenlets", await greenlet_spawn(deep, 30))

    async def fail():
        await asyncio.sleep(0)
        raise LookupError("inside")

    def catch():
        try:
            await_only(fail())
        except LookupError as error:
            return repr(error), await_only(answer(1))

    t.say("raised into it", await greenlet_spawn(catch))

    async def cancelled():
        await greenlet_spawn(lambda: await_only(asyncio.sleep(60)))

    task = asyncio.create_task(cancelled())
    await asyncio.sleep(0)
    task.cancel()
    t.say("cancelled", await asyncio.gather(task, return_exceptions=True))
    try:
        async with asyncio.timeout(0.01):
            await cancelled()
    except TimeoutError as error:
        t.say("timeout", repr(error))

    def setter():
        before, _ = number.get(), number.set(7)
        await_only(asyncio.sleep(0))
        return before, number.get()

    t.say("contextvars", await greenlet_spawn(setter), number.get())


async def in_memory(t: Transcript, engine):
    t.section("tasks")
    memory = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    async with memory.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(item.insert(), [{"name": f"m {n}"} for n in range(10)])
    t.say("in memory", await count(memory))
    await memory.dispose()

    async def query(n):
        async with engine.connect() as connection:
            await asyncio.sleep(0)
            return await connection.scalar(select(item.c.amount).where(item.c.name == f"item {n}"))

    t.say("twenty at once", await asyncio.gather(*(query(n) for n in range(20))))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(query(n), name=f"task {n}") for n in range(5)]
    t.say("group", [task.result() for task in tasks])
    t.say("checked out", engine.pool.checkedout())

    def current(connection):
        return asyncio.current_task().get_name(), asyncio.get_running_loop().is_running()

    async with engine.connect() as connection:
        asyncio.current_task().set_name("this one")
        t.say("loop and task", await connection.run_sync(current))


SECTIONS = (statements, failures, transactions, streams, events, in_memory)
