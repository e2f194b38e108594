"""The explore script: one job, and one line for a wrong flag."""

from testbed import script


def test_the_script_does_a_job_and_says_in_one_line_what_is_wrong(runs, tmp_path):
    run_dir, data_dir = runs["pictures"]
    places = [f"--run_dir={run_dir}", f"--data_dir={data_dir}", f"--output_dir={tmp_path}"]
    done = script("explore", "--do=perturb", "--count=2", "--split=val", *places)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Change of what is decoded" in done.stdout and (tmp_path / "perturb.csv").exists()
    for flags, said in ((["--do=pertub"], "did you mean perturb"), ([], "--do is missing")):
        done = script("explore", *flags, *places)
        assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
