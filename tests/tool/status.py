# SPDX-License-Identifier: MIT
"""How weir run ends: exit status, death by a signal, programs that cannot be run; and that it leaves files alone."""

import os
import resource
import signal
import subprocess

from harness import WEIR, check, environment, finish, report, scratch, weir, write

for status in (0, 1, 3, 124, 125, 126, 127, 255):
    check(weir("run", "-q", "sh", "-c", f"exit {status}").returncode == status, f"exit status {status} is kept")

# A core file of weir itself, which has the same signal, would be a nuisance.
os.chdir(scratch.name)
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
for name in ("TERM", "KILL", "INT", "HUP", "PIPE", "SEGV", "ABRT", "USR1", "ALRM"):
    number = getattr(signal, f"SIG{name}")
    done = weir("run", "sh", "-c", f"ulimit -c 0; kill -{name} $$")
    check(done.returncode == -number, f"SIG{name} ends weir too", done.returncode, done.stderr)
    check(f"ended by signal {int(number)}," in done.stderr, f"SIG{name} is in the report", done.stderr)
check(
    not [name for name in os.listdir(".") if name.startswith("core")],
    "weir leaves no core file of its own",
    os.listdir("."),
)

# ---- programs that are not there, or no programs

done = weir("run", "no-such-program-anywhere")
check(done.returncode == 127 and "no such program in PATH" in done.stderr, "not in PATH: 127", done.stderr)
done = weir("run", "./nothing/here")
check(done.returncode == 127 and "no such file" in done.stderr, "no such file: 127", done.stderr)
done = weir("run", "")
check(done.returncode == 127 and "empty" in done.stderr, "an empty name: 127", done.stderr)
done = weir("run", write("plain", "text", 0o644))
check(done.returncode == 126 and "permission denied" in done.stderr, "not executable: 126", done.stderr)
done = weir("run", scratch.name)
check(done.returncode == 126 and "directory" in done.stderr, "a directory: 126", done.stderr)
done = weir("run", write("lost", "#!/no/such/interpreter\n"))
check(done.returncode == 127 and "interpreter" in done.stderr, "a script without its interpreter: 127", done.stderr)
done = weir("run", write("broken", b"\x7fELF" + bytes(200)))
check(done.returncode == 126 and "cannot run" in done.stderr, "a broken ELF file: 126", done.stderr)
write("dir/hidden", "text", 0o644)
done = weir("run", "hidden", env={"PATH": f"{scratch.name}/dir:/usr/bin:/bin"})
check(
    done.returncode == 126 or os.getuid() == 0 and done.returncode in (126, 127),
    "in PATH but not executable",
    done.returncode,
    done.stderr,
)

# ---- as execvp(3)

write("bin/first", '#!/bin/sh\necho first $0 "$@"\n')
done = weir("run", "-q", "first", "a b", "", env={"PATH": f"/nowhere:{scratch.name}/bin:/usr/bin:/bin"})
check(
    done.stdout == f"first {scratch.name}/bin/first a b \n", "found in PATH, arguments kept", done.stdout, done.stderr
)
done = weir("run", "-q", "./bin/first", env={"PATH": "/nowhere"})
check(done.stdout == "first ./bin/first\n", "a path is not searched for", done.stdout, done.stderr)
bare = write("bin/bare", 'echo bare "$1"\n')
done = weir("run", "-q", bare, "x")
check(done.stdout == "bare x\n", "a script that names no interpreter is the shell's", done.stdout, done.stderr)
done = weir("run", "-q", "sh", "-c", "echo $0 $1", "zero", "one")
check(done.stdout == "zero one\n", "argv is passed as it is", done.stdout)

# ---- files, and what a program inherits

done = weir("run", "-q", "cat", input="in and out")
check(done.stdout == "in and out" and done.stderr == "", "standard input and output are the program's", done.stderr)
done = weir("run", "-q", "ls", "-l", "/proc/self/fd")
lines = [line for line in done.stdout.splitlines() if "->" in line and "/proc/" not in line.split("->")[1]]
check(len(lines) == 3, "the program has no files of weir's", done.stdout)
read_end, write_end = os.pipe()
done = weir("run", "-q", "sh", "-c", f"echo through >&{write_end}", pass_fds=[write_end])
check(os.read(read_end, 100) == b"through\n", "other open files are inherited", done.stderr)
ignored = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
plain = subprocess.run(["sh", "-c", ignored], stdout=subprocess.PIPE, text=True).stdout
check(weir("run", "-q", "sh", "-c", ignored).stdout == plain, "signal mask and dispositions are as without weir", plain)


def unusual():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


command = ["cat", "/proc/self/status"]
plain = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=unusual).stdout
under = subprocess.run(
    [WEIR, "run", "-q", *command], stdout=subprocess.PIPE, text=True, preexec_fn=unusual, env=environment()
)
pick = [[line for line in text.splitlines() if line.startswith(("SigBlk", "SigIgn"))] for text in (plain, under.stdout)]
check(pick[0] == pick[1] and under.returncode == 0, "also where a caller blocked and ignored some", *pick)

done, data = report("sh", "-c", "exec sleep 0.05")
check(done.returncode == 0 and data["exit_status"] == 0, "a program that executes another", data)
before = set(os.listdir("/tmp"))
weir("run", "-q", "true", env={"TMPDIR": scratch.name})
check(not [name for name in os.listdir(scratch.name) if name.startswith("weir-")], "no temporary file is left")
# What the program leaves in the background, and has weir's output: read to its end. It outlives weir's report.
late = 'while [ -e "$WEIR_REPORT" ]; do LD_PRELOAD= sleep 0.01; done; exec true'
weir("run", "-q", "sh", "-c", '(eval "$1") & exit 0', "sh", late, env={"TMPDIR": scratch.name})
check(not [name for name in os.listdir(scratch.name) if name.startswith("weir-")], "nor by who outlives weir")
done = weir("run", "true", env={"TMPDIR": "/nowhere"})
check(
    done.returncode == 0 and "/nowhere/weir-" in done.stderr,
    "no place for the temporary file: said, and it goes on",
    done.stderr,
)
done = weir("run", "--output", "/nowhere/report", "touch", "ran")
check(
    done.returncode == 125 and not os.path.exists("ran"),
    "no place for the report: 125 before anything runs",
    done.stderr,
)
with subprocess.Popen([WEIR, "run", "sh", "-c", "exit 7"], stderr=subprocess.PIPE, env=environment()) as running:
    running.stderr.close()
check(running.returncode == 7, "nobody reads the report: the status is kept", running.returncode)
finish()
