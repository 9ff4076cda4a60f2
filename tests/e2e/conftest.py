"""What all end-to-end tests share: one laboratory for the run, a relay of its own for each test.

Run inside the laboratory's namespaces (tests/run does it):
    PYTHONPATH=tests python3 -m lab.enter python3 -m pytest tests/e2e
The binary is $STRICTPOST, else build-asan/strictpost; the servers' and relays' logs are under $LAB_DIR, else a folder of
/tmp whose name is printed when a test fails.
"""

import itertools
import os
import resource
import shutil
import tempfile

import pytest

from lab.client import submit
from lab.relay import Relay
from lab.world import World

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
numbers = itertools.count(1)
BINARY = os.environ.get("STRICTPOST", f"{TOP}/build-asan/strictpost")
PLAIN = os.environ.get("STRICTPOST_PLAIN", f"{TOP}/build/strictpost")


def pytest_addoption(parser):
    parser.addoption("--part", default="1/1", help="I/N: only every Nth test, from the Ith on")


def pytest_configure(config):
    config.addinivalue_line("markers", "kill: ends the relay with SIGKILL many times; runs with the plain build")
    if "LAB_PID" not in os.environ:
        raise pytest.UsageError("the end-to-end tests run inside the laboratory: python3 -m lab.enter ...")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))        # every test's MX hosts listen until the end


def pytest_collection_modifyitems(config, items):
    part, parts = map(int, config.getoption("--part").split("/"))
    items[:] = items[part - 1::parts]


def pytest_make_parametrize_id(val):
    """Short names for what would be a page of text, or the address of a function."""
    if callable(val):
        return "how"
    if isinstance(val, (str, bytes)) and len(val) > 40:
        return "text"
    return None


def pytest_terminal_summary(terminalreporter):
    """Writes "N passed, N failed" to $COUNTS, for tests/run."""
    if "COUNTS" in os.environ:
        passed, failed, errors = (len(terminalreporter.stats.get(kind, ())) for kind in ("passed", "failed", "error"))
        with open(os.environ["COUNTS"], "w", encoding="ascii") as file:
            file.write(f"{passed} passed, {failed + errors} failed\n")


@pytest.fixture(scope="session")
def lab_dir(request):
    """Where everything of this run is kept; removed when all went well."""
    folder = os.environ.get("LAB_DIR") or tempfile.mkdtemp(prefix="strictpost-lab-", dir="/tmp")
    yield folder
    if request.session.testsfailed:
        print(f"\nthe laboratory's files: {folder}")
    elif "LAB_DIR" not in os.environ:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def world(lab_dir):
    """The private internet."""
    world = World(lab_dir)
    yield world
    world.stop()


@pytest.fixture(autouse=True)
def mended(request):
    """No test leaves a broken DNS to the next."""
    yield
    if "world" in request.fixturenames:
        request.getfixturevalue("world").tap.mend()


@pytest.fixture
def make_relay(request, lab_dir, world):
    """Makes relays that are not started (their trusted root is the world's); all are stopped at the end, and none may have made a mistake."""
    made = []

    def make(binary=BINARY, **changes):
        folder = f"{lab_dir}/relays/{next(numbers)}"             # short: a socket's path has a limit
        relay = Relay(folder, binary, f"{lab_dir}/ca/root.crt", changes)
        with open(f"{folder}/test", "w", encoding="utf-8") as file:
            file.write(request.node.nodeid)
        made.append(relay)
        return relay

    yield make
    for relay in made:
        if relay.running():
            status = relay.stop()
            assert status == 0, f"ended with status {status}\n{relay.process.tail()}"
        assert not relay.sanitizer_reports(), relay.process.tail(8000)


@pytest.fixture
def make_plain(make_relay):
    """The same with the plain build, which may have a clock of its own."""
    return lambda **changes: make_relay(PLAIN, **changes)


@pytest.fixture
def start_relay(make_relay):
    """Makes a relay with these changes to its configuration, and starts it."""
    return lambda **changes: make_relay(**changes).start()


@pytest.fixture
def relay(world, start_relay):
    """A running relay with the laboratory's defaults."""
    return start_relay()


@pytest.fixture
def single(relay):
    """The relay says QUIT after each message, so that the next one meets the host as it is then."""
    relay.write_config(delivery={"messages_per_session": 1})
    return relay.restart()


@pytest.fixture
def send(relay):
    """Hands a message to the relay: send(recipients, data=None, sender=...) is its queue identifier."""
    return lambda recipients, *args, **named: submit(relay.address, recipients, *args, **named)


@pytest.fixture
def home(world):
    """A domain whose host gets the bounces; its user() is the sender."""
    domain = world.domain("home")
    domain.host = domain.mx()
    return domain
