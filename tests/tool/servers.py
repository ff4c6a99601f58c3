# SPDX-License-Identifier: MIT
"""weir compare with a server: ready by port or by time, its load, its signal, and what can go wrong with each."""

import json
import os
import re
import socket
import sys

from harness import PATIENCE, check, finish, free_port, scratch, weir, write

MIB = 1 << 20

# Answers each line with a count; grows by 20 MiB at a "grow", and says at a TERM that it ends.
SERVER = f"""#!{sys.executable}
import signal, socket, sys, os
def end(number, frame):
    open(os.environ["ENDED"], "a").write(signal.Signals(number).name + "\\n")
    sys.exit(0)
for name in ("SIGTERM", "SIGHUP"): signal.signal(getattr(signal, name), end)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
kept = []
while True:
    connection, _ = listener.accept()
    for line in connection.makefile():
        if line == "grow\\n": kept.append(bytearray(b"x" * (20 << 20)))
        if line == "die\\n": os._exit(3)
        connection.sendall(b"done\\n")
    connection.close()
"""
LOAD = f"""#!{sys.executable}
import socket, sys, time
end = time.monotonic() + 60
while True:
    try:
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        break
    except ConnectionRefusedError:  # with --ready=SECONDS it may come before the server
        if time.monotonic() > end: raise
        time.sleep(0.01)
answers = connection.makefile()
for word in sys.argv[2:]:
    connection.sendall(word.encode() + b"\\n")
    answers.readline()
time.sleep(0.3)
"""


server, load = write("server", SERVER), write("load", LOAD)
ended = os.path.join(scratch.name, "ended")


def compare(words, *args, port=None, ready=None):
    port = port or free_port()
    if os.path.exists(ended):
        os.unlink(ended)
    return weir(
        "compare",
        "-q",
        "--only=glibc,weir",
        f"--start={server} {port}",
        f"--load={load} {port} {words}",
        f"--ready={ready or port}",
        *args,
        env={"ENDED": ended},
    )


def signals():
    with open(ended, encoding="ascii") as file:
        return file.read().split()


done = compare("grow one two", "-n", "2", "--json=-")
result = json.loads(done.stdout)["results"][0]
check(done.returncode == 0 and result["kind"] == "server", "a server under its load", done.stdout, done.stderr)
check(signals() == ["SIGTERM"] * 6, "it ends by SIGTERM, after each run", signals())
for row in result["allocators"]:
    name, median = row["allocator"], {key: value["median"] for key, value in row["summary"].items()}
    check(0.3 <= median["wall_seconds"] < 60, f"{name}: the time is the load's", median)
    check(
        25 * MIB < median["resident_at_end"] <= median["peak_resident"] < 60 * MIB,
        f"{name}: memory is the server's",
        median,
    )
    check(median["user_seconds"] + median["system_seconds"] > 0.01, f"{name}: CPU time is the server's", median)
done = compare("one", "-n", "1", "--warm-up=0", "--stop=HUP", "--settle=0.4", "--json=-", ready="1.0s")
result = json.loads(done.stdout)["results"][0]
check(done.returncode == 0 and signals() == ["SIGHUP"] * 2, "--stop=HUP, --ready=1.0s", done.stderr, signals())
curve = result["allocators"][0]["resident_over_time"]
check(0.6 < curve[-1][0] < 60, "--settle: it is watched after its load", curve[-1])

done = compare("one die", "-n", "1")
check(
    done.returncode == 1 and len(re.findall("the server ended under its load: exit status 3", done.stdout)) == 2,
    "a server that ends under its load: said",
    done.stdout,
)
done = weir(
    "compare",
    "-q",
    "-n",
    "1",
    "--only=glibc",
    "--start=sleep 60",
    "--load=echo no >&2; exit 4",
    "--ready=0.1s",
)
check(
    done.returncode == 1 and "the load failed, exit status 4; it said: no" in done.stdout,
    "a load that fails",
    done.stdout,
)
for start, load, said in (
    ("kill -STOP $$; sleep 60", "sleep 60", "the server was stopped by SIGSTOP and not continued within 5 s"),
    ("sleep 60", "kill -STOP $$; sleep 60", "the load was stopped by SIGSTOP and not continued within 5 s"),
):
    done = weir("compare", "-q", "-n", "1", "--only=glibc", f"--start={start}", f"--load={load}", "--ready=0.1s",
                timeout=PATIENCE)
    check(done.returncode == 1 and said in done.stdout, f"{said[:22]}", done.stdout, done.stderr)
done = weir("compare", "-q", "-n", "1", "--only=glibc", "--start=false", "--load=true", "--ready=5s")
check(
    done.returncode == 1 and "the server did not stay: exit status 1" in done.stdout,
    "one that ends at once",
    done.stdout,
)
done = weir("compare", "-q", "--start=no-such-server x", "--load=true", "--ready=1s")
check(done.returncode == 127 and "no-such-server" in done.stderr, "one that is not there", done.stderr)
with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    done = compare("one", "-n", "1", port=port)
check(
    done.returncode == 1 and f"something answers on port {port} already" in done.stdout,
    "a port that is taken",
    done.stdout,
)
done = weir("compare", "-q", "--start=sleep 1", "--load=true", "--ready=1s", "--stop=NOPE")
check(done.returncode == 125 and "no signal 'NOPE'" in done.stderr, "a signal that is none", done.stderr)
finish()
