"""conf/openapi.yaml and the admin API: the same paths, methods and query names; and what a relay answers is what the file says."""

import glob
import os
import re

import jsonschema
import pytest
import yaml

from lab.process import wait_until
from test_admin import ask

ROOT = f"{os.path.dirname(os.path.abspath(__file__))}/../.."
with open(f"{ROOT}/conf/openapi.yaml", encoding="utf-8") as _file:
    API = yaml.safe_load(_file)
METHODS = ("get", "post", "delete", "put", "patch")
OPERATIONS = [(path, method) for path, item in API["paths"].items() for method in item if method in METHODS]
RESOLVER = jsonschema.RefResolver("", API)


def resolve(node):
    return RESOLVER.resolve(node["$ref"])[1] if "$ref" in node else node


def parameters(path, method):
    return [resolve(p) for p in API["paths"][path][method].get("parameters", [])]


def sources():
    for name in glob.glob(f"{ROOT}/relay/*.c"):
        with open(name, encoding="utf-8") as file:
            yield os.path.basename(name), file.read()


def check(path, method, status, fields, body):
    """The answer is one that the file names, of the type and the form that it has there."""
    answers = API["paths"][path][method]["responses"]
    answer = resolve(answers.get(str(status), answers["default"]))
    content_type = fields["Content-Type"].split(";")[0]
    assert content_type in answer["content"], f"{method} {path}: {status} {content_type}"
    if content_type != "application/gzip":
        schema = answer["content"][content_type]["schema"]
        jsonschema.Draft202012Validator(schema, resolver=RESOLVER).validate(body)


def test_every_route_is_described_and_the_reverse():
    route = re.compile(r'\{ *"(GET|POST|DELETE|PUT|PATCH)", *"(/[^"]*)", *\w+')
    routes = {(path, method.lower()) for _, text in sources() for method, path in route.findall(text)}
    assert len(routes) > 9 and routes == set(OPERATIONS)


def test_every_query_name_is_described_and_the_reverse():
    field = re.compile(r'\{ *"(\w+)", QUERY_[A-Z]+,')
    names = {name for _, text in sources() for name in field.findall(text)}
    assert names == {p["name"] for path, method in OPERATIONS for p in parameters(path, method)}


def test_references_lead_somewhere_and_nothing_is_for_nobody():
    with open(f"{ROOT}/conf/openapi.yaml", encoding="utf-8") as file:
        used = set(re.findall(r'\$ref: "(#/components/[^"]+)"', file.read()))
    assert used == {f"#/components/{kind}/{name}" for kind in ("parameters", "responses", "schemas") for name in API["components"][kind]}


def example(parameter):
    """A value that is sound by itself, and changes nothing."""
    schema = parameter["schema"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "integer":
        return str(schema.get("minimum", 0))
    return {"day": "2026-11-22", "domain": "nowhere.example", "sender": "a@nowhere.example", "recipient": "a@nowhere.example",
            "address": "a@nowhere.example"}.get(parameter["name"], "0000000001")


def test_query_names_are_these_and_no_others(relay):
    """Each name for itself: known to whom the file says, unknown to all others, and never there twice."""
    for path, method in OPERATIONS:
        code, fields, body = ask(relay, f"{path}?such_a_thing=1", method.upper())
        assert code == 400 and body == {"error": "there is no field such_a_thing"}, (path, method)
        check(path, method, code, fields, body)
        for parameter in parameters(path, method):
            if path == "/report/send":
                continue                        # that would begin a run
            name, value = parameter["name"], example(parameter)
            code, fields, body = ask(relay, f"{path}?{name}={value}&{name}={value}", method.upper())
            assert code == 400 and body == {"error": f"more than one field {name}"}, (path, method, name, body)


def test_other_methods_are_refused_with_those_that_are_taken(relay):
    """RFC 9110 15.5.6."""
    for path, item in API["paths"].items():
        allowed = ", ".join("GET, HEAD" if method == "get" else method.upper() for method in item if method in METHODS)
        for method in METHODS:
            if method in item:
                continue
            code, fields, body = ask(relay, path, method.upper(), "" if method != "get" else None)
            assert code == 405 and sorted(fields["Allow"].split(", ")) == sorted(allowed.split(", ")), (path, method)
            jsonschema.Draft202012Validator(API["components"]["schemas"]["Error"], resolver=RESOLVER).validate(body)
        assert ask(relay, path + "/", "GET")[0] == 404


def test_head_is_answered_as_get_without_the_body(relay):
    for path, method in OPERATIONS:
        if method == "get":
            code, fields, body = ask(relay, path, "HEAD")
            assert body == "" and int(fields["Content-Length"]) > 0 and code == ask(relay, path)[0], path


@pytest.fixture
def mixed(world, relay, send):
    """Mail that was delivered, that waits because of a policy, and both: the domains, and the id of one that waits."""
    good, bad = world.domain("g").policy(), world.domain("w").policy()
    host = good.mx()
    bad.mx(world.honest("other.example"))
    send(good.user())
    waiting = send(bad.user())
    send([good.user(), bad.user()])
    host.wait_messages(2)
    relay.wait_delivery(bad.name, result="deferred")
    return good.name, bad.name, waiting


def asked(relay, path, method="get", **query):
    """Asks, and holds the answer against the file."""
    target = path + "".join(f"{'&' if i else '?'}{name}={value}" for i, (name, value) in enumerate(query.items()))
    code, fields, body = ask(relay, target, method.upper(), "" if method == "post" else None)
    check(path, method, code, fields, body)
    return code, body


def pages(relay, path, rows, **query):
    """Every row, asked for one by one."""
    found, after = [], {}
    while True:
        code, body = asked(relay, path, **query, **after)
        assert code == 200, body
        found += body[rows]
        if body["next"] is None:
            return found
        after = {"after": body["next"]}


def test_answers_about_a_mixed_queue_are_as_described(relay, mixed):
    good, bad, waiting = mixed
    for path in ("/livez", "/readyz", "/status", "/destinations", "/drain", "/metrics", "/queue/list", "/queue/count", "/queue/summary", "/queue/holds", "/policy/list",
                 "/policy/history", "/report/run", "/report/list", "/report/notice", "/report/suppressions"):
        code, body = asked(relay, path)
        assert code == 200, (path, body)
    assert asked(relay, "/destinations", top=5)[1]["destinations"][0]["destination"] == bad
    assert asked(relay, "/queue/message", id=waiting)[1]["recipients"][0]["state"] == "deferred"
    assert "\nSubject" in asked(relay, "/queue/content", id=waiting)[1].replace("\r", "").replace("\nsubject", "\nSubject")
    assert asked(relay, "/explain/domain", domain=bad)[1]["destination"] == bad
    assert asked(relay, "/report/document", domain=good)[0] == 200
    sessions = asked(relay, "/evidence/sessions", destination=good)[1]["sessions"]
    assert asked(relay, "/evidence/chain", session=sessions[0]["id"])[1]["pem"].startswith("-----BEGIN CERTIFICATE-----")
    assert asked(relay, "/evidence/message", id=waiting)[1]["events"][0]["data"]["event"] == "accepted"


def test_pages_of_one_row_make_the_whole_list(relay, mixed):
    for path, rows, key in (("/queue/list", "messages", "queue_id"), ("/queue/summary", "destinations", "destination"), ("/destinations", "destinations", "destination"),
                            ("/policy/list", "policies", "domain"), ("/evidence/sessions", "sessions", "id")):
        whole = asked(relay, path)[1][rows]
        assert whole and [row[key] for row in pages(relay, path, rows, limit=1)] == [row[key] for row in whole], path


def test_what_is_not_there_is_said_as_described(relay, mixed):
    for path, method, query, code in (
            ("/queue/message", "get", {"id": "0000000001"}, 404), ("/queue/message", "get", {}, 400), ("/queue/message", "get", {"id": "!"}, 400),
            ("/queue/list", "get", {"state": "lost"}, 400), ("/queue/list", "get", {"limit": "0"}, 400), ("/queue/delete", "post", {}, 400),
            ("/queue/delete", "post", {"all": "0"}, 400), ("/queue/holds", "delete", {"id": "0000000001"}, 404), ("/queue/holds", "post", {}, 400),
            ("/policy/forget", "post", {"domain": "nowhere.example"}, 404), ("/policy/forget", "post", {}, 400), ("/policy/list", "get", {"mode": "x"}, 400),
            ("/evidence/message", "get", {"id": "!"}, 400), ("/explain/domain", "get", {}, 400), ("/report/document", "get", {"domain": "nowhere.example"}, 404),
            ("/report/list", "get", {"after": "x"}, 400), ("/report/suppressions", "delete", {"address": "a@nowhere.example"}, 404)):
        got, body = asked(relay, path, method, **query)
        assert got == code, (path, method, query, body)


def test_changes_are_answered_as_described(relay, mixed):
    good, bad, waiting = mixed
    for verb in ("retry", "hold", "release"):
        code, body = asked(relay, f"/queue/{verb}", "post", id=waiting, reason="test")
        assert code == 200 and body["messages"] + body["marked"] == 1, (verb, body)
    code, rule = asked(relay, "/queue/holds", "post", domain=good, reason="test")
    assert code == 200 and [row["id"] for row in asked(relay, "/queue/holds")[1]["holds"]] == [rule["id"]]
    assert asked(relay, "/queue/holds", "delete", id=rule["id"])[0] == 200
    assert asked(relay, "/queue/bounce", "post", id=waiting)[0] == 200
    assert asked(relay, "/queue/delete", "post", domain=bad)[0] == 200
    assert asked(relay, "/policy/refresh", "post", domain=bad)[1]["outcome"] == "fetched"
    assert asked(relay, "/policy/forget", "post", domain=bad)[0] == 200
    assert asked(relay, "/report/send", "post", dry=1)[0] == 200
    wait_until(lambda: not asked(relay, "/report/run")[1]["running"], 10, "the run's end")
    assert asked(relay, "/drain", "post", reason="test")[1]["draining"] is True
    assert asked(relay, "/drain", "delete")[1]["draining"] is False
