"""`berth up` in a real browser: its own pages, a page of this machine that chats, a foreign one that cannot unload."""

import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from berth_local.cli.sample_model import MODEL
from tests.e2e.browser import FOREIGN_HOST, Pages, shown
from tests.e2e.test_local_command import sample
from tests.integration.local.running import Berth

__all__ = ["sample"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CHAT = json.dumps(
    {
        "model": MODEL,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0,
        "max_tokens": 8,
        "stream": True,
    }
)
CHATS = f"""
    const answer = await fetch(BERTH + "/v1/chat/completions", {{
        method: "POST",
        headers: {{"content-type": "application/json", authorization: "Bearer none"}},
        body: JSON.stringify({CHAT}),
    }});
    let text = "";
    for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();;) {{
        const {{done, value}} = await reader.read();
        if (done) break;
        text += value;
    }}
    return {{status: answer.status, id: answer.headers.get("x-request-id"), text}};
"""
UNLOADS = """
    const answer = await fetch(BERTH + "/v1/models/unload-all", {method: "POST"});
    return await answer.json();
"""
ATTACKS = f"""
    const told = sent => sent.then(answer => answer.status || answer.type, error => error.name);
    const json = {{"content-type": "application/json"}};
    const frame = document.createElement("iframe");
    frame.name = "frame";
    const form = document.createElement("form");
    Object.assign(form, {{method: "POST", action: BERTH + "/v1/models/unload-all", target: "frame"}});
    document.body.append(frame, form);
    const submitted = new Promise(resolve => frame.addEventListener("load", resolve));
    form.submit();
    await submitted;
    const renamed = BERTH.replace("127.0.0.1", "{FOREIGN_HOST}");
    return {{
        reads: await told(fetch(BERTH + "/v1/models")),
        unloads: await told(fetch(BERTH + "/v1/models/unload-all", {{method: "POST"}})),
        unloads_one: await told(fetch(BERTH + "/v1/models/unload", {{method: "POST", headers: json, body: MODEL}})),
        unloads_blindly: await told(
            fetch(BERTH + "/v1/models/unload-all", {{method: "POST", mode: "no-cors", body: "{{}}"}})),
        unloads_as_ollama: await told(
            fetch(BERTH + "/api/generate", {{method: "POST", mode: "no-cors", body: MODEL_AND_GONE}})),
        unloads_by_its_own_name: await told(
            fetch(renamed + "/v1/models/unload-all", {{method: "POST", mode: "no-cors"}})),
        reads_by_its_own_name: await told(fetch(renamed + "/v1/models")),
    }};
"""


@pytest.fixture
async def berth(sample: Path, tmp_path: Path) -> AsyncIterator[Berth]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / MODEL).symlink_to(sample / MODEL)
    async with Berth(tmp_path, real_engine=True) as running:
        yield running


def with_names(script: str, berth: Berth) -> str:
    """The script with the names that it uses."""
    names: dict[str, Any] = {
        "BERTH": berth.url,
        "MODEL": json.dumps({"model": MODEL}),
        "MODEL_AND_GONE": json.dumps({"model": MODEL, "keep_alive": 0}),
    }
    return "".join(f"const {name} = {json.dumps(value)};" for name, value in names.items()) + script


async def loaded(berth: Berth) -> list[str]:
    """The phases of the models that run."""
    async with berth.client() as client:
        answer: Any = await client.get("/models/loaded", cast_to=object)
    return [model["phase"] for model in answer["loaded_models"]]


async def test_a_page_of_this_machine_chats_and_a_foreign_one_cannot_unload(berth: Berth, tmp_path: Path) -> None:
    async with Pages(tmp_path) as pages:
        told = await pages.opened("localhost", with_names(CHATS, berth))
        assert told["status"] == 200, told
        assert told["id"]
        assert told["text"].startswith(": ")  # the model was cold
        assert told["text"].endswith("data: [DONE]\n\n")
        assert await loaded(berth) == ["Ready"]

        tried = await pages.opened(FOREIGN_HOST, with_names(ATTACKS, berth))
        # The browser lets the page read no answer. "opaque" is one that it does not show, of a request that it sent.
        assert tried == {
            "reads": "TypeError",
            "unloads": "TypeError",
            "unloads_one": "TypeError",
            "unloads_blindly": "opaque",
            "unloads_as_ollama": "opaque",
            "unloads_by_its_own_name": "opaque",
            "reads_by_its_own_name": "TypeError",
        }
        assert await loaded(berth) == ["Ready"]

        told = await pages.opened("localhost", with_names(UNLOADS, berth))
        assert len(told["unloaded"]) == 1
        assert await loaded(berth) == []


async def test_its_own_pages_lead_on_without_the_internet(berth: Berth, tmp_path: Path) -> None:
    home = await shown(tmp_path, f"{berth.url}/")
    assert "Berth is running" in home
    assert f'"model": "{MODEL}"' in home.replace("/models/", "")
    api = await shown(tmp_path, f"{berth.url}/docs#/inference/post_v1_chat_completions")
    groups = re.findall(r'id="operations-tag-(\w+)"', api)
    assert groups[:2] == ["inference", "models"]
    assert MODEL in api.partition("operations-tag-models")[0]
    assert "What is the capital of France?" in api
