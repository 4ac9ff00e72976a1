from __future__ import annotations

import pytest

from tests.eclipse_plugin.plug_in import PlugIn, compile_all
from tests.programs import require_program


@pytest.fixture(scope="session")
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> PlugIn:
    """The plug-in, compiled once."""
    mcs, mono = require_program("mcs"), require_program("mono")
    folder = tmp_path_factory.mktemp("plug-in")
    compile_all(mcs, folder)
    return PlugIn(mono, folder)
