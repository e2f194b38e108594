"""The explore script: one job, and one line for a wrong flag."""

from testbed import script


def test_the_script_runs_a_job_and_reports_errors_in_one_line(runs, tmp_path):
    run_dir, data_dir = runs["pictures"]
    paths = [f"--run_dir={run_dir}", f"--data_dir={data_dir}", f"--output_dir={tmp_path}"]
    done = script("explore", "--do=perturb", "--count=2", "--split=val", *paths)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Change of the decoded examples" in done.stdout and (tmp_path / "perturb.csv").exists()
    for flags, message in ((["--do=pertub"], "did you mean perturb"), ([], "--do is missing")):
        done = script("explore", *flags, *paths)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_all_splits_are_the_default_of_disentangle(runs, tmp_path):
    run_dir, data_dir = runs["pictures"]
    paths = [f"--run_dir={run_dir}", f"--data_dir={data_dir}", f"--output_dir={tmp_path}"]
    done = script("explore", "--do=disentangle", *paths)
    assert done.returncode == 0 and done.stdout.startswith("60 files: "), done.stderr[-2000:]
