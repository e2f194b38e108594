"""Keep pytest from importing a script that needs the modules of an earlier revision."""

collect_ignore = ["make_runs.py"]
