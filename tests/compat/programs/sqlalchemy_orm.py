"""Sessions of the asyncio engine: a library's books, authors, readers and loans."""

import asyncio
import datetime
import itertools

from sqlalchemy import and_, delete, event, exc, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import joinedload, raiseload, selectinload
from sqlalchemy.orm.exc import StaleDataError

from tests.compat.programs.sqlalchemy_engine import refused
from tests.compat.programs.sqlalchemy_models import Author, Base, Book, Loan, Reader
from tests.compat.programs.transcript import Transcript

LIBRARY = {
    "Woolf": [("Orlando", 1928), ("The Waves", 1931)],
    "Lem": [("Solaris", 1961), ("Fiasco", 1986), ("Eden", 1959)],
    "Le Guin": [("Lavinia", 2008), ("Malafrena", 1979)],
    "Kafka": [("Amerika", 1927)],
}


async def filling(t: Transcript, engine):
    t.section("filling")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        for name, books in LIBRARY.items():
            author = Author(name=name, books=[Book(title=b, year=y) for b, y in books])
            session.add(author)
            await session.flush()
            t.say("flush", author.id, [book.version for book in author.books])
        session.add_all([Reader(name=name) for name in ("Ada", "Ben", "Cleo")])
    async with AsyncSession(engine) as session:
        for entity in (Author, Book, Reader):
            t.say("count", await session.scalar(select(func.count()).select_from(entity)))


async def loading(t: Transcript, engine):
    t.section("loading")
    make = async_sessionmaker(engine, expire_on_commit=False)
    async with make() as session:
        lem = await session.scalar(select(Author).where(Author.name == "Lem"))
        t.say("scalar", lem)
        await refused(t, "lazy, not awaited", exc.StatementError, touch(lem))
        t.say("awaitable_attrs", await lem.awaitable_attrs.books)
        t.say("now loaded", [book.title for book in lem.books])
    async with make() as session:
        woolf = await session.get(Author, 1)
        t.say("run_sync", await session.run_sync(lambda s: [b.title for b in woolf.books]))
        t.say("the same object", await session.get(Author, 1) is woolf)
        t.say("no such", await session.get(Author, 99))
        await refused(t, "get_one", exc.NoResultFound, session.get_one(Author, 99))
    by_name = select(Author).order_by(Author.name)
    for loader in (selectinload, joinedload):
        async with make() as session:
            found = (await session.scalars(by_name.options(loader(Author.books)))).unique().all()
            t.say(loader.__name__, [(author.name, len(author.books)) for author in found])
    async with make() as session:
        author = await session.scalar(by_name.options(raiseload(Author.books)).limit(1))
        await refused(t, "raiseload", exc.InvalidRequestError, author.awaitable_attrs.books)
    async with make() as session:
        old = select(Book.title).where(Book.is_old).order_by(Book.title)
        t.say("hybrid", (await session.scalars(old)).all())
        joined = select(Author.name, func.count(Book.id)).join(Author.books)
        joined = joined.group_by(Author.name).having(func.count(Book.id) > 1).order_by(Author.name)
        t.say("join", (await session.execute(joined)).all())
        nobody = select(Author.name).where(~Author.books.any(Book.year > 1950)).order_by(Author.id)
        t.say("any", (await session.scalars(nobody)).all())
        stream = await session.stream_scalars(select(Book).order_by(Book.year))
        t.say("stream", [book.title async for book in stream])
        book = await session.scalar(select(Book).options(joinedload(Book.author)).limit(1))
        t.say("many to one", book, book.author)
        await session.refresh(book, ["loans"])
        t.say("refresh", book.loans)


async def touch(author):
    return author.books


async def changing(t: Transcript, engine):
    t.section("changing")
    make = async_sessionmaker(engine)
    due = datetime.date(2030, 1, 31)
    async with make() as session, session.begin():
        reader = await session.scalar(select(Reader).where(Reader.name == "Ada"))
        for book in await session.scalars(select(Book).where(Book.is_old)):
            session.add(Loan(reader=reader, book=book, due=due))
        t.say("new", len(session.new), sorted(map(repr, session.dirty)))
    async with make() as session:
        reader = await session.scalar(select(Reader).options(selectinload(Reader.loans)))
        t.say("loans", sorted((loan.book_id, str(loan.due)) for loan in reader.loans))
        reader.name = "Ada L."
        t.say("dirty", list(session.dirty), session.is_modified(reader))
        await session.commit()
        await refused(t, "expired", exc.StatementError, name_of(reader))
        await session.refresh(reader)
        t.say("refreshed", reader.name)
        reader.name = "changed my mind"
        await session.rollback()
        t.say("rolled back", await reader.awaitable_attrs.name)
        twin = Author(name="Kafka")
        session.add(twin)
        await refused(t, "unique", exc.IntegrityError, session.flush())
        await session.rollback()
        t.say("gone again", twin in session)
        async with session.begin_nested():
            session.add(Author(name="Sebald"))
        try:
            async with session.begin_nested():
                session.add(Author(name="Sebald"))
        except exc.IntegrityError as error:
            t.say("savepoint", str(error.orig))
        await session.commit()
        t.say("kept", await session.scalar(select(func.count(Author.id))))
        raised = update(Book).where(Book.year > 1980).values(price=Book.price * 2)
        t.say("bulk update", (await session.execute(raised)).rowcount)
        prices = select(Book.title, Book.price).where(Book.price > 10).order_by(Book.title)
        t.say("prices", (await session.execute(prices)).all())
        await session.execute(delete(Author).where(Author.name == "Sebald"))
        await session.commit()
        kafka = await session.scalar(select(Author).where(Author.name == "Kafka"))
        await session.delete(kafka)
        await session.commit()
        t.say("cascade", await session.scalar(select(func.count()).select_from(Loan)))
        merged = await session.merge(Author(id=1, name="V. Woolf"))
        await session.commit()
        t.say("merge", await merged.awaitable_attrs.name)


async def name_of(reader):
    return reader.name


async def versions(t: Transcript, engine):
    t.section("versions")
    make = async_sessionmaker(engine, expire_on_commit=False)
    solaris = select(Book).where(Book.title == "Solaris")
    async with make() as one, make() as other:
        mine, theirs = await one.scalar(solaris), await other.scalar(solaris)
        await other.commit()
        mine.price = 11.0
        await one.commit()
        t.say("version", mine.version)
        theirs.price = 12.0
        await refused(t, "stale", StaleDataError, other.commit())
        await other.rollback()
        await other.refresh(theirs)
        t.say("seen now", theirs.price, theirs.version)


async def hooks(t: Transcript, engine):
    t.section("hooks")
    make, log = async_sessionmaker(engine), []

    @event.listens_for(Book, "before_insert")
    def priced(mapper, connection, book):
        book.price = connection.scalar(select(func.max(Book.price))) + 1
        log.append(f"before_insert {book.title}")

    async with make() as session:
        event.listen(session.sync_session, "after_commit", lambda s: log.append("after_commit"))
        event.listen(session.sync_session, "after_rollback", lambda s: log.append("after_rollback"))
        author = await session.scalar(select(Author).where(Author.name == "Lem"))
        session.add(Book(title="Katar", year=1976, author=author))
        await session.commit()
        session.add(Book(title="Katar", year=1976, author=author))
        await refused(t, "twice", exc.IntegrityError, session.commit())
        await session.rollback()
        t.say("log", log)
        katar = await session.scalar(select(Book).where(Book.title == "Katar"))
        t.say("price set in a hook", katar.price)
    event.remove(Book, "before_insert", priced)


async def many_tasks(t: Transcript, engine):
    t.section("tasks")
    make = async_sessionmaker(engine)

    async def titles(name):
        async with make() as session:
            author = await session.scalar(select(Author).where(Author.name == name))
            await asyncio.sleep(0)
            return [book.title for book in await author.awaitable_attrs.books]

    names = ("V. Woolf", "Lem", "Le Guin")
    for name, found in zip(names, await asyncio.gather(*map(titles, names)), strict=True):
        t.say(name, found)
    lock = asyncio.Lock()

    async def borrow(reader_id, book_id):
        async with lock, make() as session, session.begin():
            if await session.get(Loan, (reader_id, book_id)):
                return "has it"
            session.add(Loan(reader_id=reader_id, book_id=book_id, due=datetime.date(2031, 1, 1)))
            return "borrowed"

    pairs = [*itertools.product((2, 3), (3, 4)), (2, 3)]
    t.say("borrow", await asyncio.gather(*(borrow(*pair) for pair in pairs)))
    scoped = async_scoped_session(make, scopefunc=asyncio.current_task)

    async def use_scoped(n):
        loans = await scoped.scalar(select(func.count()).where(and_(Loan.reader_id == n)))
        same = scoped() is scoped()
        await scoped.remove()
        return loans, same

    t.say("scoped", await asyncio.gather(*(use_scoped(n) for n in (1, 2, 3))))
    abandoned = asyncio.create_task(hold_open(make))
    await asyncio.sleep(0.01)
    abandoned.cancel()
    t.say("cancelled in a session", await asyncio.gather(abandoned, return_exceptions=True))
    t.say("returned to the pool", engine.pool.checkedout())


async def hold_open(make):
    async with make() as session:
        await session.scalar(select(func.count(Book.id)))
        await asyncio.sleep(60)


SECTIONS = (filling, loading, changing, versions, hooks, many_tasks)
