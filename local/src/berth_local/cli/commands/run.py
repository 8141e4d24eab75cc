"""berth run: ask a model."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from berth_local.cli.connection import Target, connect_or_serve, local_store
from berth_local.cli.errors import CommandError, NoServerError, UsageError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.model_names import complete_model
from berth_local.cli.options import ApiKeyOption, ModelsOption, OutputFormat, OutputOption, UrlOption
from berth_local.cli.printing import model_name, print_error, print_json, print_note

if TYPE_CHECKING:
    from berth_local.cli.chat import Answer, Conversation
    from berth_local.cli.client import Client

_HELP = """\
/clear   forget what was said
/bye     end (so does Ctrl-D)
\"\"\"      begin and end a text of several lines
Ctrl-C   stop the answer"""


def run(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            autocompletion=complete_model,
            help="Its directory's name in the model store; none with --sample.",
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROMPT",
            show_default=False,
            help="What to ask; - is what stdin holds. Without: stdin, or on a terminal a conversation.",
        ),
    ] = None,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample", help="Ask a small model (SmolLM2-135M-Instruct), fetched once (98 MB). No MODEL then."
        ),
    ] = False,
    models: ModelsOption = None,
    system: Annotated[
        str | None,
        typer.Option(metavar="TEXT", show_default=False, help="What the model is told before anything else."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, show_default=False, help="Most tokens to make; the server's default if left out."
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            min=0,
            max=2,
            show_default=False,
            help="From 0, the likeliest answer, to 2; the server's default if left out.",
        ),
    ] = None,
    ttl: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            show_default=False,
            help="Keep the model for so long after its last request; 0: for ever.",
        ),
    ] = None,
    n_ctx: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Tokens of context (llama.cpp), or auto; the server's default if left out.",
        ),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(metavar="ENGINE", show_default=False, help="llamacpp, vllm or transformers.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", show_default=False, help="cpu or cuda.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would happen, and start nothing: does it fit, and who would leave?")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr how long it took.")] = False,
    output: OutputOption = OutputFormat.TABLE,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """Ask a model; it starts if it does not run."""
    target = Target(url, api_key, models)
    words = [*([model] if sample and model else ()), *(prompt or ())]
    if sample:
        from berth_local.cli.sample_option import ensure_sample  # noqa: PLC0415 (only where it is wanted)

        model = ensure_sample(local_store(target))
    model = _checked_name(model)
    question = None if plan else _question(words)
    stated = {
        "temperature": temperature,
        "max_tokens": max_tokens,
        "ttl": ttl,
        "n_ctx": int(n_ctx) if n_ctx and n_ctx.isdecimal() else n_ctx,  # the server knows what is right
        "backend": backend,
        "device": device,
    }
    settings: dict[str, Any] = {"model": model, **{name: value for name, value in stated.items() if value is not None}}

    if plan:
        _tell_plan(target, settings, output)
        return
    from berth_local.cli.chat import Conversation  # noqa: PLC0415 (HTTP costs a third of a second, which --help need not wait for)

    with connect_or_serve(target) as client:
        if question is None:
            model = settings["model"] = with_model(client, model, lambda name: _known(client, name))
        conversation = Conversation(client, settings, system)
        if question is None:
            _converse(conversation, model, verbose=verbose)
            return
        answer = with_model(client, model, lambda name: _asked(conversation, name, question, output))
        if output is OutputFormat.JSON:
            print_json(
                {
                    "model": model,
                    "content": answer.text,
                    "finish_reason": answer.finish_reason,
                    "usage": answer.usage,
                    "first_token_seconds": answer.first_token_seconds and round(answer.first_token_seconds, 3),
                    "seconds": round(answer.seconds, 3),
                }
            )
        if verbose:
            print_note(answer.summary())


def _tell_plan(target: Target, settings: dict[str, Any], output: OutputFormat) -> None:
    """Prints what would happen if this were asked now."""
    asked = {name: value for name, value in settings.items() if name not in ("temperature", "max_tokens")}
    with connect_or_serve(target) as client:
        told = with_model(
            client, settings["model"], lambda name: client.post("/v1/models/plan", {**asked, "model": name})
        )
    if output is OutputFormat.JSON:
        print_json(told)
        return
    print(f"{told['outcome']}: {told['message']}")
    if told["evicts"]:
        print(f"would leave: {', '.join(told['evicts'])}")
    if told["place"]:
        seconds = told["estimate_seconds"]
        when = "" if seconds is None else f", for about {seconds:.0f} s"
        print(f"place in the queue: {told['place']}{when}")


def _asked(conversation: "Conversation", model: str, question: str, output: OutputFormat) -> "Answer":
    conversation.settings["model"] = model
    return conversation.ask(question, show=output is OutputFormat.TABLE)


def _known(client: "Client", model: str) -> str:
    """The name, if the server knows the model. Raises UnknownNameError."""
    client.get(f"/v1/models/{quote(model_name(model))}")
    return model


def _checked_name(name: str | None) -> str:
    if name is None:
        raise UsageError("MODEL is missing: `berth list` shows those there are, --sample takes a small one")
    if name.startswith((".", "~")):
        raise UsageError(
            f"{name} is a path of this machine: "
            "--models DIR serves a directory of models, and MODEL is the name of one in it"
        )
    return name


def _question(words: list[str]) -> str | None:
    """The question. None: the user wants a conversation. Raises UsageError."""
    if not words and sys.stdin.isatty():
        return None
    if not words:
        words = ["-"]
    prompt = " ".join(_stdin() if word == "-" else word for word in words)
    if not prompt.strip():
        raise UsageError("the prompt is empty: say it after MODEL, or pipe it in")
    return prompt


def _stdin() -> str:
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError:
        raise UsageError("what stdin holds is not text in UTF-8") from None


def _converse(conversation: "Conversation", model: str, *, verbose: bool) -> None:
    import_module("readline")  # it gives input() editing and history

    print_note(f"{model}: /? for help, Ctrl-D ends")
    while (question := _typed()) is not None:
        match question:
            case "":
                continue
            case "/bye" | "/exit" | "/quit":
                return
            case "/clear":
                conversation.clear()
                print_note("forgotten")
            case "/?" | "/help":
                print_note(_HELP)
            case _ if question.startswith("/") and " " not in question:
                print_note(f"there is no {question}; /? lists what there is")
            case _:
                _answer(conversation, question, verbose=verbose)


def _answer(conversation: "Conversation", question: str, *, verbose: bool) -> None:
    try:
        answer = conversation.ask(question)
    except KeyboardInterrupt:
        print()
        return
    except NoServerError:
        raise
    except CommandError as error:
        print_error(error.message)
        return
    if verbose:
        print_note(answer.summary())


def _typed() -> str | None:
    """The question that the user types, of several lines between triple quotes. None: the user has typed Ctrl-D."""
    try:
        line = input(">>> ").strip()
        if not line.startswith('"""'):
            return line
        lines = [line.removeprefix('"""')]
        while not lines[-1].rstrip().endswith('"""'):
            lines.append(input("... "))
    except EOFError:
        print()
        return None
    except KeyboardInterrupt:
        print()
        return ""
    return "\n".join(lines).rstrip().removesuffix('"""').strip()
