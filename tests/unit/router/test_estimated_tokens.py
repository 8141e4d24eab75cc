"""How many tokens a body is taken to have, by which a request goes to a deployment with room for it."""

import pytest

from berth_router.request.defaults import estimated_tokens

IMAGE = b"iVBORw0K" * 100_000


@pytest.mark.parametrize(
    ("content", "least", "most"),
    [
        (b'{"messages":[{"role":"user","content":"Hi"}]}', 5, 20),
        (b'{"messages":[{"content":"%b"}]}' % (b"word " * 40_000), 40_000, 60_000),
        (b'{"content":[{"image_url":{"url":"data:image/png;base64,%b"}},"Hi"]}' % IMAGE, 1000, 1100),
        (b'{"content":[{"source":{"type":"base64","data":"%b"}},"%b"]}' % (IMAGE, b"word " * 8000), 9000, 12_000),
        (b'["%b", ";base64,%b' % (b";base64," * 10_000, IMAGE), 200_000, 300_000),
    ],
    ids=["short", "long", "an image", "Anthropic's image", "no end, and many marks"],
)
def test_an_image_counts_as_an_image_and_not_as_text(content: bytes, least: int, most: int) -> None:
    assert least <= estimated_tokens(content) <= most
