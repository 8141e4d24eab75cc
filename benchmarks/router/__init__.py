"""What it costs to go through Berth's router. The program is `python -m benchmarks.router`."""
