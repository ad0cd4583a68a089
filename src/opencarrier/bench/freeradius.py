"""FreeRADIUS as it comes, with a configuration of ours in a folder: accounting into PostgreSQL.

The schema and the queries are the package's own, read where it installed them.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path("/etc/freeradius/3.0/mods-config/sql/main/postgresql")
DRIVERS = Path("/usr/lib/freeradius")
DRIVER = DRIVERS / "rlm_sql_postgresql.so"
START_S = 20.0
WORKERS = 8
"""Threads and connections; more or fewer cost the same per packet."""

MAIN = """
prefix = /usr
logdir = {folder}
run_dir = {folder}
libdir = {drivers}
modconfdir = {modules}
max_requests = 65536
hostname_lookups = no
log {{
  destination = files
  file = {folder}/radius.log
}}
security {{
  allow_core_dumps = no
  status_server = no
}}
thread pool {{
  start_servers = {workers}
  max_servers = {workers}
  min_spare_servers = {workers}
  max_spare_servers = {workers}
  max_requests_per_server = 0
  auto_limit_acct = no
}}
client here {{
  ipaddr = 127.0.0.1
  secret = "{secret}"
}}
modules {{
  expr {{
  }}
  sql {{
    driver = "rlm_sql_postgresql"
    dialect = "postgresql"
    server = "127.0.0.1"
    port = {database_port}
    login = "opencarrier"
    radius_db = "{database}"
    acct_table1 = "radacct"
    acct_table2 = "radacct"
    postauth_table = "radpostauth"
    authcheck_table = "radcheck"
    groupcheck_table = "radgroupcheck"
    authreply_table = "radreply"
    groupreply_table = "radgroupreply"
    usergroup_table = "radusergroup"
    delete_stale_sessions = yes
    client_table = "nas"
    group_attribute = "SQL-Group"
    pool {{
      start = {workers}
      min = {workers}
      max = {workers}
      spare = 0
      uses = 0
      lifetime = 0
      idle_timeout = 0
    }}
    $INCLUDE {package}/queries.conf
  }}
  pap {{
  }}
  {eap}
}}
policy {{
  $INCLUDE /etc/freeradius/3.0/policy.d/accounting
}}
server default {{
  listen {{
    type = acct
    ipaddr = 127.0.0.1
    port = {port}
    recv_buff = 4194304
  }}
  preacct {{
    acct_unique
  }}
  accounting {{
    sql
  }}
  {authentication}
}}
"""

EAP = """
  eap {{
    default_eap_type = tls
    timer_expire = 60
    max_sessions = 65536
    tls-config tls-common {{
      private_key_file = {folder}/eap/key.pem
      certificate_file = {folder}/eap/chain.pem
      ca_file = {folder}/eap/roots.pem
      cipher_list = "DEFAULT"
      tls_min_version = "1.2"
      tls_max_version = "1.3"
      ecdh_curve = "prime256v1"
      fragment_size = 1300
      cache {{
        enable = no
      }}
    }}
    tls {{
      tls = tls-common
    }}
    ttls {{
      tls = tls-common
      default_eap_type = md5
      copy_request_to_tunnel = no
      use_tunneled_reply = no
      virtual_server = "inner"
    }}
    md5 {{
    }}
  }}
"""

AUTHENTICATION = """
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {auth_port}
    recv_buff = 4194304
  }}
  authorize {{
    eap {{
      ok = return
    }}
    sql
  }}
  authenticate {{
    eap
  }}
  post-auth {{
    sql
  }}
}}
server inner {{
  authorize {{
    sql
    pap
  }}
  authenticate {{
    Auth-Type PAP {{
      pap
    }}
  }}
"""


def missing() -> str | None:
    """Say what of it is not installed, None where all is."""
    for path, package in ((_radiusd(), "freeradius"), (DRIVER, "freeradius-postgresql")):
        if path is None or not path.exists():
            return package
    return None


@dataclass(frozen=True, slots=True)
class FreeRadius:
    """A running radiusd and where it listens."""

    pid: int
    port: int
    auth_port: int


@dataclass(frozen=True, slots=True)
class Store:
    """The database it keeps everything in, on loopback."""

    port: int
    name: str


def make_tables(url: str) -> None:
    """Make the package's tables in an empty database."""
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute((PACKAGE / "schema.sql").read_bytes())


def add_users(url: str, passwords: Mapping[str, str]) -> None:
    """Let users on with a password in clear, as the package's schema has it."""
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO radcheck (username, attribute, op, value)"
            " VALUES (%s, 'Cleartext-Password', ':=', %s)",
            list(passwords.items()),
        )


def let_in(url: str) -> int:
    """Return how many rows of who was let in it kept."""
    import psycopg

    query = "SELECT count(*) FROM radpostauth WHERE reply = 'Access-Accept'"
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def running(folder: Path, store: Store, *, secret: str) -> Iterator[FreeRadius]:
    """Run it in the foreground until the block ends; with EAP where there are certificates."""
    folder.mkdir(exist_ok=True)
    port, auth_port = _free_port(), _free_port()
    certified = (folder / "eap").exists()
    (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    text = MAIN.format(
        folder=folder,
        drivers=DRIVERS,
        modules=PACKAGE.parents[2],
        package=PACKAGE,
        port=port,
        database_port=store.port,
        database=store.name,
        eap=EAP.format(folder=folder) if certified else "",
        authentication=AUTHENTICATION.format(auth_port=auth_port) if certified else "",
        secret=secret,
        workers=WORKERS,
    )
    (folder / "radiusd.conf").write_text(text)
    command = [str(_radiusd()), "-f", "-d", str(folder)]
    with (folder / "stdout").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(process, folder)
        yield FreeRadius(process.pid, port, auth_port)
    finally:
        process.terminate()
        process.wait(START_S)


def _wait(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline, log = time.monotonic() + START_S, folder / "radius.log"
    while not log.exists() or "Ready to process requests" not in log.read_text():
        assert process.poll() is None, (log if log.exists() else folder / "stdout").read_text()
        assert time.monotonic() < deadline, "FreeRADIUS does not begin"
        time.sleep(0.05)


def _radiusd() -> Path | None:
    found = shutil.which("freeradius", path="/usr/sbin:/sbin:/usr/bin")
    return None if found is None else Path(found)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
