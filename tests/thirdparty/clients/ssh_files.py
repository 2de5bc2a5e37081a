"""ssh_files.py PORT USER KEY FOLDER: ten connections, on each of which ten sessions wait."""

import os
import sys
import threading
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paramiko
from crowd import COUNT, crowd

port, user, key, folder = sys.argv[1:]
CONNECTIONS = 10


def slow(number):
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            "127.0.0.1", int(port), user, key_filename=key, look_for_keys=False, allow_agent=False
        )
        answers = []

        def session(each):
            with client.open_sftp() as files:
                with files.open(f"{folder}/begun/{number}-{each}", "w") as file:
                    file.write(str(each))
                # The other side opens it when somebody has opened it for writing, and not before.
                files.open(gate).close()
                with files.open(f"{folder}/begun/{number}-{each}") as file:
                    answers.append(int(file.read()))

        threads = [threading.Thread(target=session, args=(each,)) for each in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if number == 0:
            stdin, stdout, _ = client.exec_command("cat")
            stdin.write("through a shell")
            stdin.channel.shutdown_write()
            assert stdout.read() == b"through a shell"
        return sorted(answers)


assert CONNECTIONS * 10 == COUNT
os.mkdir(os.path.join(folder, "begun"))
gate = os.path.join(folder, "gate")
os.mkfifo(gate)
crowd(
    slow,
    at_once=lambda: len(os.listdir(os.path.join(folder, "begun"))),
    release=lambda: os.open(gate, os.O_WRONLY),  # and open it stays
    threads=CONNECTIONS,
)
