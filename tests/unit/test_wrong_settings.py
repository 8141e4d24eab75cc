"""A wrong setting, of the environment or of a file: one line that names it, what it has, and what would be right."""

import os
from pathlib import Path
from typing import TextIO

import pytest
from pydantic import AliasChoices

from berth_operator import main as operator
from berth_process.settings_error import SettingsError
from berth_router import main as router
from berth_router.settings import RouterSettings
from berth_runtime.main import main as launch
from tests.unit.hub.running import Running
from tests.unit.local.cli.conftest import run_command

VARIABLES = {
    str(name)
    for field in RouterSettings.model_fields.values()
    for name in (field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else [field.alias])
}
ANY_TEXT = {"BERTH_ENGINE_KEY_SECRET_FILE", "BERTH_MODEL_STORE", "BERTH_ENGINE_STORE", "BERTH_HUB_TOKEN", "HF_TOKEN"}
"""Variables in which no text is wrong by itself."""

LIBRARYS_WORDS = (
    "pydantic",
    "Input should",
    "Value error",
    "type=",
    "Traceback",
    "validation error",
    "NoneType",
    "valid dictionary",
)


@pytest.fixture(autouse=True)
def none_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*VARIABLES, "CLEANUP_INTERVAL", "BERTH_CONFIG", "LOG_LEVEL", "NAMESPACE"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def levels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The levels that a log was configured with. It is not: the log is this whole process's."""
    taken: list[str] = []

    def configure_log(stream: TextIO, level: str, **_: object) -> None:
        taken.append(level)

    for module in (
        "berth_router.main",
        "berth_operator.main",
        "berth_local.serve.foreground",
        "berth_local.serve.background",
    ):
        monkeypatch.setattr(f"{module}.configure_log", configure_log)
    return taken


def is_one_line_about(name: str, text: str) -> bool:
    return text.count("\n") == text.endswith("\n") and name in text and not any(word in text for word in LIBRARYS_WORDS)


LEVELS = "it must be DEBUG, INFO, WARNING or ERROR"
HUB = "it must be a URL such as https://huggingface.co, without user name, query or fragment"
ADDRESS = "it must be an address of this machine, such as 0.0.0.0 or ::"

WRONG = [
    ("BERTH_LOG_LEVEL", "loud", f"BERTH_LOG_LEVEL is 'loud': {LEVELS}"),
    ("HF_ENDPOINT", "nonsense", f"HF_ENDPOINT is 'nonsense': {HUB}"),
    ("BERTH_HUB_ENDPOINT", "ftp://hub", f"BERTH_HUB_ENDPOINT is 'ftp://hub': {HUB}"),
    ("HF_ENDPOINT", "https://me:secret@hub", f"HF_ENDPOINT is 'https://...@hub': {HUB}"),
    ("HF_ENDPOINT", "https://hub:99999", f"HF_ENDPOINT is 'https://hub:99999': {HUB}"),
    ("PORT", "http", "PORT is 'http': it must be a whole number"),
    ("PORT", "70000", "PORT is '70000': it must be 65535 or less"),
    ("HOST", "not a host", f"HOST is 'not a host': {ADDRESS}"),
    ("HOST", "192.0.2.1", f"HOST is '192.0.2.1': {ADDRESS}"),
    ("DEFAULT_TTL", "-1", "DEFAULT_TTL is '-1': it must be 0 or more"),
    (
        "DEFAULT_MAX_TOKENS",
        "0",
        "DEFAULT_MAX_TOKENS is '0': it must be a whole number from 1 to 10485760, or auto",
    ),
    ("DEFAULT_N_CTX", "255", "DEFAULT_N_CTX is '255': it must be a whole number from 256 to 1048576, or auto"),
    (
        "BERTH_PROFILES",
        '{"a": {"n_ctx": "lots"}}',
        "BERTH_PROFILES.a.n_ctx is 'lots': it must be a whole number or 'auto'",
    ),
    ("DEFAULT_TEMPERATURE", "hot", "DEFAULT_TEMPERATURE is 'hot': it must be a number from 0 to 2, or model"),
    ("DEFAULT_TOP_P", "nan", "DEFAULT_TOP_P is 'nan': it must be a number from 0 to 1, or model"),
    (
        "BERTH_COLD_START_DEADLINE",
        "inf",
        "BERTH_COLD_START_DEADLINE is 'inf': it must be a number that is not infinite",
    ),
    ("BERTH_NAMESPACE", "A/B", "BERTH_NAMESPACE is 'A/B': it must be made of lower-case letters, digits and '-'"),
    ("BERTH_STORE_WRITABLE", "perhaps", "BERTH_STORE_WRITABLE is 'perhaps': it must be true or false"),
    (
        "BERTH_DEFAULT_BACKEND",
        "ollama",
        "BERTH_DEFAULT_BACKEND is 'ollama': it must be 'vllm', 'transformers' or 'llamacpp'",
    ),
    ("BERTH_ENGINES", "{", "BERTH_ENGINES is '{': it must be a JSON object (Expecting"),
    ("BERTH_ENGINES", "[]", "BERTH_ENGINES is []: it must be a set of names and values"),
    ("BERTH_ENGINES", '{"vllm": ["tpu"]}', "BERTH_ENGINES.vllm.0 is 'tpu': it must be 'cuda' or 'cpu'"),
    ("BERTH_ENGINES", '{"llamacpp": []}', "BERTH_ENGINES: every backend needs at least one device"),
    ("BERTH_PROFILES", '{"a": {"n_ctx": 1}}', "BERTH_PROFILES.a.n_ctx is 1: it must be 256 or more"),
    ("BERTH_PROFILES", '{"a": {"ctx": 1}}', "BERTH_PROFILES.a.ctx is no setting: is it misspelt?"),
    (
        "BERTH_PROFILES",
        '{"A": {}}',
        "BERTH_PROFILES.A is the name 'A': it must be made of lower-case letters, digits and '-', 63 at most",
    ),
    ("BERTH_PROFILES", '{"a": {"backend": "vllm", "n_ctx": 512}}', "BERTH_PROFILES.a: n_ctx is a setting of llamacpp"),
    ("BERTH_ALIASES", "[]", "BERTH_ALIASES is []: it must be a set of names and values"),
    ("BERTH_ALIASES", '{"a": 1}', "BERTH_ALIASES.a is 1: it must be a text"),
    ("BERTH_ALIASES", '{"/models/a": "b"}', "BERTH_ALIASES./models/a is the name '/models/a': it must be letters,"),
    ("BERTH_ALIASES", '{"a b": "c"}', "BERTH_ALIASES.a b is the name 'a b': it must be letters, digits"),
    ("BERTH_ALIASES", '{"a": "../b"}', "BERTH_ALIASES.a is '../b': it must be a model's name, such as NAME"),
    ("BERTH_ALIASES", '{"a": "b@c"}', "BERTH_ALIASES.a names the profile 'c', which BERTH_PROFILES does not have."),
    ("BERTH_DEFAULT_MODEL", "a:b", "BERTH_DEFAULT_MODEL is 'a:b': it must be a model's name, such as NAME"),
    (
        "BERTH_API_KEYS_DIR",
        "/proc/nonsense",
        "BERTH_API_KEY_SCOPES gives no key any scope, so that BERTH_API_KEYS_DIR lets nobody in",
    ),
    ("BERTH_API_KEYS_DIR", "", "BERTH_API_KEYS_DIR is '': it must be a folder, or not be set at all"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", "HF_HUB_DOWNLOAD_TIMEOUT is 'soon': it must be a whole number, 0 or more"),
]


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_the_router_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    assert router.main() == 2
    told_of = capsys.readouterr().err
    assert told_of.startswith(f"berth-router: {told}")
    assert is_one_line_about(name, told_of)


@pytest.mark.parametrize("name", sorted(VARIABLES - ANY_TEXT))
@pytest.mark.parametrize("value", ["\x01no nonsense/\n", "[[[", "+1e999", "ü" * 300])
def test_nonsense_in_any_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        RouterSettings.of_environment()
    expected = "BERTH_API_KEY_SCOPES" if name == "BERTH_API_KEYS_DIR" else name
    assert is_one_line_about(expected, str(refused.value))


def test_a_folder_of_keys_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BERTH_API_KEYS_DIR", "/proc/nonsense")
    monkeypatch.setenv("BERTH_API_KEY_SCOPES", '{"admin": ["manage"]}')
    assert router.main() == 2
    told = "BERTH_API_KEYS_DIR is '/proc/nonsense': it must be a folder that the router may read"
    assert capsys.readouterr().err == f"berth-router: {told}\n"


@pytest.mark.parametrize("file", ["/proc/nonsense", "\x01no nonsense/\n", "ü" * 300])
def test_a_secret_of_engines_keys_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    monkeypatch.setenv("BERTH_ENGINE_KEY_SECRET_FILE", file)
    assert router.main() == 2
    assert is_one_line_about("BERTH_ENGINE_KEY_SECRET_FILE", capsys.readouterr().err)


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG", " debug "])
def test_a_level_is_right_in_any_case(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("BERTH_LOG_LEVEL", level)
    assert RouterSettings.of_environment().log_level == "DEBUG"


def test_a_variable_of_somebody_elses_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOG_LEVEL", "NAMESPACE", "ENGINES", "PROFILES", "REPLICA", "API_KEYS_DIR"):
        monkeypatch.setenv(name, "info")
    settings = RouterSettings.of_environment()
    assert (settings.log_level, settings.namespace, settings.api_keys_dir) == ("INFO", None, None)


def test_an_empty_variable_is_as_one_that_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = RouterSettings.of_environment()
    for name in VARIABLES - {"BERTH_API_KEYS_DIR"}:
        monkeypatch.setenv(name, "")
    assert RouterSettings.of_environment() == unset


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("downloads: {hubEndpoint: nonsense}", f"downloads.hubEndpoint is 'nonsense': {HUB}"),
        ("timing: {resync: soon}", "timing.resync is 'soon': it must be a number"),
        ("timing: {resync: 0}", "timing.resync is 0: it must be more than 0"),
        ("timing: [1]", "timing is [1]: it must be a set of names and values"),
        ("engins: {}", "engins is no setting: is it misspelt?"),
        ("engines: {vllm: {cuda: {}}}", "engines.vllm.cuda.image is missing"),
        ("engines: {vllm: {tpu: {image: x}}}", "engines.vllm.tpu is the name 'tpu': it must be 'cuda' or 'cpu'"),
        ("healthPort: 0", "healthPort is 0: it must be 1 or more"),
        ("namespace: A/B", "namespace is 'A/B': it must be made of lower-case letters, digits and '-'"),
    ],
)
def test_the_operator_names_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str, told: str
) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(content)
    monkeypatch.setenv("BERTH_CONFIG", str(file))
    assert operator.main() == 2
    told_of = capsys.readouterr().err
    assert told_of == f"berth-operator: {file}: {told}\n"
    assert is_one_line_about(content.partition(":")[0], told_of)


@pytest.mark.parametrize(
    "content",
    [b"- a\n- b", b"just text", b"7", b"\xff\xfe\x00", b"a: [", b"a: b: c", b"[" * 5000, b"\x00"],
)
def test_the_operator_names_a_file_that_holds_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "operator.yaml"
    file.write_bytes(content)
    monkeypatch.setenv("BERTH_CONFIG", str(file))
    monkeypatch.setenv("CLEANUP_INTERVAL", "7")
    assert operator.main() == 2
    assert is_one_line_about(str(file), capsys.readouterr().err)


def test_the_operator_names_a_file_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BERTH_CONFIG", "/proc/nonsense")
    assert operator.main() == 2
    told = "berth-operator: /proc/nonsense cannot be read: No such file or directory; BERTH_CONFIG names another file\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("value", ["soon", "-1", "nan"])
def test_the_operator_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    (tmp_path / "operator.yaml").write_text("timing: {firstRetry: 1}")
    monkeypatch.setenv("BERTH_CONFIG", str(tmp_path / "operator.yaml"))
    monkeypatch.setenv("CLEANUP_INTERVAL", value)
    assert operator.main() == 2
    assert capsys.readouterr().err.startswith(f"berth-operator: CLEANUP_INTERVAL is '{value}': it must be ")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("HF_ENDPOINT", "nonsense", f"HF_ENDPOINT is 'nonsense': {HUB}"),
        ("BERTH_MIN_FREE_BYTES", "1GB", "BERTH_MIN_FREE_BYTES is '1GB': it must be a whole number, 0 or more"),
        ("HF_HUB_ETAG_TIMEOUT", "soon", "HF_HUB_ETAG_TIMEOUT is 'soon': it must be a whole number, 0 or more"),
        ("HTTPS_PROXY", "ftp://x", "HTTPS_PROXY is 'ftp://x': it must be like http://proxy.example.com:3128"),
        (
            "SSL_CERT_FILE",
            "/etc/passwd",
            "SSL_CERT_FILE is '/etc/passwd': it must be a file or a folder of certificates in PEM",
        ),
    ],
)
def test_a_download_names_the_variable_and_is_final(tmp_path: Path, name: str, value: str, told: str) -> None:
    store = tmp_path / "models"
    store.mkdir()
    running = Running(store, "", ["--repository", "acme/tiny", "--destination", "tiny"], {name: value})
    assert running.ended() == 2
    message = running.message()
    assert (message["reason"], message["message"].startswith(told)) == ("InvalidSettings", True)
    assert "Traceback" not in running.output.read_text()


@pytest.mark.parametrize("command", ["ps", "version", "engines list", "pull org/name", "launch claude --print"])
def test_every_command_refuses_a_wrong_level(tmp_path: Path, command: str) -> None:
    ran = run_command(tuple(command.split()), {"BERTH_HOME": str(tmp_path), "BERTH_LOG_LEVEL": "loud"})
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"berth: BERTH_LOG_LEVEL is 'loud': {LEVELS}")


@pytest.mark.parametrize("command", ["list", "up --port 0"])
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BERTH_LOG_LEVEL", "loud", f"BERTH_LOG_LEVEL is 'loud': {LEVELS}"),
        ("HF_ENDPOINT", "nonsense", f"HF_ENDPOINT is 'nonsense': {HUB}"),
        ("BERTH_MIN_FREE_BYTES", "1GB", "BERTH_MIN_FREE_BYTES is '1GB': it must be a whole number"),
        ("BERTH_DRAIN_SECONDS", "soon", "BERTH_DRAIN_SECONDS is 'soon': it must be a whole number"),
        ("DEFAULT_TTL", "soon", "DEFAULT_TTL is 'soon': it must be a whole number"),
        ("BERTH_PROFILES", "{", "BERTH_PROFILES is '{': it must be a JSON object"),
        (
            "BERTH_HOME",
            "/proc/nonsense",
            "BERTH_HOME is '/proc/nonsense': it must be a folder that can be made and written to",
        ),
        (
            "BERTH_VLLM_ENV",
            "/proc/nonsense",
            "BERTH_VLLM_ENV is '/proc/nonsense': it must be the folder of a Python environment",
        ),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", "HF_HUB_DOWNLOAD_TIMEOUT is 'soon': it must be a whole number, 0 or more"),
    ],
)
def test_a_command_names_the_variable(tmp_path: Path, command: str, name: str, value: str, told: str) -> None:
    ran = run_command(tuple(command.split()), {"BERTH_HOME": str(tmp_path), "BERTH_URL": "", name: value})
    assert ran.code == 2
    assert ran.err.startswith(f"berth: {told}")
    assert is_one_line_about(name, ran.err)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"BERTH_URL": "nonsense"}, "--url (or BERTH_URL) is 'nonsense': it must be a server's address"),
        ({"BERTH_URL": "http://["}, "--url (or BERTH_URL) is 'http://[': it must be a server's address"),
        ({"BERTH_API_KEY": "schlüssel"}, "--api-key (or BERTH_API_KEY) has a character that no key can have"),
        ({"BERTH_API_KEY": "a\nb"}, "--api-key (or BERTH_API_KEY) has a character that no key can have"),
        ({"HTTPS_PROXY": "ftp://x"}, "HTTPS_PROXY is 'ftp://x': it must be like http://proxy.example.com:3128"),
        (
            {"SSL_CERT_FILE": "/etc/passwd"},
            "SSL_CERT_FILE is '/etc/passwd': it must be a file or a folder of certificates",
        ),
    ],
)
def test_a_command_names_what_keeps_it_from_its_server(environment: dict[str, str], told: str) -> None:
    ran = run_command(("ps",), {"BERTH_URL": "https://berth.invalid", **environment})
    assert ran.code == 2
    assert ran.err.startswith(f"berth: {told}")
    assert is_one_line_about(next(iter(environment)), ran.err)


@pytest.mark.parametrize(("level", "taken"), [("debug", "DEBUG"), ("Warning", "WARNING"), ("", "INFO")])
def test_a_commands_level_is_right_in_any_case(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    levels: list[str],
    level: str,
    taken: str,
) -> None:
    async def serve(*_: object) -> None: ...

    monkeypatch.setattr("berth_local.serve.foreground._serve", serve)
    environment = {"BERTH_HOME": str(tmp_path), "BERTH_URL": "", "BERTH_LOG_LEVEL": level, "LOG_LEVEL": "info"}
    assert run_command(("up",), environment).code == 0
    assert levels == [taken]
    assert run_command(("list",), {**environment, "HF_ENDPOINT": ""}).code == 0


def test_the_launcher_takes_nothing_from_a_wrong_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has one variable of its own: where its last words go."""
    for place in (str(tmp_path), "/proc/nonsense/x", "\x01", "x" * 5000):
        monkeypatch.setenv("BERTH_TERMINATION_LOG", place)
        assert launch(["llamacpp", "--model", str(tmp_path / "absent")]) == 66
        assert "Traceback" not in capsys.readouterr().err
    assert os.environ["BERTH_TERMINATION_LOG"]
