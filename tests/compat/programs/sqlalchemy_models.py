"""The tables of a library: authors, books, readers and loans."""

import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    books: Mapped[list["Book"]] = relationship(
        back_populates="author", order_by="Book.title", cascade="all, delete-orphan"
    )

    def __repr__(self):
        return f"<Author {self.name}>"


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    year: Mapped[int]
    price: Mapped[float] = mapped_column(default=10.0)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    version: Mapped[int] = mapped_column()
    author: Mapped[Author] = relationship(back_populates="books")
    loans: Mapped[list["Loan"]] = relationship(back_populates="book", cascade="all")
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form
    __table_args__ = (UniqueConstraint("title", "author_id"),)

    def __repr__(self):
        return f"<Book {self.title}>"

    @hybrid_property
    def is_old(self):
        return self.year < 1950


class Reader(Base):
    __tablename__ = "reader"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    loans: Mapped[list["Loan"]] = relationship(back_populates="reader", cascade="all")

    def __repr__(self):
        return f"<Reader {self.name}>"


class Loan(Base):
    __tablename__ = "loan"
    reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"), primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"), primary_key=True)
    due: Mapped[datetime.date]
    reader: Mapped[Reader] = relationship(back_populates="loans")
    book: Mapped[Book] = relationship(back_populates="loans")
