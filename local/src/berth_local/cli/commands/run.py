"""berth run: ask a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.chat.prompts import question_of
from berth_local.cli.connection import Target, connect_or_serve, local_store
from berth_local.cli.errors import FailedError, UsageError
from berth_local.cli.model_lookup import known_model, with_model, with_model_there
from berth_local.cli.model_names import complete_device, complete_engine
from berth_local.cli.options import (
    OutputFormat,
    api_key_option,
    models_option,
    optional_model,
    output_option,
    url_option,
)
from berth_local.cli.printing import counted, print_json, print_note
from berth_local.cli.words import plan_words

if TYPE_CHECKING:
    from berth_local.cli.chat.answering import Answer


@click.command()
@optional_model("Its directory's name in the model store; none with --sample.")
@click.argument(
    "prompt",
    nargs=-1,
    metavar="[PROMPT]...",
    help="What to ask, after what is piped in; - says where that belongs instead. Without: what is piped in,"
    " or on a terminal a conversation.",
)
@click.option(
    "--sample", is_flag=True, help="Ask a small model (SmolLM2-135M-Instruct), fetched once (98 MB). No MODEL then."
)
@models_option
@click.option("--system", metavar="TEXT", help="What the model is told before anything else.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most tokens to make; the server's default if left out.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, max=2),
    metavar="T",
    help="From 0, the likeliest answer, to 2; the server's default if left out.",
)
@click.option(
    "--ttl",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help="Keep the model for so long after its last request; 0: for ever.",
)
@click.option("--n-ctx", metavar="N", help="Tokens of context (llama.cpp), or auto; the server's default if left out.")
@click.option("--backend", metavar="ENGINE", shell_complete=complete_engine, help="llamacpp, vllm or transformers.")
@click.option("--device", metavar="DEVICE", shell_complete=complete_device, help="cpu or cuda.")
@click.option(
    "--think/--no-think",
    default=None,
    help="Have the model think before it answers, or not; the model's own way if left out.",
)
@click.option(
    "--plan", is_flag=True, help="Say what would happen, and start nothing: does it fit, and who would leave?"
)
@click.option("--verbose", "-v", is_flag=True, help="Say on stderr how long it took.")
@output_option
@url_option
@api_key_option
def run(
    model: str | None,
    prompt: tuple[str, ...],
    sample: bool,
    models: Path | None,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    ttl: int | None,
    n_ctx: str | None,
    backend: str | None,
    device: str | None,
    think: bool | None,
    plan: bool,
    verbose: bool,
    output: OutputFormat,
    url: str | None,
    api_key: str | None,
) -> None:
    """Ask a model; it starts if it does not run."""
    target = Target(url, api_key, models)
    words = list(prompt)
    if sample:
        from berth_local.cli.sample_option import ensure_sample, prompt_words  # noqa: PLC0415 (only where it is wanted)

        words = prompt_words([model or "", *prompt])
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
    from berth_local.cli.chat.images import seen_images  # noqa: PLC0415
    from berth_local.cli.chat.thinking import thinking  # noqa: PLC0415

    settings |= thinking(think)
    with connect_or_serve(target) as client:
        asking, conversation = Asking(client, settings, show=output is OutputFormat.TABLE), Conversation(system)
        if question is None:
            from berth_local.cli.chat.session import Session  # noqa: PLC0415 (only where it is wanted)

            settings["model"] = with_model_there(client, model, lambda name: known_model(client, name))
            Session(asking, conversation, verbose, think).run()
            return

        def asked(name: str) -> "Answer":
            settings["model"] = name
            images = seen_images(client, name, " ".join(words))
            return asking.in_turn(conversation, Question(question, images))[0]

        answer = with_model_there(client, model, asked)
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
