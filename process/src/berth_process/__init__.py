"""What every program of Berth has: its settings and what is wrong with one, log, environment, signals, sizes."""
