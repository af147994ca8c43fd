"""Data sets with versions in a temporary folder."""

import resource
from contextlib import contextmanager

import pytest
from kedro.io import Version


@pytest.fixture
def small_disk():
    """No file may grow beyond 4 kB: the write itself fails, as on a full disk."""

    @contextmanager
    def limited():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def save_version():
    """Save data as one version of a versioned data set, as a run of its own would."""

    def save(make, data, version):
        make(Version(None, version)).save(data)

    return save
