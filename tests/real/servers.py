# SPDX-License-Identifier: MIT
"""Servers under load. They listen on Unix sockets, or on a port of the loopback interface that was free, and end with
their case. Only with WEIR_TEST_FULL=1."""

import contextlib
import hashlib
import os
import pwd
import random
import signal
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

from harness import Failure, case, find, free_port


def digest(data):
    return hashlib.sha256(data).hexdigest()[:32]


@contextlib.contextmanager
def serving(side, argv, ready, ends_with=0, how=signal.SIGTERM, **more):
    """A server from when ready() is true to the end of the block. It must then end by itself when told to; what Weir
    says in it counts."""
    with open(side.dir / "log", "wb") as log:
        process = side.start(argv, stdout=log, stderr=log, **more)
    try:
        side.wait_for(f"{Path(argv[0]).name} to start", ready, process)
        side.look_at(process.pid)
        yield process
        if process.poll() is not None:
            raise Failure(f"on {side.name}: {argv[0]} has ended by itself\n" + log_of(side))
        status = side.stop(process, how)
        if status != ends_with:
            raise Failure(f"on {side.name}: {argv[0]} ended with {status}\n" + log_of(side))
    except Failure as failure:
        raise Failure(f"{failure}\n{log_of(side)}") from None
    finally:
        side.stop(process, signal.SIGKILL)
        side.listen((side.dir / "log").read_bytes())


def log_of(side):
    return (side.dir / "log").read_bytes().decode(errors="replace")[-2000:]


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
    return True


def in_threads(count, function):
    """Calls function(0) to function(count - 1), each in a thread; their results, in order."""
    results = [None] * count

    def work(number):
        try:
            results[number] = function(number)
        except Exception as error:  # shown by the caller
            results[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise Failure(f"a client failed: {result!r}")
    return results


# ---- redis ----

def redis_commands():
    """Keys of every kind, from short to long, many overwritten and deleted again."""
    chance = random.Random(3)
    for number in range(40000):
        key = f"{chance.choice('shlzt')}:{chance.randrange(4000)}"
        value = f"{chance.getrandbits(32):x}" * chance.randrange(1, 60)
        kind = key[0]
        yield {"s": f"SET {key} {value}", "h": f"HSET {key} f{number % 90} {value}",
               "l": f"RPUSH {key} {value}", "z": f"ZADD {key} {number % 1000} {value[:40]}",
               "t": f"SADD {key} {value[:30]}"}[kind]
        if number % 5 == 0:
            yield f"DEL {chance.choice('shlzt')}:{chance.randrange(4000)}"
        if number % 7 == 0:
            yield f"APPEND s:{chance.randrange(4000)} {value}"
        if number % 11 == 0:
            yield f"LTRIM l:{chance.randrange(4000)} 0 20"


@case("redis", needs=["redis-server", "redis-cli", "redis-benchmark"], active=["redis-cli", "redis-benchmark"],
      full=True, cpu=2)
def redis(side):
    address = ["-s", "redis.sock"]
    server = [find("redis-server"), "--port", "0", "--unixsocket", side.dir / "redis.sock", "--dir", side.dir,
              "--save", "", "--enable-debug-command", "yes", "--daemonize", "no"]

    def ask(*words, **more):
        return side.run(["redis-cli", *address, *words], **more)

    def ready():
        return can_connect(side.dir / "redis.sock")

    def save():
        ask("BGSAVE")
        side.wait_for("the background save", lambda: b"rdb_bgsave_in_progress:0" in ask("INFO", "persistence"))
        if b"rdb_last_bgsave_status:ok" not in ask("INFO", "persistence"):
            raise Failure(f"on {side.name}: the background save failed")

    with serving(side, server, ready):
        side.run(["redis-benchmark", *address, "-q", "-n", "30000", "-c", "30", "-P", "8", "-r", "20000", "-d", "200",
                  "-t", "set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset"])
        save()
        ask("FLUSHALL")
        ask(stdin="\n".join(redis_commands()).encode())
        before = ask("DEBUG", "DIGEST"), ask("DBSIZE")
        save()
        ask("DEBUG", "RELOAD")
        reloaded = ask("DEBUG", "DIGEST")
    with serving(side, server, ready):
        after = ask("DEBUG", "DIGEST"), ask("DBSIZE")
    if before != after or reloaded != before[0]:
        raise Failure(f"on {side.name}: saved {before}, loaded {after}, reloaded {reloaded}")
    return before


# ---- memcached ----

class Memcached:
    """A connection; as much of the text protocol as is needed here."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(100)
        self.sock.connect(str(path))
        self.stream = self.sock.makefile("rb")

    def command(self, line, data=None):
        self.sock.sendall(line.encode() + b"\r\n" + (data + b"\r\n" if data is not None else b""))
        return self.stream.readline().strip()

    def get(self, key):
        first = self.command(f"get {key}").split()
        if first == [b"END"]:
            return None
        data = self.stream.read(int(first[3]) + 2)[:-2]
        self.stream.readline()
        return data

    def close(self):
        self.stream.close()
        self.sock.close()


def memcached_client(path, number):
    """Each client has keys of its own, so what is left does not depend on the order of clients."""
    chance = random.Random(number)
    client = Memcached(path)
    for _ in range(6000):
        key = f"c{number}.{chance.randrange(300)}"
        kind = chance.randrange(10)
        if kind < 5:
            client.command(f"set {key} 0 0 {(size := chance.randrange(1, 9000))}", chance.randbytes(size))
        elif kind < 7:
            client.get(key)
        elif kind < 8:
            client.command(f"append {key} 0 0 4", b"more")
        else:
            client.command(f"delete {key}")
    values = [client.get(f"c{number}.{i}") for i in range(300)]
    client.close()
    return digest(repr(values).encode())


@case("memcached", needs=["memcached"], full=True)
def memcached(side):
    path = side.dir / "memcached.sock"
    server = [find("memcached"), "-s", path, "-U", "0", "-t", "4", "-m", "128", "-I", "2m"]
    server += ["-u", "root"] if os.getuid() == 0 else []
    with serving(side, server, lambda: can_connect(path)):
        return in_threads(8, lambda number: memcached_client(path, number))


# ---- nginx ----

NGINX = """
{user}
daemon off;
worker_processes 2;
pid {dir}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    types {{ text/plain txt; }}
    gzip on;
    gzip_types text/plain;
    gzip_min_length 1;
    keepalive_requests 50;
    server {{
        listen 127.0.0.1:{port};
        root {dir}/www;
        location /again/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_buffering on; }}
    }}
}}
"""


def fetch(url, **headers):
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=100) as answer:
        return answer.read()


def load(side, url):
    """Two seconds of requests on many connections, by whatever tool there is; else by ourselves."""
    with contextlib.suppress(Exception):
        tool = find("wrk")
        return subprocess.run([tool, "-t2", "-c24", "-d2s", "-H", "Accept-Encoding: gzip", url], check=True,
                              capture_output=True, env=side.environment(), timeout=100)
    with contextlib.suppress(Exception):
        tool = find("ab")
        return subprocess.run([tool, "-q", "-n", "20000", "-c", "24", "-H", "Accept-Encoding: gzip", url], check=True,
                              capture_output=True, env=side.environment(), timeout=100)
    return in_threads(12, lambda number: [fetch(url, Accept_Encoding="gzip") for _ in range(300)] and None)


@case("nginx", needs=["nginx"], full=True, cpu=2)
def nginx(side):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    chance = random.Random(4)
    (side.dir / "www").mkdir()
    names = []
    for number in range(40):
        names.append(f"f{number}.txt")
        (side.dir / "www" / names[-1]).write_text("".join(f"{chance.getrandbits(64):x}\n" * 3
                                                          for _ in range(number * 50 + 1)))
    user = "user root;" if os.getuid() == 0 else ""
    (side.dir / "nginx.conf").write_text(NGINX.format(dir=side.dir, port=port, user=user))
    server = [find("nginx"), "-p", side.dir, "-e", "stderr", "-c", side.dir / "nginx.conf"]

    def all_files():
        return in_threads(4, lambda number: [digest(fetch(url + place + name)) for name in names[number::4]
                                             for place in ("/", "/again/", "/again/again/")])

    with serving(side, server, lambda: fetch(url + "/" + names[0])) as process:
        first = all_files()
        load(side, f"{url}/{names[20]}")
        process.send_signal(signal.SIGHUP)  # new workers, the old ones finish what they have
        load(side, f"{url}/again/{names[9]}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        side.wait_for("two workers", lambda: sum(map(side.look_at, children.read_text().split())) >= 2, process)
        second = all_files()
    if first != second:
        raise Failure(f"on {side.name}: files differ from request to request")
    return first


# ---- postgres ----

SUMS = """
SELECT sum(abalance), count(*) FROM pgbench_accounts;
SELECT sum(tbalance) FROM pgbench_tellers;
SELECT sum(bbalance) FROM pgbench_branches;
SELECT sum(delta), count(*) FROM pgbench_history;
"""

QUERIES = """
SET work_mem = '1MB';
SELECT md5(string_agg(aid || ':' || abalance, ',' ORDER BY abalance, aid)) FROM pgbench_accounts;
SELECT bid, count(*), sum(a.abalance * b.abalance) FROM pgbench_accounts a JOIN pgbench_accounts b USING (bid)
    WHERE a.aid % 500 = 1 AND b.aid % 700 = 2 GROUP BY bid ORDER BY bid;
SELECT md5(json_agg(r)::text) FROM (SELECT i, repeat('x', i % 300) s, array_agg(i * k) FROM generate_series(1, 3000) i,
    generate_series(1, 20) k GROUP BY i ORDER BY i) r;
DO $$ DECLARE t text := ''; BEGIN FOR i IN 1..20000 LOOP t := substr(t || i, 1, 5000 + i % 3000); END LOOP; END $$;
CREATE TABLE words AS SELECT i, md5(i::text) w FROM generate_series(1, 60000) i;
CREATE INDEX ON words(w);
SELECT count(*) FROM words WHERE w ~ '^[0-9]+a' OR w LIKE 'ff%';
"""


def server_user():
    """Postgres will not run as root: who else it may be."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Failure("neither user postgres nor nobody")


def postgres_program(name):
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else find(name)


@case("postgres", active=["initdb", "postgres", "pgbench", "psql"], full=True, cpu=2)
def postgres(side):
    user = server_user()
    data = side.dir / "data"
    programs = {name: postgres_program(name) for name in ("initdb", "postgres", "pgbench", "psql", "pg_dump")}
    if user:
        os.chown(side.dir, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)

    def run(program, *words, **more):
        return side.run([programs[program], *words], user=user, env={"PGHOST": str(side.dir), "PGUSER": "tester",
                                                                     "PGDATABASE": "postgres"}, **more)

    run("initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale")
    server = [programs["postgres"], "-D", data, "-k", side.dir, "-c", "listen_addresses=", "-c", "fsync=off",
              "-c", "autovacuum_naptime=2s", "-c", "log_min_messages=error"]
    listening = side.dir / ".s.PGSQL.5432"
    with serving(side, server, lambda: can_connect(listening), how=signal.SIGINT, user=user) as process:
        side.wait_for("postgres to accept", lambda: accepts(run), process)
        run("pgbench", "-i", "-q", "-s", "3")
        run("pgbench", "-c", "1", "-t", "1500", "--random-seed=7", "-n")
        alone = run("psql", "-XAtq", stdin=(SUMS + QUERIES).encode())
        run("pgbench", "-c", "8", "-j", "2", "-T", "4", "-n")
        run("pgbench", "-c", "4", "-j", "2", "-T", "2", "-n", "-S", "-C")
        sums = run("psql", "-XAtq", stdin=SUMS.encode()).split()
        dump = run("pg_dump", "-t", "words")
    balances = [line.split(b"|")[0] for line in sums]
    if len(set(balances)) != 1:
        raise Failure(f"on {side.name}: the balances do not agree: {sums}")
    return alone, digest(b"\n".join(line for line in dump.splitlines() if not line.startswith(b"\\")))


def accepts(run):
    try:
        return run("psql", "-XAtqc", "SELECT 1") == b"1\n"
    except Failure:
        return False


# ---- stress-ng ----

@case("stress-ng malloc", needs=["stress-ng"], active=["stress-ng"], full=True, cpu=2)
def stress_ng(side):
    found = []
    for words in (["--malloc", "2", "--malloc-ops", "200000"],
                  ["--malloc", "1", "--malloc-pthreads", "3", "--malloc-ops", "200000", "--malloc-max", "5000"],
                  ["--malloc", "1", "--malloc-ops", "60000", "--malloc-touch", "--malloc-bytes", "200M"]):
        side.run(["stress-ng", *words, "--verify", "--timeout", "4", "--temp-path", side.dir, "--log-file", "log"])
        log = (side.dir / "log").read_text()
        (side.dir / "log").unlink()
        found.append("successful run completed" in log)
        if not found[-1]:
            raise Failure(f"on {side.name}: {log[-1500:]}")
    return found
