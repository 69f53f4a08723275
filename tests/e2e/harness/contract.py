"""Is an answer of the admin port as doc/openapi.yaml says? Broker.admin asks this of every answer."""

import json
import re
import sys
from functools import lru_cache

from .env import ROOT

try:
    import jsonschema
    import yaml
except ImportError as e:
    jsonschema = yaml = None
    print(f"# ANSWERS OF THE ADMIN PORT ARE NOT VALIDATED: {e} (scripts/install-deps test)", file=sys.stderr)

OPENAPI = ROOT / "doc" / "openapi.yaml"
LINES = "application/x-ndjson"  # each is validated
LONG = 200  # of a longer list the first and last so many items are looked at


class ContractError(AssertionError):
    """The broker, or doc/openapi.yaml, is wrong."""


@lru_cache
def contract():
    """doc/openapi.yaml as an object; None without python3-yaml."""
    return yaml and yaml.load(OPENAPI.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def resolved(o):
    """`o`, or what it refers to."""
    while isinstance(o, dict) and "$ref" in o:
        at = contract()
        for part in o["$ref"].lstrip("#/").split("/"):
            at = at[part]
        o = at
    return o


def closed(schema):
    """The schema without references; members that it does not name are faults."""
    schema = resolved(schema)
    if isinstance(schema, list):
        return [closed(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    out = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            out[key] = {name: closed(s) for name, s in value.items()}
        elif key in ("items", "additionalProperties", "oneOf", "anyOf", "allOf"):
            out[key] = closed(value)
        else:
            out[key] = value
    if "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


@lru_cache
def _patterns():
    """[(number of names, pattern, path, operations)], those with fewer names first."""
    found = []
    for path, operations in contract()["paths"].items():
        pattern = re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part)
                                     for part in re.split(r"(\{\w+\})", path)) + "/?")
        found.append((path.count("{"), pattern, path, operations))
    return sorted(found, key=lambda f: f[0])


def operations_of(path):
    """(path of the contract, its operations) of a request's target; (None, {}): it is not listed."""
    path = path.partition("?")[0]
    for _, pattern, listed, operations in _patterns():
        if pattern.fullmatch(path):
            return listed, operations
    return None, {}


@lru_cache
def _validators(listed, method, status):
    """{content type: validator of such an answer, or None: any text}. ContractError: it is not listed."""
    operation = contract()["paths"][listed].get(method) if listed else None
    if operation is None:
        # Without a login a path is 401, whether it is there or not.
        allowed = ("401", "403", "405") if listed else ("401", "403", "404")
        if status not in allowed:
            raise ContractError(f"{status} is no answer for what doc/openapi.yaml does not list")
        return {"application/json": _schema({"$ref": "#/components/schemas/Error"})}
    answer = resolved(operation["responses"].get(status))
    if answer is None:
        raise ContractError(f"doc/openapi.yaml lists no status {status}")
    return {kind: _schema(c["schema"]) if kind in ("application/json", LINES) else None
            for kind, c in answer.get("content", {}).items()}


def _schema(schema):
    return jsonschema.Draft202012Validator(closed(schema))


def _shortened(o):
    if isinstance(o, list):
        if len(o) > 2 * LONG:
            o = o[:LONG] + o[-LONG:]
        return [_shortened(item) for item in o]
    if isinstance(o, dict):
        return {key: _shortened(value) for key, value in o.items()}
    return o


def validate(method, target, status, content_type, text):
    """Raises ContractError where this is no answer that doc/openapi.yaml describes."""
    if jsonschema is None:
        return
    listed, _ = operations_of(target)
    if not listed and not target.startswith("/api/"):
        return  # a file of the console
    method = method.lower()
    head, where = method == "head", f"{method.upper()} {target} -> {status}"
    try:
        validators, kind = _validators(listed, "get" if head else method, str(status)), content_type.split(";")[0]
        if kind not in validators:
            raise ContractError(f"{content_type!r} is none of {list(validators)}")
        validator = validators[kind]
        if head or not validator:
            return
        told = _shortened([t for t in text.split("\n") if t]) if kind == LINES else [text]
        found = next((e for t in told for e in validator.iter_errors(_shortened(json.loads(t)))), None)
    except (ContractError, ValueError) as e:
        raise ContractError(f"{where}: {e}") from None
    while found and found.context:  # of several schemas: where it got farthest
        found = max(found.context, key=lambda e: len(e.absolute_path))
    if found:
        at = "/".join(str(part) for part in found.absolute_path)
        raise ContractError(f"{where}: doc/openapi.yaml does not describe /{at}: {found.message[:500]}")
