"""How each program of Berth starts and stops: its settings and what is wrong with them, log, environment, signals."""
