"""The environment variables that engines start with."""

from collections.abc import Mapping

ENGINE_ENVIRONMENT: Mapping[str, str] = {"GOMP_SPINCOUNT": "500"}
"""The environment variables of every engine; the user's own values take precedence.

Engines compute with OpenMP, whose threads wait for each other by spinning, 300,000 times by default. Where other
programs want the processors, an answer then takes ten times as long. With 500 an answer is as fast alone, and two
models that answer at once hardly wait for each other.
"""

LLAMACPP_ENVIRONMENT: Mapping[str, str] = {
    **ENGINE_ENVIRONMENT,
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=16777216",
}
"""The environment variables of llama.cpp: it gets memory in huge pages, where the kernel has them, and in large steps.

A start touches much memory for the first time: contexts, and the many small pieces of a vocabulary. A model of 135
million parameters caused 36,000 page faults without this and 8,000 with it. Its first token came 16 % earlier in one
measurement and 3 % in another (medians of 24 and of 20 starts each, in turn).
"""

OFFLINE_ENVIRONMENT: Mapping[str, str] = {"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
"""Keeps Python engines from fetching anything and from reporting to anybody: the model is on this machine."""
