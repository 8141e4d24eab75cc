"""Room for models: who starts where, who goes for whom, and who waits, by one decision wherever Berth runs."""
