"""What tests of classifiers begin with; torch is loaded only for those that ask."""

import pytest


@pytest.fixture(scope="module")
def one_thread():
    """Sums of one thread, the same each time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    from .praise import encoder_in

    return encoder_in(tmp_path_factory.mktemp("encoder"), layers=2)


@pytest.fixture
def data(tmp_path):
    from .praise import sentences, write

    return write(tmp_path / "data.tsv", sentences())
