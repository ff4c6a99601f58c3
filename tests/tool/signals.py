# SPDX-License-Identifier: MIT
"""Signals sent to weir run: the program gets each once, whoever sends it and how; and stops are followed."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

from harness import PATIENCE, WEIR, check, environment, eventually, finish, scratch

# Writes a line when ready, "+NAME" for each signal that it gets, and ends with status 5 at a USR2.
LISTENER = f"""
import os, signal, sys, time
def say(text): os.write(1, (text + "\\n").encode())
def hear(number, frame):
    say("+" + signal.Signals(number).name)
    if number == signal.SIGUSR2: os._exit(5)
for name in sys.argv[1:]: signal.signal(getattr(signal, name), hear)
say("ready %d" % os.getpid())
while True: time.sleep(0.05)
"""
SIGNALS = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGWINCH", "SIGCONT", "SIGRTMIN"]


class Session:
    """weir run with the listener, in a process group of its own; `lines` are what the listener wrote."""

    def __init__(self, *names, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, WEIR, "run", "-q", sys.executable, "-S", "-c", LISTENER, *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(TMPDIR=scratch.name),
            start_new_session=True,
        )
        self.lines, self.rest = [], b""
        self.wait_for(1)
        self.pid = int(self.lines.pop(0).split()[1]) if self.lines else 0

    def collect(self):
        """Takes what comes in a fiftieth of a second."""
        if select.select([self.process.stdout], [], [], 0.02)[0]:
            *whole, self.rest = (self.rest + os.read(self.process.stdout.fileno(), 4096)).split(b"\n")
            self.lines += [line.decode() for line in whole]

    def wait_for(self, count):
        """Collects lines until there are so many, or time is up; then until weir and its witness have no signal left
        to deal with, as the next one of its kind would be lost in it."""
        end = time.monotonic() + PATIENCE
        while len(self.lines) < count and time.monotonic() < end:
            self.collect()
        eventually(lambda: not any(pending(pid) for pid in (self.process.pid, *self.witnesses())))

    def witnesses(self):
        """The children of weir that are not the program."""
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
                return [int(pid) for pid in file.read().split()[:1]]
        except FileNotFoundError:
            return []

    def heard(self, *names):
        """What has come; with a little time more, for what should not come."""
        self.wait_for(len(names))
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            self.collect()
        got, self.lines = self.lines, []
        return [line.lstrip("+") for line in got]

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR2)
        return self.process.wait(PATIENCE)


def pending(pid):
    """Whether a living process has signals that it has not taken yet."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status["State"][0] not in "ZX" and int(status["SigPnd"], 16) | int(status["ShdPnd"], 16) != 0


def state(pid):
    """The letter that the system has for it, Z also when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


session = Session(*SIGNALS)
for name in SIGNALS:
    if name == "SIGUSR2":
        continue
    number = getattr(signal, name)
    session.process.send_signal(number)
    got = session.heard(name)
    check(got == [name], f"{name} to weir alone reaches the program once", got)
    os.killpg(session.process.pid, number)
    got = session.heard(name)
    check(got == [name], f"{name} to the process group reaches the program once", got)
    os.kill(session.pid, number)
    got = session.heard(name)
    check(got == [name], f"{name} to the program is its own", got)
for _ in range(5):
    session.process.send_signal(signal.SIGRTMIN)
check(session.heard(*["SIGRTMIN"] * 5) == ["SIGRTMIN"] * 5, "five real-time signals are five")
check(session.end() == 5, "the status is that of the program, which chose to end so")

session = Session()
session.process.terminate()
check(session.process.wait(PATIENCE) == -signal.SIGTERM, "SIGTERM ends a program that does not mind it, and weir too")
session = Session("SIGUSR2")
os.killpg(session.process.pid, signal.SIGINT)
check(session.process.wait(PATIENCE) == -signal.SIGINT, "so does SIGINT to the group")

# Signals to the group: one each, whatever the order in which processes wake.
session = Session("SIGUSR1", "SIGUSR2")
for number in range(20):
    os.killpg(session.process.pid, signal.SIGUSR1)
    session.wait_for(number + 1)
got = session.heard(*["SIGUSR1"] * 20)
check(got == ["SIGUSR1"] * 20, "twenty signals to the group are twenty", len(got))
check(session.end() == 5, "and the program ends as it wants")

# ---- a witness that is gone

session = Session("SIGUSR1", "SIGUSR2")
witnesses = session.witnesses()
check(len(witnesses) == 1, "there is one witness", witnesses)
for pid in witnesses:
    os.kill(pid, signal.SIGKILL)
eventually(lambda: all(state(pid) == "Z" for pid in witnesses))
session.process.send_signal(signal.SIGUSR1)
check(session.heard("SIGUSR1") == ["SIGUSR1"], "without the witness signals still go through")
with open(f"/proc/{session.process.pid}/stat", encoding="ascii") as file:
    ticks = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
check(ticks < 20, "and weir does not spin", ticks)
check(session.end() == 5, "and the status is kept")

# ---- stopping and going on

session = Session("SIGUSR1", "SIGUSR2")
session.process.send_signal(signal.SIGTSTP)
# Its group has no shell above it that could wake it, so the system does not let SIGTSTP stop the program.
check(
    session.heard() == [] and state(session.process.pid) != "T",
    "SIGTSTP in a group without a shell stops nothing",
)
os.kill(session.pid, signal.SIGSTOP)
check(
    eventually(lambda: state(session.pid) == "T")
    and not eventually(lambda: state(session.process.pid) == "T", 0.3),
    "a SIGSTOP to the program alone stops it alone",
)
os.kill(session.pid, signal.SIGCONT)
session.process.send_signal(signal.SIGUSR1)
check(session.heard("SIGUSR1") == ["SIGUSR1"], "it goes on after SIGCONT")
session.end()

# ---- a weir that is killed

session = Session("SIGUSR2")
others = session.witnesses()
session.process.kill()
session.process.wait()
check(
    others and eventually(lambda: not [pid for pid in others if state(pid) != "Z"]),
    "SIGKILL of weir ends its witness",
)
os.kill(session.pid, signal.SIGKILL)

# ---- under a shell with job control, in a terminal


class Terminal:
    def __init__(self, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment(PS1="% ", TERM="dumb", WEIR=WEIR, HISTFILE=None))
        self.text = ""

    def expect(self, wanted, seconds=PATIENCE):
        """Reads until `wanted` is there; what comes up to it is dropped."""
        end = time.monotonic() + seconds
        while wanted not in self.text and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.text += os.read(self.fd, 4096).decode(errors="replace").replace("\r", "")
                except OSError:
                    break
        found = wanted in self.text
        if found:
            self.text = self.text.split(wanted, 1)[1]
        return found

    def send(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


terminal = Terminal("bash", "--norc", "--noprofile", "-i")
script = os.path.join(scratch.name, "listener.py")
with open(script, "w", encoding="ascii") as out:
    out.write(LISTENER)
terminal.expect("% ")
terminal.send(f"$WEIR run -q {sys.executable} -S {script} SIGINT SIGUSR1 SIGUSR2\n")
check(terminal.expect("ready"), "in a terminal: the program starts", terminal.text)
terminal.send("\x03")
check(terminal.expect("+SIGINT") and not terminal.expect("+SIGINT", 0.5), "Ctrl-C reaches it once", terminal.text)
terminal.send("\x1a")
check(terminal.expect("Stopped") and terminal.expect("% "), "Ctrl-Z gives the shell its terminal back", terminal.text)
terminal.send("kill -USR1 %1; fg\n")
check(terminal.expect("+SIGUSR1"), "fg lets it go on, and what came meanwhile with it", terminal.text)
check(not terminal.expect("+SIGUSR1", 0.5), "once", terminal.text)
terminal.send("\x1a")
terminal.expect("% ")
terminal.send("bg; sleep 0.2; kill -USR2 %1; wait %1; echo status $?\n")
check(terminal.expect("status 5"), "bg, and a kill of the job: the program ends it", terminal.text)
terminal.send("$WEIR run -q sh -c 'echo as\"\"leep; exec sleep 300'\n")
terminal.expect("asleep")
terminal.send("\x03")
terminal.expect("% ")
terminal.send("echo status $?\n")
check(terminal.expect("status 130"), "Ctrl-C ends a program that does not mind it: 130", terminal.text)
terminal.send("$WEIR run -q bash --norc --noprofile -i\n")
terminal.expect("% ")
terminal.send("suspend -f\n")
check(terminal.expect("Stopped"), "a shell under weir can suspend itself", terminal.text)
terminal.expect("% ")
terminal.send("fg\n")
terminal.expect("% ")
terminal.send("exit 9\n")
terminal.expect("% ")
terminal.send("echo status $?\n")
check(terminal.expect("status 9"), "and go on and end", terminal.text)
terminal.send("exit\n")
terminal.close()
finish()
