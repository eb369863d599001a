"""For tests of launchers: the conformance test that every launcher has to pass, and a platform that is simulated.

    from standpipe_orchestrator.testing import LauncherConformance

    class TestMyLauncher(LauncherConformance):
        def make_launcher(self, folder):
            return MyLauncher()

pytest collects the tests of such a class; nothing here imports it. No other room imports this one.
"""

from standpipe_orchestrator.testing.launcher_conformance import LauncherConformance
from standpipe_orchestrator.testing.orchestrator_process import LauncherClient
from standpipe_orchestrator.testing.simulated_platform import SimulatedPlatform

__all__ = ["LauncherClient", "LauncherConformance", "SimulatedPlatform"]
