"""The stable hash: distinct values in [0, 1)."""

from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, unicode_names

from pipelines import stable_hash


@laws
@given(st.lists(unicode_names, unique=True, min_size=2))
def test_distinct_keys_have_distinct_fractions_in_0_to_1(keys):
    found = {stable_hash.stable_fraction(key) for key in keys}
    assert len(found) == len(keys) and 0 <= min(found) <= max(found) < 1
