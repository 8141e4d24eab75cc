"""berth run: ask a model."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from berth_local.cli.chat.prompts import question_of
from berth_local.cli.connection import Target, connect_or_serve, local_store
from berth_local.cli.errors import FailedError, UsageError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.model_names import complete_device, complete_engine, complete_model
from berth_local.cli.options import ApiKeyOption, ModelsOption, OutputFormat, OutputOption, UrlOption
from berth_local.cli.printing import counted, print_json, print_note
from berth_local.cli.words import plan_words

if TYPE_CHECKING:
    from berth_local.cli.chat.answering import Answer


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
            help="What to ask, after what is piped in; - says where that belongs instead. Without: what is piped in,"
            " or on a terminal a conversation.",
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
        str | None,
        typer.Option(
            metavar="ENGINE",
            show_default=False,
            autocompletion=complete_engine,
            help="llamacpp, vllm or transformers.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", show_default=False, autocompletion=complete_device, help="cpu or cuda."),
    ] = None,
    think: Annotated[
        bool | None,
        typer.Option(
            "--think/--no-think",
            show_default=False,
            help="Have the model think before it answers, or not; the model's own way if left out.",
        ),
    ] = None,
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
    question = None if plan else question_of(words)
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
    # HTTP costs a third of a second, which --help need not wait for.
    from berth_local.cli.chat.answering import Asking  # noqa: PLC0415
    from berth_local.cli.chat.conversation import Conversation, Question  # noqa: PLC0415
    from berth_local.cli.chat.session import Session, known_model, seen_images  # noqa: PLC0415
    from berth_local.cli.chat.settings import thinking  # noqa: PLC0415

    settings |= thinking(think)
    with connect_or_serve(target) as client:
        asking, conversation = Asking(client, settings, show=output is OutputFormat.TABLE), Conversation(system)
        if question is None:
            settings["model"] = with_model(client, model, lambda name: known_model(client, name))
            Session(asking, conversation, verbose, think).run()
            return

        def asked(name: str) -> "Answer":
            settings["model"] = name
            images = seen_images(client, name, " ".join(words))
            return asking.in_turn(conversation, Question(question, images))[0]

        answer = with_model(client, model, asked)
        if output is OutputFormat.JSON:
            _print_for_programs(answer, model)
    if verbose:
        print_note(answer.summary())
    if answer.empty:
        raise FailedError(_why_nothing(answer))
    if answer.cut:
        print_note(_cut(answer))


def _print_for_programs(answer: "Answer", model: str) -> None:
    print_json(
        {
            "model": model,
            "content": answer.text,
            "thinking": answer.thought or None,
            "finish_reason": answer.finish_reason,
            "usage": answer.usage,
            "first_token_seconds": answer.first_token_seconds and round(answer.first_token_seconds, 3),
            "seconds": round(answer.seconds, 3),
        }
    )


def _why_nothing(answer: "Answer") -> str:
    """Why there is no answer, and what may give one."""
    cure = ": --max-tokens N allows more, --no-think leaves the thoughts out" if answer.thought else ""
    return answer.why_empty() + cure


def _cut(answer: "Answer") -> str:
    """What has cut the answer, and what to do about it."""
    if answer.filled:
        return f"the answer is cut off: the context of {answer.window} tokens is full; --n-ctx N asks for a larger one"
    after = f" after {counted(answer.tokens, 'token')}" if answer.tokens else ""
    return f"the answer is cut off{after}: --max-tokens N allows more"


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
    print(f"{told['outcome']}: {plan_words(told)}")
    if told["evicts"]:
        print(f"would leave: {', '.join(told['evicts'])}")
    if told["place"]:
        seconds = told["estimate_seconds"]
        when = "" if seconds is None else f", for about {seconds:.0f} s"
        print(f"place in the queue: {told['place']}{when}")


def _checked_name(name: str | None) -> str:
    if name is None:
        raise UsageError("MODEL is missing: `berth list` shows those there are, --sample takes a small one")
    if name.startswith((".", "~")):
        raise UsageError(
            f"{name} is a path of this machine: "
            "--models DIR serves a directory of models, and MODEL is the name of one in it"
        )
    return name
