"""A conversation as somebody types it, in a wide terminal and in a narrow one."""

import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.local.engine import CONTEXT
from tests.integration.local.running import Berth
from tests.integration.local.terminal import CTRL_C, Terminal
from tests.unit.formats.weights import write_gguf
from tests.unit.runtime.model_files import put

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a terminal here is one of POSIX")

PROMPT, CTRL_D, UP = ">>>", "\x04", "\x1b[A"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Berth]:
    """One with two models."""
    directory = tmp_path_factory.mktemp("berth")
    for name in ("tiny", "other"):
        put(directory / "models" / name, f"{name}-Q4_K_M.gguf")
    for file in ("seer-Q4_K_M.gguf", "mmproj-seer.gguf"):
        write_gguf(directory / "models" / "seer" / file)
    async with Berth(directory) as running:
        yield running


@pytest.fixture
def environment(server: Berth, tmp_path: Path) -> dict[str, str]:
    """That of somebody who has not used it yet."""
    return {**os.environ, "BERTH_URL": server.url, "BERTH_HOME": str(tmp_path / "home")}


class Talk(Terminal):
    """A conversation in a terminal."""

    def says(self, line: str, *sees: str) -> None:
        """Types a line at the prompt, and waits until the terminal shows all this."""
        self.sees(PROMPT)
        self.types(f"{line}\r")
        for text in sees:
            self.sees(text)

    def ends(self) -> None:
        """Ends it as somebody does who is done."""
        self.sees(PROMPT)
        self.types(CTRL_D)
        assert self.ended() == 0
        assert "Traceback" not in self.shown


@pytest.fixture(params=[60, 120])
def talk(environment: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Talk]:
    with Talk(environment, "run", "tiny", columns=request.param) as talking:
        yield talking
        talking.ends()


def pasted(text: str) -> str:
    """What a terminal sends for a text that is pasted."""
    return f"\x1b[200~{text.replace(chr(10), chr(13))}\x1b[201~"


def test_what_is_pasted_is_one_message(talk: Talk) -> None:
    talk.says(pasted("repeat\none\ntwo"), "two", "repeat\r\none\r\ntwo\r\n")
    talk.says('"""repeat\rthree\rfour"""', 'four"""', "two / repeat\r\nthree\r\nfour")


def test_what_is_stopped_stays_in_the_conversation(talk: Talk) -> None:
    talk.says("on and on", "and on and on")
    talk.types(CTRL_C)
    talk.sees("stopped; what came of it stays")
    talk.says("repeat", "on and on / Parand on and on")


def test_what_the_answer_itself_does_not_say_is_told(talk: Talk) -> None:
    talk.says("think cut", "let me see", "half", "cut off", "/set max_tokens allows")
    talk.says("say nothing", "the answer is empty")
    talk.says("escape", "\u241b[31mred\u2407")
    assert "\x9b2J" not in talk.shown


def test_the_oldest_make_room_where_the_context_is_full(talk: Talk) -> None:
    talk.says(pasted(f"repeat {'x' * (CONTEXT // 3)}"), "xxx")
    talk.says("cut a", "half")
    talk.says(pasted("y" * (CONTEXT // 3)), "Paris.", "no longer sees the")
    talk.says(pasted("z" * (CONTEXT // 3)), "Paris.")
    talk.says("repeat", "cut a / half / yyy")
    assert talk.shown.count("no longer sees") == 1


def test_commands_change_show_keep_and_load(talk: Talk) -> None:
    talk.says("/set temperature 3", "temperature is '3'")
    talk.says("/set temperature 0.5", "temperature: 0.5")
    talk.says('/set system "Be brief."', "system: Be brief.")
    talk.says("repeat", "Be brief. / repeat")
    talk.says("/save one", "kept as one")
    talk.says("/clear", "forgotten")
    talk.says("/show", "temperature 0.5", "0 questions", "one")
    talk.says("/load one", "one: 1 question")
    talk.says("repeat two", "Be brief. / repeat / Be brief. / repeat / repeat two")
    talk.says("/load othe", "other goes on")
    talk.says("/load absent", "no conversation is kept as absent")
    talk.says("/sav one", "did you mean /save?")


def test_what_was_typed_is_there_the_next_time(environment: dict[str, str]) -> None:
    for keys, answer in (("repeat this\r", "repeat this"), (f"{UP}, too\r", "repeat this, too")):
        with Talk(environment, "run", "tiny") as talking:
            talking.sees(PROMPT)
            talking.types(keys)
            talking.sees(f"{answer}\r\n")
            talking.ends()
    assert stat.S_IMODE((Path(environment["BERTH_HOME"]) / "history").stat().st_mode) == 0o600


def test_what_is_typed_while_an_answer_runs_waits(talk: Talk, tmp_path: Path) -> None:
    talk.says(f"until {tmp_path / 'done'} ", "Par")
    talk.types(pasted("repeat\nthis") + "\r")
    (tmp_path / "done").touch()
    talk.sees("is.")
    talk.sees("repeat\r\nthis\r\n")


async def test_a_conversation_outlives_its_server(tmp_path: Path) -> None:
    put(tmp_path / "models" / "tiny", "tiny-Q4_K_M.gguf")
    async with AsyncExitStack() as until_it_goes:
        server = await until_it_goes.enter_async_context(Berth(tmp_path))
        mine = {**os.environ, "BERTH_URL": server.url, "BERTH_HOME": str(tmp_path / "home")}
        with Talk(mine, "run", "tiny") as talk:
            talk.says("hello", "Paris.")
            talk.sees(PROMPT)
            await until_it_goes.aclose()
            talk.types("and now?\r")
            talk.sees("no server answers")
            talk.sees("/save NAME keeps")
            talk.says("/show", "1 question")
            talk.says("/save one", "kept as one")
            talk.ends()


def test_a_model_that_is_not_there_is_told_before_there_is_a_prompt(environment: dict[str, str]) -> None:
    with Terminal(environment, "run", "tinny") as asked:
        assert asked.ended() == 3
    assert "Did you mean tiny?" in asked.shown
    assert PROMPT not in asked.shown


def test_the_model_is_loaded_while_somebody_types(environment: dict[str, str]) -> None:
    with Talk(environment, "run", "other") as talking:
        talking.sees(PROMPT)
        with Terminal(environment, "ps", "-w", columns=120) as watching:
            watching.sees("other")
            watching.sees("Ready")
        talking.types("Hi\r")
        talking.sees("Paris.")
        talking.ends()
    assert "loading" not in talking.shown


def test_an_image_is_shown_to_a_model_that_sees(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"image")
    with Talk(environment, "run", "tiny", columns=120) as talking:
        talking.says(f"repeat {tmp_path}/cat.png", "tiny sees no images", "cat.png")
        talking.says("/load seer", "seer goes on")
        talking.says(f"repeat {tmp_path}/cat.png", "data:image/png;base64,aW1hZ2U=")
        talking.ends()


def test_a_model_that_cannot_start_is_told_before_anything_is_typed(environment: dict[str, str]) -> None:
    with Talk(environment, "run", "tiny", "--n-ctx", "4096", "--backend", "vllm") as talking:
        talking.sees("--n-ctx")
        talking.ends()
