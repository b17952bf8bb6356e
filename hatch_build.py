"""Part of the package's build: compile the kernels, so that wheels and checkouts have them.

Without a C compiler the package is built all the same, without the library; convscope then
computes with torch alone, and `convscope doctor` says so.
"""

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the compiled library beside its sources and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; a wheel with the library is for this platform, and for any Python 3."""
        del version
        path = Path(self.root, "src/convscope/kernels/build.py")
        spec = importlib.util.spec_from_file_location("kernels_build", path)
        assert spec
        assert spec.loader
        build = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(build)
        try:
            library = build.compile_kernels()
        except build.NoKernels as error:
            self.app.display_warning(f"convscope is built without its kernels: {error}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["artifacts"].append(str(library.relative_to(self.root)))
