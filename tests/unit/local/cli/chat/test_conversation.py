"""What of a conversation the model reads, and what it no longer does when the context is full."""

import pytest

from berth_local.cli.chat.conversation import Conversation, Question, Turn

HI = Question("Hi")


def said(*answers: str, system: str | None = None) -> Conversation:
    """A conversation whose questions are a, b, c ..."""
    return Conversation(system, [Turn(Question(chr(97 + at)), answer) for at, answer in enumerate(answers)])


def read(conversation: Conversation) -> str:
    """What the model reads with the next question."""
    return " ".join(f"{message['role'][0]}:{message['content']}" for message in conversation.messages(HI))


@pytest.mark.parametrize(
    ("conversation", "reads"),
    [
        (said(), "u:Hi"),
        (said(system="Be brief."), "s:Be brief. u:Hi"),
        (said("1", "2"), "u:a a:1 u:b a:2 u:Hi"),
        (Conversation("S", said("1", "2").turns, unseen=1), "s:S u:b a:2 u:Hi"),
    ],
)
def test_the_model_reads_what_was_said_and_the_question(conversation: Conversation, reads: str) -> None:
    assert read(conversation) == reads


def test_an_image_is_beside_its_text() -> None:
    (message,) = Conversation().messages(Question("What is it?", ("data:image/png;base64,AA==",)))
    assert message["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]


@pytest.mark.parametrize(
    ("lengths", "keep", "unseen", "dropped"),
    [
        ([], 0, 0, False),
        ([10], 0, 1, True),
        ([10], 1, 0, False),
        ([100, 10], 0, 1, True),
        ([10] * 8, 0, 3, True),  # a quarter or more
        ([10, 100, 10], 0, 2, True),  # to drop the first alone would not make room
        ([10, 100], 1, 1, True),
    ],
)
def test_the_oldest_turns_make_room(lengths: list[int], keep: int, unseen: int, dropped: bool) -> None:
    conversation = said(*("x" * length for length in lengths))
    assert (conversation.shorten(HI, keep=keep), conversation.unseen) == (dropped, unseen)
    assert len(conversation.turns) == len(lengths)


def test_clear_forgets_all_but_what_the_model_was_told_before() -> None:
    conversation = said("1", "2", system="S")
    conversation.shorten(HI)
    conversation.clear()
    assert read(conversation) == "s:S u:Hi"
