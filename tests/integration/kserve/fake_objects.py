"""The storage half of FakeKubernetesApi: objects, versions, patches, selectors, watch events. No HTTP."""

import copy
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]
"""Resource (plural) and name."""
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Refusal(Exception):  # noqa: N818 - what an API server answers
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def status(self) -> Object:
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return {**head, "message": self.message, "reason": self.reason, "code": self.code}


class Objects:
    """One namespace. Versions are one sequence over all objects, as in etcd."""

    def __init__(self, first_version: int = 323) -> None:
        self._all: dict[Key, Object] = {}
        self._version = first_version - 1
        self.events: list[tuple[str, str, Object]] = []

    def get(self, resource: str, name: str) -> Object | None:
        found = self._all.get((resource, name))
        return copy.deepcopy(found) if found is not None else None

    def list(self, resource: str, selector: str = "") -> list[Object]:
        found = [
            one for (kind, _), one in sorted(self._all.items(), key=lambda item: item[0]) if kind == resource
        ]
        return [copy.deepcopy(one) for one in found if matches(one, selector)]

    def create(self, resource: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        if (resource, name) in self._all:
            raise Refusal(409, "AlreadyExists", f'{resource} "{name}" already exists')
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        server = {"uid": str(uuid.uuid4()), "creationTimestamp": now, "generation": 1}
        made = {**copy.deepcopy(body), "metadata": {**copy.deepcopy(body["metadata"]), **server}}
        return self._keep(resource, made, "ADDED")

    def update(self, resource: str, body: Object) -> Object:
        """Keep a changed object; an equal one is no change, and only the spec moves the generation."""
        name = body["metadata"]["name"]
        old = self._all[resource, name]
        new = copy.deepcopy(body)
        server = ("uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp")
        new["metadata"] |= {key: old["metadata"][key] for key in server if key in old["metadata"]}
        if new == old:
            return copy.deepcopy(old)
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        return self._keep(resource, new, "MODIFIED")

    def delete(self, resource: str, name: str) -> Object | None:
        """Remove, or only mark while a finalizer stands on it: that counts as a change of the spec."""
        old = self._all.get((resource, name))
        if old is None:
            return None
        if old["metadata"].get("finalizers"):
            if "deletionTimestamp" not in old["metadata"]:
                marked = copy.deepcopy(old)
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                marked["metadata"] |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0}
                marked["metadata"]["generation"] += 1
                self._keep(resource, marked, "MODIFIED")
            return self.get(resource, name)
        del self._all[resource, name]
        self._version += 1
        gone = copy.deepcopy(old)
        gone["metadata"]["resourceVersion"] = str(self._version)
        self.events.append((resource, "DELETED", gone))
        return gone

    def mutate(self, resource: str, name: str, change: Callable[[Object], None]) -> Object:
        """The controllers' way in: no checks."""
        body = copy.deepcopy(self._all[resource, name])
        change(body)
        return self.update(resource, body)

    def _keep(self, resource: str, body: Object, event: str) -> Object:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self._all[resource, body["metadata"]["name"]] = body
        self.events.append((resource, event, copy.deepcopy(body)))
        return copy.deepcopy(body)


def matches(one: Object, selector: str) -> bool:
    labels = one["metadata"].get("labels") or {}
    pairs = [part.partition("=") for part in selector.split(",") if part]
    return all(labels.get(key) == value.lstrip("=") for key, _, value in pairs)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def json_patch(target: Object, operations: list[Object]) -> Object:
    """RFC 6902: test, add, replace, remove."""
    patched = copy.deepcopy(target)
    for operation in operations:
        way = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        _apply(patched, way, operation)
    return patched


def _apply(target: Any, way: list[str], operation: Object) -> None:
    rejected = Refusal(422, "Invalid", "the server rejected our request due to an error in our request")
    for part in way[:-1]:
        target = _inside(target, part, rejected)
    kind, last = operation["op"], way[-1]
    if kind == "add" and isinstance(target, list):
        target.insert(len(target) if last == "-" else int(last), copy.deepcopy(operation["value"]))
    elif kind == "add":
        target[last] = copy.deepcopy(operation["value"])
    elif kind == "test":
        if _inside(target, last, rejected) != operation["value"]:
            raise rejected
    elif kind == "replace":
        _inside(target, last, rejected)
        target[int(last) if isinstance(target, list) else last] = copy.deepcopy(operation["value"])
    elif kind == "remove":
        _inside(target, last, rejected)
        del target[int(last) if isinstance(target, list) else last]
    else:
        raise rejected


def _inside(target: Any, part: str, rejected: Refusal) -> Any:
    try:
        return target[int(part)] if isinstance(target, list) else target[part]
    except (KeyError, IndexError, ValueError, TypeError):
        raise rejected from None
