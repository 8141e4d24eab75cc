"""A conversation in a terminal: what somebody types, one line after the other."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from berth_local.cli.chat import settings as chat_settings
from berth_local.cli.chat.answering import Answer, Asking
from berth_local.cli.chat.conversation import Conversation, Question
from berth_local.cli.chat.images import seen_images
from berth_local.cli.chat.kept import Kept, Shelf, history_file
from berth_local.cli.chat.lines import HELP, SlashCommand, UnknownSlash, meaning
from berth_local.cli.chat.loading import Loading
from berth_local.cli.chat.thinking import thinking, thinks
from berth_local.cli.errors import CommandError, NoServerError, UnknownNameError, UsageError
from berth_local.cli.model_lookup import known_model, with_model
from berth_local.cli.printing import counted, model_name, print_error, print_note
from berth_local.serve.interface import home_directory

if TYPE_CHECKING:
    from berth_local.cli.chat.keyboard import Keyboard

_OF_THE_START = ("ttl", "n_ctx", "backend", "device")
"""The settings that say which engine answers."""


@dataclass(slots=True)
class Session:
    """One conversation, with the model that it is had with."""

    asking: Asking
    conversation: Conversation
    verbose: bool = False
    think: bool | None = None
    shelf: Shelf = field(default_factory=lambda: Shelf(home_directory()))
    _keyboard: "Keyboard | None" = field(default=None, init=False)
    _loading: Loading | None = field(default=None, init=False)
    _failure: str | None = field(default=None, init=False)
    """Why the model cannot start, until that is told."""

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self.asking.settings["model"]

    def run(self) -> None:
        """Answers until the user ends it."""
        self._load_model()
        try:
            self._converse()
        finally:
            self._leave_loading()

    def _converse(self) -> None:
        # It takes a quarter of a second to load, while the model does.
        from berth_local.cli.chat.keyboard import Keyboard  # noqa: PLC0415

        keyboard = self._keyboard = Keyboard(history_file(home_directory()))
        self._tell_failure()
        print_note(f"{model_name(self.model)}: /? for help, Ctrl-D ends")
        while (typed := keyboard.question()) is not None:
            match meaning(typed):
                case "":
                    continue
                case SlashCommand("bye"):
                    return
                case SlashCommand() as order:
                    self._obey(order)
                case UnknownSlash(name, meant):
                    print_note(f"there is no /{name}: " + (f"did you mean /{meant}?" if meant else "/? lists what is"))
                case text:
                    with keyboard.quiet():
                        self._answer(text)

    def _load_model(self) -> None:
        """Has the server start the model while the user types, who hears at once if it cannot start."""
        stated = {name: value for name, value in self.asking.settings.items() if name in _OF_THE_START}
        body = {"model": self.model, **stated}
        self._leave_loading()
        self._loading = Loading(self.asking.client, body, self._failed)

    def _leave_loading(self) -> None:
        if self._loading:
            self._loading.leave()

    def _failed(self, why: str) -> None:
        self._failure = why
        self._tell_failure()

    def _tell_failure(self) -> None:
        """Tells once why the model cannot start, as soon as there is both a reason and a prompt."""
        if self._keyboard and self._failure:
            failure, self._failure = self._failure, None
            self._keyboard.tell(failure)

    def _answer(self, text: str) -> None:
        try:
            question = Question(text, seen_images(self.asking.client, self.model, text))
            answer, dropped = self.asking.in_turn(self.conversation, question)
        except KeyboardInterrupt:
            stays = not self.asking.partial.empty
            print_note(
                "stopped; what came of it stays" if stays else "stopped before it began: the question is forgotten"
            )
            return
        except NoServerError as error:
            print_error(error.message)
            print_note("the question is forgotten; what was said before is still here: /save NAME keeps it")
            return
        except CommandError as error:
            print_error(error.message)
            return
        self._remark(answer, dropped)

    def _remark(self, answer: Answer, dropped: int) -> None:
        """Says what the answer itself does not."""
        if answer.empty:
            print_note(f"{answer.why_empty()}; the question is forgotten")
        elif answer.cut:
            print_note(how_to_go_on(answer))
        if dropped and not self.conversation.told_full:
            self.conversation.told_full = True
            first = (
                f"the first {unseen} questions" if (unseen := self.conversation.unseen) > 1 else "the first question"
            )
            print_note(f"the context is full: the model no longer sees {first}; /clear begins anew")
        if self.verbose:
            print_note(answer.summary())

    def _obey(self, order: SlashCommand) -> None:
        try:
            match order.name:
                case "set":
                    self._set(*order.words.partition(" ")[::2])
                case "show":
                    self._show()
                case "save":
                    self._save(order.words)
                case "load":
                    self._load(order.words)
                case "clear":
                    self.conversation.clear()
                    print_note("forgotten")
                case _:
                    print_note(HELP)
        except CommandError as error:
            print_error(error.message)

    def _set(self, name: str, text: str) -> None:
        if not name:
            known = {**{n: s.about for n, s in chat_settings.SETTINGS.items()}, **chat_settings.SWITCHES}
            known |= chat_settings.OTHERS
            print_note("\n".join(f"/set {one:<12} {about}" for one, about in known.items()))
            return
        name, value = chat_settings.value_of(name, text.strip())
        match name:
            case "system":
                self.conversation.system = value
            case "verbose":
                self.verbose = bool(value)
            case "think":
                self.think = value
                self.asking.settings.pop("chat_template_kwargs", None)
                self.asking.settings |= thinking(value)
            case _ if value is None:
                self.asking.settings.pop(name, None)
            case _:
                self.asking.settings[name] = value
        print_note(f"{name}: {chat_settings.value_words(value or '' if name == 'system' else value)}")

    def _show(self) -> None:
        said = self.conversation
        seen = f", of which the model no longer sees the first {said.unseen}" if said.unseen else ""
        stated = {name: value for name, value in self.asking.settings.items() if name in chat_settings.SETTINGS}
        lines = {
            "model": model_name(self.model),
            "system": said.system or "nothing",
            "settings": ", ".join(f"{name} {value}" for name, value in stated.items()) or "the defaults",
            "think": {True: "on", False: "off", None: "as the model does"}[self.think],
            "said": counted(len(said.turns), "question") + seen,
            "kept": ", ".join(self.shelf.names()) or "nothing",
        }
        print_note("\n".join(f"{name:<9} {value}" for name, value in lines.items()))

    def _save(self, name: str) -> None:
        if not name:
            raise UsageError("/save takes the name to keep the conversation under")
        stated = {each: value for each, value in self.asking.settings.items() if each != "model"}
        replaced = self.shelf.save(name, Kept(model_name(self.model), stated, self.conversation))
        print_note(f"kept as {name}{', in place of the one before' if replaced else ''}: /load {name} goes on with it")

    def _load(self, name: str) -> None:
        kept_names = self.shelf.names()
        if not name:
            print_note(
                f"kept: {', '.join(kept_names)}" if kept_names else "no conversation is kept: /save NAME keeps one"
            )
            return
        if name not in kept_names:
            self._change_model(name)
            return
        kept = self.shelf.load(name)
        self.conversation = kept.conversation
        self.asking.settings = {"model": self.model, **kept.settings}
        self.think = thinks(kept.settings)
        if kept.model != model_name(self.model):
            self._change_model(kept.model)
        print_note(f"{name}: {counted(len(kept.conversation.turns), 'question')}")
        if kept.conversation.turns:
            print_note(f">>> {kept.conversation.turns[-1].question.text}\n{kept.conversation.turns[-1].answer}")

    def _change_model(self, name: str) -> None:
        client = self.asking.client
        try:
            self.asking.settings["model"] = with_model(client, name, lambda each: known_model(client, each))
        except UnknownNameError as error:
            raise UnknownNameError(f"no conversation is kept as {name}. {error.message}", error.code) from None
        print_note(f"{model_name(self.model)} goes on with the conversation; /clear forgets it")
        self._load_model()


def how_to_go_on(answer: Answer) -> str:
    """What has cut the answer, and what to do about it in a conversation."""
    if answer.filled:
        return (
            f"cut off: the context of {answer.window} tokens is full. Ask it to go on, and the oldest questions make"
            " room; /set n_ctx asks for a larger one"
        )
    after = f" after {counted(answer.tokens, 'token')}" if answer.tokens else ""
    return f"cut off{after}: ask it to go on; /set max_tokens allows more"
