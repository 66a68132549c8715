"""A model that was pulled, locked, and lost comes back from the hub as it was."""

from __future__ import annotations

from ogam.capabilities.base import ModelRef
from ogam.models import store
from ogam.models.lock import models
from ogam.models.pull import Request, pull, remove


def test_a_lost_model_is_pulled_again_at_the_locked_commit(hub, ready, tmp_path):
    hub.add("owner/tiny", ready())
    assert pull(Request(source="owner/tiny")) == "local/tiny"
    folder = store.local_folder() / "tiny"
    ref = ModelRef(name="local/tiny", engine="fake", model="tiny", folder=folder)
    (locked,) = models.lock([ref], tmp_path)
    assert (locked.source, locked.revision) == ("owner/tiny", "1" * 40)
    remove("tiny")
    assert models.bring(locked, tmp_path, []) == "pulled from owner/tiny"
    assert store.damaged_files("local", "tiny") == []
    assert models.wrong_files(locked, folder) == []
