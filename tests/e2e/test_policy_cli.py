"""What `strictpost policy` says to the owner of a domain: sentences with a line, a fault and a remedy; JSON of a fixed shape; exit statuses."""

import json
import os
import subprocess

import pytest

from conftest import BINARY
from lab.relay import ENVIRONMENT

GOOD = "version: STSv1\r\nmode: enforce\r\nmx: MX1.Example.com\r\nmx: *.b.example\r\nmax_age: 604800\r\n"


def run(*arguments, stdin=b""):
    stdin = stdin if isinstance(stdin, bytes) else stdin.encode()
    done = subprocess.run([BINARY, "policy", *arguments], input=stdin, capture_output=True, timeout=30, env={**os.environ, **ENVIRONMENT})
    assert "ERROR: AddressSanitizer" not in done.stderr.decode() and "runtime error" not in done.stderr.decode(), done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lint(text):
    status, out, err = run("lint", "--json", "-", stdin=text)
    assert out.count("\n") == 1 and err == ""
    answer = json.loads(out)
    assert status == (0 if answer["valid"] else 1)
    assert set(answer) == ({"valid", "mode", "mx", "max_age", "warnings"} if answer["valid"] else {"valid", "error"})
    return answer


def test_lint_as_text(tmp_path):
    path = tmp_path / "mta-sts.txt"
    path.write_text(GOOD, newline="")
    status, out, err = run("lint", str(path))
    assert (status, err) == (0, "")
    for part in (f"{path}: valid\n", "enforce", "mx1.example.com\n", "*.b.example\n", "604800 s (7.0 days)"):
        assert part in out
    assert "warning" not in out


@pytest.mark.parametrize("change, warning", [
    (("mode: enforce", "mode: enforce "), "line 2: there are blanks at the end"),
    (("mode: enforce", "mode: enforce\r\nmode: none"), "line 3: mode was already set in line 2"),
    (("604800", "99999999"), "line 5: max_age 99999999 is over the maximum"),
    (("604800", "60"), "line 5: max_age 60 is less than a day"),
    (("MX1.Example.com", "mx1.example.com."), "line 3: the dot at the end"),
    (("*.b.example", "*.example"), "line 4: \"*.example\" allows every host right below a top-level domain"),
    (("mode: enforce", "mode: enforce\r\nMX: c.example"), "line 3: \"MX\" is not a known key and is ignored; did you mean \"mx\"?"),
    (("604800\r\n", "604800\r\n\r\n"), "line 6: there are empty lines at the end"),
])
def test_lint_warns(change, warning):
    text = GOOD.replace(*change)
    [said] = lint(text)["warnings"]
    assert said.startswith(warning)
    status, out, _ = run("lint", "-", stdin=text)
    assert status == 0 and f"  warning: {said}\n" in out


@pytest.mark.parametrize("text, error", [
    ("", "the policy is empty"),
    (GOOD.replace("mode: enforce\r\n", ""), "the mode is missing"),
    (GOOD.replace("enforce", "Enforce"), "line 2: the mode must be \"enforce\", \"testing\" or \"none\" in lower case, not \"Enforce\""),
    (GOOD.replace("MX1.Example.com", "mx.bücher.example"), "line 3: \"mx.b??cher.example\" is not an mx pattern: it must be in ASCII"),
    (GOOD.replace("*.b.example", "*"), "line 4: \"*\" is not an mx pattern"),
    (GOOD.replace("mode:", "\r\nmode:"), "line 2: the line is empty"),
    ("\ufeff" + GOOD, "line 1: the file begins with a byte order mark"),
    ("<!DOCTYPE html>", "line 1: this looks like HTML"),
    (GOOD.encode() + b"x: \xff\n", "line 6: the value is not valid UTF-8"),
    (GOOD.encode() + b"x: \x1b[2J\n", "line 6: the value holds a control character"),
    (b"x" * 65537, "the policy is larger than 64 KiB"),
    (b"x: y\n" * 100000, "the policy is larger than 64 KiB"),
])
def test_lint_says_what_is_wrong(text, error):
    assert lint(text)["error"].startswith(error)
    status, out, err = run("lint", "-", stdin=text)
    assert (status, err) == (1, "") and out.startswith(f"standard input: not valid: {error}")


def test_lint_takes_a_policy_of_exactly_the_limit():
    text = GOOD + "x: "
    assert lint(text + "y" * (65536 - len(text)))["valid"]
    assert not lint(text + "y" * (65537 - len(text)))["valid"]


def test_lint_of_what_cannot_be_read(tmp_path):
    for path in ("/nonexistent", str(tmp_path)):
        status, out, err = run("lint", "--json", path)
        assert (status, out) == (2, "") and path in err


@pytest.mark.parametrize("records, error", [
    (["v=spf1 -all"], "no TXT record begins with"), (["v=STSv1; id=a", "v=STSv1; id=b"], "several"),
    (["V=STSv1; id=a"], "a record resembles one"), (["v=STSv1; id=a-b"], "the id may hold letters and digits only"),
    (["v=STSv1"], "the record ends after"), (["v=STSv1; id=a;;"], "there is an empty field"), ([""], "no TXT record begins with"),
])
def test_txt_says_what_is_wrong(records, error):
    status, out, err = run("txt", "--json", *records)
    answer = json.loads(out)
    assert (status, err, answer["valid"], set(answer)) == (1, "", False, {"valid", "error"})
    assert error in answer["error"]
    status, out, _ = run("txt", *records)
    assert status == 1 and out == f"_mta-sts: not valid: {answer['error']}\n"


def test_txt_as_text():
    assert run("txt", "v=spf1 -all", "v=STSv1; id=20261122;") == (0, "_mta-sts: valid\n  id       20261122\n", "")
    assert run("txt", "--", "--strange", "v=STSv1; id=a")[0] == 0


def test_match_as_text():
    assert run("match", "mx.b.example", "a.example", "*.b.example") == (0, "mx.b.example: match: covered by *.b.example\n", "")
    status, out, err = run("match", "x.mx.b.example", "*.b.example")
    assert (status, err) == (1, "") and "no match" in out and "exactly one label" in out


@pytest.mark.parametrize("host, pattern, warning", [
    ("mx.example", "*foo.example", "*foo.example is no mx pattern"), ("mx.example", "192.0.2.1", "IP address"),
    ("mx.example", "mx.example:25", "port"), ("mx.bücher.example", "*.example", "xn--")])
def test_match_warns_of_what_is_no_name(host, pattern, warning):
    status, out, err = run("match", "--json", host, pattern)
    assert (status, json.loads(out)) == (1, {"match": False})
    assert err.startswith("warning: ") and warning in err


def test_options_may_stand_anywhere():
    for arguments in (("--json", "txt", "v=STSv1;id=a"), ("txt", "v=STSv1;id=a", "--json"), ("--config", "/nowhere", "txt", "--json", "v=STSv1;id=a")):
        status, out, err = run(*arguments)
        assert (status, json.loads(out), err) == (0, {"valid": True, "id": "a"}, "")


def test_help():
    for arguments in (("--help",), ("lint", "--help"), ("txt", "-h"), ("match", "x", "--help")):
        status, out, err = run(*arguments)
        assert (status, err) == (0, "") and "usage: strictpost policy lint FILE|-" in out and "exit:" in out


@pytest.mark.parametrize("arguments", [
    (), ("dance",), ("lint",), ("lint", "a", "b"), ("txt",), ("match",), ("match", "mx.example"), ("lint", "--yaml", "-"), ("--json",)])
def test_usage(arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and "strictpost policy" in err
