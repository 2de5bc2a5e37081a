"""Which files have changed."""

import os
import sys
import time

from ringlet.servers.reload import FileWatch, imported_files

LONG_AGO = 10**9


def write(path, text, moment=LONG_AGO):
    path.write_text(text)
    os.utime(path, (moment, moment))
    return str(path)


def test_a_file_that_changes_is_told_once(tmp_path):
    first, second = write(tmp_path / "a.py", "1"), write(tmp_path / "b.py", "1")
    watch = FileWatch()
    watch.add([first, second], since=time.time())
    assert watch.files == [first, second]
    assert watch.changed() is None
    write(tmp_path / "b.py", "two")
    assert watch.changed() == second
    assert watch.changed() is None
    write(tmp_path / "a.py", "1", LONG_AGO + 1)
    assert watch.changed() == first


def test_a_file_that_is_missing_has_not_changed_until_it_is_back(tmp_path):
    path = write(tmp_path / "a.py", "1")
    watch = FileWatch()
    watch.add([path, str(tmp_path / "never.py")], since=time.time())
    os.unlink(path)
    assert watch.changed() is None
    write(tmp_path / "a.py", "new")
    assert watch.changed() == path


def test_a_file_may_have_changed_before_it_was_watched(tmp_path):
    now = time.time()
    recent = write(tmp_path / "a.py", "1", now - 10)
    watch = FileWatch()
    watch.add([recent], since=now - 20)  # which is when somebody began to read it
    assert watch.changed() == recent
    assert watch.changed() is None
    watch = FileWatch()
    watch.add([recent], since=now - 5)
    assert watch.changed() is None


def test_a_time_to_come_is_no_change(tmp_path):
    later = write(tmp_path / "a.py", "1", time.time() + 1000)
    watch = FileWatch()
    watch.add([later], since=0)
    assert watch.changed() is None


def test_folders_are_watched_as_a_whole(tmp_path):
    inner = tmp_path / "templates" / "inner"
    inner.mkdir(parents=True)
    old = write(inner / "old.html", "1")
    watch = FileWatch([str(tmp_path / "templates"), str(tmp_path / "one.cfg")])
    assert watch.changed() is None
    write(inner / "old.html", "two")
    assert watch.changed() == old
    new = write(inner / "new.html", "1")
    assert watch.changed() == new
    single = write(tmp_path / "one.cfg", "1")
    assert watch.changed() == single
    assert watch.changed() is None


def test_imported_files_are_those_of_modules_in_python(monkeypatch):
    found = imported_files()
    assert os.path.abspath(__file__) in found
    assert time.__name__ in sys.modules
    assert all(os.path.isabs(name) and name.endswith(".py") for name in found)
    monkeypatch.setitem(sys.modules, "strange", None)
    assert imported_files() == found
