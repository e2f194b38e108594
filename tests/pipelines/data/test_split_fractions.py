"""Split fractions: small domains get files for every split."""

from pipelines.data import domains, work_rows
from pipelines.data.split_fractions import MAX_FRACTION, adjust_fractions


def test_small_domains_have_files_in_every_requested_split(tree):
    for seed in range(20):
        folder = tree(*(f"{name}/{seed}_{n}.wav" for name in "ab" for n in range(12)))
        made = domains.read_domains(f"{name}={folder}/{name}/{seed}_*.wav" for name in "ab")
        val, test = adjust_fractions(made, (0.05, 0.05), split_by="file", seed=seed)
        assert 0.05 <= val <= MAX_FRACTION + 0.05 and 0.05 <= test <= MAX_FRACTION
        spared = {}
        for row in work_rows.work_rows(made, "audio", (val, test), split_by="file", seed=seed):
            spared.setdefault(row["domain"], set()).add(row["split"])
        assert spared["a"] == spared["b"] == {"train", "val", "test"}


def test_sufficient_or_zero_fractions_do_not_change(tree):
    folder = tree(*(f"a/{n}.wav" for n in range(60)), *(f"few/{n}.wav" for n in range(9)))
    every = [domains.read_domains([f"a={folder}/a"]), domains.read_domains([f"few={folder}/few"])]
    for made, asked in zip(every, [(0.2, 0.2), (0.05, 0.05)], strict=True):
        assert adjust_fractions(made, asked, split_by="file", seed=0) == asked
    assert adjust_fractions(every[0], (0.0, 0.0), split_by="file", seed=0) == (0.0, 0.0)
