"""The commands, against a router whose cluster is in memory and whose engine is the test's."""

import asyncio
import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_api.model_deployment import ModelDeploymentSpec
from berth_cluster.cluster import MODEL_DOWNLOADS
from berth_local.cli.connection import Target, local_store
from berth_local.serve.state import locked_state
from berth_router.settings import RouterSettings
from tests.unit.local.cli.conftest import Command, Ran, run_command
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.router.conftest import MODEL, Serving, served
from tests.unit.router.engine import Call, Engine, chunk

QUESTION = "What is the capital of France?"


async def test_run_prints_the_answer(ready: Serving, berth: Command) -> None:
    assert await berth("run", "tiny", *QUESTION.split()) == Ran(0, "Paris.\n", "")
    assert ready.engine.calls[-1].body["messages"] == [{"role": "user", "content": QUESTION}]


async def test_run_says_why_it_waits(serving: Serving, berth: Command) -> None:
    running = asyncio.create_task(berth("run", "tiny", QUESTION))
    await serving.make_ready(await serving.created())
    ran = await running
    assert (ran.code, ran.out) == (0, "Paris.\n")
    assert ran.err == "loading tiny\n"


async def test_run_takes_the_prompt_from_stdin(ready: Serving, berth: Command) -> None:
    await berth("run", "tiny", stdin=f"{QUESTION}\n")
    assert ready.engine.calls[-1].body["messages"][-1]["content"] == QUESTION
    await berth("run", "tiny", "Summarize:", "-", stdin="a text\n")
    assert ready.engine.calls[-1].body["messages"][-1]["content"] == "Summarize: a text"


async def test_run_sends_what_is_stated_and_nothing_else(ready: Serving, berth: Command) -> None:
    await berth("run", MODEL, "Hi", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "7")
    body = ready.engine.calls[-1].body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"], body["top_p"]) == (0, 7, 1.0)


async def test_run_for_programs(ready: Serving, berth: Command) -> None:
    told: Any = (await berth("run", "tiny", "Hi", "-o", "json")).json
    assert (told["model"], told["content"]) == ("tiny", "Paris.")
    assert 0 < told["first_token_seconds"] <= told["seconds"]


async def test_an_answer_that_breaks_off_is_told(ready: Serving, berth: Command) -> None:
    async def break_off(call: Call) -> None:
        await call.begin_stream()
        await call.stream(chunk("Par"))
        await call.break_off_after_sending()

    ready.engine.behaviour = break_off
    ran = await berth("run", "tiny", "Hi")
    assert (ran.code, ran.out) == (1, "Par\n")
    assert ran.err.startswith("berth: The engine of tiny broke off its answer: ")
    assert ran.err.count("\n") == 1


async def test_a_model_that_cannot_start_is_told_with_its_reason(serving: Serving, berth: Command) -> None:
    running = asyncio.create_task(berth("run", "tiny", "Hi"))
    await serving.make_stalled(await serving.created(), "OutOfMemory", "the engine needs more memory than there is")
    ran = await running
    assert ran.code == 6
    assert "the engine needs more memory than there is" in ran.err


async def test_a_model_that_is_not_there_is_named_with_the_command_that_lists(berth: Command) -> None:
    ran = await berth("run", "absent", "Hi")
    assert ran.code == 3
    there = "It has tiny. `berth list` lists all of it."
    assert ran.err == f"berth: The model absent is not in the model store. {there}\n"


async def test_what_stdin_holds_must_be_text(berth: Command) -> None:
    assert await berth("run", "tiny", stdin=b"\xff") == Ran(2, "", "berth: what stdin holds is not text in UTF-8\n")


async def test_ps(ready: Serving, berth: Command) -> None:
    ran = await berth("ps")
    titles, row = ran.out.splitlines()
    assert titles.split("  ")[0] == "MODEL"
    assert row.split()[:4] == ["tiny", "llamacpp", "cpu", "Ready"]
    await ready.set_status(await ready.created(), memoryBytes=350_000_000)
    titles, row = (await berth("ps")).out.splitlines()
    assert (titles.split()[4], row.split()[4:6]) == ("MEMORY", ["350", "MB"])
    told: Any = (await berth("ps", "-o", "json")).json
    assert told["loaded_models"][0]["model_path"] == MODEL


async def test_ps_of_nothing(berth: Command) -> None:
    assert await berth("ps") == Ran(0, "", "no model runs: `berth run MODEL` starts one\n")


async def test_list(berth: Command, settings: RouterSettings) -> None:
    (Path(settings.model_store) / "large.gguf").write_bytes(bytes(2_500_000))
    rows = (await berth("list")).out.splitlines()
    assert [row.split()[0] for row in rows] == ["MODEL", "large.gguf", "tiny"]
    assert "2 MB" in rows[1] or "3 MB" in rows[1]


@pytest.mark.parametrize(
    "name",
    ["../download/{job}", "/models/../download/{job}", "tiny/../../download/{job}", "..", ".", "", "/models/"],
)
async def test_rm_reaches_nothing_but_models(serving: Serving, berth: Command, name: str) -> None:
    await serving.cluster.create(
        MODEL_DOWNLOADS,
        {
            "apiVersion": MODEL_DOWNLOADS.api_version,
            "kind": MODEL_DOWNLOADS.kind,
            "metadata": {"name": "other"},
            "spec": {"repository": "acme/other"},
        },
    )
    ran = await berth("rm", name.format(job="other"))
    assert ran.code == 3
    assert ran.err.startswith("berth: no model is called ")
    assert len((await serving.cluster.list(MODEL_DOWNLOADS)).items) == 1


async def test_stop(ready: Serving, berth: Command) -> None:
    ran = await berth("stop", "tiny")
    assert (ran.code, ran.out) == (0, "tiny is unloaded.\n")
    assert await ready.deployments() == []
    again = await berth("stop", "tiny")
    assert again == Ran(3, "", "berth: tiny does not run: `berth ps` lists those that do.\n")


async def test_stop_all(ready: Serving, berth: Command) -> None:
    assert (await berth("stop", "--all")).out == "1 model unloaded.\n"
    assert await berth("stop", "--all") == Ran(0, "", "no model runs\n")


async def test_get_prints_what_a_cluster_takes(ready: Serving, berth: Command) -> None:
    manifest = yaml.safe_load((await berth("get", "tiny")).out)
    assert manifest["kind"] == "ModelDeployment"
    assert ModelDeploymentSpec.model_validate(manifest["spec"]).model == MODEL
    assert (await berth("get", "tiny", "-o", "json")).json == manifest


@pytest.mark.parametrize("settings", [{"store_writable": True}], indirect=True)
async def test_rm(berth: Command, settings: RouterSettings) -> None:
    ran = await berth("rm", "tiny")
    assert ran == Ran(0, "tiny is deleted.\n", "")
    assert not (Path(settings.model_store) / "tiny").exists()
    assert (await berth("rm", "tiny")).code == 3


async def test_completion_knows_commands_and_models(berth: Command) -> None:
    assert "-F _berth_completion berth" in (await berth("completion", "bash")).out
    completing = Command(
        {**berth.environment, "_BERTH_COMPLETE": "bash_complete", "COMP_WORDS": "berth run t", "COMP_CWORD": "2"}
    )
    assert (await completing()).out.split() == ["plain,tiny"]


async def test_version(berth: Command) -> None:
    told = (await berth("version")).out
    assert (await berth("--version")).out == told
    assert re.fullmatch(rf"berth {re.escape(version('berth-local'))}(?: \([0-9a-f]{{7,}}(?:-dirty)?\))?\n", told), told


async def test_status(ready: Serving, berth: Command) -> None:
    told: Any = (await berth("status", "-o", "json")).json
    assert (told["models_running"], told["requests"], told["url"]) == (1, 1, f"http://127.0.0.1:{ready.port}")
    assert "1 model, " in (await berth("status")).out


async def test_where_no_server_answers_it_says_so(berth: Command) -> None:
    ran = await berth("ps", "--url", "http://127.0.0.1:1")
    assert ran.code == 4
    cure = "`berth up` starts one, --url names another"
    assert ran.err == f"berth: no server answers at http://127.0.0.1:1 (connection refused): {cure}\n"


async def test_a_key_that_does_not_allow_it_is_told(cluster: MemoryCluster, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for name in ("client", "admin"):
        (tmp_path / "keys" / name).write_text(f"k-{name}")
    given: Any = {
        "model_store": str(tmp_path),
        "api_keys_dir": str(tmp_path / "keys"),
        "api_key_scopes": {"client": ["inference"], "admin": ["inference", "manage"]},
    }
    async with served(cluster, engine, RouterSettings.model_validate(given)) as serving:
        berth = Command({"BERTH_URL": f"http://127.0.0.1:{serving.port}"})
        without, client, admin = [
            await berth("ps", *key) for key in ((), ("--api-key", "k-client"), ("--api-key", "k-admin"))
        ]
    assert (without.code, client.code, admin.code) == (5, 5, 0)
    assert "--api-key or BERTH_API_KEY gives the key" in without.err
    assert "manage" in client.err


def test_a_server_of_its_own_that_cannot_start_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_the_log(*_: object, **__: object) -> None:
        """The log is this whole process's."""

    monkeypatch.setattr("berth_local.serve.background.configure_log", leave_the_log)
    monkeypatch.setattr("berth_local.serve.server.available_engines", dict)
    command = ("run", "--models", str(tmp_path), "tiny", "Hi")
    ran = run_command(command, {"BERTH_HOME": str(tmp_path), "BERTH_URL": ""})
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("berth: llama.cpp is not on this machine")


@pytest.mark.parametrize(("lasts", "told"), [(True, "already"), (False, "ends when that has its answer")])
def test_a_server_with_another_store_is_named(tmp_path: Path, lasts: bool, told: str) -> None:
    environment = {"BERTH_HOME": str(tmp_path), "BERTH_URL": ""}
    (tmp_path / "other").mkdir()
    with locked_state(tmp_path, lasts=lasts) as state:
        state.announce("http://127.0.0.1:9", tmp_path / "models")
        ran = run_command(("run", "--models", str(tmp_path / "other"), "tiny", "Hi"), environment)
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert f"http://127.0.0.1:9 (pid {os.getpid()}), and serves {tmp_path / 'models'}" in ran.err
        ended = run_command(
            ("up", "--detach", "--models", str(tmp_path / "other")) if lasts else ("down",), environment
        )
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert told in ended.err


def test_down_where_nothing_runs(tmp_path: Path) -> None:
    assert run_command(("down",), {"BERTH_HOME": str(tmp_path)}) == Ran(0, "", "no server of yours runs\n")


async def test_a_server_of_nobody_known_is_not_used(serving: Serving, tmp_path: Path) -> None:
    there = f"http://127.0.0.1:{serving.port}"
    berth = Command({"BERTH_HOME": str(tmp_path / "home"), "BERTH_URL": ""}, there)
    ran = await berth("ps")
    assert (ran.code, ran.out) == (4, "")
    assert f"one that is not yours answers at {there}: --url {there} uses it" in ran.err


@pytest.mark.parametrize("name", ["TINY", "ti", "tiny:latest", "/models/Tiny"])
async def test_the_model_that_is_meant_is_found(ready: Serving, berth: Command, name: str) -> None:
    assert await berth("run", name, "Hi") == Ran(0, "Paris.\n", f"{name} is tiny\n")
    assert (await berth("get", name)).code == 0
    assert (await berth("stop", name)).out == "tiny is unloaded.\n"


@pytest.mark.parametrize("settings", [{"store_writable": True}], indirect=True)
@pytest.mark.parametrize(
    "command", [("run", "tinny", "Hi"), ("get", "tinny"), ("logs", "tinny"), ("stop", "tinny"), ("rm", "tinny")]
)
async def test_a_model_that_may_be_meant_is_named(ready: Serving, berth: Command, command: tuple[str, ...]) -> None:
    ran = await berth(*command)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.endswith(" Did you mean tiny?\n")
    assert "It has" not in ran.err


async def test_a_profile_that_there_is_not_is_an_unknown_name(ready: Serving, berth: Command) -> None:
    ran = await berth("run", "tiny@fast", "Hi")
    assert (ran.code, ran.out) == (3, "")
    assert "the profile 'fast'" in ran.err


@pytest.mark.parametrize(("reason", "code"), [("WrongFormat", 1), ("NeverFits", 1), ("EngineExited", 6)])
async def test_what_no_other_try_mends_has_another_code(
    serving: Serving, berth: Command, reason: str, code: int
) -> None:
    running = asyncio.create_task(berth("run", "tiny", "Hi"))
    await serving.make_stalled(await serving.created(), reason, "the reason")
    assert (await running).code == code


@pytest.mark.parametrize("command", ["ps", "status", "down", "list", "up"])
def test_a_home_that_is_a_file_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    ran = run_command((command,), {"BERTH_HOME": str(tmp_path / "file"), "BERTH_URL": ""})
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"berth: BERTH_HOME is '{tmp_path}"[:60])
    assert "it must be a folder" in ran.err


async def test_what_ps_prints_is_taken_by_the_others(ready: Serving, berth: Command) -> None:
    titles, row = (await berth("get")).out.splitlines()
    deployment = row.split()[-1]
    assert titles.split()[-1] == "DEPLOYMENT"
    assert deployment == await ready.created()
    assert yaml.safe_load((await berth("get", deployment)).out)["metadata"]["name"] == deployment
    (item,) = yaml.safe_load((await berth("get", "-o", "yaml")).out)["items"]
    assert item["metadata"]["name"] == deployment
    assert await berth("stop", deployment) == Ran(0, f"{deployment} is unloaded.\n", "")
    assert (await berth("ps")).out == ""


async def test_a_wrong_engine_of_logs_is_told_with_what_is_right(ready: Serving, berth: Command) -> None:
    ran = await berth("logs", "tiny", "--backend", "foo")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("berth: --backend is 'foo': it must be ")


async def test_ps_tells_what_could_not_start(serving: Serving, berth: Command) -> None:
    running = asyncio.create_task(berth("run", "tiny", "Hi"))
    await serving.make_stalled(
        await serving.created(), "EngineExited", "it exited with code 1; its last lines:\nloading\nno such layer"
    )
    await running
    ran = await berth("ps")
    assert ran.out.splitlines()[1].split()[:4] == ["tiny", "llamacpp", "cpu", "Stalled"]
    assert ran.err == "tiny does not start: it exited with code 1; its last line: no such layer\n"


async def test_show_tells_what_a_model_is_and_whether_it_fits(ready: Serving, berth: Command) -> None:
    told = dict(line.split(maxsplit=1) for line in (await berth("show", "TINY")).out.splitlines())
    assert (told["Model"], told["Template"]) == ("tiny", "none")
    assert told["Now"].startswith("runs: ")
    assert (await berth("show", "tinny")).err.endswith(" Did you mean tiny?\n")
    assert (await berth("show", "tiny", "--template")).code == 3


def test_the_sample_goes_where_the_server_looks_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTH_HOME", str(tmp_path))
    assert local_store(Target()) == tmp_path / "models"
    with locked_state(tmp_path) as state:
        state.announce("http://127.0.0.1:9", tmp_path / "other")
        assert local_store(Target()) == tmp_path / "other"
