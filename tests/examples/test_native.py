"""The extension module that uses ringlet.h, built as the page says."""

import gc
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ringlet
from ringlet import GreenletExit, getcurrent, greenlet

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "native" / "words.c"
TEXT = "to be  or\nnot to be"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The module, compiled here and now."""
    library = tmp_path_factory.mktemp("native") / "words.so"
    includes = [f"-I{folder}" for folder in (sysconfig.get_path("include"), ringlet.get_include())]
    link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        ["cc", "-shared", "-fPIC", *strict, *includes, str(SOURCE), "-o", str(library), *link],
        check=True,
    )
    spec = importlib.util.spec_from_file_location("words", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler here")
def test_the_header_is_cxx_too(tmp_path):
    source = tmp_path / "empty.cpp"
    source.write_text(
        "#include <Python.h>\n#include <ringlet.h>\nint main() { return Ringlet_Import(); }\n"
    )
    includes = [f"-I{folder}" for folder in (sysconfig.get_path("include"), ringlet.get_include())]
    strict = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
    subprocess.run(["c++", "-fsyntax-only", *strict, *includes, str(source)], check=True)


def pulled(reader, *first):
    word = reader.switch(*first)
    while not reader.dead:
        yield word
        word = reader.switch()


def test_words_are_pulled_from_a_library_that_pushes(words):
    assert list(pulled(greenlet(words.split), TEXT)) == TEXT.split()


def test_more_readers_than_slots_take_turns(words):
    readers = [greenlet(words.split) for _ in range(200)]
    assert [reader.switch(f"a{number} b") for number, reader in enumerate(readers)] == [
        f"a{number}" for number in range(200)
    ]
    assert [reader.switch() for reader in readers] == ["b"] * 200
    assert [reader.switch() for reader in readers] == [None] * 200


def test_an_exception_stops_the_library(words):
    reader = greenlet(words.split)
    reader.switch(TEXT)
    with pytest.raises(KeyError, match="enough"):
        reader.throw(KeyError("enough"))
    assert reader.dead


def test_dropping_one_stops_the_library_and_leaves_nothing_behind(words):
    class Text(str):
        __slots__ = ("__weakref__",)
        dropped = 0

        def __del__(self):
            Text.dropped += 1

    reader = greenlet(words.split)
    reader.switch(Text(TEXT))
    del reader
    gc.collect()
    assert Text.dropped == 1


def test_there_must_be_a_parent_to_hand_words_to(words):
    with pytest.raises(RuntimeError, match="the main greenlet has no parent"):
        words.split(TEXT)


def test_what_is_no_string_is_refused(words):
    with pytest.raises(TypeError):
        greenlet(words.split).switch(5)


@pytest.mark.parametrize(("text", "word"), [("a bbb cc", "bbb"), ("", None), (" \n", None)])
def test_greenlets_made_in_c(words, text, word):
    assert words.longest(text) == word
    assert greenlet(words.longest).switch(text) == word


def test_errors_of_greenlets_made_in_c(words):
    with pytest.raises(TypeError):
        words.longest(5)
    reader = greenlet(words.split)
    reader.parent = greenlet(lambda word: getcurrent().parent.switch(word))
    assert reader.switch("one two") == "one"
    assert reader.throw(GreenletExit) is not None
