"""The OpenAPI document: fresh, and kept by what the routes really answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otic.api import auth
from otic.api.app import create_app
from otic.api.export import document, text
from otic.store.queries.common import Store

from .conftest import PASSWORD, copied

ROOT = Path(__file__).parents[3]


def test_the_document_in_the_console_is_fresh():
    """`make api` writes it; whoever changes a route runs that."""
    assert (ROOT / "console" / "openapi.json").read_text(encoding="utf-8") == text()


def test_the_document_is_openapi_3_1():
    """Client makers know what to expect, and each operation has a name and error answers."""
    made = document()
    assert made["openapi"].startswith("3.1")
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            assert operation["operationId"], (method, path)
            assert "400" in operation["responses"], (method, path)


@pytest.mark.skipif("not __import__('importlib').util.find_spec('schemathesis')")
def test_routes_keep_to_the_document(store, database, tmp_path):
    """Whatever fits the document gets a documented answer, and never a 5xx."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from litestar.testing import TestClient
    from schemathesis.core.transport import Response

    app = create_app(Store(copied(database, tmp_path / "copy.db")))
    schema = schemathesis.openapi.from_dict(document())
    examples = int(os.environ.get("OTIC_EXAMPLES", "25"))
    checked = 0
    with TestClient(app) as client:
        login = client.post("/api/session", json={"name": "admin", "password": PASSWORD})
        headers = {auth.CSRF_HEADER: login.json()["csrf"]}
        device = client.get("/api/devices", params={"limit": 1}).json()["items"][0]["id"]
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.label in ("DELETE /api/session", "POST /api/session", "GET /api/live"):
                continue

            @given(case=operation.as_strategy())
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def check(case):
                known = set(case.operation.definition.raw["responses"])
                path = case.formatted_path
                answer = client.request(
                    case.method,
                    path,
                    params=case.query,
                    json=case.body if isinstance(case.body, dict | list) else None,
                    headers=headers,
                )
                assert answer.status_code < 500, (path, answer.text)
                assert str(answer.status_code) in known, (case.method, path, answer.text)
                if answer.status_code >= 400:
                    kind = answer.headers["content-type"]
                    assert kind.startswith("application/problem+json"), path
                elif answer.headers.get("content-type", "").startswith("application/json"):
                    case.operation.validate_response(Response.from_httpx_like(answer, verify=True))

            check()
            checked += 1
        assert client.get(f"/api/devices/{device}").status_code == 200
    assert checked > 15
