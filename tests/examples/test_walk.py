"""The walk without yield gives what os.walk gives."""

import os
from itertools import islice
from pathlib import Path

import pytest

from examples import walk as example
from examples.walk import walk

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path):
    """Folders in folders, one of them empty, one of them hidden, and links."""
    for name in ("a.txt", "b/c.txt", "b/d/e.txt", "b/d/f/g.txt", ".hidden/h.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "nowhere").symlink_to(tmp_path / "missing")
    return tmp_path


def test_a_tree_made_for_it(tree):
    assert list(walk(tree)) == list(os.walk(tree))
    assert len(list(walk(tree))) == 6


def test_the_project_itself():
    found = list(walk(ROOT / "src"))
    assert found == list(os.walk(ROOT / "src"))
    assert any("ringlet" in folders for _, folders, _ in found)


def test_hundreds_of_nested_calls(tmp_path):
    deepest = tmp_path.joinpath(*"d" * 300)
    deepest.mkdir(parents=True)
    (deepest / "leaf").touch()
    found = list(walk(tmp_path))
    assert found == list(os.walk(tmp_path))
    assert found[-1] == (str(deepest), [], ["leaf"])


def test_what_cannot_be_read_is_left_out(tmp_path):
    assert list(walk(tmp_path / "missing")) == []
    (tmp_path / "file").touch()
    assert list(walk(tmp_path / "file")) == []


def test_stays_out_of_the_folders_taken_from_its_list(tree):
    seen = []
    for folder, folders, _ in walk(tree):
        seen.append(Path(folder).name)
        if "d" in folders:
            folders.remove("d")
    assert sorted(seen) == sorted([tree.name, "b", ".hidden", "empty"])


def test_goes_no_further_than_asked(tree, monkeypatch):
    scanned = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(path) or scandir(path))
    walker = walk(tree)
    assert scanned == []
    next(walker)
    assert scanned == [str(tree)]
    walker.close()
    assert list(walker) == []
    assert scanned == [str(tree)]


def test_two_walks_in_step(tree):
    other = walk(tree / "b")
    pairs = list(zip(walk(tree / "b"), other, strict=True))
    assert len(pairs) == 3
    assert all(one == another for one, another in pairs)


def test_files_are_in_order(tree):
    names = [str(Path(path).relative_to(tree)) for path in example.files_below(str(tree))]
    assert names == ["a.txt", "b/c.txt", "b/nowhere", "b/d/e.txt", "b/d/f/g.txt"]
    assert len(list(islice(example.files_below(str(tree)), 2))) == 2


def test_as_a_program(tree, run_example):
    assert run_example("walk", tree, "--limit", 2).stdout == f"{tree}/a.txt\n{tree}/b/c.txt\n"
    assert len(run_example("walk", tree).stdout.splitlines()) == 5
