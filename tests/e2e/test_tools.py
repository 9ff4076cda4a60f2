"""The tools of a domain owner: policy lint, txt and match, as JSON and by exit status."""

import json
import os
import subprocess

import pytest

from conftest import BINARY
from lab.relay import ENVIRONMENT


def tool(*arguments, stdin=b""):
    done = subprocess.run([BINARY, "policy", *arguments], input=stdin, capture_output=True, timeout=30,
                          env={**os.environ, **ENVIRONMENT})
    assert done.returncode in (0, 1, 2), done
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def lint(text):
    status, out, _ = tool("lint", "--json", "-", stdin=text if isinstance(text, bytes) else text.encode())
    answer = json.loads(out)
    assert (status == 0) == answer["valid"]
    return answer


def test_lint_of_a_good_policy(tmp_path):
    text = "version: STSv1\r\nmode: enforce\r\nmx: MX1.Example.com\r\nmx: *.b.example\r\nmax_age: 604800\r\n"
    answer = lint(text)
    assert answer == {"valid": True, "mode": "enforce", "mx": ["mx1.example.com", "*.b.example"], "max_age": 604800, "warnings": []}
    path = tmp_path / "mta-sts.txt"
    path.write_text(text, newline="")
    assert tool("lint", str(path))[0] == 0
    assert tool("lint", "/nonexistent")[0] in (1, 2)


@pytest.mark.parametrize("text, answer", [
    ("version: STSv1\nmode: none\nmax_age: 1\n", {"mode": "none", "mx": [], "max_age": 1}),
    ("version: STSv1\nmode: testing\nmx: a.example\nmax_age: 9999999999", {"mode": "testing", "max_age": 31557600}),
    ("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 0\n", {"max_age": 0}),
    ("mode: none\nversion: STSv1\nmax_age: 1", {"mode": "none"}),      # RFC 8461 3.2: the grammar knows no order
])
def test_lint_of_valid_policies(text, answer):
    assert answer.items() <= lint(text).items()


@pytest.mark.parametrize("text", [
    "", "\n", "hello", "version: STSv2\nmode: none\nmax_age: 1\n", "mode: none\nmax_age: 1\n",
    "version: STSv1\nmode: enforce\nmax_age: 1\n", "version: STSv1\nmode: testing\nmax_age: 1\n",
    "version: STSv1\nmode: enforce\nmx: 192.0.2.1\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmx: a.example:25\nmax_age: 1\n",
    "version: STSv1\nmode: enforce\nmx: *foo.example\nmax_age: 1\n", "version: STSv1\nmode: enforce\nmx: a.*.example\nmax_age: 1\n",
    "version: STSv1\nmode: none\nmax_age: -1\n", "version: STSv1\nmode: none\nmax_age: 1.5\n", "version: STSv1\nmode: none\nmax_age:\n",
    "version: STSv1\nmode: none\nno colon here\nmax_age: 1\n", b"version: STSv1\0\nmode: none\nmax_age: 1\n", b"\xff\xfe",
    "x" * 70000])
def test_lint_of_invalid_policies(text):
    answer = lint(text)
    assert not answer["valid"] and answer["error"]


@pytest.mark.parametrize("records, identifier", [
    (["v=STSv1; id=20261122T000000Z"], None), (["v=STSv1; id=20261122000000Z;"], "20261122000000Z"),
    (["v=spf1 -all", "v=STSv1; id=a;"], "a"), (["v=STSv1; id=a;", "v=STSv1; id=a;"], None), (["v=spf1 -all"], None), (["v=STSv1;id=a"], "a")])
def test_txt(records, identifier):
    status, out, _ = tool("txt", "--json", *records)
    answer = json.loads(out)
    if records == ["v=STSv1; id=20261122T000000Z"]:
        identifier = "20261122T000000Z"
    assert answer.get("id") == identifier and answer["valid"] == (identifier is not None)
    assert status == (0 if identifier else 1)
    assert identifier or answer["error"]


@pytest.mark.parametrize("host, patterns, match", [
    ("mx.example.com", ["*.example.com"], True), ("example.com", ["*.example.com"], False),
    ("a.b.example.com", ["*.example.com"], False), ("mx.example.com", ["mx.example.com"], True),
    ("MX.Example.COM.", ["mx.example.com"], True), ("mx.example.com", ["b.example", "*.example.com"], True),
    ("mx.example.com", ["example.com"], False), ("xmx.example.com", ["mx.example.com"], False)])
def test_match(host, patterns, match):
    status, out, _ = tool("match", "--json", host, *patterns)
    assert json.loads(out) == {"match": match} and status == (0 if match else 1)


def test_usage():
    for arguments in ((), ("lint",), ("match",), ("match", "mx.example.com"), ("txt",), ("dance",)):
        status, _, err = tool(*arguments)
        assert status == 2 and err
