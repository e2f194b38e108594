"""The server: headers, names of the host, results that are fetched once."""

import json
import os
import urllib.error
import urllib.request

import pytest

from models.errors import UserError
from pipelines.web import server


def request(address, **headers):
    return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20)  # noqa: S310


@pytest.fixture(scope="module")
def address(serve, picture_run):
    return serve(picture_run)


def test_the_page_names_no_other_server_and_its_policy_allows_none(address):
    with request(address) as response:
        policy, text = response.headers["Content-Security-Policy"], response.read().decode()
    assert "default-src 'self'" in policy and "http" not in policy
    assert response.headers["Cache-Control"] == "no-store"
    config = json.loads(text.partition("window.gradio_config = ")[2].partition(";</script>")[0])
    assert config["stylesheets"] == [] and config["analytics_enabled"] is False


def test_the_address_is_not_used_under_another_name(address):
    with pytest.raises(urllib.error.HTTPError) as refused:
        request(address, Host="elsewhere.example")
    assert refused.value.code == 400
    refused.value.close()


def test_a_result_is_sent_once_and_deleted(address, temporary_files, stored_files, tmp_path):
    (tmp_path / "0").write_bytes(b"result")
    path = temporary_files.publish(str(tmp_path / "0"), "a.wav")
    with request(f"{address}/{path}") as response:
        assert response.read() == b"result" and 'filename="a.wav"' in response.headers["Content-Disposition"]
    with pytest.raises(urllib.error.HTTPError) as missing:
        request(f"{address}/{path}")
    assert missing.value.code == 404 and "convert the file again" in missing.value.read().decode()
    missing.value.close()
    assert not os.listdir(temporary_files.results) and not stored_files()


def test_files_of_the_server_are_not_served(address, tmp_path):
    (tmp_path / "secret").write_text("somebody's")
    for path in (tmp_path / "secret", os.path.abspath("pyproject.toml")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            request(f"{address}/gradio_api/file={path}")
        assert refused.value.code in (403, 404)
        refused.value.close()


def test_an_address_in_use_is_a_user_error(address):
    with pytest.raises(UserError, match=r"--host=127.0.0.1 --port=\d+: Address already in use; wanted a free address"):
        server.bind("127.0.0.1", int(address.rpartition(":")[2]))


def test_addresses_of_both_protocols():
    with server.bind("127.0.0.1", 0) as bound:
        assert server.page_address(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_gradio_that_is_missing_is_a_user_error(monkeypatch):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"the page needs gradio: pip install 'crossfade\[listen\]'"):
        server.require_gradio()
