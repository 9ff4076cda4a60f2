"""What `strictpost dkim` makes and says: a key file that nobody else may read, records to paste, sentences with a remedy; exit statuses."""

import json
import os
import re
import resource
import signal
import stat
import subprocess

import dkim
import dns.rdata
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from conftest import BINARY
from lab.relay import ENVIRONMENT

HOUSE = ["--domain", "example.com", "--selector", "s1"]


def run(*arguments, cwd=None, **named):
    done = subprocess.run([BINARY, "dkim", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, cwd=cwd,
                          env={**os.environ, **ENVIRONMENT}, text=True, **named)
    assert "ERROR: AddressSanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def made(folder, *arguments):
    status, out, err = run("keygen", *HOUSE, *arguments, "--json", cwd=folder)
    assert (status, err) == (0, "") and out.count("\n") == 1
    answer = json.loads(out)
    assert set(answer) == {"domain", "selector", "type", "bits", "name", "record", "zone", "tlsrpt_record", "tlsrpt_zone", "key_file",
                           "config", "warnings"}
    return answer


def zone_text(line, name):
    """The value of a TXT line of a zone file, read by a DNS library."""
    owner, rest = line.split(" ", 1)
    assert owner == f"{name}." and rest.startswith("IN TXT ")
    strings = dns.rdata.from_text("IN", "TXT", rest[len("IN TXT "):]).strings
    assert all(len(string) <= 255 for string in strings)
    return b"".join(strings).decode()


KINDS = {"usual": ([], "rsa", 2048), "short": (["--bits", "1024"], "rsa", 1024), "long": (["--bits", "4096", "--type", "rsa"], "rsa", 4096),
         "ed25519": (["--type", "ed25519"], "ed25519", 256)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_and_its_record(tmp_path, kind):
    arguments, name, bits = KINDS[kind]
    answer = made(tmp_path, *arguments)
    path = tmp_path / "s1.example.com.pem"
    assert answer["key_file"] == str(path) and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (answer["type"], answer["bits"], answer["name"]) == (name, bits, "s1._domainkey.example.com")
    assert answer["record"].startswith(f"v=DKIM1; k={name}; p=")
    assert answer["tlsrpt_record"].startswith(f"v=DKIM1; k={name}; s=tlsrpt; p=")
    assert zone_text(answer["zone"], answer["name"]) == answer["record"]
    assert zone_text(answer["tlsrpt_zone"], answer["name"]) == answer["tlsrpt_record"]
    assert answer["config"] == f'dkim:\n  - {{domain: example.com, selector: "s1", key_file: {path}}}\n'
    assert bool(answer["warnings"]) == (kind in ("short", "ed25519"))
    load_pem_private_key(path.read_bytes(), None)
    assert made_again(path) == answer


def made_again(path):
    status, out, err = run("record", "--key", path, *HOUSE, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


@pytest.mark.parametrize("record, report", [("record", False), ("record", True), ("tlsrpt_record", True), ("tlsrpt_record", False)])
def test_what_another_signs_with_the_key_verifies(tmp_path, record, report):
    """And a key with s=tlsrpt is good for reports only (RFC 8460 3)."""
    answer = made(tmp_path)
    message = b"From: a@example.com\r\nSubject: x\r\n\r\nHello\r\n"
    key = (tmp_path / "s1.example.com.pem").read_bytes()
    signed = dkim.sign(message, b"s1", b"example.com", key, include_headers=[b"from", b"subject"]) + message
    holds = dkim.DKIM(signed, tlsrpt=report)
    try:
        good = holds.verify(dnsfunc=lambda name, timeout=5: answer[record].encode())
    except dkim.ValidationError:
        good = False
    assert good == (record == "record" or report)


def test_as_text(tmp_path):
    status, out, err = run("keygen", *HOUSE, cwd=tmp_path)
    assert (status, err) == (0, "")
    answer = made_again(tmp_path / "s1.example.com.pem")
    for part in (f"key       {answer['key_file']} (RSA, 2048 bits)\n", f"\n{answer['zone']}\n", f"\n{answer['record']}\n", f"\n{answer['tlsrpt_zone']}\n",
                 f"\n{answer['tlsrpt_record']}\n", f"\n{answer['config']}", "needs a selector of its own"):
        assert part in out
    assert "caution" not in out
    assert run("record", "--key", tmp_path / "s1.example.com.pem", *HOUSE) == (0, out, "")


def test_ed25519_wants_rsa_beside_it(tmp_path):
    status, out, _ = run("keygen", *HOUSE, "--type", "ed25519", cwd=tmp_path)
    assert status == 0 and "caution   few receivers verify Ed25519: have an RSA key" in out


def test_names_are_written_as_dns_has_them(tmp_path):
    status, out, _ = run("keygen", "--domain", "Bücher.Example.", "--selector", "2026.A", "--type", "ed25519", "--json", cwd=tmp_path)
    answer = json.loads(out)
    assert status == 0 and answer["name"] == "2026.a._domainkey.xn--bcher-kva.example"
    assert (answer["selector"], answer["domain"]) == ("2026.a", "xn--bcher-kva.example")
    assert (tmp_path / "2026.a.xn--bcher-kva.example.pem").exists()


def test_an_odd_path_is_quoted(tmp_path):
    path = tmp_path / "a \"b\" \\ {c}, #d: e.pem"
    answer = made(tmp_path, "--type", "ed25519", "--out", path)
    quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
    assert answer["key_file"] == str(path) and f'key_file: "{quoted}"}}\n' in answer["config"]


def test_umask_opens_nothing_and_takes_nothing(tmp_path):
    for number, mask in enumerate((0, 0o777)):
        path = tmp_path / f"{number}.pem"
        made_with_mask = run("keygen", *HOUSE, "--type", "ed25519", "--out", path, preexec_fn=lambda mask=mask: os.umask(mask))
        assert made_with_mask[0] == 0 and stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["file", "link", "dangling link", "folder"])
def test_never_overwrites(tmp_path, how):
    path, other = tmp_path / "key.pem", tmp_path / "other"
    if how == "folder":
        path.mkdir()
    elif how == "file":
        path.write_text("precious")
    else:
        path.symlink_to(other)
        if how == "link":
            other.write_text("precious")
    status, out, err = run("keygen", *HOUSE, "--type", "ed25519", "--out", path)
    assert (status, out) == (1, "") and str(path) in err and "it exists, and was not touched" in err and "strictpost dkim record" in err
    kept = {"file": path, "link": other}.get(how)
    assert kept is None or kept.read_text() == "precious"
    assert how != "dangling link" or not other.exists()


def small_files_only():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_a_disk_that_is_full_leaves_no_file(tmp_path):
    path = tmp_path / "key.pem"
    status, out, err = run("keygen", *HOUSE, "--out", path, preexec_fn=small_files_only)
    assert (status, out) == (1, "") and "File too large" in err and not path.exists()


@pytest.mark.parametrize("arguments", [["keygen", *HOUSE], ["keygen", *HOUSE, "--json"], ["--help"]])
def test_an_answer_that_cannot_be_written_is_no_success(tmp_path, arguments):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BINARY, "dkim", *arguments], stdout=full, stderr=subprocess.PIPE, timeout=120, cwd=tmp_path,
                              env={**os.environ, **ENVIRONMENT}, text=True)
    assert (done.returncode, done.stderr) == (1, "strictpost: cannot write the answer to standard output: No space left on device\n")


def test_no_folder(tmp_path):
    status, out, err = run("keygen", *HOUSE, "--out", tmp_path / "no/key.pem")
    assert (status, out) == (1, "") and f"mkdir -p {tmp_path}/no" in err


@pytest.mark.parametrize("text, says", [
    (None, "there is no such file; strictpost dkim keygen makes a key"), ("", "empty"), ("hello", "no private key in it"),
    ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "this is a public key")])
def test_record_of_what_is_no_key(tmp_path, text, says):
    path = tmp_path / "key.pem"
    if text is not None:
        path.write_text(text)
    status, out, err = run("record", "--key", path, *HOUSE)
    assert (status, out) == (1, "") and str(path) in err and says in err


def test_no_password_is_asked_for(tmp_path):
    path = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-aes128", "-pass", "pass:secret", "-out", path], check=True, capture_output=True)
    status, out, err = run("record", "--key", path, *HOUSE, start_new_session=True)
    assert (status, out) == (1, "") and "encrypted" in err and "openssl pkey -in OLD -out NEW" in err


@pytest.mark.parametrize("arguments, says", [
    ([], "usage:"), (["nothing"], "there is no verb"), (["keygen"], "--domain"), (["keygen", "--domain", "example.com"], "--selector"),
    (["keygen", "--selector", "s1"], "--domain"), (["keygen", *HOUSE, "--type", "dsa"], "not dsa"), (["keygen", *HOUSE, "--bits", "512"], "not 512"),
    (["keygen", *HOUSE, "--bits", "8192"], "not 8192"), (["keygen", *HOUSE, "--bits", "x"], "not x"),
    (["keygen", *HOUSE, "--type", "ed25519", "--bits", "2048"], "--bits is for RSA"), (["keygen", *HOUSE, "more"], "one argument too many: more"),
    (["keygen", *HOUSE, "--key", "x"], "no option '--key'"), (["keygen", "--domain", "a..b", "--selector", "s1"], "--domain is no domain"),
    (["keygen", "--domain", "example.com", "--selector", "../x"], "--selector is no part"),
    (["keygen", "--domain", "example.com", "--selector", "a_b"], "--selector is made of"),         # as the configuration has it
    (["keygen", "--domain", "a_b.example", "--selector", "s1"], "--domain is a domain such as"),
    (["keygen", "--domain", "localhost", "--selector", "s1"], "--domain is a domain such as"),
    (["keygen", "--domain", "example.com", "--selector", "x" * 64], "--selector is no part"),
    (["record", *HOUSE], "--key"), (["record", "--key", "x"], "--domain"), (["record", *HOUSE, "--out", "x"], "no option '--out'")])
def test_wrong_usage(tmp_path, arguments, says):
    status, out, err = run(*arguments, cwd=tmp_path)
    assert (status, out) == (2, "") and says in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["keygen", "--help"], ["record", "-h"]])
def test_help(arguments):
    status, out, err = run(*arguments)
    assert (status, err) == (0, "") and out.startswith("usage: strictpost dkim keygen")
    assert all(len(line) <= 150 for line in out.splitlines())
    assert re.search(r"few verify it: only beside an RSA key", out)
