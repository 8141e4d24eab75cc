"""What a command says while it waits, where no terminal is."""

import io

from berth_local.cli.waiting import WaitingLine


def test_a_pipe_gets_one_line_of_what_goes_on_and_on() -> None:
    pipe = io.StringIO()
    with WaitingLine(pipe) as line:
        for reason in (
            "loading tiny (1 MB)",
            "tiny: installing vllm, once: about 6.0 GB, 30.0 GB free",
            "tiny: installing vllm, once: 3 of 90 packages fetched, 340 MB",
            "tiny: installing vllm, once: Prepared 90 packages in 95s",
            "waiting for memory: Third is answering (388 of 500 MB)",
            "loading tiny (1 MB)",
        ):
            line.show(reason)
    assert pipe.getvalue().splitlines() == [
        "loading tiny (1 MB)",
        "tiny: installing vllm, once: about 6.0 GB, 30.0 GB free",
        "waiting for memory: Third is answering (388 of 500 MB)",
    ]
