"""Database drivers are told to wait cooperatively, whenever they are imported."""

import pytest

from tests.support.isolated import run_isolated

# What of the two is called and looked at. The real ones are in tests/thirdparty.
DRIVERS = """
import os, sys, tempfile
folder = tempfile.mkdtemp()
for name, text in {
    "psycopg2/__init__.py": "from psycopg2 import extensions",
    "psycopg2/extensions.py": '''
callback = None
def get_wait_callback():
    return callback
def set_wait_callback(f):
    global callback
    callback = f
''',
    "psycopg/__init__.py": "from psycopg import waiting",
    "psycopg/waiting.py": '''
def wait_c(): pass
def wait_poll(): pass
wait = wait_c
''',
}.items():
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
sys.path.insert(0, folder)
import ringlet.patch
from ringlet.patch.drivers import wait_for_psycopg2
"""
IMPORT = "import psycopg, psycopg2"
INSTALL = "ringlet.patch.install()"


@pytest.mark.parametrize("order", [(IMPORT, INSTALL), (INSTALL, IMPORT)], ids=["late", "early"])
def test_drivers_are_told_and_untold(order):
    first, second = order
    run_isolated(
        f"""
{DRIVERS}
path = list(sys.meta_path)
{first}
{second}
from psycopg import waiting
assert waiting.wait is waiting.wait_poll
assert psycopg2.extensions.callback is wait_for_psycopg2
assert type(waiting.__spec__.loader) is type(waiting.__loader__) is type(psycopg.__loader__)
ringlet.patch.uninstall()
assert waiting.wait is waiting.wait_c and psycopg2.extensions.callback is None
assert sys.meta_path == path
"""
    )


def test_the_callback_waits_for_what_the_connection_wants():
    run_isolated(
        """
import os, ringlet
from ringlet.patch.drivers import wait_for_psycopg2
reader, writer = os.pipe()
states = [2, 1, 0]

class Connection:
    def poll(self):
        return states.pop(0)
    def fileno(self):
        return writer if len(states) == 2 else reader

waiting = ringlet.spawn(wait_for_psycopg2, Connection())
ringlet.schedule()
ringlet.schedule()
assert waiting.state == "parked" and states == [0]
os.write(writer, b"x")
waiting.result()
assert states == []
"""
    )
