"""Two processes on loopback: what one does with the whole batch, and going on after one of them was killed."""

import json
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from testbed import ROOT, train

from pipelines.export import saved_model

STEPS, BATCH = 4, 4

WORKER = """
import os, signal, sys
run_dir, data_dir, deadly = sys.argv[1:]
from pipelines import train
from pipelines.export import saved_model
from pipelines.training import trainer
from absl import flags

if deadly:
    log = trainer.Trainer._report_alarms
    def watch(self):
        log(self)
        if self.log.rows[-1]["step"] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    trainer.Trainer._report_alarms = watch
trainer.Intervals.__init__.__kwdefaults__.update(log_steps=1, validations=4, checkpoint_s=0.0)
saved_model.write = lambda *_: None
sys.argv = ["train", f"--run_dir={run_dir}", f"--data_dir={data_dir}", "--plugin=ae", "--strategy=multi_worker",
            "--steps=4", "--batch_size=4", "--export=best", "--set=crop_frames=16", "--set=channels=8"]
train.run()
"""


def ports(count):
    """Free ones, for a moment."""
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("localhost", 0))
    found = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return found


def launch(run_dir, data_dir, *, deadly=None):
    """Both workers when they have ended, and what they said; one of them is killed after its second step."""
    cluster = {"worker": [f"localhost:{port}" for port in ports(2)]}
    workers = []
    for index in range(2):
        task = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        command = [sys.executable, "-c", WORKER, str(run_dir), data_dir, "deadly" if index == deadly else ""]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": ROOT}
        workers.append(subprocess.Popen(command, env={**os.environ, "TF_CONFIG": task}, **options))
    try:
        return [(worker, worker.communicate(timeout=150)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


@pytest.mark.slow
def test_two_processes_go_on_after_one_was_killed_and_do_what_one_does(speech_records, tmp_path):
    (chief, said), (other, _) = launch(tmp_path / "run", speech_records, deadly=1)
    assert other.returncode == -signal.SIGKILL
    assert chief.returncode == 1 and "to resume from the last checkpoint" in said, said[-3000:]
    for worker, said in launch(tmp_path / "run", speech_records):
        assert worker.returncode == 0 and "trained ae for 4 steps" in said, said[-3000:]
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == [1, 2, 3, 4]
    alone = train(str(tmp_path / "alone"), speech_records, "ae", steps=STEPS, batch_size=BATCH, channels=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "write", lambda *_: None)
        alone.fit()
    reader = tf.train.load_checkpoint(str(tmp_path / "run" / "checkpoints"))
    together = tf.train.Checkpoint(plugin=alone.plugin)
    wanted = [v.numpy() for network in alone.plugin.networks() for v in network.trainable_variables]
    assert reader.get_tensor("step/.ATTRIBUTES/VARIABLE_VALUE") == STEPS
    wanted_moment = alone.plugin.optimizer.m.numpy()
    together.restore(tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints"))).expect_partial()
    found = [v.numpy() for network in alone.plugin.networks() for v in network.trainable_variables]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-5)  # Adam divides gradients, whose sums round otherwise, by their size
    np.testing.assert_allclose(alone.plugin.optimizer.m.numpy(), wanted_moment, atol=1e-6)
